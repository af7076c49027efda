"""Manifests: the fixed facts about a data set, committed with the code.

A manifest states who made a data set, how many classes and images it has, which official part every split
comes from, what is drawn by which seed, and hashes: MD5 sums of the files as their authors publish them,
and SHA-256 sums of the draws. Data that differ are refused, as their results would not be comparable.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from mmbench.data.official import NOT_COMPARABLE
from mmbench.data.types import Metric, Split
from mmbench.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

FOLDER = Path(__file__).parent / "manifests"
SEEDS = 5  # of the label subsets: 0 to 4

Md5 = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Seeds = Annotated[tuple[Sha256, ...], Field(min_length=SEEDS, max_length=SEEDS)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SplitRule(_Strict):
    """Where one split comes from.

    Attributes:
        part: the official part.
        rule: "whole" part; "held_out": drawn from each class of it; "remainder": what others leave of it.
        share: of each class that is held out; at least one image.
        per_class: images of each class that are held out.
        seed: of the draw.
        images: in the split; None where that depends on class sizes that are not known here.
    """

    part: str
    rule: Literal["whole", "held_out", "remainder"]
    share: float | None = Field(default=None, gt=0, lt=1)
    per_class: int | None = Field(default=None, ge=1)
    seed: int | None = Field(default=None, ge=0)
    images: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _draw_is_complete(self) -> SplitRule:
        given = (self.share is not None) + (self.per_class is not None)
        wanted = 1 if self.rule == "held_out" else 0
        if given != wanted or (self.seed is not None) != bool(wanted):
            raise ValueError("a held-out split, and no other, has a seed and either a share or a per_class")
        return self

    def describe(self) -> str:
        """Return the rule in words, such as "10% of each class of train, seed 0"."""
        if self.rule == "held_out":
            amount = f"{self.per_class}" if self.share is None else f"{100 * self.share:g}%"
            return f"{amount} of each class of {self.part}, seed {self.seed}"
        return f"the rest of {self.part}" if self.rule == "remainder" else f"official {self.part}"


class Draws(_Strict):
    """SHA-256 of drawn indices (int64, little-endian) into labels that are known without the images.

    Attributes:
        per_class: the part that train comes from has so many images of each class, in the order of classes.
        val: of the indices into that part which are held out as val.
        one_percent: of the class-balanced 1% of the train split, for seeds 0 to 4.
        ten_percent: the same of 10%.
    """

    per_class: int = Field(ge=1)
    val: Sha256 | None = None
    one_percent: Seeds | None = None
    ten_percent: Seeds | None = None


class Manifest(_Strict):
    """One data set.

    Attributes:
        name: as in DATASETS.
        source: the publication.
        reader: the class that reads the files.
        obtain: what to put where, relative to the data set's folder.
        classes: their number; None where the user's own list chooses them.
        image_size: side in pixels that is fed.
        in_memory: whether its images are read at once, and are no files that a training reads as it goes.
        enforced: whether data with other counts are refused.
        official: images of each official part, where that is fixed.
        splits: where train, val and test come from.
        files: MD5 of files that stay in the data set's folder.
        archives: MD5 of what is downloaded.
        draws: hashes of what is drawn.
        notes: what differs from other work, and why a hash or a number is missing.
    """

    name: str
    title: str
    source: str
    reader: str
    obtain: str
    classes: int | None = Field(ge=2)
    metric: Metric
    multilabel: bool = False
    image_size: int = Field(ge=8)
    in_memory: bool = False
    enforced: bool = True
    official: Mapping[str, int] = Field(default_factory=dict)
    splits: Mapping[Split, SplitRule]
    files: Mapping[str, Md5] = Field(default_factory=dict)
    archives: Mapping[str, Md5] = Field(default_factory=dict)
    draws: Draws | None = None
    notes: str = ""

    @model_validator(mode="after")
    def _splits_are_complete(self) -> Manifest:
        if set(self.splits) != {"train", "val", "test"}:
            raise ValueError("splits must be train, val and test")
        if not self.notes and (self.draws is None or None in self.draws.model_dump().values()):
            raise ValueError("notes must say why hashes of draws are missing")
        return self

    def expected(self) -> dict[str, int]:
        """Return the counts to check: images per split and, called "classes", the number of classes."""
        if not self.enforced:
            return {}
        counts = {split: rule.images for split, rule in self.splits.items()} | {"classes": self.classes}
        return {what: count for what, count in counts.items() if count is not None}


@functools.lru_cache(maxsize=64)
def _read(path: Path) -> Manifest:
    try:
        found = Manifest.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (ValidationError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"the manifest {path} is damaged ({reason}); install mmbench again") from None
    if found.name != path.stem:
        raise UserError(f"the manifest {path} is that of '{found.name}'; install mmbench again")
    return found


def manifest(name: str) -> Manifest | None:
    """Return the committed manifest of the data set `name`; None if it has none (image folders).

    Raises:
        UserError: the manifest is damaged.
    """
    path = FOLDER / f"{name}.yaml"
    return _read(path) if "/" not in name and path.is_file() else None


def require_manifest(name: str) -> Manifest:
    """Return the manifest of a data set.

    Raises:
        UserError: it has none.
    """
    found = manifest(name)
    if found is None:
        known = ", ".join(sorted(path.stem for path in FOLDER.glob("*.yaml")))
        raise UserError(f"data set '{name}' has no manifest (there are: {known})")
    return found


def expected_counts(name: str) -> dict[str, int]:
    """Return what `Manifest.expected` says of the data set `name`; nothing if it has no manifest."""
    found = manifest(name)
    return {} if found is None else found.expected()


def class_remarks(name: str, count: int) -> tuple[str, ...]:
    """Return a line where `count` classes are not all, or more than those, of the data set `name`.

    A data set whose manifest has other counts refused, or leaves the number to the user's list, has none.
    """
    known = manifest(name)
    if known is None or known.enforced or known.classes in (None, count):
        return ()
    chosen = f"{count} of the {known.classes} classes of {name}"
    if known.classes is not None and count > known.classes:
        chosen = f"{count} classes, where {name} has {known.classes}"
    return (f"{chosen}: {NOT_COMPARABLE}",)


def index_digest(indices: Tensor) -> str:
    """Return the SHA-256 of indices as int64, little-endian."""
    return hashlib.sha256(indices.numpy().astype("<i8").tobytes()).hexdigest()
