r"""Board to LaTeX: booktabs tables; needs \usepackage{booktabs} and a document in UTF-8."""

from __future__ import annotations

from collections.abc import Iterable

from mmbench.leaderboard.board import Board, Column, Row
from mmbench.leaderboard.render.wording import metric_words, rank_words, score, signed

ESCAPES = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "−": "$-$",
    "–": "--",
    "°": r"$^\circ$",
    "±": r"$\pm$",
    "·": r"$\cdot$",
}


def escape(text: str) -> str:
    """Return text in which every character that LaTeX reads as a command stands for itself."""
    return "".join(ESCAPES.get(character, character) for character in text)


def render_latex(board: Board) -> str:
    """Return the tables of scores, differences and published numbers as LaTeX source."""
    parts = [
        f"% {board.title.splitlines()[0]}: {board.records} records, the newest of {board.created}",
        r"% needs \usepackage{booktabs}",
        _scores(board),
    ]
    if board.baseline is not None:
        parts.append(_deltas(board))
    if board.published:
        parts.append(_published(board))
    return "\n\n".join(parts) + "\n"


def _scores(board: Board) -> str:
    lines = [
        [escape(row.name), rank_words(row), *(_score(board, row, column) for column in board.columns)]
        for row in board.rows
    ]
    notes = " ".join(escape(note) for note in board.footnotes)
    caption = (
        f"{escape(board.title)}: mean $\\pm$ sample standard deviation over runs, their number in brackets; "
        f"best mean of a column in bold. {notes}"
    )
    heads = ["Arm", "Rank", *(escape(column.label) for column in board.columns)]
    second = ["", "", *(escape(metric_words(column)) for column in board.columns)]
    return _table("scores", caption, [heads, second], lines, "l" + "r" * (len(heads) - 1), _rules(board))


def _score(board: Board, row: Row, column: Column) -> str:
    cell = board.cell(row, column)
    if cell is None:
        return "--"
    mean = score(cell.summary.mean, column)
    std = "" if cell.summary.std is None else f"$\\,\\pm\\,{score(cell.summary.std, column)}$"
    return (f"\\textbf{{{mean}}}" if cell.best else mean) + f"{std} ({cell.summary.runs})"


def _deltas(board: Board) -> str:
    rows = [row for row in board.rows if not row.baseline]
    lines = [[escape(row.name), *(_delta(board, row, column) for column in board.columns)] for row in rows]
    heads = ["Arm", *(escape(column.label) for column in board.columns)]
    caption = (
        f"Difference of means to {escape(board.baseline or '')}, in points, with Welch's 95\\% interval; "
        "in bold where it excludes zero."
    )
    return _table("deltas", caption, [heads], lines, "l" + "r" * (len(heads) - 1), ())


def _delta(board: Board, row: Row, column: Column) -> str:
    cell = board.cell(row, column)
    if cell is None or cell.delta is None:
        return "--"
    delta, interval = cell.delta, cell.delta.interval
    words = escape(signed(delta.value, column))
    if interval is not None:
        bounds = f"{signed(interval.low, column)}, {signed(interval.high, column)}"
        words += f" {{\\scriptsize [{escape(bounds)}]}}"
    return f"\\textbf{{{words}}}" if delta.separable else words


def _rules(board: Board) -> tuple[int, ...]:
    """Return the rows after which a thin rule separates complete arms from incomplete ones."""
    complete = sum(row.complete for row in board.rows)
    return (complete,) if 0 < complete < len(board.rows) else ()


def _published(board: Board) -> str:
    lines: list[str] = []
    for group in board.published:
        source = "; ".join(filter(None, (group.source, group.omission)))
        title = f"{group.task}, {group.dataset}: {group.protocol} ({source})"
        lines += [r"\midrule", rf"\multicolumn{{5}}{{l}}{{\emph{{{escape(title)}}}}} \\"]
        for row in group.rows:
            values = ", ".join(
                f"{metric} {value}"
                for metric, value in zip(group.metrics, row.values, strict=True)
                if value is not None
            )
            cells = (
                row.method,
                row.remarks,
                f"{row.backbone}, {row.pretrain_data or '--'}",
                row.epochs,
                values,
            )
            lines.append(" & ".join(escape(cell) or "--" for cell in cells) + r" \\")
    return "\n".join(
        [
            r"\begin{table*}",
            r"\caption{Published elsewhere, \emph{not measured here}: other data, networks and budgets; "
            r"numbers compare within one block only.}",
            r"\label{tab:mmbench-published}",
            r"\scriptsize",
            r"\begin{tabular}{lllrl}",
            r"\toprule",
            r"Method & Variant & Pretraining & Epochs & Published value \\",
            *lines,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table*}",
        ]
    )


def _table(
    name: str,
    caption: str,
    heads: list[list[str]],
    lines: Iterable[list[str]],
    form: str,
    rules: tuple[int, ...],
) -> str:
    body = []
    for place, line in enumerate(lines):
        body += [r"\midrule"] if place in rules else []
        body.append(" & ".join(line) + r" \\")
    return "\n".join(
        [
            r"\begin{table*}",
            r"\centering",
            rf"\caption{{{caption}}}",
            rf"\label{{tab:mmbench-{name}}}",
            rf"\begin{{tabular}}{{{form}}}",
            r"\toprule",
            *(" & ".join(head) + r" \\" for head in heads),
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table*}",
        ]
    )
