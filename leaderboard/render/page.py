"""Board to one static HTML page: style and drawings inside, nothing loaded from anywhere."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Sequence
from importlib import resources
from typing import Any

import jinja2
from markupsafe import Markup

from mmbench.leaderboard.board import Board
from mmbench.leaderboard.published.types import PublishedGroup
from mmbench.leaderboard.render import wording
from mmbench.leaderboard.render.plots import Plot


def render_page(board: Board, plots: Sequence[Plot]) -> str:
    """Return the page as HTML; `plots` are the drawings of this board (see `draw_plots`)."""
    folder = resources.files("mmbench.leaderboard.render")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string((folder / "page.html").read_text(encoding="utf-8"))
    drawings = {plot.name: Markup(plot.svg) for plot in plots}
    return template.render(
        board=board,
        style=Markup((folder / "page.css").read_text(encoding="utf-8")),
        script=Markup(SORT_SCRIPT),
        words=wording,
        drawings=drawings,
        published=[(task, list(groups)) for task, groups in itertools.groupby(board.published, _task)],
        source_link=source_link,
        settings=_settings,
    )


def source_link(source: str) -> str | None:
    """Return the address of a published source, if its text holds one: an arXiv id or a GitHub path."""
    if found := re.match(r"([\w.-]+/[\w.-]+?)(@[\w.-]+)?:", source):
        return f"https://github.com/{found.group(1)}"
    if found := re.search(r"arXiv (\d{4}\.\d{4,5})", source):
        return f"https://arxiv.org/abs/{found.group(1)}"
    return None


def _task(group: PublishedGroup) -> str:
    return group.task


def _settings(text: str) -> dict[str, Any]:
    """Return a column's settings as a flat dictionary of readable values."""
    settings: dict[str, Any] = json.loads(text)
    return settings


# A click on a column's head sorts the rows by it; a second click turns the order round; gaps stay last.
SORT_SCRIPT = """
document.querySelectorAll("th button").forEach((button) => button.addEventListener("click", () => {
  const head = button.closest("th"), body = head.closest("table").tBodies[0];
  const place = [...head.parentNode.children].indexOf(head);
  const up = head.getAttribute("aria-sort") === "descending" ||
    (head.getAttribute("aria-sort") !== "ascending" && head.dataset.first === "ascending");
  head.parentNode.querySelectorAll("th").forEach((other) => other.removeAttribute("aria-sort"));
  head.setAttribute("aria-sort", up ? "ascending" : "descending");
  const key = (row) => row.children[place].dataset.value;
  const order = (a, b) => (key(a) === "") - (key(b) === "") || (up ? 1 : -1) * (key(a) - key(b));
  [...body.rows].sort(order).forEach((row) => body.append(row));
}));
"""
