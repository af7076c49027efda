"""What a suite means: its rows and columns, every name looked up and every setting checked."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from mmbench.backbone_names import OUR_BACKBONES, PREFIXES
from mmbench.errors import UserError, shown, unknown_name
from mmbench.pretrain.recipes.recipe import Recipe, get_recipe
from mmbench.tools.suite.data_facts import DataFacts, facts_of
from mmbench.tools.suite.suite import Arm, Pretraining, Suite, SuiteTask
from mmbench.transfer.arms import CONTROLS, RANDOM_CONTROLS, check_arm
from mmbench.transfer.resolution import ResolvedTask, resolve_task

NAMED_WEIGHTS = ("timm", "hf-hub", "hf_hub", "local-dir", "torchvision")
EXECUTORS = ("local", "slurm")
# Fields of `Pretraining`, or what the suite decides.
NOT_SETTINGS = (
    "method",
    "recipe",
    "scale",
    "arch",
    "epochs",
    "data",
    "data_root",
    "seed",
    "device",
    "threads",
)


class Row(NamedTuple):
    """An arm with everything that it leaves out filled in.

    Attributes:
        kind: weights of a pretraining, random ones, or those that exist (files, names, raw pixels).
        recipe: of a pretraining.
        data: that a pretraining learns from.
        arch: timm name; None leaves it to the recipe or to the file.
        seeds: a single 0 for what has none.
    """

    name: str
    arm: Arm
    kind: Literal["pretrain", "random", "fixed"]
    recipe: Recipe | None
    data: str
    arch: str | None
    seeds: tuple[int, ...]


class Column(NamedTuple):
    """A task on one data set, and who is measured.

    Attributes:
        stated: as the suite states it.
        rows: names of the rows that are measured.
        left_out: (name, why) of rows that the task cannot take.
        draws: transfers per row and pretraining seed.
    """

    stated: SuiteTask
    task: ResolvedTask
    data: DataFacts
    rows: tuple[str, ...]
    left_out: tuple[tuple[str, str], ...]
    draws: int


class Resolved(NamedTuple):
    """A suite's rows by name, and its columns."""

    rows: dict[str, Row]
    columns: tuple[Column, ...]


def resolve(suite: Suite) -> Resolved:
    """Return rows and columns of a suite.

    Raises:
        UserError: something in it cannot be meant; the message says what and where.
    """
    _check_data(suite.data)
    _require_different("seed", suite.seeds, "seeds")
    rows = _rows(suite)
    if suite.baseline is not None and suite.baseline not in rows:
        raise unknown_name("arm", suite.baseline, rows) if rows else UserError("baseline: no arms")
    if suite.run.executor not in EXECUTORS and not suite.run.executor.endswith(".py"):
        raise UserError(
            f"{unknown_name('executor', suite.run.executor, EXECUTORS)}; or the path of a Parsl "
            "configuration file (*.py)"
        )
    columns: list[Column] = []
    seen: dict[str, str] = {}
    for number, stated in enumerate(suite.tasks, 1):
        where = f"task {number} ({stated.task})"
        with _within(where):
            for column in _columns(suite, stated, rows):
                key = _identity(column)
                if key in seen:
                    raise UserError(
                        f"it is the same column as {seen[key]} ({column.task.protocol.id} on "
                        f"{column.data.name}); remove one of them"
                    )
                seen[key] = where
                columns.append(column)
    for row in rows.values():
        if not any(row.name in column.rows for column in columns):
            why = dict.fromkeys(reason for c in columns for name, reason in c.left_out if name == row.name)
            reason = "; ".join(why) or "every task leaves it out"
            raise UserError(
                f"arm '{row.name}' is measured on no task ({reason}); add a task or remove the arm"
            )
    return Resolved(rows, tuple(columns))


@contextlib.contextmanager
def _within(where: str) -> Iterator[None]:
    """Put where it is in front of what is wrong."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{where}: {error}") from None


def _require_different(what: str, values: Sequence[object], where: str) -> None:
    repeated = [value for number, value in enumerate(values) if value in values[:number]]
    if repeated:
        raise UserError(f"{where}: {what} {shown(repeated[0])} is there twice; remove one of them")


def _check_data(names: Sequence[str]) -> None:
    """Check the data sets of a suite: known, and called differently in records."""
    _require_different("data set", names, "data")
    called: dict[str, str] = {}
    for name in names:
        with _within("data"):
            facts = facts_of(name)
        short = Path(facts.name).name
        if short in called:
            raise UserError(
                f"data: {shown(called[short])} and {shown(name)} are both called '{short}' in records; "
                "remove one of them or rename its folder"
            )
        called[short] = name


def _rows(suite: Suite) -> dict[str, Row]:
    """Return the arms as rows by name."""
    rows: dict[str, Row] = {}
    contents: dict[str, str] = {}
    for number, arm in enumerate(suite.arms, 1):
        with _within(f"arm {number}" + (f" ({shown(arm.name)})" if arm.name else "")):
            row = _row(suite, arm)
            if row.name in rows:
                raise UserError(f"the name '{row.name}' is that of another arm; names must be different")
            content = _content(row)
            if content in contents:
                raise UserError(f"it is the same as arm '{contents[content]}'; remove one of them")
        contents[content] = row.name
        rows[row.name] = row
    for row in rows.values():
        spec = str(row.arm.checkpoint)
        if row.kind == "fixed" and spec in rows and spec not in CONTROLS and not Path(spec).exists():
            raise UserError(
                f"arm '{row.name}': its checkpoint '{spec}' is "
                + ("the arm itself" if spec == row.name else "another arm")
                + ", and an arm cannot start from an arm; name a file or a run folder"
            )
    return rows


def _content(row: Row) -> str:
    arm = row.arm.model_dump(mode="json", exclude={"name", "seeds"})
    return json.dumps([arm, row.data, row.arch, row.seeds], sort_keys=True)


def _row(suite: Suite, arm: Arm) -> Row:
    """Return an arm with everything filled in, its names checked."""
    if arm.pretrain is None and arm.checkpoint is None:
        raise UserError("it has no weights; state pretrain: {method: ...} or checkpoint: ...")
    if arm.pretrain is not None and arm.checkpoint is not None:
        raise UserError("it has both pretrain and checkpoint; keep one of them")
    if arm.seeds is not None:
        _require_different("seed", arm.seeds, "seeds")
    for arch in (arm.arch, suite.arch, None if arm.pretrain is None else arm.pretrain.arch):
        require_arch(arch)
    if arm.pretrain is not None:
        return _pretrained(suite, arm, arm.pretrain)
    spec = str(arm.checkpoint)
    name = arm.name or (spec if spec in CONTROLS else _name_of(spec))
    check_arm(name, spec)
    random = spec in RANDOM_CONTROLS
    if arm.seeds is not None and not random:
        raise UserError(f"checkpoint {shown(spec)} has no seeds; omit them")
    source = spec.partition(":")[0].lower() if ":" in spec else ""
    arch = arm.arch or (None if source in NAMED_WEIGHTS or spec == "pixels" else suite.arch)
    if random and arch is None:
        raise UserError("random weights need an architecture; state arch, such as arch: mixmask_resnet18")
    seeds = (arm.seeds or suite.seeds) if random else (0,)
    return Row(name, arm, "random" if random else "fixed", None, suite.data[0], arch, seeds)


def _name_of(spec: str) -> str:
    """Return the name of a row for a checkpoint: the file's or folder's name, or that of the weights."""
    source, colon, rest = spec.partition(":")
    if colon and source.lower() in NAMED_WEIGHTS:
        return rest.rstrip("/").rpartition("/")[2]
    path = Path(spec)
    known = (".pth", ".pt", ".pkl", ".safetensors", ".tar", ".ckpt", ".bin", ".torch", ".npz")
    while path.suffix.lower() in known:
        path = path.with_suffix("")
    return path.name


def _pretrained(suite: Suite, arm: Arm, stated: Pretraining) -> Row:
    if arm.arch is not None and stated.arch is not None and arm.arch != stated.arch:
        raise UserError(f"it states two architectures, {arm.arch} and {stated.arch}; keep one of them")
    recipe = get_recipe(stated.method, stated.scale)
    name = arm.name or recipe.arm
    check_arm(name, "")
    data = stated.data or suite.data[0]
    facts_of(data)
    arch = stated.arch or arm.arch or suite.arch
    for setting in stated.settings:
        if setting in NOT_SETTINGS:
            raise UserError(f"settings: '{setting}' has a field of its own, in the suite or beside `method`")
    warmup = recipe.settings.get("optimiser", {}).get("warmup_epochs", 0)
    if stated.settings:
        from mmbench.pretrain.config import resolve_config  # imports torch

        resolve_config(
            stated.method,
            scale=stated.scale,
            overrides=stated.settings,
            arch=arch,
            data=data,
            epochs=stated.epochs,
        )
    elif stated.epochs is not None and warmup > stated.epochs:
        raise UserError(
            f"epochs {stated.epochs} are fewer than the {warmup} of the recipe's warm-up; state more, or "
            "settings: {optimiser.warmup_epochs: 0}"
        )
    return Row(name, arm, "pretrain", recipe, data, arch, arm.seeds or suite.seeds)


def require_arch(arch: str | None) -> None:
    """Check the name of an architecture; timm is imported only for those that are not ours.

    Raises:
        UserError: timm has none of this name.
    """
    if arch is None or arch in OUR_BACKBONES:
        return
    if arch.startswith(PREFIXES):
        raise unknown_name("architecture", arch, OUR_BACKBONES)
    import timm

    if not timm.is_model(arch):
        raise unknown_name("architecture", arch, timm.list_models("*resn*t*"))


def _columns(suite: Suite, stated: SuiteTask, rows: dict[str, Row]) -> Iterator[Column]:
    """Yield a column for each data set that the task fits."""
    for field, names, known in (
        ("arms", stated.arms or (), rows),
        ("without", stated.without, rows),
        ("data", stated.data or (), suite.data),
    ):
        _require_different("name", names, field)
        for name in names:
            if name not in known:
                raise unknown_name("data set of this suite" if field == "data" else "arm", name, known)
    if not isinstance(stated.seeds, int | None):
        _require_different("seed", stated.seeds, "seeds")
    found, misfits = 0, []
    for data in stated.data or suite.data:
        facts = facts_of(data)
        task = resolve_task(stated.task, stated.protocol, stated.settings, data)
        if misfit := _misfit(task, facts):
            if stated.data is not None:
                raise UserError(misfit)
            misfits.append(misfit)
            continue
        found += 1
        yield _column(stated, task, facts, rows)
    if not found:
        raise UserError(f"none of the suite's data sets fits: {'; '.join(misfits)}")


def _misfit(task: ResolvedTask, data: DataFacts) -> str | None:
    """Return why a task cannot be measured on a data set; None if it can, as far as is known."""
    if data.kinds is not None and task.entry.data not in data.kinds:
        return f"data set '{data.name}' has no {task.entry.data}"
    if task.entry.dense or data.multilabel is None or data.multilabel == task.protocol.multilabel:
        return None
    several, one = f"images of '{data.name}' have several labels", f"images of '{data.name}' have one label"
    return f"{several if data.multilabel else one}, and {task.protocol.id} is for " + (
        "one" if data.multilabel else "several"
    )


def _column(stated: SuiteTask, task: ResolvedTask, data: DataFacts, rows: dict[str, Row]) -> Column:
    measured, left_out = [], []
    for row in rows.values():
        if row.name in stated.without or (stated.arms is not None and row.name not in stated.arms):
            continue
        if row.arm.checkpoint == "pixels" and not task.entry.frozen:
            left_out.append((row.name, f"{task.entry.name} trains a backbone, and raw pixels have none"))
            continue
        measured.append(row.name)
        if row.kind != "fixed":
            measured_seeds(stated, row)
    if stated.arms is not None and left_out:
        raise UserError(f"arm '{left_out[0][0]}': {left_out[0][1]}")
    if not measured:
        raise UserError("no arm is measured; " + (left_out[0][1] if left_out else "all are left out"))
    draws = stated.draws or task.protocol.trials
    return Column(stated, task, data, tuple(measured), tuple(left_out), draws)


def measured_seeds(stated: SuiteTask, row: Row) -> tuple[tuple[int, int], ...]:
    """Return (position, seed) of those seeds of a row that a task measures.

    Raises:
        UserError: the row has not so many, or not these.
    """
    pairs = tuple(enumerate(row.seeds))
    if stated.seeds is None or row.kind == "fixed":
        return pairs
    if isinstance(stated.seeds, int):
        if stated.seeds > len(pairs):
            raise UserError(f"seeds: {stated.seeds} are asked for, and arm '{row.name}' has {len(pairs)}")
        return pairs[: stated.seeds]
    for seed in stated.seeds:
        if seed not in row.seeds:
            own = ", ".join(map(str, row.seeds))
            raise UserError(f"seeds: {seed} is not a seed of arm '{row.name}' (it has {own})")
    return tuple((position, seed) for position, seed in pairs if seed in stated.seeds)


def _identity(column: Column) -> str:
    """Return what decides a column's numbers, however it is spelled."""
    values: Any = [column.task.protocol.id, column.task.settings.recorded(), column.data.name]
    return json.dumps(values, sort_keys=True)
