"""One session of a run: the steps up to its end or a request, and what is written."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from mmbench.compute_meter import ComputeMeter
from mmbench.compute_time import ComputeTime
from mmbench.distributed import any_process, on_main, process_rank
from mmbench.errors import MachineError, UserError
from mmbench.faults import MACHINE, fault_of
from mmbench.file_names import counted, printable
from mmbench.files import write_text
from mmbench.finite import first_not_finite
from mmbench.launched import launched_here
from mmbench.pretrain.knn_monitor import KnnMonitor
from mmbench.pretrain.recipe_digest import recipe_digest
from mmbench.pretrain.trainer import StepReport, Trainer
from mmbench.processes import cores
from mmbench.runs import MetricsLog, RunFolder

Report = Callable[[int, int, str], None]
WAIT_HINT_SHARE, WAIT_HINT_STEPS = 0.1, 50


@dataclass
class Requests:
    """What may be asked of a running pretraining from outside, at any moment; it takes effect after the step.

    Attributes:
        idle: whether there is no step to wait for, as before the first and after the last; a stop then
            takes effect at once.
        save: write a training state now.
        stop: write a training state and leave with KeyboardInterrupt.
        resubmit: the stop is a scheduler's, who should start the same command again.
    """

    save: bool = False
    stop: bool = False
    resubmit: bool = False
    idle: bool = False

    def stop_if_asked(self) -> None:
        """Leave if a stop was asked for.

        Raises:
            KeyboardInterrupt: it was.
        """
        if self.stop:
            raise KeyboardInterrupt


class Spent(NamedTuple):
    """What the sessions of a run took.

    Attributes:
        seconds: wall time.
        compute: processor or GPU time; None where a session of an older version did not record it.
    """

    seconds: float
    compute: ComputeTime | None


class Session:
    """Takes steps, logs them, saves states.

    Args:
        seconds_before: wall time of earlier sessions.
        meter: began with the session, and knows what earlier ones used.
        monitor: measures the backbone periodically, if wanted.
    """

    def __init__(
        self,
        trainer: Trainer,
        folder: RunFolder,
        seconds_before: float,
        meter: ComputeMeter,
        *,
        report: Report | None,
        requests: Requests,
        say: Callable[[str], None],
        monitor: KnnMonitor | None,
    ) -> None:
        self.trainer, self.folder = trainer, folder
        self.seconds_before, self.meter = seconds_before, meter
        self.report, self.requests, self.say, self.monitor = report, requests, say, monitor
        self.first, self.waited, self.hinted, self.knn = trainer.step_number, 0.0, False, ""
        self.listed = recall_unreadable(trainer, folder)
        self.started = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Wall time of all sessions so far."""
        return self.seconds_before + time.perf_counter() - self.started

    def run(self) -> Spent:
        """Take the remaining steps; return what all sessions took.

        Raises:
            UserError: the loss or a weight is not finite; the disk is full.
            KeyboardInterrupt: a stop was requested; the state is saved.
        """
        metrics = MetricsLog(self.folder.metrics, resumed_step=self.first) if process_rank() == 0 else None
        self.requests.idle = False
        try:
            while self.trainer.step_number < self.trainer.total_steps:
                self._one_step(metrics)
            require_finite(self.trainer, self.folder)  # also where an earlier session took the last step
        finally:
            self.requests.idle = True
            if metrics is not None:
                metrics.close()
        return Spent(self.seconds, self.meter.read())

    def _one_step(self, metrics: MetricsLog | None) -> None:
        trainer, requests = self.trainer, self.requests
        done = _step(trainer, self.folder)
        self.waited += done.waited
        elapsed = time.perf_counter() - self.started
        speed = (done.step - self.first) * trainer.config.batch_size / elapsed
        epoch_ends = done.step % trainer.steps_per_epoch == 0
        if epoch_ends or done.step % trainer.config.log_every == 0:
            self._record(done, speed, self.waited / elapsed, metrics, epoch_ends)
        self._tell(done, speed, self.waited / elapsed)
        wishes = [requests.save, requests.stop, requests.resubmit]
        requests.save = False  # a signal may set it again from here on
        save, stop, resubmit = any_process(wishes, trainer.device)
        requests.stop |= stop
        requests.resubmit |= resubmit
        if epoch_ends or save or stop:
            self._save()
        if stop:
            raise KeyboardInterrupt

    def _record(
        self, done: StepReport, speed: float, waiting: float, metrics: MetricsLog | None, epoch_ends: bool
    ) -> None:
        """Write one record to metrics.jsonl and to the trackers."""
        record = {
            "step": done.step,
            "epoch": round(done.epoch, 4),
            "loss": done.loss,
            **{f"loss_{name}": value for name, value in done.terms.items()},
            "lr": done.lr,
            "images_per_second": round(speed, 1),
            "data_wait": round(waiting, 4),
            **self.trainer.source.counts(),
        }
        if self.monitor is not None and epoch_ends and process_rank() == 0:
            epoch = done.step // self.trainer.steps_per_epoch
            if epoch % self.trainer.config.knn_every == 0 or done.step == self.trainer.total_steps:
                record["knn"] = self.monitor.measure(self.trainer.framework.backbone)
                self.knn = f"  kNN {record['knn']:.1f}"
        if metrics is not None:
            metrics.write(record)
        values = {name: value for name, value in record.items() if name != "step"}
        self.trainer.accelerator.log(values, step=done.step)

    def _tell(self, done: StepReport, speed: float, waiting: float) -> None:
        """Report the step; say once if the data are slow, and which images were left out."""
        if self.report is not None:
            words = (
                f"loss {done.loss:.3f}  lr {done.lr:.1e}  {speed:.0f} images/s  data {waiting:.0%}{self.knn}"
            )
            self.report(done.step, self.trainer.total_steps, words)
        slow = waiting > WAIT_HINT_SHARE and done.step - self.first >= WAIT_HINT_STEPS
        if slow and not self.hinted:
            self.hinted = True
            advice = faster_reading(self.trainer.config.workers, cores() // launched_here(1) or 1)
            self.say(f"{waiting:.0%} of the time is spent waiting for data; {advice}")
        self.listed = list_unreadable(self.trainer, self.folder, self.listed, self.say)

    def _save(self) -> None:
        """Write a training state.

        Raises:
            UserError: a weight is not finite, or it cannot be written (MachineError where the machine is at
                fault); the states before are as they were.
        """
        trainer, folder = self.trainer, self.folder
        require_finite(trainer, folder)
        state = {**trainer.state(), "seconds": self.seconds, "fingerprint": trainer.source.fingerprint}
        state["compute"] = self.meter.stored()
        state["recipe_digest"] = recipe_digest(trainer)  # for who reads its encoders, as on the card

        def write() -> None:
            try:
                folder.save_state(state, trainer.step_number, trainer.config.keep_states)
            except (OSError, RuntimeError) as error:
                fault = fault_of(error)
                if fault is None:
                    raise
                kind = MachineError if fault.exit_code == MACHINE else UserError
                raise kind(
                    f"the training state of step {trainer.step_number} cannot be written to "
                    f"{folder.training}: {fault.words}"
                ) from None

        on_main(write)


def faster_reading(workers: int, most: int) -> str:
    """Return what to do where training waits for its data.

    Args:
        most: the processors that each process may use; torch warns of more workers.
    """
    more = min(2 * workers or 2, most)
    if more > workers:
        return f"try --set workers={more}"
    return (
        f"more workers than {counted(most, 'core')} do not help; a packed copy of smaller images "
        "(mmbench data pack) helps a new run"
    )


def _unreadable_list(folder: RunFolder) -> Path:
    """Return where this process lists the images that it left out."""
    rank = process_rank()
    return folder.root / (f"unreadable-{rank}.txt" if rank else "unreadable.txt")


def recall_unreadable(trainer: Trainer, folder: RunFolder) -> int:
    """Take over what an earlier session listed; return how many images are left out so far."""
    place = _unreadable_list(folder)
    if place.is_file():
        trainer.source.recall(place.read_text(encoding="utf-8").splitlines())
    return len(trainer.source.unreadable)


def list_unreadable(trainer: Trainer, folder: RunFolder, listed: int, say: Callable[[str], None]) -> int:
    """Write the paths of images that were left out to the run folder, if there are new ones; count them."""
    paths = trainer.source.unreadable
    if len(paths) > listed:
        place = _unreadable_list(folder)
        write_text(place, "".join(f"{printable(path)}\n" for path in paths))
        last = printable(paths[-1])
        left_out = (
            f"{counted(len(paths), 'image')} cannot be read and {'is' if len(paths) == 1 else 'are'} left out"
        )
        say(f"{left_out}, the last is {last}; see {place}")
    return len(paths)


def _step(trainer: Trainer, folder: RunFolder) -> StepReport:
    """Take one step; a loss that is not finite ends the run with advice."""
    try:
        return trainer.step()
    except FloatingPointError as error:
        raise _diverged(str(error), trainer, folder) from None


def require_finite(trainer: Trainer, folder: RunFolder) -> None:
    """Check the weights. The loss is that before each step: what the last one did shows nowhere else.

    Raises:
        UserError: a weight, or another part of the framework's state, is not finite.
    """
    name = first_not_finite(trainer.framework.state_dict())
    if any_process([name is not None], trainer.device)[0]:
        what = f"{name or 'a weight of another process'} is not finite after step {trainer.step_number}"
        raise _diverged(what, trainer, folder)


def _diverged(what: str, trainer: Trainer, folder: RunFolder) -> UserError:
    """Return the error that ends a diverged run, with the setting to change."""
    states = folder.state_paths()
    good = f"the last good state is {states[0]}" if states else "no state was saved yet"
    return UserError(
        f"{what}; {good}; try a lower learning rate in a new folder, such as "
        f"--set optimiser.lr={trainer.config.optimiser.lr / 3:.2g}, or --set precision=fp32"
    )
