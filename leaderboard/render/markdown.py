"""Board to Markdown: tables that fit a README, what they mean, and the published rows apart."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from mmbench.leaderboard.board import Board, Column, Row
from mmbench.leaderboard.render.layout import MOST_ROWS, Place, first_rows, legend, row_columns
from mmbench.leaderboard.render.wording import (
    MISSING,
    count,
    delta_words,
    metric_words,
    score,
    signed,
    spread,
)

# Characters that Markdown gives a meaning inside a line, here or in a table; a URL needs its colon.
MEANINGFUL = re.compile(r"[\\`*_{}\[\]|~#!$^]|:(?=\S)|(?<=\bwww)\.", re.IGNORECASE)
ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
# What begins a list, a heading or a line across at the start of a line.
BLOCK = re.compile(r"^(\d{1,9})([.)])|^([-+=])")


def render_markdown(board: Board) -> str:
    """Return the board as GitHub-flavoured Markdown."""
    rows, omission = first_rows(board)
    parts = [
        f"# {_escape(board.title)}",
        _line(board.verdict),
        f"Measured: {board.records} records, the newest of {board.created}.",
        render_scores(board),
        _line(omission),
        _line(" ".join(legend(board))),
    ]
    if board.baseline is not None:
        parts += [f"## Difference to {_escape(board.baseline)}", render_deltas(board)]
    if board.anchors:
        parts += ["## Measured beside published, on the same weights and protocol", _anchors(board)]
    if board.footnotes:
        parts += ["## Read with care", "\n".join(f"- {_line(note)}" for note in board.footnotes)]
    parts += ["## Cost", _facts(board, rows, "costs"), "## Columns", _columns(board)]
    if board.published:
        parts += [
            "## Published elsewhere, not measured here",
            "Other data, networks and budgets than above: never ranked with, nor averaged with, the "
            "measured rows. Numbers compare within one table only.",
            *_published(board),
        ]
    lines = ((_escape(what), _escape("; ".join(values))) for what, values in board.environment)
    parts += ["## Environment", _table(("what", "value"), lines)]
    return "\n\n".join(part for part in parts if part) + "\n"


def render_scores(board: Board, limit: int | None = MOST_ROWS) -> str:
    """Return the table of scores alone, to paste into a README.

    Args:
        limit: number of rows; None for all.
    """
    rows, _ = first_rows(board, limit)
    about = row_columns(board, "scores")
    header = ["arm", *(entry.heading for entry in about), *map(_heading, board.columns)]
    lines = [
        [
            _arm(row),
            *(_escape(entry.words(row)) for entry in about),
            *(_score(board, row, column) for column in board.columns),
        ]
        for row in rows
    ]
    return _table(header, lines, "l" + "r" * (len(header) - 1))


def render_deltas(board: Board, limit: int | None = MOST_ROWS) -> str:
    """Return the table of differences to the baseline alone; in bold what is beyond chance."""
    rows, _ = first_rows(board, limit)
    header = ["arm", *map(_heading, board.columns)]
    lines = [
        [_escape(row.name), *(_delta(board, row, column) for column in board.columns)]
        for row in rows
        if not row.baseline
    ]
    return _table(header, lines, "l" + "r" * len(board.columns))


def _heading(column: Column) -> str:
    return _escape(f"{column.label}, {metric_words(column)}")


def _arm(row: Row) -> str:
    role = " (baseline)" if row.baseline else " (control)" if row.control else ""
    return _escape(row.name) + role


def _score(board: Board, row: Row, column: Column) -> str:
    cell = board.cell(row, column)
    if cell is None:
        return MISSING
    mean = score(cell.summary.mean, column)
    words = [f"**{mean}**" if cell.best else mean, spread(cell, column), f"({count(cell.summary)})"]
    return " ".join(word for word in words if word)


def _delta(board: Board, row: Row, column: Column) -> str:
    cell = board.cell(row, column)
    if cell is None or cell.delta is None:
        return MISSING
    words = _escape(delta_words(cell.delta, column))
    return f"**{words}**" if cell.delta.separable else words


def _facts(board: Board, rows: Sequence[Row], place: Place) -> str:
    about = row_columns(board, place)
    lines = ([_escape(row.name), *(_escape(entry.words(row)) for entry in about)] for row in rows)
    forms = "".join("r" if entry.numeric else "l" for entry in about)
    return _table(["arm", *(entry.heading for entry in about)], lines, f"l{forms}")


def _anchors(board: Board) -> str:
    columns = {column.key: column for column in board.columns}
    header = ("arm", "column", "measured", "published", "difference", "source", "note")
    lines = (
        (
            _escape(anchor.row),
            _heading(columns[anchor.column]),
            score(anchor.measured, columns[anchor.column]),
            score(anchor.published, columns[anchor.column]),
            signed(anchor.difference, columns[anchor.column]),
            _escape(anchor.source),
            _escape(anchor.note) or MISSING,
        )
        for anchor in board.anchors
    )
    return _table(header, lines, "llrrrll")


def _columns(board: Board) -> str:
    header = ("column", "protocol", "data", "fingerprint", "split", "images", "notes")
    lines = (
        (
            _escape(column.label),
            _escape(column.protocol),
            _escape(column.dataset),
            _escape(column.fingerprint[:12]),
            _escape(column.split),
            str(column.images),
            _escape("; ".join(column.notes)) or MISSING,
        )
        for column in board.columns
    )
    return _table(header, lines, "lllllrl")


def _published(board: Board) -> Iterable[str]:
    for group in board.published:
        yield f"**{_escape(group.task)}** · {_escape(group.dataset)} · {_escape(group.protocol)}"
        header = ("published method", "variant", "network", "pretraining data", "epochs", *group.metrics)
        lines = (
            [
                _escape(word) or MISSING
                for word in (row.method, row.remarks, row.backbone, row.pretrain_data, row.epochs)
            ]
            + [_escape(value or "") or MISSING for value in row.values]
            for row in group.rows
        )
        yield _table(header, lines, "lllll" + "r" * len(group.metrics))
        yield _line("; ".join(filter(None, (f"Source: {group.source}", group.omission))))


def _table(header: Sequence[str], lines: Iterable[Sequence[str]], forms: str | None = None) -> str:
    """Return a table; `forms` has an l or r per column."""
    rules = ["--:" if form == "r" else "---" for form in forms or "l" * len(header)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, rules, *lines))


def _line(text: str) -> str:
    """Return text that begins a line and is nothing but text."""
    return BLOCK.sub(r"\1\\\2\3" if text[:1].isdigit() else r"\\\3", _escape(text))


def _escape(text: str) -> str:
    r"""Return text as Markdown shows it: no emphasis, link, image, HTML or further column; all in one line.

    >>> _escape("a_b|c <i> ![x](http://y) & 5")
    'a\\_b\\|c &lt;i&gt; \\!\\[x\\](http\\://y) &amp; 5'
    """
    text = " ".join(text.split())
    text = "".join(ENTITIES.get(character, character) for character in text)
    return MEANINGFUL.sub(lambda found: f"\\{found.group()}", text)
