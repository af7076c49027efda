"""Metrics computed anew from the per-image outcomes beside a record."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from mmbench.errors import UserError
from mmbench.image_outcomes import ENDING, outcomes_path, read_outcomes
from mmbench.leaderboard.statistics.images import LABEL_MAP_METRICS, PIXELS, label_map_metric
from mmbench.leaderboard.verify.plausibility import ROUNDING
from mmbench.leaderboard.verify.problems import ERROR, WARNING, Filed, Problem

if TYPE_CHECKING:
    import pandas as pd

LABELS = {"label", "predicted", "correct"}  # of classification


def check_outcomes(filed: Filed) -> tuple[bool, list[Problem]]:
    """Compare a record with the per-image outcomes beside it.

    Returns:
        Whether a metric was computed anew, and the problems.
    """
    path, stated = outcomes_path(filed.path), filed.result.outcomes
    found: list[Problem] = []
    if stated is None:
        if not path.is_file():
            return False, []
        found.append(Problem(WARNING, str(path), "the record does not state its digest"))
    try:
        table = _read(path) if stated is None else read_outcomes(filed.path, stated)
    except UserError as error:
        return False, [*found, Problem(ERROR, filed.name, str(error))]
    except (OSError, ValueError) as error:  # pyarrow's errors are ValueErrors
        return False, [*found, Problem(ERROR, str(path), f"cannot be read: {error}")]
    images = None if stated is None else stated.images
    found += (Problem(ERROR, str(path), reason) for reason in _contradictions(table, images))
    computed = recomputed(table)
    for name, value in computed.items():
        metric = filed.result.metrics.get(name)
        if metric is not None and abs(metric.value - value) > ROUNDING:
            reason = f"{name} is {metric.value!r}, but {value!r} by its per-image outcomes"
            found.append(Problem(ERROR, filed.name, reason))
    return bool(computed.keys() & filed.result.metrics.keys()), found


def _read(path: Path) -> pd.DataFrame:
    import pandas as pd

    return pd.read_parquet(path)


def orphans(files: Iterable[str], records: set[str]) -> list[Problem]:
    """Return a warning for each file of per-image outcomes without a record beside it."""
    found = []
    for name in files:
        if name.removesuffix(f".{ENDING}") + ".json" not in records:
            found.append(Problem(WARNING, name, "per-image outcomes without their record"))
    return found


def recomputed(table: pd.DataFrame) -> dict[str, float]:
    """Return the metrics, in percent, that follow from per-image outcomes; empty where they are not simple.

    top1 and mean_per_class of one label per image; mIoU, mAcc and aAcc of label maps, from the pixels of all
    images together. Average precisions are not computed anew here.
    """
    if set(table.columns) >= LABELS:
        right = table["correct"].astype(float)
        return {
            "top1": 100 * float(right.mean()),
            "mean_per_class": 100 * float(right.groupby(table["label"].astype(str)).mean().mean()),
        }
    if set(table.columns) >= {"class", *PIXELS}:
        sums = table.groupby(table["class"].astype(str))[PIXELS].sum().to_numpy(float)
        return {name: float(label_map_metric(sums, name)) for name in LABEL_MAP_METRICS}
    return {}


def _contradictions(table: pd.DataFrame, images: int | None) -> Iterator[str]:
    if "image" not in table.columns:
        yield "has no column image"
        return
    found = int(table["image"].nunique())
    if images is not None and found != images:
        yield f"has {found} images, but its record states {images}"
    if not set(table.columns) >= LABELS:
        return
    if len(table) != found:
        yield f"{len(table) - found} images are in it twice"
    wrong = (table["label"].astype(str) == table["predicted"].astype(str)) != table["correct"].astype(bool)
    if wrong.any():
        yield f"{int(wrong.sum())} images are called right or wrong against their label and prediction"
