"""Dates of records, which may be of any time zone, as texts that stand in the order of time."""

from __future__ import annotations

import datetime


def in_utc(date: datetime.datetime) -> str:
    """Return a date in UTC, in ISO 8601.

    >>> in_utc(datetime.datetime.fromisoformat("2026-07-01T23:00:00-07:00"))
    '2026-07-02T06:00:00+00:00'
    """
    try:
        return date.astimezone(datetime.UTC).isoformat()
    except OverflowError:  # within a day of the first or the last year there is
        return date.replace(tzinfo=datetime.UTC).isoformat()
