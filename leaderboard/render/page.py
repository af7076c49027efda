"""Board to one HTML page: style, script and drawings inside, nothing loaded from anywhere.

The tables are complete without JavaScript; with it they can be sorted, searched and filtered, and every cell
opens a drawer with the runs behind it.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

import jinja2
from markupsafe import Markup

from mmbench.leaderboard.board import Board, Cell, Column
from mmbench.leaderboard.cells import Deltas
from mmbench.leaderboard.published.types import PublishedGroup
from mmbench.leaderboard.render import wording
from mmbench.leaderboard.render.layout import legend, row_columns
from mmbench.leaderboard.render.page_data import page_data
from mmbench.leaderboard.render.page_script import EARLY_SCRIPT, page_script, source_hash
from mmbench.leaderboard.render.plots import Plot

PAGE_ROWS = 100  # rows of a long table that are shown at once
WIDE = 12  # columns of scores that a landscape page of A4 holds beside each other


def render_page(
    board: Board,
    plots: Sequence[Plot],
    *,
    files: Sequence[str] = (),
    records: str | None = None,
    others: Mapping[str, Deltas] = MappingProxyType({}),
) -> str:
    """Return the page as HTML.

    Args:
        plots: drawings of this board (see `draw_plots`).
        files: names of the files of the board's folder, for links to them.
        records: address of the results folder as seen from the page (see `address_of`); None if it cannot be
            linked.
        others: by row: the differences to it, for the choice of another baseline; see `differences_to_each`.
    """
    folder = resources.files("mmbench.leaderboard.render")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string((folder / "page.html").read_text(encoding="utf-8"))
    drawings = {plot.name: Markup(plot.svg) for plot in plots}
    columns = {column.name for column in board.columns}
    by_key = {column.key: column for column in board.columns}
    script = page_script()
    return template.render(
        board=board,
        style=Markup((folder / "page.css").read_text(encoding="utf-8")),
        early=Markup(EARLY_SCRIPT),
        script=Markup(script),
        policy=f"{source_hash(EARLY_SCRIPT)} {source_hash(script)}",
        data=Markup(page_data(board, records, others)),
        words=wording,
        blanks=_blanks,
        drawings=drawings,
        other_plots=[plot for plot in plots if plot.name not in columns],
        architectures=sorted({row.arch for row in board.rows}),
        pretrain_data=sorted({row.pretrain_data or wording.MISSING for row in board.rows}),
        tasks=list(dict.fromkeys(column.task for column in board.columns)),
        page_rows=PAGE_ROWS,
        wide=len(board.columns) > WIDE,
        labels=Markup(_printed_labels(board)),
        row_columns=row_columns(board, "scores"),
        cost_columns=row_columns(board, "costs"),
        legend=legend(board),
        ranking=board.ranking.words,
        anchors=[(anchor, by_key[anchor.column]) for anchor in board.anchors],
        interval_words=interval_words,
        published=[(task, list(groups)) for task, groups in itertools.groupby(board.published, _task)],
        source_link=source_link,
        settings=_settings,
        files=[(name, quote(name)) for name in files],
    )


def address_of(results: Sequence[Path], page_folder: Path) -> str | None:
    """Return the address that the paths of records are below, as seen from a page in `page_folder`.

    Of one results folder it is that folder; of several, whose names begin the paths, the one that holds
    them. None where they are not below the folder that holds the page's folder: a link between places that
    are moved separately would soon be dead.
    """
    root = page_folder.resolve().parent
    bases = {folder.resolve() if len(results) == 1 else folder.resolve().parent for folder in results}
    base = bases.pop()
    if bases or not base.is_relative_to(root):
        return None
    return quote(f"../{base.relative_to(root).as_posix()}")


def source_link(source: str) -> str | None:
    """Return the address of a published source, if its text holds one: an arXiv id or a GitHub path."""
    if found := re.match(r"([\w.-]+/[\w.-]+?)(@[\w.-]+)?:", source):
        return f"https://github.com/{found.group(1)}"
    if found := re.search(r"arXiv (\d{4}\.\d{4,5})", source):
        return f"https://arxiv.org/abs/{found.group(1)}"
    return None


def interval_words(cell: Cell, column: Column) -> str:
    """Return the interval of a cell's mean; a ° marks one that speaks of single weights alone."""
    interval = cell.summary.interval
    assert interval is not None
    mark = "" if interval.basis == "pretrainings" else "°"
    return f"[{wording.score(interval.low, column)}, {wording.score(interval.high, column)}]{mark}"


def _printed_labels(board: Board) -> str:
    """Return style that writes the heading before each printed cell of a table too wide for paper."""
    first = 1 + len(row_columns(board, "scores")) + 1  # after the arm; places count from 1
    return "".join(
        f'html:not(.js) .cards td:nth-child({place})::before{{content:"{_css(column.label)} "}}'
        for place, column in enumerate(board.columns, start=first)
    )


def _css(text: str) -> str:
    """Return a text for a string of a style sheet: all but letters, digits and blanks as code points."""
    return "".join(c if c == " " or (c.isascii() and c.isalnum()) else f"\\{ord(c):x} " for c in text)


def _blanks(text: str) -> str:
    """Return a text as an entry of a list of choices shows it, which draws several blanks as one."""
    return re.sub(r"(?<= ) |^ | $", "\u00a0", text)


def _task(group: PublishedGroup) -> str:
    return group.task


def _settings(text: str) -> dict[str, Any]:
    """Return a column's settings as a flat dictionary of readable values."""
    settings: dict[str, Any] = json.loads(text)
    return settings
