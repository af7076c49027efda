"""The losses that Detectron2 stores, for metrics.json and for the progress that a person sees."""

from __future__ import annotations

from detectron2.engine import HookBase
from detectron2.utils.events import get_event_storage

from mmbench.transfer.dense.common.history import Progress


class ReportProgress(HookBase):
    """Passes each iteration's numbers on to the progress; Detectron2 has them in the first process alone."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress

    def before_train(self) -> None:
        """Start the clock, and the file of losses."""
        self.progress.begin()

    def after_step(self) -> None:
        """Take the numbers of the iteration just finished."""
        done, total = self.trainer.iter + 1, self.trainer.max_iter
        storage = get_event_storage()
        smoothed = storage.smoothing_hints()  # of which Detectron2 takes medians
        numbers: tuple[dict[str, float], dict[str, float]] = ({}, {})
        for name, (value, iteration) in storage.latest().items():
            if iteration == storage.iter:
                numbers[not smoothed[name]][name] = float(value)
        self.progress.history.add(done, *numbers, last=done == total)
        self.progress.step(done, total, numbers[0].get("total_loss"))
