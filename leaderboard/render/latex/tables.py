r"""Tables that fit: columns broken into several tables by their width, rows by the height of a page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mmbench.leaderboard.render.latex.text import BOLD, escape, width, wrapped

# Widths in points that a table may have (1 inch is 72.27 points). By their style files a column of ICML has
# 3.25 inches (text of 6.75, columns 0.25 apart) and one of CVPR 3.28 (6.875, 0.3125); the text of NeurIPS,
# which has one column, 5.5.
COLUMN, TEXT = 3.25 * 72.27, 5.5 * 72.27
SIZES = (8, 7)  # points: footnotesize and scriptsize of article at 10 points
SMALL = 6  # of spreads and intervals
SPACE = 1.5  # points before them
LEADING = 1.2
GAP = 3.0  # points, on both sides of a column
MOST_LINES = 44  # of rows in one table: with heading and notes they fit a page of 8.9 inches (CVPR)
HEADING = 8  # em that a heading may have before it is broken into lines


@dataclass(frozen=True)
class Cell:
    """Content of a cell: plain text, in bold if marked, then text in small type."""

    text: str
    small: str = ""
    bold: bool = False

    def width(self, size: int) -> float:
        """Return an upper bound of its width in points."""
        own = width(self.text, size) * (BOLD if self.bold else 1)
        return own + (width(self.small, SMALL) + SPACE if self.small else 0)

    @property
    def source(self) -> str:
        """LaTeX source."""
        text = rf"\textbf{{{escape(self.text)}}}" if self.bold else escape(self.text)
        return text + (
            rf"\,{{\fontsize{{{SMALL}}}{{7}}\selectfont {escape(self.small)}}}" if self.small else ""
        )


@dataclass(frozen=True)
class TableColumn:
    """A column: lines of its heading, a cell per row, and whether it is aligned to the right.

    Attributes:
        limit: em; text that is wider is broken into lines. None for numbers, which never are.
    """

    heads: tuple[str, ...]
    cells: tuple[Cell, ...]
    right: bool = True
    limit: float | None = None


@dataclass(frozen=True)
class Table:
    """What one or more LaTeX tables show.

    Attributes:
        names: the first column, repeated in every part.
        rules: numbers of rows before which a thin rule stands.
        notes: LaTeX source below every part.
    """

    label: str
    caption: str
    names: TableColumn
    columns: tuple[TableColumn, ...]
    rules: frozenset[int] = frozenset()
    notes: str = ""
    wide: bool = True

    @property
    def limit(self) -> float:
        """Points that it may be wide."""
        return TEXT if self.wide else COLUMN


def render(table: Table) -> list[str]:
    """Return the tables: at the larger size, or at the smaller one where that needs fewer."""
    sizes = {size: _parts(table, size) for size in SIZES}
    size = min(SIZES, key=lambda size: (len(sizes[size]), -size))
    pages = _pages(table, size)
    found: list[str] = []
    for rows in pages:
        for columns in sizes[size]:
            number = len(found) + 1
            more = len(pages) * len(sizes[size]) > 1
            label = f"{table.label}-{number}" if more else table.label
            caption = f"{table.caption} (part {number})" if more else table.caption
            found.append(_source(table, (table.names, *columns), rows, size, (label, caption)))
    return found


def _parts(table: Table, size: int) -> list[list[TableColumn]]:
    """Return the columns in parts that fit the width beside the names."""
    first = _width(table.names, size)
    parts: list[list[TableColumn]] = [[]]
    used = first
    for column in table.columns:
        needed = _width(column, size) + 2 * GAP
        if parts[-1] and used + needed > table.limit:
            parts.append([])
            used = first
        parts[-1].append(column)
        used += needed
    return parts


def _width(column: TableColumn, size: int) -> float:
    heads = [width(line, size) for head in column.heads for line in _lines(head, size, HEADING)]
    if column.limit is None:
        return max([*heads, *(cell.width(size) for cell in column.cells)])
    cells = [width(line, size) for cell in column.cells for line in _lines(cell.text, size, column.limit)]
    return max([*heads, *cells]) * (BOLD if any(cell.bold for cell in column.cells) else 1)


def _lines(text: str, size: int, limit: float | None) -> list[str]:
    return [text] if limit is None else wrapped(text, size, limit * size)


def _pages(table: Table, size: int) -> list[range]:
    """Return the rows in parts that fit the height of a page."""
    columns = [column for column in (table.names, *table.columns) if column.limit is not None]
    pages, start, used = [], 0, 0
    for row in range(len(table.names.cells)):
        lines = max(len(_lines(column.cells[row].text, size, column.limit)) for column in columns)
        if used and used + lines > MOST_LINES:
            pages.append(range(start, row))
            start, used = row, 0
        used += lines
    return [*pages, range(start, len(table.names.cells))]


def _source(
    table: Table, columns: Sequence[TableColumn], rows: range, size: int, names: tuple[str, str]
) -> str:
    label, caption = names
    form = "".join("r" if column.right else "l" for column in columns)
    body = []
    for row in rows:
        if row in table.rules and row != rows.start:
            body.append(r"\midrule")
        body.append(_line(_cell(column, row, size) for column in columns))
    heads = [
        _line(_stack(_lines(column.heads[line], size, HEADING), "b", column.right) for column in columns)
        for line in range(len(table.names.heads))
    ]
    environment = "table*" if table.wide else "table"
    notes = [
        r"\par\vspace{3pt}",
        r"\begin{minipage}{\linewidth}\raggedright\fontsize{7}{8.4}\selectfont",
        rf"{table.notes}\end{{minipage}}",
    ]
    return "\n".join(
        [
            rf"\begin{{{environment}}}",
            rf"\caption{{{caption}}}",
            rf"\label{{tab:mmbench-{label}}}",
            r"\centering",
            rf"\fontsize{{{size}}}{{{size * LEADING:g}}}\selectfont",
            rf"\setlength{{\tabcolsep}}{{{GAP:g}pt}}",
            rf"\begin{{tabular}}{{@{{}}{form}@{{}}}}",
            r"\toprule",
            *heads,
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
            *(notes if table.notes else []),
            rf"\end{{{environment}}}",
        ]
    )


def _line(cells: Iterable[str]) -> str:
    return " & ".join(cells) + r" \\"


def _cell(column: TableColumn, row: int, size: int) -> str:
    cell = column.cells[row]
    if column.limit is None:
        return cell.source
    stack = _stack(_lines(cell.text, size, column.limit), "t", column.right)
    return rf"\textbf{{{stack}}}" if cell.bold else stack


def _stack(lines: list[str], place: str, right: bool) -> str:
    """Return lines of text above each other, the first ("t") or the last one ("b") level with the row."""
    if len(lines) == 1:
        return escape(lines[0])
    form = "r" if right else "l"
    content = r" \\ ".join(map(escape, lines))
    return rf"\begin{{tabular}}[{place}]{{@{{}}{form}@{{}}}}{content}\end{{tabular}}"
