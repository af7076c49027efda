"""Records as one tidy table: a row per record and metric."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from mmbench.checkpoints.card import OWN_IMAGES, ModelCard, Preprocessing
from mmbench.environment import Provenance
from mmbench.errors import UserError
from mmbench.leaderboard.records.dates import in_utc
from mmbench.leaderboard.records.weights import identities
from mmbench.records.store import CUSTOM, DatasetReference, Metric, Result, config_digest, without_collection

RECIPE = "recipe "  # begins the origin of the method in cards from before they had a field for the recipe
FALLBACK = "computed in float32"  # begins the note of a record that could not be computed in bfloat16

_json = json.JSONEncoder(sort_keys=True, default=str).encode


@dataclass(frozen=True)
class Fact:
    """A column of the frame that each record has once.

    Attributes:
        part: the field of the record that it is read from, once for all records that share it; empty where
            it is read from the record itself.
        value: what it is, of that part.
    """

    part: Literal["model", "dataset", "provenance", ""]
    value: Callable[[Any], object]


def _card(value: Callable[[ModelCard], object]) -> Fact:
    return Fact("model", value)


def _data(value: Callable[[DatasetReference], object]) -> Fact:
    return Fact("dataset", value)


def _made(value: Callable[[Provenance], object]) -> Fact:
    return Fact("provenance", value)


def _run(value: Callable[[Result], object]) -> Fact:
    return Fact("", value)


# Columns of the frame that each record has once, without those of its identity and metrics.
FACTS: Mapping[str, Fact] = MappingProxyType(
    {
        "arm": _card(lambda card: card.arm),
        "control": _card(lambda card: card.control),
        "task": _run(lambda result: result.task),
        "dataset": _data(lambda data: data.name),
        "fingerprint": _data(lambda data: data.fingerprint),
        "split": _data(lambda data: data.evaluated_split),
        "split_sizes": _data(lambda data: _json(data.split_sizes)),
        "protocol": _run(lambda result: result.protocol),
        "recipe": _run(lambda result: _recipe_and_version(result.protocol)[0]),
        "version": _run(lambda result: _recipe_and_version(result.protocol)[1]),
        "config": _run(lambda result: _json(result.config)),
        "transfer_seed": _run(lambda result: result.seed),
        "pretraining_seed": _card(lambda card: card.seed),
        "row": _card(lambda card: card.arm),
        "framework": _card(lambda card: card.framework),
        "pretrain_recipe": _card(lambda card: _pretrain_recipe(card)),
        "pretrain_recipe_digest": _card(lambda card: card.recipe_digest),
        "pretrain_fingerprint": _card(lambda card: card.pretrain_fingerprint),
        "pretrain_precision": _card(lambda card: card.precision),
        "pretrain_compute_kind": _card(lambda card: _of(card.pretrain_compute, "kind")),
        "pretrain_compute": _card(lambda card: _of(card.pretrain_compute, "seconds")),
        "image_size": _card(lambda card: card.preprocessing.image_size),
        "crop_pct": _card(lambda card: _crop(card)),
        "mean": _card(lambda card: _channels(card.preprocessing.mean)),
        "std": _card(lambda card: _channels(card.preprocessing.std)),
        "high_pass_kernel": _card(lambda card: _of(card.preprocessing.high_pass, "kernel_size")),
        "high_pass_sigma": _card(lambda card: _of(card.preprocessing.high_pass, "sigma")),
        "labels": _run(lambda result: _of(result.labels, "sha256")),
        "labels_available": _run(lambda result: _of(result.labels, "available")),
        "framing": _run(lambda result: result.framing),
        "compute_kind": _run(lambda result: _of(result.compute, "kind")),
        "compute": _run(lambda result: _of(result.compute, "seconds")),
        "outcomes": _run(lambda result: _of(result.outcomes, "sha256")),
        "arch": _card(lambda card: card.arch),
        "arch_options": _card(lambda card: _options(card)),
        "method": _card(lambda card: card.method),
        "masking": _card(lambda card: card.masking),
        "pretrain_data": _card(lambda card: card.pretrain_data),
        "pretrain_epochs": _card(lambda card: card.epochs),
        "pretrain_seconds": _card(lambda card: card.pretrain_seconds),
        "high_pass": _card(lambda card: _high_pass(card)),
        "preprocessing": _card(lambda card: _preprocessing(card)),
        "effective_lr": _run(lambda result: result.effective_lr),
        "scaled_lr": _run(lambda result: _scaled_rate(result)),
        "wall_seconds": _run(lambda result: result.wall_seconds),
        "images_per_second": _run(lambda result: result.images_per_second),
        "created": _run(lambda result: in_utc(result.created)),
        "mmbench": _made(lambda made: made.mmbench),
        "git_sha": _made(lambda made: made.git_sha),
        "git_dirty": _made(lambda made: made.git_dirty),
        "python": _made(lambda made: made.python),
        "packages": _made(lambda made: _json(made.packages)),
        "platform": _made(lambda made: made.platform),
        "processor": _made(lambda made: made.processor),
        "cpu_count": _made(lambda made: made.cpu_count),
        "threads": _made(lambda made: made.threads),
        "device": _made(lambda made: made.device),
        "receipt_id": _run(lambda result: result.receipt_id),
        "fallback": _run(lambda result: _fallback(result.notes)),
        "notes": _run(lambda result: _json(result.notes)),
    }
)
METRICS: Mapping[str, Callable[[Metric], object]] = MappingProxyType(
    {
        "value": lambda metric: metric.value,
        "higher_is_better": lambda metric: metric.higher_is_better,
        "unit": lambda metric: metric.unit,
        "images": lambda metric: metric.n,
        "interval_low": lambda metric: None if metric.interval is None else metric.interval[0],
        "interval_high": lambda metric: None if metric.interval is None else metric.interval[1],
    }
)
DECIMALS = (
    *("value", "interval_low", "interval_high", "pretrain_compute", "compute", "pretrain_seconds"),
    *("effective_lr", "scaled_lr", "wall_seconds", "images_per_second", "crop_pct", "high_pass_sigma"),
)
MAYBE_WHOLE = ("pretraining_seed", "pretrain_epochs", "high_pass_kernel", "labels_available")
WHOLE = ("transfer_seed", "version", "image_size", "cpu_count", "threads", "images")
FLAGS = ("control", "higher_is_better", "primary")


def frame_of(records: Iterable[tuple[str, Result]], paths: Sequence[str] = ()) -> pd.DataFrame:
    """Return one row per record and metric, from pairs of a name (a path) and a record.

    Columns: file (the name), path (of the file; None in memory), weights (their identity: the SHA-256 of
    their tensors or else of their file), config_digest, metric, primary, those of `FACTS` and `METRICS`. Of
    these, recipe is the protocol without its version, images is what the metric was computed on, labels is
    the digest of the labels used, and row is the name of the row: the arm, until `comparable` finds that an
    arm has several.

    Args:
        paths: of the records' files, where they have any.

    Raises:
        UserError: there are no records.
    """
    pairs = list(records)
    if not pairs:
        raise UserError("there are no result records to build a leaderboard from")
    with without_collection():
        return _frame(pairs, paths)


def _frame(pairs: Sequence[tuple[str, Result]], paths: Sequence[str]) -> pd.DataFrame:
    """Return the frame of at least one record."""
    results = [result for _, result in pairs]
    once: dict[str, pd.Series[Any]] = {
        "file": _series("file", [name for name, _ in pairs]),
        "path": _series("path", list(paths) or [None] * len(pairs)),
    }
    shared: dict[object, object] = {}  # one object for equal texts: most facts of most records are equal
    parts = {part: _different(results, part) for part in dict.fromkeys(fact.part for fact in FACTS.values())}
    for name, fact in FACTS.items():
        different, numbers = parts[fact.part]
        values = [fact.value(part) for part in different]
        texts = [shared.setdefault(value, value) if type(value) is str else value for value in values]
        once[name] = _repeated(_series(name, texts), numbers)
    digests: dict[str, str] = {}
    for text, result in zip(once["config"], results, strict=True):
        if text not in digests:
            digests[text] = config_digest(result.config)
    once["config_digest"] = _series("config_digest", [digests[text] for text in once["config"]])
    once["weights"] = _series("weights", identities(results))

    each = [(name, metric) for result in results for name, metric in sorted(result.metrics.items())]
    place = np.repeat(np.arange(len(results)), [len(result.metrics) for result in results])
    several: dict[str, Any] = {"metric": [name for name, _ in each]}
    several["primary"] = [
        name == results[index].primary_metric for (name, _), index in zip(each, place.tolist(), strict=True)
    ]
    several |= {name: [fact(metric) for _, metric in each] for name, fact in METRICS.items()}
    columns = {name: _repeated(values, place) for name, values in once.items()}
    columns |= {name: _series(name, values) for name, values in several.items()}
    return pd.DataFrame(columns)


def lines_of(frame: pd.DataFrame, names: Sequence[str]) -> list[dict[str, Any]]:
    """Return the lines of some columns as dictionaries of plain values; what is unknown is None."""
    columns = [frame[name].astype(object).where(frame[name].notna(), None).tolist() for name in names]
    return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]


def _different(results: Sequence[Result], part: str) -> tuple[Sequence[Any], npt.NDArray[np.int64]]:
    """Return the different objects that are this part of records, and the number of each record's own."""
    if not part:
        return results, np.arange(len(results))
    places: dict[int, int] = {}
    found: list[Any] = []
    numbers: list[int] = []
    for result in results:
        own = getattr(result, part)
        number = places.setdefault(id(own), len(places))
        if number == len(found):
            found.append(own)
        numbers.append(number)
    return found, np.array(numbers, dtype=np.int64)


def _repeated(values: pd.Series[Any], place: npt.NDArray[np.int64]) -> pd.Series[Any]:
    return pd.Series(values.array.take(place), dtype=values.dtype)


def _series(name: str, values: list[Any]) -> pd.Series[Any]:
    """Return a column of the frame; texts stay Python's own, of which equal ones share their memory."""
    if name in DECIMALS:
        return pd.Series(np.array(values, dtype=np.float64))
    if name in MAYBE_WHOLE:  # beside a missing one they would become floats
        return pd.Series(pd.array(values, dtype="Int64"))
    if name in WHOLE or name in FLAGS:
        return pd.Series(values)
    return pd.Series(values, dtype=object)


def _of(part: object, name: str) -> object:
    return None if part is None else getattr(part, name)


def _recipe_and_version(protocol: str) -> tuple[str, int]:
    """Return a protocol without its version, and that; keys of a library make it another protocol.

    >>> _recipe_and_version("detection/voc@2+custom")
    ('detection/voc+custom', 2)
    """
    recipe, _, version = protocol.removesuffix(CUSTOM).partition("@")
    return recipe + (CUSTOM if protocol.endswith(CUSTOM) else ""), int(version)


def _pretrain_recipe(card: ModelCard) -> str | None:
    """Return the recipe of the pretraining; of older cards the one that an origin names."""
    origin = card.origins.get("method", "")
    return card.recipe or (origin.removeprefix(RECIPE) if origin.startswith(RECIPE) else None)


def _crop(card: ModelCard) -> float | None:
    """Return the share that evaluation crops to; one that describes the pretraining is left out."""
    return None if card.origins.get("crop_pct") == OWN_IMAGES else card.preprocessing.crop_pct


def _preprocessing(card: ModelCard) -> str:
    """Return what evaluation does to images, as JSON."""
    return _preprocessing_text(card.preprocessing, card.origins.get("crop_pct") == OWN_IMAGES)


@lru_cache(maxsize=1024)
def _preprocessing_text(preprocessing: Preprocessing, own: bool) -> str:
    applied = preprocessing.model_copy(update={"crop_pct": None}) if own else preprocessing
    return applied.model_dump_json()


def _channels(values: tuple[float, float, float]) -> str:
    return ", ".join(map(repr, values))


def _options(card: ModelCard) -> str | None:
    """Return options of the architecture such as "stem_padding 2"; None where there are none."""
    return ", ".join(f"{name} {value}" for name, value in sorted(card.arch_options.items())) or None


def _high_pass(card: ModelCard) -> str | None:
    found = card.preprocessing.high_pass
    return None if found is None else f"kernel {found.kernel_size}, sigma {found.sigma:.2g}"


def _scaled_rate(result: Result) -> float | None:
    """Return the learning rate in force, but not one that was chosen from a list in the settings."""
    lists = [value for value in result.config.values() if isinstance(value, list | tuple)]
    chosen = any(result.effective_lr in values for values in lists)
    return None if chosen else result.effective_lr


def _fallback(notes: Sequence[str]) -> str:
    found = any(note.startswith(FALLBACK) for note in notes)
    return "float32 for want of bfloat16" if found else "as the protocol says"
