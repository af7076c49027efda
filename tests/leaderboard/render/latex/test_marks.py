"""LaTeX says of every cell what Markdown says: bold, spread, runs, seeds, intervals, marks, roles."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from dataclasses import replace

import pytest

from mmbench.compute_time import ComputeTime
from mmbench.leaderboard.board import Anchor, Board
from mmbench.leaderboard.records.load import frame_of
from mmbench.leaderboard.render.latex import LatexForm, render_latex
from mmbench.leaderboard.render.markdown import render_markdown
from mmbench.leaderboard.table import make_board
from mmbench.records.store import LabelSubset, Metric, Result

KNN, LINEAR, SEMISUP = "knn/patterns@1", "linear/patterns@1", "semisup/patterns-1pct@1"
LETTERS = {
    r"$\pm$": "±",
    "$-$": "−",
    r"$^\circ$": "°",
    r"\%": "%",
    r"\_": "_",
    r"\textgreater{}": ">",
    r"\textless{}": "<",
    "{[}": "[",
    "{]}": "]",
    "--": "–",
}


@pytest.fixture
def board(record: Callable[..., Result]) -> Board:
    """Return a board with every mark.

    moco and random saw three draws of labels on each of two seeds, mscn one, mixmask three on a single one;
    erase lacks a column and mixmask has one run in another; in kNN's column lower is better.
    """
    records = []
    for arm, level in (("moco", 70.0), ("random", 30.0), ("mscn", 65.0), ("mixmask", 80.0), ("erase", 60.0)):
        for seed in (0,) if arm == "mixmask" else (0, 1):
            compute = None if arm == "random" else ComputeTime(kind="gpu", seconds=30.0 + seed)
            own = {"pretrain_compute": compute}
            for draw in range(0 if arm == "erase" else 1 if arm == "mscn" else 3):
                labels = LabelSubset(used=40, available=4000, source="drawn", sha256=f"{draw:064x}")
                value, transfer = level + seed + draw / 3, 3 * seed + draw
                records.append(
                    record(arm, SEMISUP, seed, value, transfer_seed=transfer, card_changes=own, labels=labels)
                )
            records.append(record(arm, LINEAR, seed, level + 0.3 * seed, card_changes=own))
            wrong = Metric(value=100 - level + 0.2 * seed, higher_is_better=False, n=2000)
            records.append(record(arm, KNN, seed, card_changes=own, metrics={"top1": wrong}))
    made = make_board(frame_of((str(place), entry) for place, entry in enumerate(records)), "moco")
    key = made.columns[0].key
    return replace(made, anchors=(Anchor("moco", key, 70.0, 69.0, 1.0, "arXiv 1911.05722", "another crop"),))


def markdown_tables(text: str) -> list[list[list[str]]]:
    """Return the cells of each table by line; without the line between head and body."""
    tables: list[list[list[str]]] = [[]]
    for line in text.splitlines():
        if not line.startswith("|"):
            tables.append([])
        elif not re.fullmatch(r"[| :-]+", line):
            cells = re.split(r"(?<!\\) \| ", line[2:-2])
            tables[-1].append([html.unescape(re.sub(r"\\(.)", r"\1", cell)) for cell in cells])
    return [table for table in tables if table]


def latex_tables(source: str, kind: str) -> list[tuple[list[str], list[list[str]]]]:
    """Return heads and cells by line of each table whose label begins with `kind`, as plain text."""
    found = []
    for part in source.split(rf"\label{{tab:mmbench-{kind}")[1:]:
        head, body = part.split(r"\toprule")[1].split(r"\bottomrule")[0].split(r"\midrule", 1)
        lines = [plain_cells(line) for line in head.strip().splitlines()]
        heads = [" ".join(filter(None, column)) for column in zip(*lines, strict=True)]
        found.append((heads, [plain_cells(line) for line in body.strip().splitlines() if "&" in line]))
    return found


def plain_cells(line: str) -> list[str]:
    line = re.sub(r"\\begin\{tabular\}\[.\]\{@\{\}[lr]@\{\}\}(.*?)\\end\{tabular\}", r"\1", line)
    line = line.strip().removesuffix(r"\\").replace(r" \\ ", " ")
    line = re.sub(r"\\textbf\{((?:[^{}]|\{[^}]*\})*)\}", r"**\1**", line)
    line = re.sub(r"\\,\{\\fontsize\{6\}\{7\}\\selectfont ((?:[^{}]|\{[^}]*\})*)\}", r" \1", line)
    for code, letter in LETTERS.items():
        line = line.replace(code, letter)
    return [cell.strip() for cell in re.split(r"(?<!\\)&", line)]


def said(cell: str, *, runs: str = "") -> tuple[bool, str]:
    """Return whether a cell is bold, and its words; `runs` are those of the heading, where it has none."""
    words = re.sub(r"\((n=[^)]*)\)", r"\1", cell.replace("**", "").replace("± ", "±"))
    return "**" in cell, words if not runs or words == "–" or "n=" in words else f"{words} {runs}"


@pytest.mark.parametrize("form", ["wide", "tasks"])
def test_every_cell_says_what_that_of_markdown_says(board: Board, form: LatexForm) -> None:
    scores, differences, anchors, costs, *_ = markdown_tables(render_markdown(board))
    source = render_latex(board, form)
    words = " ".join(cell for line in scores + differences for cell in line)
    for mark in (
        "(baseline)",
        "(control)",
        "n=1)",
        "n=2)",
        "n=3, 1 seed)",
        "n=6, 2 seeds)",
        "lower is better",
    ):
        assert mark in words
    assert "°" in words and "–" in words and "**" in words

    by_head: dict[str, list[tuple[bool, str]]] = {}
    for heads, lines in latex_tables(source, "scores"):
        assert [line[0] for line in lines] == [line[0] for line in scores[1:]]
        for place, head in enumerate(heads[1:], start=1):
            column, _, runs = head.partition(", n=")
            runs = runs and f"n={runs}"
            by_head[column.replace(",", "")] = [said(line[place], runs=runs) for line in lines]
    for place, head in enumerate(scores[0][1:], start=1):
        if form == "wide" or head not in ("rank", "P(best)"):
            assert by_head.pop(head.replace(",", "")) == [said(line[place]) for line in scores[1:]], head
    assert not by_head

    for heads, lines in latex_tables(source, "differences"):
        assert {line[0].removesuffix(" (control)") for line in lines} == {line[0] for line in differences[1:]}
        for place, head in enumerate(heads[1:], start=1):
            wanted = [name.replace(",", "") for name in differences[0]].index(head.replace(",", ""))
            assert [said(line[place]) for line in lines] == [said(line[wanted]) for line in differences[1:]]

    [(_, [anchor])] = latex_tables(source, "anchors")
    assert anchor == [*anchors[1][:5], "; ".join(anchors[1][5:])]
    facts: dict[str, list[str]] = {}
    for heads, lines in latex_tables(source, "costs"):
        facts |= {head: [line[place] for line in lines] for place, head in enumerate(heads)}
    for place, head in enumerate(costs[0][1:], start=1):
        found = [cell.replace(" ", "") for cell in facts[head]]  # a long word goes on in the next line
        assert found == [line[place].replace(" ", "") for line in costs[1:]]


def test_every_caveat_is_in_the_file(board: Board) -> None:
    source = render_latex(board).replace(r"\allowbreak{}", "")
    for code, letter in LETTERS.items():
        source = source.replace(code, letter)
    assert board.footnotes
    for note in (board.verdict, *board.footnotes):
        assert note in source
