"""Board to Markdown: two tables that fit a README, what they mean, and the published rows apart."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mmbench.leaderboard.board import Board, Column, Row
from mmbench.leaderboard.render.wording import (
    MISSING,
    count,
    delta_words,
    metric_words,
    rank_words,
    score,
    seconds_words,
    seeds_words,
    spread,
)


def render_markdown(board: Board) -> str:
    """Return the board as GitHub-flavoured Markdown."""
    parts = [
        f"# {_escape(board.title)}",
        f"Measured: {board.records} records, the newest of {board.created}.",
        render_scores(board),
        "Mean ± sample standard deviation over runs (n); best mean of a column in bold; "
        "rank: mean of the ranks over the columns.",
    ]
    if board.baseline is not None:
        parts += [f"## Difference to {_escape(board.baseline)}", render_deltas(board)]
        parts.append("In brackets: Welch's 95% interval; in bold where it excludes zero.")
    if board.footnotes:
        parts += ["## Read with care", "\n".join(f"- {_escape(note)}" for note in board.footnotes)]
    parts += ["## Cost", _cost(board), "## Columns", _columns(board)]
    if board.published:
        parts += [
            "## Published elsewhere, not measured here",
            "Other data, networks and budgets than above: never ranked with, nor averaged with, the "
            "measured rows. Numbers compare within one table only.",
            *_published(board),
        ]
    parts += ["## Environment", _table(("what", "value"), ((w, "; ".join(v)) for w, v in board.environment))]
    return "\n\n".join(parts) + "\n"


def render_scores(board: Board) -> str:
    """Return the table of scores alone, to paste into a README."""
    header = ["arm", "rank", *(f"{column.label}, {metric_words(column)}" for column in board.columns)]
    lines = [
        [_arm(row), rank_words(row), *(_score(board, row, column) for column in board.columns)]
        for row in board.rows
    ]
    return _table(header, lines, right_from=1)


def render_deltas(board: Board) -> str:
    """Return the table of differences to the baseline alone."""
    header = ["arm", *(f"{column.label}, {metric_words(column)}" for column in board.columns)]
    lines = []
    for row in board.rows:
        if row.baseline:
            continue
        cells = []
        for column in board.columns:
            cell = board.cell(row, column)
            delta = None if cell is None else cell.delta
            words = MISSING if delta is None else delta_words(delta, column)
            cells.append(f"**{words}**" if delta is not None and delta.separable else words)
        lines.append([_escape(row.name), *cells])
    return _table(header, lines, right_from=1)


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


def _cost(board: Board) -> str:
    header = ("arm", "network", "pretraining data", "epochs", "one pretraining", "all transfer runs", "seeds")
    lines = (
        (
            row.name,
            row.arch,
            row.pretrain_data or MISSING,
            MISSING if row.epochs is None else str(row.epochs),
            seconds_words(row.pretrain_seconds),
            seconds_words(row.transfer_seconds),
            seeds_words(row),
        )
        for row in board.rows
    )
    return _table(header, ([_escape(word) for word in line] for line in lines))


def _columns(board: Board) -> str:
    header = ("column", "protocol", "data", "fingerprint", "split", "images", "notes")
    lines = (
        (
            column.label,
            f"`{column.protocol}`",
            _escape(column.dataset),
            f"`{column.fingerprint[:12]}`",
            column.split,
            str(column.images),
            _escape("; ".join(column.notes)) or MISSING,
        )
        for column in board.columns
    )
    return _table(header, lines)


def _published(board: Board) -> Iterable[str]:
    for group in board.published:
        yield f"**{_escape(group.task)}** · {_escape(group.dataset)} · {_escape(group.protocol)}"
        header = ("published method", "variant", "network", "pretraining data", "epochs", *group.metrics)
        yield _table(
            header,
            (
                [
                    _escape(word) or MISSING
                    for word in (row.method, row.remarks, row.backbone, row.pretrain_data, row.epochs)
                ]
                + [value or MISSING for value in row.values]
                for row in group.rows
            ),
            right_from=5,
        )
        yield "; ".join(filter(None, (f"Source: {_escape(group.source)}", group.omission)))


def _table(header: Sequence[str], lines: Iterable[Sequence[str]], right_from: int | None = None) -> str:
    rules = ["--:" if right_from is not None and n >= right_from else "---" for n in range(len(header))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, rules, *lines))


def _escape(text: str) -> str:
    for character in "\\|<>*_`":
        text = text.replace(character, f"\\{character}")
    return text
