"""Images of a run: what the network is shown, and how the loss went."""

from __future__ import annotations

from pathlib import Path

import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Generator, Tensor

from mmbench.checkpoints.card import Preprocessing
from mmbench.files import atomic_path
from mmbench.pretrain.view_maker import ViewMaker
from mmbench.runs import read_metrics

INK, FAINT, ACCENT = "#1f2430", "#8a90a0", ("#2563a8", "#d9772b", "#3f8f5b")
TERM_NAMES = {
    "loss_clean": "clean query",
    "loss_masked": "masked query",
    "loss_unmix": "Un-Mix",
    "loss_mixmask": "MixMask",
}


def displayable(images: Tensor, preprocessing: Preprocessing) -> Tensor:
    """Return normalised views (N, 3, H, W) as pictures (N, H, W, 3) in [0, 1].

    High-passed views have no brightness: zero is drawn as mid-gray and contrast is stretched.
    """
    pixels = images.detach().float().cpu()
    if preprocessing.high_pass is not None:
        pixels = pixels * 0.4 + 0.5
    else:
        mean, std = (torch.tensor(values).view(3, 1, 1) for values in (preprocessing.mean, preprocessing.std))
        pixels = pixels * std + mean
    return pixels.clamp(0, 1).permute(0, 2, 3, 1)


def draw_views(maker: ViewMaker, images: Tensor, generator: Generator, path: Path, method: str) -> None:
    """Draw one column per image, uint8 (N, 3, H, W): original, views, mask, masked query, partner."""
    views = maker(images, generator)
    preprocessing = maker.preprocessing
    filtered = "\nhigh-passed" if preprocessing.high_pass is not None else ""
    rows: list[tuple[str, Tensor]] = [
        ("original", images.cpu().permute(0, 2, 3, 1).float() / 255),
        (f"query view{filtered}", displayable(views.query, preprocessing)),
        (f"key view{filtered}", displayable(views.key, preprocessing)),
    ]
    shares: dict[int, list[str]] = {}  # by the row that they stand under
    for masked in views.masked:
        mask = masked.mask.detach().float().cpu().expand(-1, 3, -1, -1).permute(0, 2, 3, 1)
        shares[len(rows)] = [f"λ = {value:.2f}" for value in masked.lam.tolist()]
        rows.append(("mask\nwhite: own pixels", mask))
        what = "masked query" if masked.partner is None else "mixed query"
        what += f"\n{TERM_NAMES[f'loss_{masked.name}']}" if len(views.masked) > 1 else ""
        rows.append((what, displayable(masked.images, preprocessing)))
        if masked.partner is not None:
            rows.append(("partner's view", displayable(views.query[masked.partner], preprocessing)))
    figure = Figure(figsize=(1.35 + 1.12 * len(images), 0.55 + 1.16 * len(rows)), facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(rows), len(images), squeeze=False)
    for row, (label, pictures) in enumerate(rows):
        for column, picture in enumerate(pictures):
            axis = axes[row][column]
            axis.imshow(picture.numpy(), interpolation="nearest", vmin=0, vmax=1)
            axis.set_xticks([])
            axis.set_yticks([])
            for spine in axis.spines.values():
                spine.set_color(FAINT)
                spine.set_linewidth(0.6)
            if row in shares:
                axis.set_xlabel(shares[row][column], fontsize=7.5, color=INK, labelpad=2)
        axes[row][0].set_ylabel(label, rotation=0, ha="right", va="center", labelpad=8, fontsize=9, color=INK)
    figure.suptitle(f"{method}: what the network is shown", x=0.01, ha="left", fontsize=12, color=INK)
    figure.tight_layout(pad=0.4, h_pad=0.3, w_pad=0.3, rect=(0, 0, 1, 0.985))
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=130, format="png")


def draw_curves(metrics: Path, path: Path, title: str) -> bool:
    """Draw loss terms, learning rate, speed and, where watched, kNN of metrics.jsonl over epochs.

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
    terms = [name for name in TERM_NAMES if name in records[-1]]
    for name, colour in zip(terms, ACCENT, strict=False):
        values = [record[name] for record in records]
        loss.plot(epochs, values, color=colour, linewidth=1.6)
        loss.annotate(
            f"{TERM_NAMES[name]}\n{values[-1]:.2f}",
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
