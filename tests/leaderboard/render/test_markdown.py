"""Markdown, read by a CommonMark parser with tables: every name is text, every table is whole."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from mmbench.leaderboard.board import Anchor, Board
from mmbench.leaderboard.build import read_board
from mmbench.leaderboard.render.markdown import _escape, _line, _table, render_deltas, render_markdown
from mmbench.leaderboard.render.markdown import render_scores as scores_of

MORE = (
    "www.example.org",
    "https://example.org",
    "a@b.org",
    "&lt;b&gt;",
    "- x",
    "1. x",
    "# x",
    "> x",
    "\\|",
    "`|`",
)
SHOWN = st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp"))


class Document(HTMLParser):
    """The text of every table cell by table and line, and every tag."""

    def __init__(self, markdown: str) -> None:
        super().__init__()
        self.tables: list[list[list[str]]] = []
        self.tags: list[str] = []
        self.inside = False
        self.feed(MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(markdown))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in ("td", "th"):
            self.tables[-1][-1].append("")
            self.inside = True

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self.inside = False

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.tables[-1][-1][-1] += data


def as_shown(name: str) -> str:
    return " ".join(name.split())


def test_tables_are_rectangular_and_say_the_numbers(board_records: Path) -> None:
    board = read_board(board_records, "mscn")
    scores, deltas = scores_of(board), render_deltas(board)
    assert re.search(r"37\.13\*{0,2} ± 1\.07 \(n=6, 2 seeds\)", scores)
    assert "| 38.00 (n=1) | 27.30 (n=1) | – | – | – | – |" in scores
    assert "| pixels (control) | – |" in scores
    assert "mscn" not in deltas
    [table] = Document(scores).tables
    assert [line[0].split(" (")[0] for line in table[1:]] == [row.name for row in board.rows]
    assert {len(line) for line in table} == {len(table[0])}
    best = sum(cell.best for cell in board.cells.values())
    assert Document(scores).tags.count("strong") == best
    separable = sum(cell.delta is not None and cell.delta.separable for cell in board.cells.values())
    assert Document(deltas).tags.count("strong") == separable
    document = render_markdown(board)
    assert document.index("MixMask") > document.index("## Published elsewhere, not measured here")
    assert MarkdownIt("commonmark").render(board.verdict)[3:30] in MarkdownIt().render(document)


def test_hostile_names_are_text_in_every_table(
    make_board_of: Callable[..., Board], hostile_names: tuple[str, ...]
) -> None:
    names = [*hostile_names, *MORE]
    board = make_board_of(names, 3, baseline=names[0], labels=("a|b", "*x*_y_", "<b>![i](u)</b>"))
    anchor = Anchor(names[1], board.columns[0].key, 70.0, 71.0, -1.0, "[a](b) | c", "~~no~~")
    board = replace(board, title="<script> # | x", anchors=(anchor,), footnotes=("- a | b", "1) c", *names))
    document = Document(render_markdown(board))
    assert set(document.tags) <= {
        *("h1", "h2", "p", "ul", "li", "table", "thead", "tbody", "tr", "th", "td", "strong"),
    }
    scores, deltas, anchors, costs = document.tables[:4]
    roles = [name for line in scores[1:] for name in [re.sub(r" \((baseline|control)\)$", "", line[0])]]
    assert roles == [as_shown(name) for name in names]
    assert [line[0] for line in deltas[1:]] == [as_shown(name) for name in names[1:]]
    assert [line[0] for line in costs[1:]] == [as_shown(name) for name in names]
    assert anchors[1] == [
        as_shown(names[1]), "a|b, top1 %", "70.00", "71.00", "−1.0", "[a](b) | c", "~~no~~",
    ]  # fmt: skip
    assert document.tags.count("li") == len(board.footnotes)


@given(st.lists(st.text(SHOWN, max_size=60), min_size=1, max_size=4))
def test_any_text_is_one_cell_and_reads_back(texts: list[str]) -> None:
    document = Document(_table(["x"] * len(texts), [[_escape(text) for text in texts]]))
    assert document.tables[0][1] == [as_shown(text) for text in texts]
    assert set(document.tags) == {"table", "thead", "tbody", "tr", "th", "td"}


@given(st.text(SHOWN, min_size=1, max_size=60).filter(lambda text: bool(text.split())))
def test_any_text_is_one_paragraph_and_one_entry_of_a_list(text: str) -> None:
    assert Document(_line(text)).tags == ["p"]
    assert Document(f"- {_line(text)}\n- {_line(text)}").tags == ["ul", "li", "li"]


def test_of_many_rows_the_first_are_shown_and_the_others_counted(make_board_of: Callable[..., Board]) -> None:
    names = [f"arm {place}" for place in range(100)]
    board = make_board_of(names, 2, baseline="arm 90")
    text = render_markdown(board)
    shown = [line[0] for line in Document(text).tables[0][1:]]
    assert shown == [*names[:40], "arm 90 (baseline)"]
    assert "59 rows of 100 left out here" in text
    assert len(Document(scores_of(board, None)).tables[0]) == 101
