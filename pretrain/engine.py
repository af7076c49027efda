"""`pretrain`: from a configuration to a finished run folder, through any number of interruptions."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from mmbench.data import Dataset, load_dataset
from mmbench.device import resolve_device
from mmbench.errors import UserError
from mmbench.files import require_free_space
from mmbench.pretrain.config import RUNTIME_SETTINGS, PretrainConfig
from mmbench.pretrain.export import export
from mmbench.pretrain.pictures import draw_curves, draw_views, spread
from mmbench.pretrain.trainer import StepReport, Trainer, build_framework
from mmbench.runs import MetricsLog, RunFolder

KEEP_STATES = 2
PICTURED = 8
Report = Callable[[int, int, str], None]
logger = logging.getLogger("mmbench.pretrain")


@dataclass
class Requests:
    """What may be asked of a running pretraining from outside, at any moment; heeded after the step.

    Attributes:
        save: write a training state now.
        stop: write a training state and leave with KeyboardInterrupt.
        resubmit: the stop is a scheduler's, who should start the same command again.
    """

    save: bool = False
    stop: bool = False
    resubmit: bool = False


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

    A finished run is returned as it is. From a state saved at the end of an epoch or on request the result
    is bit-identical to that of an uninterrupted run, on the CPU with the same number of threads.

    Args:
        report: called after each step with (steps done, steps in all, words with loss, LR and images/s).
        dataset: used instead of loading `config.data` from `config.data_root`.
        requests: lets the caller ask for a state or a stop.
        say: told what a person should know, such as an unreadable state.

    Raises:
        UserError: bad settings, data, architecture or folder; not enough disk; a loss that is not finite.
        KeyboardInterrupt: `requests.stop` was set; the state is saved.
    """
    folder = RunFolder(out)
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    settings = config.model_dump(mode="json")
    if folder.finished:
        folder.open(settings, runtime=RUNTIME_SETTINGS)
        say(f"{out} is finished already; nothing to do")
        return folder
    device = resolve_device(config.device)
    framework = build_framework(config)
    dataset = dataset or load_dataset(config.data, config.data_root)
    trainer = Trainer(config, framework, dataset, device)
    require_free_space(out, (KEEP_STATES + 1) * trainer.state_bytes() + 2**22, "training states")
    with folder.locked():
        folder.open(settings, runtime=RUNTIME_SETTINGS)
        seconds = _resume(trainer, folder, dataset, say)
        if not trainer.step_number:
            generator = torch.Generator(device).manual_seed(config.seed)
            draw_views(
                trainer.views,
                spread(trainer.images, PICTURED),
                generator,
                folder.root / "views.png",
                config.method,
            )
        seconds = _train(trainer, folder, dataset, seconds, report, requests or Requests())
        draw_curves(folder.metrics, folder.root / "curves.png", f"{config.method} on {dataset.name}")
        export(trainer.framework.backbone, folder, config, trainer.views.preprocessing, dataset, seconds)
    return folder


def _resume(trainer: Trainer, folder: RunFolder, dataset: Dataset, say: Callable[[str], None]) -> float:
    """Load the newest state, if any; return the seconds that earlier sittings took."""
    state = folder.load_newest_state(trainer.device, say)
    if state is None:
        return 0.0
    if state["fingerprint"] != dataset.fingerprint:
        raise UserError(
            f"data set '{dataset.name}' is not the one that {folder.root} was begun with "
            "(its fingerprint changed); restore the data, or choose another folder by --out"
        )
    trainer.load(state)
    say(f"going on with {folder.root} at step {trainer.step_number} of {trainer.total_steps}")
    return float(state["seconds"])


def _train(
    trainer: Trainer,
    folder: RunFolder,
    dataset: Dataset,
    seconds_before: float,
    report: Report | None,
    requests: Requests,
) -> float:
    """Take the remaining steps; return the seconds of all sittings."""
    from torch.utils.tensorboard import SummaryWriter

    config, first = trainer.config, trainer.step_number
    metrics = MetricsLog(folder.metrics, resumed_step=first)
    board = SummaryWriter(str(folder.tensorboard), purge_step=first + 1)
    started = time.perf_counter()

    def save() -> None:
        seconds = seconds_before + time.perf_counter() - started
        state = {**trainer.state(), "seconds": seconds, "fingerprint": dataset.fingerprint}
        folder.save_state(state, trainer.step_number, KEEP_STATES)

    try:
        while trainer.step_number < trainer.total_steps:
            done = _step(trainer, folder)
            speed = (done.step - first) * config.batch_size / (time.perf_counter() - started)
            epoch_ends = done.step % trainer.steps_per_epoch == 0
            if epoch_ends or done.step % config.log_every == 0:
                record = {
                    "step": done.step,
                    "epoch": round(done.epoch, 4),
                    "loss": done.loss,
                    **{f"loss_{name}": value for name, value in done.terms.items()},
                    "lr": done.lr,
                    "images_per_second": round(speed, 1),
                }
                metrics.write(record)
                for name, value in record.items():
                    if name != "step":
                        board.add_scalar(name, value, done.step)
            if report is not None:
                words = f"loss {done.loss:.3f}  lr {done.lr:.1e}  {speed:.0f} images/s"
                report(done.step, trainer.total_steps, words)
            stop = requests.stop
            if epoch_ends or requests.save or stop:
                requests.save = False
                save()
            if stop and done.step < trainer.total_steps:
                raise KeyboardInterrupt
    finally:
        metrics.close()
        board.close()
    return seconds_before + time.perf_counter() - started


def _step(trainer: Trainer, folder: RunFolder) -> StepReport:
    """Take one step; a loss that is not finite ends the run with advice."""
    try:
        return trainer.step()
    except FloatingPointError as error:
        states = folder.state_paths()
        good = f"the last good state is {states[0]}" if states else "no state was saved yet"
        raise UserError(
            f"{error}; {good}; try a lower learning rate in a new folder, such as "
            f"--set optimiser.lr={trainer.config.optimiser.lr / 3:.2g}, or --set precision=fp32"
        ) from None
