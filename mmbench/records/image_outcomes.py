"""Per-image outcomes: the Parquet file beside a record, and what the record says about it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from mmbench.errors import UserError
from mmbench.files import atomic_path, sha256_of
from mmbench.records.fields import Count, Digest

if TYPE_CHECKING:
    import pandas as pd

ENDING = "images.parquet"


class ImageOutcomes(BaseModel):
    """What a record says about the file of its per-image outcomes.

    Attributes:
        sha256: of the file, which lies beside the record; see `outcomes_path`.
        images: different images that the file has rows of.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    sha256: Digest
    images: Count


def outcomes_path(record: Path) -> Path:
    """Return where the per-image outcomes of the record at this path lie."""
    return record.with_suffix(f".{ENDING}")


def write_outcomes(record: Path, outcomes: pd.DataFrame) -> ImageOutcomes:
    """Write the per-image outcomes of the record at this path, in place of those that were there.

    The same outcomes give the same bytes, as long as pandas and PyArrow are the same versions.

    Args:
        record: where the record is or will be; it is written afterwards.
        outcomes: a row or several for each image, with the column "image".

    Returns:
        What the record says about the file.
    """
    path = outcomes_path(record)
    with atomic_path(path) as temporary:
        outcomes.to_parquet(temporary, index=False, engine="pyarrow", compression="zstd")
    return ImageOutcomes(sha256=sha256_of(path), images=outcomes["image"].nunique())


def read_outcomes(record: Path, stated: ImageOutcomes) -> pd.DataFrame:
    """Return the per-image outcomes of the record at this path.

    Raises:
        UserError: the file is missing, or is not the one that the record was written with.
    """
    import pandas as pd

    path = outcomes_path(record)
    if not path.is_file():
        raise UserError(f"no per-image outcomes at {path}; copy them with their record")
    if sha256_of(path) != stated.sha256:
        raise UserError(f"{path} is not what its record was written with; restore it with its record")
    return pd.read_parquet(path)
