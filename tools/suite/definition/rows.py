"""The rows of a suite: its arms with everything that they leave out filled in."""

from __future__ import annotations

import contextlib
import difflib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from mmbench.backbone_names import OUR_BACKBONES, PREFIXES
from mmbench.checkpoints.places import source_of
from mmbench.data.names import exists
from mmbench.errors import LONGEST_SHOWN, UserError, shown, unknown_name
from mmbench.pretrain.recipes.recipe import Recipe, get_recipe
from mmbench.tools.suite.definition.data_facts import facts_of
from mmbench.tools.suite.definition.pretraining_settings import check_settings
from mmbench.tools.suite.definition.suite import Arm, Pretraining, Suite
from mmbench.transfer.arms import CONTROLS, RANDOM_CONTROLS, check_arm


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


@contextlib.contextmanager
def within(where: str) -> Iterator[None]:
    """Put where it is in front of what is wrong."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{where}: {error}") from None


def require_different(what: str, values: Sequence[object], where: str) -> None:
    """Raise UserError if a value is there twice."""
    repeated = [value for number, value in enumerate(values) if value in values[:number]]
    if repeated:
        raise UserError(f"{where}: {what} {shown(repeated[0])} is there twice; remove one of them")


def rows_of(suite: Suite) -> dict[str, Row]:
    """Return the arms as rows by name.

    Raises:
        UserError: an arm that cannot be meant; the message says which.
    """
    rows: dict[str, Row] = {}
    contents: dict[str, str] = {}
    for number, arm in enumerate(suite.arms, 1):
        with within(f"arm {number}" + (f" ({shown(arm.name)})" if arm.name else "")):
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
        if row.kind == "fixed" and spec in rows and spec not in CONTROLS and not exists(Path(spec)):
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
        require_different("seed", arm.seeds, "seeds")
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
    arch = arm.arch or (None if source_of(spec) or spec == "pixels" else suite.arch)
    if random and arch is None:
        raise UserError("random weights need an architecture; state arch, such as arch: mixmask_resnet18")
    seeds = (arm.seeds or suite.seeds) if random else (0,)
    return Row(name, arm, "random" if random else "fixed", None, suite.data[0], arch, seeds)


def _name_of(spec: str) -> str:
    """Return the name of a row for a checkpoint: the file's or folder's name, or that of the weights."""
    if (named := source_of(spec)) is not None:
        return named[1].rstrip("/").rpartition("/")[2]
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
    check_settings(stated, recipe, data, arch)
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
        near = difflib.get_close_matches(arch[:LONGEST_SHOWN], timm.list_models(), n=3, cutoff=0.5)
        ours = unknown_name("architecture", arch, {*OUR_BACKBONES, *near})  # timm has more than 1,000
        raise UserError(f"{ours}, or any of timm.list_models()")
