"""One segmentation run from a backbone to numbers. Imports mmsegmentation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmbench.distributed import process_rank
from mmbench.transfer.dense.common.continuation import Continuation
from mmbench.transfer.dense.common.divergence import Divergence
from mmbench.transfer.dense.common.figures import draw_each, draw_losses
from mmbench.transfer.dense.common.history import LossHistory, Progress
from mmbench.transfer.dense.common.label_map_figure import draw_predictions, shown_images
from mmbench.transfer.dense.common.pixel_outcomes import PixelOutcomes
from mmbench.transfer.dense.common.processes import Randomness, seed_process
from mmbench.transfer.dense.common.reading import Counted
from mmbench.transfer.dense.segmentation.hooks import ReportEvaluation, ReportProgress, SaveState
from mmbench.transfer.dense.segmentation.preparation import Prepared, prepared
from mmbench.transfer.dense.segmentation.runner import QuietRunner
from mmbench.transfer.dense.segmentation.settings import SegmentationSettings
from mmbench.transfer.job import Measurement, TransferJob


def train_and_evaluate(job: TransferJob, settings: SegmentationSettings) -> Measurement:
    """Train a segmentor from the job's backbone and measure it on the protocol's split.

    Processes that work together share every batch and the evaluated images.

    Raises:
        UserError: a tensor does not arrive, the data do not fit, or the training diverged.
        KeyboardInterrupt: the run was asked to stop; its state is saved.
    """
    with prepared(job, settings) as ready:
        splits, settings = ready.splits, ready.settings
        training = Training(ready)
        runner = training.run()
        outcomes = _evaluate(ready, runner, training.divergence)
        scores = outcomes.scores(job.seed)
        figures, undrawn = _figures(ready, outcomes)
    sizes: dict[str, int] = {"train": len(splits.train.images), splits.name: len(splits.evaluated.images)}
    return Measurement(
        metrics=scores.metrics,
        split_sizes=sizes,
        effective_lr=settings.learning_rate,
        images_seen=settings.batch_size * settings.iterations + sizes[splits.name],
        notes=(*ready.notes, *training.notes, *scores.notes, *undrawn, *splits.remarks),
        per_class=scores.per_class,
        outcomes=outcomes.table(),
        files=figures,
    )


class Training:
    """One training, from the newest state where there is one.

    Attributes:
        notes: facts of the training that a reader of the record must know.
    """

    def __init__(self, ready: Prepared) -> None:
        self.ready, self.job = ready, ready.job
        self.divergence = Divergence("segmentation", ready.settings.learning_rate)
        history = LossHistory(ready.work / "metrics.json" if process_rank() == 0 else None)
        self.progress = Progress(self.job.report, history, lambda: ready.loader.waited)
        self.notes: list[str] = []
        self.began_at = 0  # iterations of earlier sessions

    def run(self) -> QuietRunner:
        """Train to the end; return the Runner.

        Raises:
            UserError: a tensor of the backbone does not arrive, or the training diverged.
            KeyboardInterrupt: the run was asked to stop; its state is saved.
        """
        hooks = [ReportProgress(self.progress, self.divergence), ReportEvaluation(self.job.report)]
        runner, unused = self.ready.build(self._begin, hooks)
        with self.ready.trying(lambda: runner.iter > self.began_at):
            runner.train()
        self.continuation.finish(runner.max_iters)
        self.divergence.check_weights(runner.segmentor)
        self.notes += [*unused, self.progress.note()]
        return runner

    def _begin(self, runner: QuietRunner) -> None:
        """Prove that the backbone arrived, before a state is restored; then go on where the state is."""
        self.notes.append(self.ready.prove_arrival(runner))
        seed_process(self.job.seed)
        parts = {
            "model": runner.segmentor,
            "optimizer": runner.optim_wrapper,  # with the scaler of float16
            "schedule": Schedules(runner.param_schedulers),
            "data": Counted(self.ready.loader),
            "losses": self.progress.history,
            "progress": self.progress,
            "random": Randomness(self.job.device, self.job.unfinished.notes),
        }
        self.continuation = Continuation(self.job.unfinished, parts)
        self.began_at = self.continuation.restore()
        runner.train_loop.begin_at(self.began_at)
        runner.register_hook(SaveState(self.continuation))


class Schedules:
    """mmengine's schedules of the learning rate as one part of a state."""

    def __init__(self, schedules: Sequence[Any]) -> None:
        self.schedules = schedules

    def state_dict(self) -> dict[str, Any]:
        """Return the state of each."""
        return {"schedules": [schedule.state_dict() for schedule in self.schedules]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore each."""
        for schedule, saved in zip(self.schedules, state["schedules"], strict=True):
            schedule.load_state_dict(saved)


def _evaluate(ready: Prepared, runner: QuietRunner, divergence: Divergence) -> PixelOutcomes:
    """Return the outcomes of the evaluated split, the same in all processes."""
    outcomes = PixelOutcomes(ready.splits.data.classes, keep=shown_images(ready.splits.evaluated))

    def take(batch: dict[str, Any], samples: list[Any]) -> None:
        for name, labels, sample in zip(batch["name"], batch["labels"], samples, strict=True):
            predicted = sample.pred_sem_seg.data[0]
            outcomes.add(name, predicted, labels.to(predicted.device))
        predictions.append(len(samples))

    predictions = list[int]()
    with ready.trying(lambda: bool(predictions)), divergence.watched(runner.segmentor.decode_head.conv_seg):
        runner.evaluate(ready.test_batches, take)
    outcomes.gather()
    return outcomes


def _figures(ready: Prepared, outcomes: PixelOutcomes) -> tuple[dict[str, Path], list[str]]:
    """Draw the figures; return them, and a note for each that is not drawn."""
    job, splits = ready.job, ready.splits
    title = f"{job.backbone.card.arm} on {job.dataset.name}, {job.run.protocol_id}, seed {job.seed}"
    return draw_each(
        {
            "losses.png": lambda path: draw_losses(ready.work / "metrics.json", title, path),
            "predictions.png": lambda path: draw_predictions(
                splits.data, splits.evaluated, outcomes.kept, title, path
            ),
        },
        ready.work,
    )
