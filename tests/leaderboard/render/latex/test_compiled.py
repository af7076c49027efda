"""The LaTeX file compiles, and nothing is wider or higher than a page, where TeX is installed."""

from __future__ import annotations

import random
import re
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from mmbench.leaderboard.board import Board
from mmbench.leaderboard.published.groups import published_groups
from mmbench.leaderboard.render.latex import LatexForm, render_latex

# The text of ICML, in columns as narrow, and the text of NeurIPS; CVPR has the lowest page.
LAYOUTS: dict[LatexForm, str] = {
    "tasks": r"\documentclass[10pt,twocolumn]{article}"
    r"\usepackage[textwidth=6.75in,textheight=8.875in,columnsep=0.25in]{geometry}",
    "wide": r"\documentclass[10pt]{article}\usepackage[textwidth=5.5in,textheight=8.875in]{geometry}",
}


def letters(rng: random.Random) -> str:
    """Return a name of printable characters from all of Unicode."""
    found: list[str] = []
    while len(found) < 12:
        letter = chr(rng.choice((rng.randrange(32, 0x2FFF), rng.randrange(32, 0x1FFFF))))
        if letter.isprintable():
            found.append(letter)
    return "".join(found)


@pytest.mark.tex
@pytest.mark.parametrize("engine", ["pdflatex", "xelatex"])
@pytest.mark.parametrize("form", LAYOUTS)
def test_the_file_compiles_and_fits(
    make_board_of: Callable[..., Board],
    hostile_names: tuple[str, ...],
    tmp_path: Path,
    form: LatexForm,
    engine: str,
) -> None:
    rng = random.Random(0)
    names = [*hostile_names, *(letters(rng) for _ in range(12))]
    board = make_board_of(names, 7, baseline=names[3], labels=names)
    board = replace(
        board,
        footnotes=tuple(names),
        title="\n".join(names),
        published=published_groups(["linear", "detection"]),
    )
    (tmp_path / "board.tex").write_text(render_latex(board, form), encoding="ascii")
    (tmp_path / "paper.tex").write_text(
        LAYOUTS[form] + r"\usepackage{booktabs}\extrafloats{200}\begin{document}\input{board}\end{document}"
    )
    command = [engine, "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
    log = (tmp_path / "paper.log").read_text(encoding="utf-8", errors="replace")
    assert done.returncode == 0, log[-2000:]
    assert not re.findall(r"(?m)^(?:!|Overfull|LaTeX Warning: Float|Missing character).*", log)
