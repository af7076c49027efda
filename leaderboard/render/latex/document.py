r"""The LaTeX file of a board: scores, differences, ranks and costs, anchors, published numbers."""

from __future__ import annotations

from collections import Counter
from typing import Literal

from mmbench.leaderboard.board import Board, Column, Row
from mmbench.leaderboard.render.latex.tables import Cell, Table, TableColumn, render
from mmbench.leaderboard.render.latex.text import MACROS, escape, prose
from mmbench.leaderboard.render.layout import RowColumn, first_rows, row_columns
from mmbench.leaderboard.render.wording import MISSING, count, metric_words, score, signed

LatexForm = Literal["tasks", "wide"]
NAME_WIDTH = {"tasks": 9.5, "wide": 13.0}  # em of the names of rows
TEXT_WIDTH = 9.0  # em of facts in words
RANK = "Rank: mean of the ranks over the columns of the ranking, with its 95% interval."
DIFFERENCE = (
    "In bold: beyond chance after Holm's correction over the board.",
    "In brackets: 95% interval of this difference alone; ° marks one over runs or images of single weights, "
    "which says nothing about the method.",
)
HEADER = """needs \\usepackage{booktabs}; compiles with pdflatex, xelatex and lualatex.
Tables fit 3.25 inches (a column of ICML or CVPR), those of table* 5.5 inches (the text of NeurIPS), in the
text's own font if that is Times or Computer Modern.
A character that the font lacks is printed as its code point, such as [U+4E2D]."""


def render_latex(board: Board, form: LatexForm = "wide") -> str:
    """Return the tables of a board as LaTeX source in ASCII.

    Args:
        form: "tasks": for each task tables that fit a column of a paper; "wide": all columns together in
            tables of the whole width. Where they do not fit, there are several.
    """
    rows, left_out = first_rows(board)
    notes = [
        "n: runs, and their seeds where these are fewer; beside a cell where it is not as in the heading."
    ]
    notes += [RANK] if board.ranking.columns and form == "wide" else []
    notes += [left_out] if left_out else []
    head = [
        f"{escape(board.title)}: {board.records} records, the newest of {board.created}",
        *HEADER.splitlines(),
    ]
    parts = ["\n".join(["% " + line for line in head] + list(MACROS))]
    groups = [board.columns]
    if form == "tasks":
        tasks = dict.fromkeys(column.task for column in board.columns)
        groups = [tuple(column for column in board.columns if column.task == task) for task in tasks]
    for columns in groups:
        parts += render(_scores(board, rows, columns, form, prose(" ".join(notes))))
    if board.baseline is not None:
        others = tuple(row for row in rows if not row.baseline)
        note = prose(" ".join((f"Differences are to {board.baseline}.", *DIFFERENCE)))
        for columns in groups if others else []:
            parts += render(_differences(board, others, columns, form, note))
    parts += _facts(board, rows, form)
    parts += _anchors(board, form)
    if board.published:
        parts += render(_published(board))
    parts += _caveats(board)
    return "\n\n".join(parts) + "\n"


def _names(rows: tuple[Row, ...], form: LatexForm, heads: int) -> TableColumn:
    roles = (" (baseline)" if row.baseline else " (control)" if row.control else "" for row in rows)
    cells = tuple(Cell(row.name + role) for row, role in zip(rows, roles, strict=True))
    return TableColumn(("Arm", *[""] * (heads - 1)), cells, right=False, limit=NAME_WIDTH[form])


def _rules(rows: tuple[Row, ...]) -> frozenset[int]:
    """Return the row before which a thin rule separates the ranked rows from the others."""
    ranked = sum(row.ranked for row in rows)
    return frozenset({ranked} if 0 < ranked < len(rows) else ())


def _label(columns: tuple[Column, ...], form: LatexForm) -> tuple[str, str]:
    """Return what distinguishes the table of these columns, for its label and for its caption."""
    if form == "wide":
        return "", ""
    task = columns[0].task
    safe = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in task)
    return f"-{safe}-{columns[0].name[-8:]}", f", {prose(task)}"


def _scores(
    board: Board, rows: tuple[Row, ...], columns: tuple[Column, ...], form: LatexForm, notes: str
) -> Table:
    label, words = _label(columns, form)
    places = row_columns(board, "scores") if form == "wide" else ()
    made = [_fact(rows, place, 2) for place in places]
    for column in columns:
        cells = [board.cell(row, column) for row in rows]
        counts = Counter(count(cell.summary) for cell in cells if cell is not None)
        common = min(counts, key=lambda words: (-counts[words], words), default="n=0")
        made.append(
            TableColumn(
                (column.label, f"{metric_words(column)}, {common}"),
                tuple(_score(board, row, column, common) for row in rows),
            )
        )
    caption = (
        rf"Scores{words}: mean over pretrainings $\pm$ sample standard deviation over runs; in bold the "
        "best: no other row of the column is better beyond chance (never a single run)."
    )
    return Table(
        f"scores{label}",
        caption,
        _names(rows, form, 2),
        tuple(made),
        _rules(rows),
        notes,
        form == "wide",
    )


def _score(board: Board, row: Row, column: Column, common: str) -> Cell:
    """Return a score; `common` is the number of runs that stands in the heading of its column."""
    cell = board.cell(row, column)
    if cell is None:
        return Cell(MISSING)
    summary = cell.summary
    small = "" if summary.std is None else f"±{score(summary.std, column)}"
    if (runs := count(summary)) != common:
        small = f"{small} {runs}".strip()
    return Cell(score(summary.mean, column), small, cell.best)


def _differences(
    board: Board, rows: tuple[Row, ...], columns: tuple[Column, ...], form: LatexForm, notes: str
) -> Table:
    label, words = _label(columns, form)
    made = tuple(
        TableColumn(
            (column.label, metric_words(column)), tuple(_difference(board, row, column) for row in rows)
        )
        for column in columns
    )
    return Table(
        f"differences{label}",
        f"Differences to the baseline{words}, in the metric's own unit.",
        _names(rows, form, 2),
        made,
        _rules(rows),
        notes,
        form == "wide",
    )


def _difference(board: Board, row: Row, column: Column) -> Cell:
    cell = board.cell(row, column)
    if cell is None or cell.delta is None:
        return Cell(MISSING)
    delta, small = cell.delta, ""
    if delta.interval is not None:
        mark = "" if delta.interval.basis == "pretrainings" else "°"
        small = f"[{signed(delta.interval.low, column)}, {signed(delta.interval.high, column)}]{mark}"
    return Cell(signed(delta.value, column), small, delta.separable)


def _fact(rows: tuple[Row, ...], column: RowColumn, heads: int) -> TableColumn:
    """Return a column about the rows themselves."""
    cells = tuple(Cell(column.words(row)) for row in rows)
    limit = None if column.numeric else TEXT_WIDTH
    return TableColumn((column.heading, *[""] * (heads - 1)), cells, right=column.numeric, limit=limit)


def _facts(board: Board, rows: tuple[Row, ...], form: LatexForm) -> list[str]:
    """Return the tables of ranks, unless they stand beside the scores, and of costs."""
    columns = row_columns(board, *(("scores", "costs") if form == "tasks" else ("costs",)))
    if not columns:
        return []
    table = Table(
        "costs",
        "Ranks and costs." if form == "tasks" else "Costs.",
        _names(rows, form, 1),
        tuple(_fact(rows, column, 1) for column in columns),
        _rules(rows),
        " ".join(prose(f"{column.heading}: {column.explanation}") for column in columns if column.numeric),
        form == "wide",
    )
    return render(table)


def _anchors(board: Board, form: LatexForm) -> list[str]:
    """Return the table of measured cells beside the published values of the same weights."""
    if not board.anchors:
        return []
    columns = {column.key: column for column in board.columns}
    found = [(anchor, columns[anchor.column]) for anchor in board.anchors if anchor.column in columns]
    made = (
        TableColumn(
            ("Column",),
            tuple(Cell(f"{c.label}, {metric_words(c)}") for _, c in found),
            right=False,
            limit=TEXT_WIDTH,
        ),
        TableColumn(("Measured",), tuple(Cell(score(a.measured, c)) for a, c in found)),
        TableColumn(("Published",), tuple(Cell(score(a.published, c)) for a, c in found)),
        TableColumn(("Difference",), tuple(Cell(signed(a.difference, c)) for a, c in found)),
        TableColumn(
            ("Source",),
            tuple(Cell("; ".join(filter(None, (a.source, a.note)))) for a, _ in found),
            right=False,
            limit=TEXT_WIDTH,
        ),
    )
    names = TableColumn(("Arm",), tuple(Cell(a.row) for a, _ in found), right=False, limit=NAME_WIDTH[form])
    caption = "Measured against published values of the same weights under the same protocol."
    return render(Table("anchors", caption, names, made))


def _published(board: Board) -> Table:
    """Return the table of published rows, in blocks that compare."""
    names: list[Cell] = []
    details: list[Cell] = []
    pretraining: list[Cell] = []
    epochs: list[Cell] = []
    values: list[Cell] = []
    rules: list[int] = []
    for group in board.published:
        rules.append(len(names))
        source = "; ".join(filter(None, (group.source, group.omission)))
        names.append(Cell(f"{group.task}, {group.dataset}", bold=True))
        details.append(Cell(f"{group.protocol} ({source})"))
        pretraining.append(Cell(""))
        epochs.append(Cell(""))
        values.append(Cell(", ".join(group.metrics)))
        for row in group.rows:
            names.append(Cell(row.method))
            details.append(Cell(row.remarks or MISSING))
            pretraining.append(Cell(f"{row.backbone}, {row.pretrain_data or MISSING}"))
            epochs.append(Cell(row.epochs or MISSING))
            values.append(Cell(", ".join(value or MISSING for value in row.values)))
    texts = ((("Details",), details, 20.0), (("Pretraining",), pretraining, 10.0), (("Epochs",), epochs, 3.5))
    columns = [TableColumn(heads, tuple(cells), right=False, limit=limit) for heads, cells, limit in texts]
    columns.append(TableColumn(("Published",), tuple(values), limit=7.0))
    return Table(
        "published",
        r"Published elsewhere, \emph{not measured here}: other data, networks and budgets; numbers compare "
        "within one block only.",
        TableColumn(("Method",), tuple(names), right=False, limit=8.0),
        tuple(columns),
        frozenset(rules),
    )


def _caveats(board: Board) -> list[str]:
    """Return the verdict and the caveats as a paragraph, which may be longer than a page."""
    words = [prose(note) for note in (board.verdict, *board.footnotes) if note]
    if not words:
        return []
    return [r"\par\noindent{\fontsize{8}{9.6}\selectfont\raggedright " + r"\par ".join(words) + r"\par}"]
