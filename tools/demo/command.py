"""`mmbench demo`: the suite `demo`, the whole pipeline on embedded data, up to a leaderboard."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mmbench.cli import options
from mmbench.cli.options import Option
from mmbench.cli.values import WholeNumber
from mmbench.errors import UserError, typed, unknown_name
from mmbench.settings.types import MOST_WORKERS
from mmbench.tasks import TASKS
from mmbench.tools.suite.definition.suite import Arm, Suite, SuiteTask
from mmbench.tools.suite.definition.suite_file import read_suite
from mmbench.tools.suite.folder import SuiteFolder
from mmbench.tools.suite.held import holds_suite
from mmbench.writable import require_writable

if TYPE_CHECKING:
    from rich.console import Console

    from mmbench.tools.suite.snapshot import Snapshot

# MSCN-style weights are fed filtered images; their control is measured only beside them.
FILTERED_ARM, FILTERED_CONTROL = "mscn", "random-high-pass"
STATE_BEFORE = "demo.json"  # of demos before they were a suite


def demo_suite(
    *,
    methods: tuple[str, ...] = (),
    tasks: tuple[str, ...] = (),
    seeds: tuple[int, ...] = (),
    epochs: int | None = None,
    workers: int | None = None,
) -> Suite:
    """Return the suite `demo`, or a part of it.

    Args:
        methods: to pretrain; controls are always measured. None means all.
        tasks: to measure; none means all that are not optional.
        seeds: of the pretrainings; none means those of the suite.
        epochs: of every pretraining; None means those of the suite.
        workers: processes, with one thread each; None means one per core.

    Raises:
        UserError: an unknown name (near match named).
    """
    whole = read_suite("demo")
    pretrained = {str(arm.name): arm for arm in whole.arms if arm.pretrain is not None}
    known_tasks = list(dict.fromkeys(stated.task for stated in whole.tasks))
    for kind, names, known in (("method", methods, list(pretrained)), ("task", tasks, known_tasks)):
        for name in names:
            if name not in known:
                raise unknown_name(kind, name, known)
    arms = [pretrained[name] for name in methods or pretrained]
    if epochs is not None:
        recipes = [arm.pretrain.model_copy(update={"epochs": epochs}) for arm in arms if arm.pretrain]
        arms = [
            arm.model_copy(update={"pretrain": recipe}) for arm, recipe in zip(arms, recipes, strict=True)
        ]
    columns = [stated for stated in whole.tasks if (stated.task in tasks if tasks else not stated.optional)]
    filtered = any(arm.name == FILTERED_ARM for arm in arms)
    arms += [
        arm
        for arm in whole.arms
        if arm.pretrain is None
        and (filtered or arm.name != FILTERED_CONTROL)
        and any(_takes(stated, arm) for stated in columns)
    ]
    measured = {str(arm.name) for arm in arms}
    columns = [
        stated.model_copy(
            update={"optional": False, "without": tuple(n for n in stated.without if n in measured)}
        )
        for stated in columns
    ]
    return whole.model_copy(
        update={
            "arms": tuple(arms),
            "tasks": tuple(columns),
            "seeds": seeds or whole.seeds,
            "baseline": whole.baseline if whole.baseline in measured else None,
            "run": whole.run.model_copy(update={} if workers is None else {"workers": workers}),
        }
    )


def with_held(asked: Suite, folder: SuiteFolder) -> Suite:
    """Return the part of the demo that is asked for together with the part that the folder holds.

    So `mmbench demo --task finetune` after the whole demo adds a column to its board. Seeds of the folder
    come first: the position of a seed decides its label subsets.

    Raises:
        UserError: the folder's suite cannot be read.
    """
    if not holds_suite(folder.root):
        return asked
    held = read_suite(str(folder.suite))
    if held.name != asked.name:
        return asked  # refused where it is to run
    parts = (held, asked)
    whole = read_suite("demo")
    methods = {arm.name for part in parts for arm in part.arms if arm.pretrain is not None}
    joined = demo_suite(
        methods=tuple(str(arm.name) for arm in whole.arms if arm.name in methods),
        tasks=tuple(dict.fromkeys(stated.task for part in parts for stated in part.tasks)),
        seeds=tuple(dict.fromkeys(seed for part in parts for seed in part.seeds)),
        epochs=next(arm.pretrain.epochs for arm in asked.arms if arm.pretrain is not None),
    )
    return joined.model_copy(update={"run": asked.run})


def _takes(stated: SuiteTask, control: Arm) -> bool:
    """Return whether a task measures a control; raw pixels have no backbone to train."""
    trains = not TASKS.get(stated.task).frozen
    return control.name not in stated.without and not (trains and control.checkpoint == "pixels")


def run_demo(suite: Suite, out: Path, console: Console) -> Snapshot:
    """Run the demo, or a part of it, in the folder `out`; see `run_suite`.

    Raises:
        UserError: `out` holds a demo of another length, or see `run_suite`.
    """
    from mmbench.tools.suite.run import run_suite

    require_writable(out, "--out")
    folder = SuiteFolder(out)
    _take_over(suite, folder, console)
    return run_suite(suite, folder, console=console)


def _take_over(suite: Suite, folder: SuiteFolder, console: Console) -> None:
    """Go on with a demo of an earlier version: its runs and records are found again.

    Raises:
        UserError: it is of another length.
    """
    old = folder.root / STATE_BEFORE
    if not old.is_file():
        return
    try:
        there = json.loads(old.read_text(encoding="utf-8"))["epochs"]
    except (OSError, ValueError, KeyError, TypeError):
        there = None
    (epochs,) = {arm.pretrain.epochs for arm in suite.arms if arm.pretrain is not None}
    if isinstance(there, int) and there != epochs:
        raise UserError(
            f"{typed(str(folder.root))} holds a demo of {there} epochs, not {epochs}; "
            f"choose another folder with --out, or continue with --epochs {there}"
        )
    old.unlink()
    console.print(
        f"removed {old}, which an earlier version wrote; what it had finished is found again",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )


@click.command(epilog="Example: mmbench demo --out demo")
@options.out(default=Path("demo"), show_default=True, help="Folder of the demo.")
@options.methods(show_default="mixmask,moco,erase,mscn")
@options.tasks(help="Tasks. Default: all but the slow ones (finetune, logreg, lowshot, segmentation).")
@options.seeds(default=(), show_default="0,1", help="Pretraining seeds.")
@options.epochs(show_default="8", help="Pretraining epochs.")
@click.option(
    "--processes",
    "workers",
    cls=Option,
    aliases=("--workers",),
    type=WholeNumber(1, MOST_WORKERS),
    help="Processes, with one thread each. Default: one per core.",
)
def demo(
    out: Path,
    methods: tuple[str, ...],
    tasks: tuple[str, ...],
    seeds: tuple[int, ...],
    epochs: int | None,
    workers: int | None,
) -> int:
    """Run the whole pipeline on embedded data and build a leaderboard.

    Renders the Patterns data, pretrains MixMask, MoCo, the erase control and the MSCN-style baseline,
    transfers each to linear, kNN, 1% and 10% labels, detection (Detectron2) and a dense probe,
    and builds the board. It is the suite `demo`: `mmbench suite status` shows it too.
    """
    from rich.console import Console

    from mmbench.tools.suite.run import exit_code

    asked = demo_suite(methods=methods, tasks=tasks, seeds=seeds, epochs=epochs, workers=workers)
    suite = with_held(asked, SuiteFolder(out))
    return exit_code(run_demo(suite, out, Console()))
