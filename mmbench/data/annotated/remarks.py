"""What a run says of the annotated images that it uses, before anything is computed."""

from __future__ import annotations

from collections.abc import Iterable

from mmbench.data.annotated.findings import require_usable
from mmbench.data.annotated.shared import train_and_evaluated
from mmbench.data.annotated.types import AnnotatedData, AnnotatedSplit
from mmbench.data.types import Split


def checked_remarks(data: AnnotatedData, evaluated: Iterable[Split]) -> tuple[str, ...]:
    """Read and check the splits that runs use; return a line for each thing that a person should know.

    Args:
        data: the data set.
        evaluated: the splits that are evaluated; train is used beside each.

    Raises:
        UserError: a split is missing or cannot be read, or something in it is refused.
    """
    used: list[AnnotatedSplit] = []
    for split in dict.fromkeys(evaluated):
        used += train_and_evaluated(data, split)
    found = list(dict.fromkeys(finding for split in used for finding in split.findings))
    require_usable(found)
    return tuple(dict.fromkeys((*data.remarks, *(finding.line() for finding in found))))
