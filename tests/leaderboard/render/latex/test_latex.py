"""LaTeX: sound source for any name, and tables that fit."""

from __future__ import annotations

import re
import string
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

from mmbench.leaderboard.board import Board
from mmbench.leaderboard.build import read_board
from mmbench.leaderboard.render.latex import LatexForm, escape, render_latex
from mmbench.leaderboard.render.latex.tables import COLUMN, TEXT
from mmbench.leaderboard.render.latex.text import prose, width, wrapped

NAMES = ["mixmask", "erase", "moco", "mscn", "simclr", "random"]
FORMS: tuple[LatexForm, ...] = ("tasks", "wide")


def check_latex(source: str) -> None:
    """Check braces, environments, maths, and the number of cells in every line of every table."""
    assert source.isascii()
    bare = re.sub(r"(?m)^(%|\\providecommand).*$", "", source).replace(r"\\", "\n")
    plain = re.sub(r"\\[&%$#_{}]", "", bare)
    assert plain.count("{") == plain.count("}")
    assert plain.count("$") % 2 == 0
    assert not set("#%~^") & set(re.sub(r"\\[~^]\{|\$\^\\circ\$", "", plain))
    stack: list[str] = []
    for kind, name in re.findall(r"\\(begin|end)\{(\w+\*?)\}", plain):
        if kind == "begin":
            stack.append(name)
        else:
            assert stack.pop() == name
    assert stack == []
    for form, body in re.findall(r"\\begin\{tabular\}\{@\{\}([lr]{2,})@\{\}\}(.*?)\\bottomrule", plain, re.S):
        assert r"\toprule" in body and r"\midrule" in body
        flat = re.sub(r"\\begin\{tabular\}\[[tb]\].*?\\end\{tabular\}", "", body, flags=re.S)
        for line in flat.splitlines():
            if "&" in line:
                assert line.count("&") == len(form) - 1, line


@pytest.fixture(scope="module")
def board(board_records: Path) -> Board:
    return read_board(board_records, "mscn")


@pytest.mark.parametrize("form", FORMS)
def test_every_cell_stands_in_a_sound_table(board: Board, form: LatexForm) -> None:
    source = render_latex(board, form)
    check_latex(source)
    scores = source[: source.index("tab:mmbench-differences")]
    best = [cell for cell in board.cells.values() if cell.best]
    assert scores.count(r"\textbf{") == len(best)
    for cell in board.cells.values():
        assert f"{cell.summary.mean:.1f}"[:-1] in scores
    assert source.index("not measured here") > source.index("tab:mmbench-differences")
    assert "MixMask" in source and "Ranks and costs" in source if form == "tasks" else "Costs." in source
    assert source.count(r"\begin{table}") == (0 if form == "wide" else source.count(r"\end{table}"))


@pytest.mark.parametrize("form", FORMS)
def test_hostile_names_and_many_rows_and_columns(
    make_board_of: Callable[..., Board], hostile_names: tuple[str, ...], form: LatexForm
) -> None:
    board = make_board_of(hostile_names, 12, baseline=hostile_names[3], labels=hostile_names)
    check_latex(render_latex(replace(board, title="\n".join(hostile_names), footnotes=hostile_names), form))
    names = [f"arm {place}" for place in range(300)]
    many = render_latex(make_board_of(names, 40, baseline=names[50]), form)
    check_latex(many)
    assert "259 rows of 300 left out here" in many and "arm 50 (baseline)" in many
    assert all(rf"Probe {column}" in many for column in range(40))


def test_differences_are_bold_only_beyond_chance(make_board_of: Callable[..., Board]) -> None:
    board = make_board_of(NAMES, 2, baseline="mscn")
    source = render_latex(board)
    part = source[source.index("tab:mmbench-differences") :]
    assert part[: part.index("tab:mmbench-costs")].count(r"\textbf{") == 4  # erase and random
    cells = {
        key: replace(cell, delta=cell.delta and replace(cell.delta, adjusted_p=0.06))
        for key, cell in board.cells.items()
    }
    source = render_latex(replace(board, cells=cells))
    part = source[source.index("tab:mmbench-differences") :]
    assert r"\textbf{" not in part


def test_every_special_character_is_escaped() -> None:
    assert escape("50% & $5_a^b #1 {~} \\") == (
        r"50\% \& \$5\_a\textasciicircum{}b \#1 \{\textasciitilde{}\} \textbackslash{}"
    )
    assert escape("[x]*--''") == r"{[}x{]}{*}-{\kern0pt}-'{\kern0pt}'"
    assert escape("\u00e9\u00ed\u00e7\u1e0b\u0142\u00df") == r"\'{e}\'{\i}\c{c}\.{d}\l{}\ss{}"
    assert escape("\u4e2d\u05e9\u0301\u200b") == (
        r"\mmbenchglyph{4E2D}{20013}\mmbenchcode{05E9}\mmbenchcode{0301}\mmbenchcode{200B}"
    )


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=40), st.text(max_size=40))
def test_any_text_is_ascii_in_balanced_groups_and_no_two_are_the_same(one: str, other: str) -> None:
    for text in (escape(one), prose(one)):
        assert text.isascii() and text.isprintable()
        plain = re.sub(r"\\[{}]", "", text.replace(r"\textbackslash", ""))
        depth = 0
        for letter in plain:
            depth += {"{": 1, "}": -1}.get(letter, 0)
            assert depth >= 0
        assert depth == 0
    assert (escape(one) == escape(other)) == (one == other)


@settings(max_examples=100, deadline=None)
@given(st.text(string.ascii_letters + string.digits + " .,:;!?()[]/-+=%&#$@*'`", min_size=1, max_size=30))
def test_the_width_of_text_is_never_underestimated(text: str) -> None:
    """Against the metrics of Computer Modern at 10 points, which matplotlib comes with."""
    font = FontProperties(fname=Path(matplotlib.get_data_path(), "fonts", "ttf", "cmr10.ttf"), size=100)
    true = text_to_path.get_text_width_height_descent(text, font, ismath=False)[0] / 100
    assert width(text, 8) / 8 >= 0.98 * 1.0625 * true  # cmr8 is that much wider; the outlines are rounded


@settings(max_examples=100, deadline=None)
@given(st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=80), st.floats(20, 200))
def test_wrapped_lines_fit_and_lose_nothing(text: str, limit: float) -> None:
    lines = wrapped(text, 8, limit)
    assert all(width(line, 8) <= limit or len(line) == 1 for line in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")


def test_tables_are_as_wide_as_the_narrowest_style() -> None:
    assert np.isclose(COLUMN, (6.75 - 0.25) / 2 * 72.27) and COLUMN < (6.875 - 0.3125) / 2 * 72.27
    assert np.isclose(TEXT, 5.5 * 72.27) and TEXT < 6.75 * 72.27
