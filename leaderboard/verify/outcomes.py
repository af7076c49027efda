"""A record against the per-image outcomes beside it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from mmbench.errors import UserError
from mmbench.leaderboard.verify.plausibility import ROUNDING
from mmbench.leaderboard.verify.problems import ERROR, WARNING, Filed, Problem
from mmbench.leaderboard.verify.recomputed import LABELS, recomputed
from mmbench.records.image_outcomes import ENDING, outcomes_path, read_outcomes

if TYPE_CHECKING:
    import pandas as pd


def check_outcomes(filed: Filed) -> tuple[frozenset[str] | None, list[Problem]]:
    """Compare a record with the per-image outcomes beside it.

    Returns:
        The metrics that were computed anew, None where there are no outcomes to read; and the problems.
    """
    path, stated = outcomes_path(filed.path), filed.result.outcomes
    found: list[Problem] = []
    if stated is None:
        if not path.is_file():
            return None, []
        found.append(Problem(WARNING, str(path), "the record does not state its digest"))
    try:
        table = _read(path) if stated is None else read_outcomes(filed.path, stated)
    except UserError as error:
        return None, [*found, Problem(ERROR, filed.name, str(error))]
    except (OSError, ValueError) as error:  # pyarrow's errors are ValueErrors
        return None, [*found, Problem(ERROR, str(path), f"cannot be read: {error}")]
    images = None if stated is None else stated.images
    found += (Problem(ERROR, str(path), reason) for reason in _contradictions(table, images))
    computed = recomputed(table, filed.result.config)
    for name, value in computed.items():
        metric = filed.result.metrics.get(name)
        if metric is not None and abs(metric.value - value) > ROUNDING:
            reason = f"{name} is {metric.value!r}, but {value!r} by its per-image outcomes"
            found.append(Problem(ERROR, filed.name, reason))
    return frozenset(computed.keys() & filed.result.metrics.keys()), found


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
