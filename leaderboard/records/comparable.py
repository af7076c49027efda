"""Make records comparable: names of rows, identity of weights, refusals and warnings."""

from __future__ import annotations

import pandas as pd

from mmbench.leaderboard.records.refusals import refuse_mixtures

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
    refuse_mixtures(frame)
    found = frame.copy()
    found.attrs = {**frame.attrs, COMPARABLE: True, "warnings": tuple(frame.attrs.get("warnings", ()))}
    return found
