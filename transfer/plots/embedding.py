"""Plot of features by t-SNE in two dimensions: a mark per image in the colour of its class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import normalize

from mmbench.errors import UserError
from mmbench.files import atomic_path
from mmbench.settings.types import legacy_seed
from mmbench.transfer.plots.confusion import shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.transforms import Bbox

N_SHOWN = 2000  # more marks than these cover each other, and t-SNE takes a minute
PERPLEXITY = 30.0  # scikit-learn's default; van der Maaten and Hinton 2008 name 5 to 50
CLASSES_SHOWN = 100  # of more classes each would have too few marks to be seen as one
IN_LEGEND = 20  # more classes than these are named among the marks
NAMED = 40  # classes that are named among the marks, at most
ENOUGH = 5  # marks that a class needs to be named at their middle
INK, FAINT, NONE = "#1c2127", "#66707c", "#b9c0c8"
# The colours of Okabe and Ito 2008 for every kind of colour vision, yellow darkened and black lightened. Five
# shapes beside eight colours give 40 kinds of marks, none of which rests on hue alone.
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#56b4e9", "#cc79a7", "#3a3f46", "#b8a900")
SHAPES = ("o", "^", "s", "D", "v")


def first_labels(labels: Tensor) -> Tensor:
    """Return one label (N,) per image: of several (N, classes) the first that is there, -1 for none."""
    if labels.ndim == 1:
        return labels
    there = labels > 0
    return torch.where(there.any(dim=1), there.int().argmax(dim=1), -1)


def chosen(labels: Tensor, count: int, seed: int) -> Tensor:
    """Return the sorted indices of at most `count` images, drawn evenly from at most 100 classes.

    A class that has fewer than its share gives all it has, and the others more.

    Args:
        labels: int64, (N,) or (N, classes); see `first_labels`.
    """
    single = first_labels(labels)
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(single), generator=generator)
    kept = single.unique()
    if len(kept) > CLASSES_SHOWN:
        kept = kept[torch.randperm(len(kept), generator=generator)[:CLASSES_SHOWN]]
        order = order[torch.isin(single[order], kept)]
    drawn = torch.zeros(len(single), dtype=torch.int64)  # how many of its class were drawn before it
    for label in kept.tolist():
        members = order[single[order] == label]
        drawn[members] = torch.arange(len(members))
    rounds = drawn[order].argsort(stable=True)  # one of every class, then another
    return order[rounds[:count]].sort().values


def require_shown(images: int) -> None:
    """Check that t-SNE of so many images shows something.

    Raises:
        UserError: fewer than four images.
    """
    if images < 4:
        raise UserError(f"t-SNE of {images} images shows nothing; give it four or more")


def embed(features: Tensor, seed: int) -> Tensor:
    """Return t-SNE's points (N, 2) float32 of features (N, C), which are compared by their cosine.

    It starts from the principal components, so that the seed matters little (Kobak and Berens 2019).

    Raises:
        UserError: fewer than four images.
    """
    from sklearn.manifold import TSNE

    require_shown(len(features))
    directions = normalize(features.float(), dim=1)
    if directions.shape[1] == 1:  # two components are wanted to start from
        directions = torch.cat([directions, torch.zeros_like(directions)], dim=1)
    perplexity = min(PERPLEXITY, (len(features) - 1) / 3)
    # On unit vectors the squared Euclidean distance is 2 - 2 x cosine, and its search is the faster one.
    mapping = TSNE(
        perplexity=perplexity, init="pca", metric="euclidean", random_state=legacy_seed(seed), n_jobs=1
    )
    return torch.from_numpy(mapping.fit_transform(directions.numpy())).float()


def draw_embedding(points: Tensor, labels: Tensor, classes: Sequence[str], title: str, path: Path) -> None:
    """Draw points as a PNG; a line above says how to read it.

    Up to 20 classes are in a legend; of more, the most compact ones are named where their marks are.

    Args:
        points: (N, 2), of `embed`.
        labels: int64, (N,) or (N, classes); of several labels the first one gives the colour.
        title: which features, such as "moco-seed0 on patterns, test".
    """
    from matplotlib.figure import Figure

    single = first_labels(labels)
    legend = len(classes) <= IN_LEGEND
    figure = Figure(figsize=(9.6 if legend else 8.4, 8.2), layout="constrained")
    axes = figure.add_subplot()
    axes.set_aspect("equal", adjustable="datalim")
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set_color("#dde1e6")
    size = 34 if len(points) <= 500 else 20 if len(points) <= 1000 else 13
    for label in single.unique().tolist():
        own = points[single == label]
        colour, shape = mark_of(label)
        name = shortened(classes[label]) if label >= 0 else "(none)"
        axes.scatter(
            own[:, 0], own[:, 1], s=size, c=colour, marker=shape, label=name, alpha=0.75, linewidths=0
        )
    heading = f"{title}: t-SNE of {len(points):,} images"
    axes.set_title(heading, loc="left", fontsize=12, fontweight="bold", color=INK, pad=24, parse_math=False)
    caution = "Neighbours mean something; distances between clusters, their sizes and the axes mean nothing."
    several = "" if labels.ndim == 1 else " Colour: the first label."
    shown = len(single[single >= 0].unique())
    part = "" if shown == len(classes) else f" {shown} of {len(classes):,} classes."
    axes.text(
        0, 1.012, caution + several + part, transform=axes.transAxes, fontsize=9, color=FAINT, va="bottom"
    )
    if legend:
        drawn = axes.legend(
            loc="upper left",
            bbox_to_anchor=(1.01, 1),
            frameon=False,
            fontsize=10,
            handletextpad=0.2,
        )
        for handle, text in zip(drawn.legend_handles, drawn.get_texts(), strict=True):
            text.set_parse_math(False)
            if handle is not None:
                handle.set_alpha(1)
                handle.set_sizes([46])  # type: ignore[attr-defined]
    else:
        _name_clusters(axes, points, single, classes)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=130, format="png", bbox_inches="tight", pad_inches=0.12)


def mark_of(label: int) -> tuple[str, str]:
    """Return colour and shape of a class; a grey dot for none (-1)."""
    return (NONE, ".") if label < 0 else (COLOURS[label % len(COLOURS)], SHAPES[label % len(SHAPES)])


def most_compact(points: Tensor, labels: Tensor, count: int) -> list[int]:
    """Return at most `count` classes by the median distance of their points to their middle, least first."""
    spread = {}
    for label in labels.unique().tolist():
        own = points[labels == label]
        if label >= 0 and len(own) >= ENOUGH:
            spread[label] = float((own - own.median(dim=0).values).norm(dim=1).median())
    return sorted(spread, key=spread.__getitem__)[:count]


def _name_clusters(axes: Axes, points: Tensor, labels: Tensor, classes: Sequence[str]) -> None:
    """Write the names of the most compact classes above them, where they do not cover each other."""
    from matplotlib.patheffects import withStroke

    figure = axes.get_figure(root=True)
    assert figure is not None
    figure.draw_without_rendering()
    taken: list[Bbox] = []
    for label in most_compact(points, labels, NAMED):
        own = points[labels == label]
        x, y = float(own[:, 0].median()), float(own[:, 1].quantile(0.85))
        text = axes.text(
            x,
            y,
            shortened(classes[label], 18),
            ha="center",
            va="bottom",
            fontsize=8.5,
            fontweight="bold",
            color=INK,
            parse_math=False,
            path_effects=[withStroke(linewidth=2.5, foreground="white")],
        )
        box = text.get_window_extent()
        if any(box.overlaps(other) for other in taken):
            text.remove()
        else:
            taken.append(box)
