"""Carry the runs of a request out, one after the other: to measure, or only to say what they would do."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from mmbench.distributed import on_main
from mmbench.leftovers import scratch_folder
from mmbench.records.store import Result, ResultStore
from mmbench.transfer.execution import Report, draw_features, execute, silent
from mmbench.transfer.plots.embedding import require_shown
from mmbench.transfer.request import TransferRequest, naming, requested_runs
from mmbench.transfer.resolution import ResolvedTask
from mmbench.transfer.run import TransferRun

Done = TypeVar("Done")


@dataclass(frozen=True)
class Outcome:
    """One record of a task, where it is, and whether it was there before."""

    task: ResolvedTask
    result: Result
    path: Path
    reused: bool


@dataclass(frozen=True)
class NextRun:
    """A run that is about to be carried out.

    Attributes:
        path: of its record.
        recorded: whether the record is there already, so that it is reused.
        work: where its task writes; nothing is there yet.
    """

    run: TransferRun
    store: ResultStore
    path: Path
    recorded: bool
    work: Path


def each_run(
    request: TransferRequest, carry_out: Callable[[NextRun], Done], say: Callable[[str], None]
) -> Iterator[Done]:
    """Yield what `carry_out` makes of each run of a request, seed by seed; it is done when it is yielded.

    Args:
        say: called with each line about the data that a person should know, before anything is computed.

    Raises:
        UserError: anything that the user can fix; of several runs the message names the one that failed.
    """
    store = ResultStore(request.out)
    several = sum(len(request.seeds_of(task)) for task in request.tasks) > 1
    for run in requested_runs(request, say):
        path = run.path(store)
        recorded = on_main(path.exists)
        with (
            scratch_folder(Path(tempfile.gettempdir()) / "mmbench-transfer") as temporary,
            naming(f"{run.protocol_id}, seed {run.seed}" if several else ""),
        ):
            if request.plot and "plot" in run.task.entry.uses:
                require_shown(len(run.dataset.labels(run.protocol.split)))  # type: ignore[arg-type]
            done = carry_out(NextRun(run, store, path, recorded, (request.work or temporary) / path.stem))
        yield done


def measure(
    request: TransferRequest,
    *,
    report: Report = silent,
    say: Callable[[str], None] = lambda line: None,
    finished: Callable[[Outcome], None] = lambda outcome: None,
) -> list[Outcome]:
    """Measure every task for every seed, seed by seed; records that are there already are reused.

    Under `torchrun` the processes work together; all of them return the same.

    Args:
        report: called with (done, total, message) to show progress.
        say: see `each_run`.
        finished: called with each record when it is there.

    Raises:
        UserError: see `each_run`. Nothing half-written is left in `out`, and the records of the runs before
            it stay.
    """

    def carry_out(what: NextRun) -> Outcome:
        result = execute(what.run, what.store, what.work, report)
        outcome = Outcome(what.run.task, result, what.path, what.recorded)
        finished(outcome)
        if request.plot and "plot" in what.run.task.entry.uses:
            draw_features(what.run, what.store)
        return outcome

    return list(each_run(request, carry_out, say))
