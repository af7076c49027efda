"""Board to LaTeX: tables that fit a column of a paper or the whole width, for pdflatex and xelatex."""

from __future__ import annotations

from mmbench.leaderboard.render.latex.document import LatexForm, render_latex
from mmbench.leaderboard.render.latex.text import escape

__all__ = ["LatexForm", "escape", "render_latex"]
