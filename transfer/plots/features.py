"""What features look like, without training anything: t-SNE and nearest neighbours, as pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from mmbench.neighbours import nearest
from mmbench.transfer.plots.embedding import N_SHOWN, chosen, draw_embedding, embed, first_labels
from mmbench.transfer.plots.neighbours import draw_neighbours

NEIGHBOURS = 8
ROWS, ROWS_PER_CLASS = 20, 2


@dataclass(frozen=True)
class ViewedSplit:
    """A split with its features.

    Attributes:
        name: such as "test".
        features: (N, C), of any floating dtype; may be a memory map.
        labels: int64, (N,) or (N, classes).
        images: returns the pictures at int64 indices (n,) as uint8 (n, 3, H, W), all of one size.
    """

    name: str
    features: Tensor
    labels: Tensor
    images: Callable[[Tensor], Tensor]


def draw_views(
    bank: ViewedSplit, queries: ViewedSplit, classes: Sequence[str], title: str, record: Path, seed: int = 0
) -> tuple[Path, Path]:
    """Write `<record>.embedding.png` and `<record>.neighbours.png` beside a record; return their paths.

    The first is t-SNE of up to 2,000 queries; the second shows up to 20 queries, two of a class where there
    are few classes, with their 8 nearest in the bank.

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
    items, place = index.unique(return_inverse=True)  # only these pictures are read
    draw_neighbours(
        queries.images(rows),
        bank.images(items),
        place,
        cosine,
        queries.labels[rows],
        bank.labels[items],
        classes,
        f"{title}: neighbours of {queries.name} in {bank.name}",
        neighbours,
    )
    return embedding, neighbours


def chosen_rows(labels: Tensor, seed: int) -> Tensor:
    """Return the indices of the queries on the sheet, at most 20, sorted by class."""
    single = first_labels(labels)
    rows = chosen(labels, min(ROWS, ROWS_PER_CLASS * len(single.unique())), seed)
    return rows[single[rows].argsort(stable=True)]
