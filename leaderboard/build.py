"""From folders of records to a folder with the board in every form."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, Unpack

from mmbench.errors import UserError
from mmbench.leaderboard.board import Board
from mmbench.leaderboard.published.anchors import with_anchors
from mmbench.leaderboard.published.groups import published_groups, published_table
from mmbench.leaderboard.records.comparable import comparable
from mmbench.leaderboard.records.load import load_frame
from mmbench.leaderboard.records.selection import select
from mmbench.leaderboard.render.board_json import board_json
from mmbench.leaderboard.render.csv_files import csv_text
from mmbench.leaderboard.render.data_tables import UNITS, runs_table, scores_table
from mmbench.leaderboard.render.latex import LatexForm, render_latex
from mmbench.leaderboard.render.markdown import render_markdown
from mmbench.leaderboard.render.parquet import parquet_bytes
from mmbench.leaderboard.table import differences_of_pairs, make_board
from mmbench.leftovers import replacing_folder, swapping
from mmbench.records.store import without_collection

if TYPE_CHECKING:
    import pandas as pd

TITLE = "mmbench leaderboard"
INDEX = "board.json"  # holds the board as data, and the list of files that belong to it


class Choices(TypedDict, total=False):
    """What a board shows.

    Attributes:
        published: put published numbers beside the measured ones, in tables of their own; True by default.
        title: heading of the page.
        skip_invalid: leave out files that are not records; the board says which.
        where: conditions on the records, such as "arch=resnet50"; see `select`.
        columns: names of the columns to show, in order; see `select`.
        latex: tables per task or over the whole width; see `render_latex`.
    """

    published: bool
    title: str
    skip_invalid: bool
    where: Sequence[str]
    columns: Sequence[str]
    latex: LatexForm


def read_board(
    results: Path | Sequence[Path], baseline: str | None = None, **choices: Unpack[Choices]
) -> Board:
    """Return the board of the records below `results`, and write nothing; see `build`.

    Raises:
        UserError: no records, unknown baseline, or records that do not compare.
    """
    return _read(results, baseline, choices)[0]


def read_frame(results: Path | Sequence[Path], **choices: Unpack[Choices]) -> pd.DataFrame:
    """Return the chosen records below `results` as a tidy table, after the checks of a board.

    Raises:
        UserError: no records, or records that do not compare.
    """
    frame = load_frame(results, skip_invalid=choices.get("skip_invalid", False))
    return comparable(select(frame, choices.get("where", ()), choices.get("columns", ())))


def build(
    results: Path | Sequence[Path], out: Path, baseline: str | None = None, **choices: Unpack[Choices]
) -> Board:
    """Write the board of the records below `results` into the folder `out`, and return it.

    The folder gets index.html, leaderboard.md, leaderboard.tex, scores and runs as CSV and Parquet,
    published.csv, board.json and plots/ with a PNG and an SVG of each. `out` holds the old board or the new
    one, never a part of either. The same records give the same bytes.

    Args:
        results: folders of records, as `ResultStore` writes them.
        out: folder of the board; an older board there is replaced.
        baseline: the row that differences refer to; None for a board without differences.
        choices: see `Choices`.

    Raises:
        UserError: no records, unknown baseline, records that do not compare, or `out` holds other things.
    """
    folders = [results] if isinstance(results, Path) else results
    _require_own_folder(folders, out)
    with without_collection():  # of what a board is made of nothing refers to itself
        return _build(folders, out, baseline, choices)


def _build(folders: Sequence[Path], out: Path, baseline: str | None, choices: Choices) -> Board:
    """Write a board; see `build`."""
    board, frame = _read(folders, baseline, choices)

    # matplotlib and Jinja2 load after the checks
    from mmbench.leaderboard.render.page import address_of, render_page
    from mmbench.leaderboard.render.plots import draw_plots

    plots = draw_plots(board)
    files: dict[str, bytes] = {f"plots/{plot.name}.png": plot.png for plot in plots}
    files |= {f"plots/{plot.name}.svg": plot.svg_file for plot in plots}
    tables = {"scores": scores_table(board), "runs": runs_table(frame)}
    files |= {f"{name}.parquet": parquet_bytes(table, UNITS) for name, table in tables.items()}
    texts = {
        "leaderboard.md": render_markdown(board),
        "leaderboard.tex": render_latex(board, choices.get("latex", "wide")),
        **{f"{name}.csv": csv_text(table) for name, table in tables.items()},
    }
    if choices.get("published", True):
        texts["published.csv"] = csv_text(published_table())
    files |= {name: text.encode() for name, text in texts.items()}
    names = sorted([*files, "index.html", INDEX])
    others = differences_of_pairs(frame, board)
    page = render_page(board, plots, files=names, records=address_of(folders, out), others=others)
    files["index.html"] = page.encode()
    files[INDEX] = board_json(board, names).encode()
    with replacing_folder(out) as folder:
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)
    return board


def _read(
    results: Path | Sequence[Path], baseline: str | None, choices: Choices
) -> tuple[Board, pd.DataFrame]:
    """Return the board, and the records that it was made from."""
    frame = read_frame(results, **choices)
    title = choices.get("title", TITLE)
    if not choices.get("published", True):
        return make_board(frame, baseline, title=title), frame
    groups = published_groups(frame["task"].unique())
    return with_anchors(make_board(frame, baseline, title=title, published=groups)), frame


def _require_own_folder(results: Sequence[Path], out: Path) -> None:
    """Refuse an `out` whose contents a new board must not replace."""
    for folder in results:
        if folder.resolve() in (out.resolve(), *out.resolve().parents):
            raise UserError(f"--out {out} lies in the results folder {folder}; choose a folder outside it")
    with swapping(out):  # another build must not replace it between the look at its files and at its index
        if out.exists() and not out.is_dir():
            raise UserError(f"--out {out} is a file; choose a folder")
        present = {path.relative_to(out).as_posix() for path in out.rglob("*") if not path.is_dir()}
        if not present:
            return
        try:
            known = set(json.loads((out / INDEX).read_text(encoding="utf-8"))["files"])
        except (OSError, ValueError, KeyError, TypeError):
            known = set()
    if foreign := sorted(present - known):
        raise UserError(
            f"--out {out} holds files that are not of a board ({foreign[0]}"
            f"{f' and {len(foreign) - 1} more' if len(foreign) > 1 else ''}); choose an empty or new folder"
        )
