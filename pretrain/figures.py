"""Images of a run: what the network is shown, and how the loss went."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path

import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from torch import Generator, Tensor

from mmbench.checkpoints.card import Preprocessing
from mmbench.files import atomic_path
from mmbench.pretrain.masking import Panel
from mmbench.pretrain.view_maker import ViewMaker
from mmbench.runs import read_metrics

INK, FAINT, ACCENT = "#1f2430", "#8a90a0", ("#2563a8", "#d9772b", "#3f8f5b")
IMAGE_INCHES = 1.03  # the side of each image of views.png
CLEAN = {"clean": "clean query"}  # the term beside those of a masking's branches


def displayable(images: Tensor, preprocessing: Preprocessing) -> Tensor:
    """Return normalised views (N, 3, H, W) as images (N, H, W, 3) in [0, 1].

    High-passed views have no brightness: zero is drawn as mid-gray and contrast is stretched.
    """
    pixels = images.detach().float().cpu()
    if preprocessing.high_pass is not None:
        pixels = pixels * 0.4 + 0.5
    else:
        mean, std = (torch.tensor(values).view(3, 1, 1) for values in (preprocessing.mean, preprocessing.std))
        pixels = pixels * std + mean
    return pixels.clamp(0, 1).permute(0, 2, 3, 1)


def _gray(masks: Tensor) -> Tensor:
    """Return masks (N, 1 or 3, H, W) as images (N, H, W, 3)."""
    return masks.detach().float().cpu().expand(-1, 3, -1, -1).permute(0, 2, 3, 1)


def draw_views(maker: ViewMaker, images: Tensor, generator: Generator, path: Path, method: str) -> None:
    """Draw one column per image, uint8 (N, 3, H, W): original, views, the masking's panels."""
    views = maker(images, generator)
    preprocessing = maker.preprocessing
    filtered = "\nhigh-passed" if preprocessing.high_pass is not None else ""
    panels = [
        Panel(f"query view{filtered}", views.query, "view"),
        Panel(f"key view{filtered}", views.key, "view"),
    ]
    for masked in views.masked:
        panels += maker.masking.panels(masked, views.query)
    rows: list[tuple[str, Tensor, tuple[str, ...]]] = [
        ("original", images.cpu().permute(0, 2, 3, 1).float() / 255, ())
    ]
    for panel in panels:
        shown = displayable(panel.images, preprocessing) if panel.kind == "view" else _gray(panel.images)
        rows.append((panel.label, shown, panel.captions))
    # One pair of axes in inches: a pair for each image takes three seconds to make.
    labels, cell_width, cell_height, heading = 1.3, 1.12, 1.18, 0.4
    width = max(labels + cell_width * len(images), 4.0)  # room for the title
    height = heading + cell_height * len(rows)
    figure = Figure(figsize=(width, height), facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    for row, (label, shown, captions) in enumerate(rows):
        bottom = height - heading - row * cell_height - IMAGE_INCHES
        middle = bottom + IMAGE_INCHES / 2
        axes.text(labels - 0.1, middle, label, ha="right", va="center", fontsize=9, color=INK)
        for column, image in enumerate(shown):
            left = labels + column * cell_width
            place = (left, left + IMAGE_INCHES, bottom, bottom + IMAGE_INCHES)
            axes.imshow(image.numpy(), interpolation="nearest", extent=place)
            axes.add_patch(
                Rectangle((left, bottom), IMAGE_INCHES, IMAGE_INCHES, fill=False, ec=FAINT, lw=0.6)
            )
            if captions:
                centre, words = left + IMAGE_INCHES / 2, captions[column]
                axes.text(centre, bottom - 0.02, words, ha="center", va="top", fontsize=7.5, color=INK)
    axes.set(xlim=(0, width), ylim=(0, height))
    axes.set_axis_off()
    title = f"{method}: what the network is shown"
    axes.text(0.1, height - 0.08, title, va="top", fontsize=12, color=INK)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=130, format="png")


def draw_curves(metrics: Path, path: Path, title: str, branches: Mapping[str, str]) -> bool:
    """Draw loss terms, learning rate, speed and, where watched, kNN of metrics.jsonl over epochs.

    Args:
        branches: labels of the masking's terms of the loss, by name.

    Returns:
        Whether there was anything to draw: the file may have been lost.
    """
    drawn = {"epoch", "loss", "lr", "images_per_second"}
    records = (
        [record for record in read_metrics(metrics) if drawn <= record.keys()] if metrics.is_file() else []
    )
    if not records:
        return False
    epochs = [record["epoch"] for record in records]
    figure = Figure(figsize=(9.6, 3.4), facecolor="white")
    FigureCanvasAgg(figure)
    watched = [(record["epoch"], record["knn"]) for record in records if "knn" in record]
    widths = (2.2, 1, 1, 1) if watched else (2.2, 1, 1)
    loss, rate, speed, *rest = figure.subplots(1, len(widths), gridspec_kw={"width_ratios": widths})
    labels = {f"loss_{name}": label for name, label in (CLEAN | dict(branches)).items()}
    terms = [name for name in labels if name in records[-1]]
    for name, colour in zip(terms, itertools.cycle(ACCENT), strict=False):
        values = [record[name] for record in records]
        loss.plot(epochs, values, color=colour, linewidth=1.6)
        loss.annotate(
            f"{labels[name]}\n{values[-1]:.2f}",
            (epochs[-1], values[-1]),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            color=colour,
            fontsize=9,
        )
    loss.set_xlim(0, epochs[-1] * 1.25)  # room for the names of the curves
    rate.plot(epochs, [record["lr"] for record in records], color=INK, linewidth=1.6)
    rate.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    rate.yaxis.set_major_locator(MaxNLocator(5))
    rate.set_ylim(bottom=0)
    speed.plot(epochs, [record["images_per_second"] for record in records], color=INK, linewidth=1.6)
    speed.set_ylim(bottom=0)
    panels = [(loss, "loss"), (rate, "learning rate"), (speed, "images per second")]
    for axis in rest:
        axis.plot(*zip(*watched, strict=True), color=INK, linewidth=1.6, marker="o", markersize=3)
        panels.append((axis, "kNN on val, %"))
    for axis, name in panels:
        axis.set_title(name, loc="left", fontsize=10, color=INK)
        axis.set_xlabel("epoch", fontsize=9, color=INK)
        ticks = MaxNLocator(9, integer=True).tick_values(0, epochs[-1])
        axis.set_xticks([tick for tick in ticks if 0 <= tick <= epochs[-1]])
        axis.grid(axis="y", color="#e6e8ee", linewidth=0.8)
        axis.tick_params(labelsize=8, colors=FAINT)
        for side in ("top", "right"):
            axis.spines[side].set_visible(False)
        for side in ("left", "bottom"):
            axis.spines[side].set_color(FAINT)
    figure.suptitle(title, x=0.01, y=0.97, ha="left", fontsize=12, color=INK)
    figure.subplots_adjust(left=0.05, right=0.985, top=0.8, bottom=0.15, wspace=0.5)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=130, format="png")
    return True
