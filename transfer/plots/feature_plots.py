"""`--plot`: images of frozen features beside a record, t-SNE and nearest neighbours. Nothing is trained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from mmbench.data.types import ImageSplit, Split
from mmbench.distributed import on_main
from mmbench.neighbours import nearest
from mmbench.transfer.inputs.features import is_pixels
from mmbench.transfer.job import TransferJob
from mmbench.transfer.plots.embedding import N_SHOWN, chosen, draw_embedding, embed, first_labels
from mmbench.transfer.plots.neighbours import draw_neighbours

NEIGHBOURS = 8
ROWS, ROWS_PER_CLASS = 20, 2


@dataclass(frozen=True)
class SplitFeatures:
    """A split with its features.

    Attributes:
        name: such as "test".
        features: (N, C), of any floating dtype; may be a memory map.
        labels: int64, (N,) or (N, classes).
        images: returns the images at int64 indices (n,) as uint8 (n, 3, H, W), all of one size.
    """

    name: str
    features: Tensor
    labels: Tensor
    images: Callable[[Tensor], Tensor]

    def at(self, indices: Tensor) -> ImageSplit:
        """Return the images and labels at `indices`."""
        return ImageSplit(self.images(indices), self.labels[indices])


def draw_record_plots(job: TransferJob, record: Path) -> None:
    """Draw the features of the evaluated split and their nearest neighbours in train, beside a record.

    Raises:
        UserError: fewer than four images to show.
    """
    mean: Tensor | None = None

    def split_features(split: Split) -> SplitFeatures:
        nonlocal mean
        images, features = job.images(split), job.features(split)
        if is_pixels(job.backbone):  # as the task kNN does
            mean = features.float().mean(dim=0) if mean is None else mean
            features = features.float() - mean
        return SplitFeatures(
            split,
            features,
            images.labels,
            lambda indices: torch.cat(list(images.centre_crops(indices.split(128)))),
        )

    bank, queries = split_features("train"), split_features(job.evaluated)
    title = f"{job.backbone.card.arm} on {job.dataset.name}"
    on_main(lambda: draw_feature_plots(bank, queries, job.dataset.classes, title, record) and None)


def draw_feature_plots(
    bank: SplitFeatures,
    queries: SplitFeatures,
    classes: Sequence[str],
    title: str,
    record: Path,
    seed: int = 0,
) -> tuple[Path, Path]:
    """Write `<record>.embedding.png` and `<record>.neighbours.png` beside a record; return their paths.

    The first is t-SNE of up to 2,000 queries. The second shows up to 20 queries (two per class where there
    are few classes) with their 8 nearest neighbours in the bank.

    Args:
        bank: usually train.
        queries: usually test.
        title: such as "moco-seed0 on patterns"; the names of the splits are added.
        record: path of the record; only its name without the suffix is used.
        seed: draws which queries are shown, the same for all backbones.

    Raises:
        UserError: fewer than four queries, or an empty bank.
    """
    embedding, neighbours = record.with_suffix(".embedding.png"), record.with_suffix(".neighbours.png")
    shown = chosen(queries.labels, N_SHOWN, seed)
    points = embed(queries.features[shown], seed)
    rows = chosen_rows(queries.labels, seed)
    cosine, index = nearest(queries.features[rows], bank.features, min(NEIGHBOURS, max(1, len(bank.labels))))

    draw_embedding(points, queries.labels[shown], classes, f"{title}, {queries.name}", embedding)
    items, place = index.unique(return_inverse=True)  # only these images are read
    heading = f"{title}: neighbours of {queries.name} in {bank.name}"
    draw_neighbours(queries.at(rows), bank.at(items), place, cosine, classes, heading, neighbours)
    return embedding, neighbours


def chosen_rows(labels: Tensor, seed: int) -> Tensor:
    """Return the indices of the queries on the contact sheet, at most 20, sorted by class."""
    single = first_labels(labels)
    rows = chosen(labels, min(ROWS, ROWS_PER_CLASS * len(single.unique())), seed)
    return rows[single[rows].argsort(stable=True)]
