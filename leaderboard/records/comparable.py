"""Make records comparable: names of rows, refusals and reservations, by the table of comparability."""

from __future__ import annotations

import pandas as pd

from mmbench.leaderboard.records.refusals import refuse_mixtures, refuse_repeats
from mmbench.leaderboard.records.reservations import reservations
from mmbench.leaderboard.records.rows import name_rows

COMPARABLE = "comparable"  # in frame.attrs of a frame that was checked


def comparable(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the tidy frame with the names of rows in "row", checked for what does not compare.

    `attrs["warnings"]` of the answer has a sentence for everything that compares with reservations. A frame
    that was checked is returned as it is.

    Raises:
        UserError: records that cannot stand on one board.
    """
    if frame.attrs.get(COMPARABLE):
        return frame
    names, sentences = name_rows(frame)
    found = frame.assign(row=pd.Series(names, index=frame.index, dtype=object))
    refuse_mixtures(found)
    refuse_repeats(found)
    warnings = (*frame.attrs.get("warnings", ()), *sentences, *reservations(found))
    found.attrs = {**frame.attrs, COMPARABLE: True, "warnings": warnings}
    return found
