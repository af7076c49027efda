"""The confusion matrix of a record as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from mmbench.files import atomic_path

NAMED = 40  # more classes than these get no names at the axes
COUNTED = 15  # more classes than these get no numbers in the cells


def draw_confusion(counts: Tensor, classes: Sequence[str], title: str, path: Path) -> None:
    """Draw shares per true class (rows add up to 100 percent) as a PNG.

    Args:
        counts: int64 (classes, classes), rows true, columns predicted.
    """
    from matplotlib.figure import Figure

    shares = 100 * counts.double() / counts.sum(dim=1, keepdim=True).clamp_min(1)
    side = min(12.0, 3.5 + 0.35 * len(classes))
    figure = Figure(figsize=(side + 0.8, side), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(shares.numpy(), cmap="Blues", vmin=0, vmax=100)
    figure.colorbar(image, ax=axes, label="percent of the true class", shrink=0.8)
    axes.set(xlabel="predicted", ylabel="true", title=title)
    if len(classes) <= NAMED:
        axes.set_xticks(range(len(classes)), classes, rotation=90)
        axes.set_yticks(range(len(classes)), classes)
    if len(classes) <= COUNTED:
        for row, values in enumerate(shares.tolist()):
            for column, value in enumerate(values):
                colour = "white" if value > 60 else "black"
                axes.text(column, row, f"{value:.0f}", ha="center", va="center", color=colour, fontsize=8)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=110, format="png")
