"""`pretrain`: from a configuration to a finished run folder, through any number of interruptions."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from pathlib import Path

import torch

from mmbench.checkpoints.networks.options import equal_of_ours
from mmbench.compute_meter import ComputeMeter
from mmbench.data import Dataset
from mmbench.distributed import on_main, process_count, process_rank
from mmbench.file_names import counted
from mmbench.pretrain.acceleration import start_trackers
from mmbench.pretrain.export import export
from mmbench.pretrain.figures import draw_curves, draw_views
from mmbench.pretrain.preparation import SHOWN, load_newest, prepare
from mmbench.pretrain.session import Report, Requests, Session, list_unreadable
from mmbench.pretrain.settings import RUNTIME_SETTINGS, PretrainConfig
from mmbench.runs import RunFolder

logger = logging.getLogger("mmbench.pretrain")


def pretrain(
    config: PretrainConfig,
    out: Path,
    report: Report | None = None,
    *,
    dataset: Dataset | None = None,
    requests: Requests | None = None,
    say: Callable[[str], None] = logger.warning,
) -> RunFolder:
    """Pretrain a backbone in the run folder `out`; called again with the same configuration, go on.

    A finished run is returned as it is, unless the data are there and are others. From a state saved at the
    end of an epoch or on request the result is bit-identical to that of an uninterrupted run, on the CPU with
    the same number of threads. Under `torchrun` or `accelerate launch` the processes share each batch; the
    first one writes the folder.

    Args:
        report: called after each step with (steps done, steps in all, text with loss, rate and images/s).
        dataset: used instead of loading `config.data` from `config.data_root`.
        requests: lets the caller ask for a state or a stop.
        say: called with each line that a user should see, such as one about an unreadable state.

    Raises:
        UserError: bad settings, data, architecture or folder; not enough disk; a loss that is not finite.
        KeyboardInterrupt: `requests.stop` was set; the state is saved.
    """
    requests = requests or Requests()
    requests.idle = True
    folder = RunFolder(out)
    ready = prepare(config, folder, dataset, say)
    if ready is None:
        return folder
    trainer, dataset, accelerator = ready.trainer, ready.dataset, ready.trainer.accelerator
    is_main, effective = process_rank() == 0, trainer.effective()
    if is_main:
        say(
            f"{effective['images']} images, {effective['steps']} steps of {effective['batch']} "
            f"({effective['images_per_pass']} at a time in {counted(process_count(), 'process')}), "
            f"peak learning rate {effective['lr']:.3g}, {effective['device']}, {effective['precision']}"
        )
    with contextlib.ExitStack() as held:
        on_main(lambda: _enter(held, folder, ready.settings))
        meter = ComputeMeter(trainer.device)
        state = load_newest(ready, folder, say)
        if state is not None:
            meter.go_on(state.get("compute"))
        if is_main:
            list_unreadable(trainer, folder, 0, say)
        if is_main and not trainer.step_number:
            generator = torch.Generator(trainer.device).manual_seed(config.seed)
            # None where states were there, of which none could be read
            shown = trainer.source.samples(SHOWN) if ready.shown is None else ready.shown
            draw_views(trainer.views, shown, generator, folder.root / "views.png", config.method)
        start_trackers(accelerator, config, trainer.step_number)
        session = Session(
            trainer,
            folder,
            0.0 if state is None else float(state["seconds"]),
            meter,
            report=report if is_main else None,
            requests=requests,
            say=say,
            monitor=ready.monitor,
        )
        try:
            spent = session.run()
        finally:
            for tracker in accelerator.trackers:
                tracker.finish()
        requests.stop_if_asked()
        if is_main:
            for line in trainer.source.closing_remarks():
                say(line)
            title, branches = f"{config.method} on {dataset.name}", trainer.views.masking.branches
            if not draw_curves(folder.metrics, folder.root / "curves.png", title, branches):
                say(f"{folder.metrics} holds no records any more, so no curves are drawn")
            card = export(trainer, folder, dataset, spent)
            if card.preprocessing.high_pass is not None and equal_of_ours(card.arch) is None:
                say(
                    f"timm's {card.arch} has no place for the high-pass filter of these weights: mmbench "
                    "applies it, timm alone refuses the folder"
                )
        on_main(lambda: None)  # no process leaves before the folder is complete
    return folder


def _enter(held: contextlib.ExitStack, folder: RunFolder, settings: dict[str, object]) -> None:
    """Lock the folder until `held` ends, and begin or go on with the run in it."""
    held.enter_context(folder.locked())
    folder.open(settings, runtime=RUNTIME_SETTINGS)
