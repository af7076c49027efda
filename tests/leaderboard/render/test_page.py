"""The page without a browser: well-formed, complete without JavaScript, closed to hostile names."""

import base64
import gzip
import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from mmbench.leaderboard.board import Board
from mmbench.leaderboard.build import read_board
from mmbench.leaderboard.render import page as page_module
from mmbench.leaderboard.render import page_data as page_data_module
from mmbench.leaderboard.render.page import address_of, render_page
from mmbench.leaderboard.render.page_data import page_data
from mmbench.leaderboard.render.page_script import page_script
from mmbench.leaderboard.render.plots import Plot, draw_plots
from mmbench.leaderboard.render.wording import count, score, signed
from mmbench.records.store import Result

VOID = {"meta", "br", "link", "img", "hr", "input"}
HOSTILE = "a</script><script>alert(1)</script> \"'><img src=x onerror=alert(1)> &amp; {{7*7}} \u2028 -->"


class Checker(HTMLParser):
    """Check that tags close in order; collect cells, scripts and what would load something."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loads: list[tuple[str, str, str | None]] = []
        self.ids: list[str] = []
        self.handlers: list[str] = []
        self.rows: list[list[str]] = []
        self.scripts: list[str] = []
        self.policy = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("src", "srcset", "data", "poster", "action") or (
                name == "href" and tag != "a" and not str(value).startswith("#")
            ):
                self.loads.append((tag, name, value))
            if name == "id":
                self.ids.append(str(value))
            if name.startswith("on"):
                self.handlers.append(name)
        if tag == "meta" and ("http-equiv", "Content-Security-Policy") in attrs:
            self.policy = str(dict(attrs)["content"])
        if tag == "script":
            self.scripts.append("")
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th") and self.rows:
            self.rows[-1].append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.scripts[-1] += data
        elif self.rows and self.rows[-1] and {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data


def parse(page: str) -> Checker:
    checker = Checker()
    checker.feed(page)
    checker.close()
    assert checker.open == []
    return checker


def unpacked(data: str) -> dict[str, Any]:
    """Return what the page's script reads from its data."""
    found: dict[str, Any] = json.loads(gzip.decompress(base64.b64decode(data)))
    return found


@pytest.fixture(scope="module")
def board(board_records: Path) -> Board:
    return read_board(board_records, "mscn")


@pytest.fixture(scope="module")
def plots(board: Board) -> tuple[Plot, ...]:
    return draw_plots(board)


@pytest.fixture(scope="module")
def page(board: Board, plots: tuple[Plot, ...]) -> str:
    return render_page(board, plots, files=("scores.csv", "plots/a b#.png"), records="../results")


def test_the_page_is_well_formed_and_loads_nothing(page: str, plots: tuple[Plot, ...]) -> None:
    checker = parse(page)
    assert checker.loads == [] and checker.handlers == []
    assert not re.search(r"@import|url\((?!#)", page.replace(page_script(), ""))
    assert len(checker.ids) == len(set(checker.ids))
    assert page.replace(page_script(), "").count("<svg") == len(plots)


def test_the_policy_allows_these_two_scripts_and_no_other(page: str) -> None:
    checker = parse(page)
    early, data, script = checker.scripts
    allowed = re.findall(r"'sha256-([^']*)'", checker.policy)
    assert [
        base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (early, script)
    ] == allowed
    assert "unsafe-inline" not in checker.policy.partition("script-src")[2].partition(";")[0]
    assert checker.policy.startswith("default-src 'none'")
    assert unpacked(data)["baseline"] == "mscn"


def test_every_cell_is_in_the_static_table(page: str, board: Board) -> None:
    rows = [[" ".join(cell.split()) for cell in row] for row in parse(page).rows]
    first = rows[0].index(next(words for words in rows[0] if words.startswith(board.columns[0].label)))
    for place, row in enumerate(board.rows, start=1):
        line = rows[place]
        assert line[0].startswith(row.name)
        for column, words in zip(board.columns, line[first:], strict=False):
            cell = board.cell(row, column)
            if cell is None:
                assert words == "–"
                continue
            assert words.startswith(score(cell.summary.mean, column)) and words.endswith(count(cell.summary))
            if cell.delta is not None:
                assert signed(cell.delta.value, column) in words
            if cell.delta is not None and cell.delta.interval is not None:
                assert signed(cell.delta.interval.low, column) in words


def test_differences_are_coloured_by_favour_and_only_beyond_chance(page: str, board: Board) -> None:
    deltas = [cell.delta for cell in board.cells.values() if cell.delta is not None]
    table = page[: page.index("</tbody>")]
    for better, word in ((True, "gain"), (False, "loss")):
        sure = sum(delta.better is better and delta.separable for delta in deltas)
        assert table.count(f'<span class="{word} sure">') == sure
        assert table.count(f'<span class="{word}">') == sum(d.better is better for d in deltas) - sure


def test_published_rows_are_marked_and_below_the_measured(page: str) -> None:
    measured, _, published = page.partition('<section class="published"')
    assert "kirill-vish/MixMask" in published and "kirill-vish" not in measured
    rows = sum(row[0].endswith("published") for row in parse(page).rows if row)
    assert rows == published.count('<small class="stamp">published</small>') > 30


def test_files_of_the_folder_are_linked(page: str) -> None:
    assert '<a href="scores.csv">scores.csv</a>' in page
    assert '<a href="plots/a%20b%23.png">plots/a b#.png</a>' in page


def test_hostile_names_stay_text(record: Callable[..., Result], write: Callable[..., Path]) -> None:
    board = read_board(write(record("moco"), record("mscn")), "mscn", published=False)
    row = replace(board.rows[0], name=HOSTILE, arch=HOSTILE, pretrain_data=HOSTILE)
    column = replace(board.columns[0], label=HOSTILE, dataset=HOSTILE)
    cell = board.cell(board.rows[0], board.columns[0])
    hostile = replace(
        board,
        title=HOSTILE,
        baseline=HOSTILE,
        verdict=HOSTILE,
        rows=(row,),
        columns=(column,),
        footnotes=(HOSTILE,),
        cells={(row.name, column.key): cell},
    )
    checker = parse(render_page(hostile, (), files=(HOSTILE,), records="../r"))
    assert len(checker.scripts) == 3 and checker.loads == [] and checker.handlers == []
    data = unpacked(checker.scripts[1])
    assert data["rows"][0]["name"] == data["columns"][0]["label"] == HOSTILE
    assert HOSTILE in checker.rows[1][0]


def test_the_data_holds_every_run(board: Board) -> None:
    data = unpacked(page_data(board, None))
    for row, cells in zip(board.rows, data["cells"], strict=True):
        for column, found in zip(board.columns, cells, strict=True):
            cell = board.cell(row, column)
            if cell is None:
                assert found is None
                continue
            assert found[0] == cell.summary.mean and found[2] == len(cell.runs)
            assert [run[0] for run in found[3]] == [score(run.value, column) for run in cell.runs]
            assert [run[3] for run in found[3]] == [str(run.transfer_seed) for run in cell.runs]
            assert [data["texts"][run[5]] + run[6] for run in found[3]] == [run.record for run in cell.runs]
            assert [run[9] for run in found[3]] == [run.provenance for run in cell.runs]
            rates = [str(run.effective_lr) if len(column.effective_lrs) > 1 else "" for run in cell.runs]
            assert [run[10] for run in found[3]] == rates
    assert [[tuple(pair) for pair in made] for made in data["provenances"]] == [
        list(made) for made in board.provenances
    ]


@pytest.mark.parametrize("p", [0.0496, 0.05, 0.0504, 0.049999, 0.050001, 0.03123, 0.3, 1.0, 1e-5])
def test_a_p_value_is_written_on_the_side_of_the_threshold_that_its_colour_is_on(
    board: Board, p: float
) -> None:
    key = next(key for key, cell in board.cells.items() if cell.delta is not None and cell.delta.better)
    cell = board.cells[key]
    assert cell.delta is not None
    changed = replace(cell, delta=replace(cell.delta, p=p, adjusted_p=p))
    data = unpacked(page_data(replace(board, cells={**board.cells, key: changed}), None))
    places = [row.name for row in board.rows].index(key[0]), [c.key for c in board.columns].index(key[1])
    colour, _, _, test = data["cells"][places[0]][places[1]][4]
    assert test[0] == test[1] and test[0] != "0"
    number = float(test[0].removeprefix("< "))
    assert number == pytest.approx(p, rel=0.05) or (test[0], p) == ("< 0.0001", 1e-5)
    assert (colour == "gain sure") == (number < 0.05) == (p < 0.05)


def test_a_page_of_very_many_runs_holds_the_first_of_each_cell(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_data_module, "MOST_RUNS", 40)
    cells = [cell for row in unpacked(page_data(board, None))["cells"] for cell in row if cell]
    assert {len(cell[3]) for cell in cells} == {1}
    assert sum(cell[2] for cell in cells) == board.records


def test_records_are_linked_only_beside_the_page(tmp_path: Path) -> None:
    (tmp_path / "demo" / "results 1").mkdir(parents=True)
    results, other = tmp_path / "demo" / "results 1", tmp_path / "demo" / "more"
    assert address_of([results], tmp_path / "board") == "../demo/results%201"
    assert address_of([results], tmp_path / "a" / "board") is None
    assert address_of([results, other], tmp_path / "board") == "../demo"
    assert address_of([results, tmp_path / "elsewhere"], tmp_path / "board") is None


def test_a_wide_table_prints_the_heading_of_every_cell(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "board cards" not in render_page(board, ())
    monkeypatch.setattr(page_module, "WIDE", 3)
    page = render_page(board, ())
    assert 'class="board cards"' in page
    assert re.search(
        r'html:not\(\.js\) \.cards td:nth-child\(\d+\)::before\{content:"1\\25 \s?labels "\}', page
    )
