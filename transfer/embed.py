"""Features of any data behind any weights, for other programs: an array, and a table of its rows."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from mmbench.checkpoints.backbone import Backbone
from mmbench.data import Dataset, load_dataset, load_images
from mmbench.data.folder import UNLABELLED
from mmbench.data.lists.image_paths import data_folder, paths_below
from mmbench.data.opening import image_path
from mmbench.data.plain_images import plain_images
from mmbench.data.types import Split
from mmbench.errors import UserError
from mmbench.file_names import printable
from mmbench.files import atomic_path, write_json, write_text
from mmbench.tasks import TASKS
from mmbench.transfer.compute import Compute
from mmbench.transfer.inputs.feature_bank import FeatureBank
from mmbench.transfer.inputs.framing import FramingRule
from mmbench.transfer.inputs.images import framing_of, open_images
from mmbench.transfer.protocol import get_protocol
from mmbench.version import __version__

SPLITS: tuple[Split, ...] = ("train", "val", "test")
ENDINGS = (".npy", ".npz")
COLUMNS = ("row", "split", "index", "path", "label", "class")
FACTS = {"mmbench", "model", "data", "images", "framing"}  # some of those that each file of facts has
PIECE = 8192  # rows that are written at a time

Report = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Embedding:
    """Features of some splits of a data set.

    Attributes:
        parts: features (N, C) float32 of each split; from a feature bank they are memory maps.
        rows: one tuple per row of all parts together: row, split, index in the split, path (relative to the
            data set's folder; empty where the data set has no image files), label and class. Of multi-label
            data, label and class list the classes of the image, separated by spaces and by `|`. Both are
            empty where there are no labels.
        facts: what the features are of: weights, preprocessing, framing and data.
    """

    parts: tuple[Tensor, ...]
    rows: tuple[tuple[int, str, int, str, str, str], ...]
    facts: dict[str, object]

    @property
    def shape(self) -> tuple[int, int]:
        """Number of images, and of features per image."""
        return sum(map(len, self.parts)), int(self.parts[0].shape[1])


def knn_framing(backbone: Backbone | None) -> FramingRule:
    """Return how the default protocol of kNN frames images; None stands for weights without a card."""
    protocol = get_protocol(TASKS.get("knn").default_protocol)
    return protocol.framing(None if backbone is None else backbone.card)


def open_data(data: str, root: Path) -> tuple[Dataset, tuple[str, ...]]:
    """Return a data set with or without labels, and remarks on it.

    Raises:
        UserError: unknown name, or no images.
    """
    try:
        dataset = load_dataset(data, root)
    except UserError as error:
        path = image_path(data, root)
        if path is None or not path.exists():
            raise
        try:
            return load_images(path), (f"the features have no labels: {error}",)
        except UserError:
            raise error from None
    dataset = plain_images(dataset)
    return dataset, dataset.remarks


def embed(
    backbone: Backbone,
    dataset: Dataset,
    compute: Compute,
    *,
    splits: Sequence[Split] = (),
    bank: FeatureBank | None = None,
    report: Report = lambda done, total, message: None,
) -> Embedding:
    """Return the features that the kNN task would use.

    Args:
        splits: of the data set; all that it has where none is given.
        bank: stores frozen features between calls.
        report: called with (images done, images, message).

    Raises:
        UserError: no such split, an image that cannot be read, or features that are not finite.
    """
    chosen = tuple(splits) or tuple(split for split in SPLITS if split in dataset.splits)
    rule = knn_framing(backbone)
    size = backbone.card.preprocessing.image_size
    parts, rows, framing = [], list[tuple[int, str, int, str, str, str]](), {}
    for split in chosen:
        images = open_images(dataset, split, size, compute.reading_workers, rule)

        def progress(done: int, total: int, split: Split = split) -> None:
            report(done, total, f"features of {split}")

        parts.append((bank or FeatureBank()).features(backbone, images, compute, progress).float())
        for index, (path, label, name) in enumerate(_described(dataset, split)):
            rows.append((len(rows), split, index, path, label, name))
        framing[split] = str(framing_of(dataset, split, size, rule))
    card = backbone.card
    facts: dict[str, object] = {
        "mmbench": __version__,
        "arm": card.arm,
        "model": card.model_dump(mode="json", exclude_none=True),
        "data": {"name": dataset.name, "fingerprint": dataset.fingerprint, "classes": list(dataset.classes)},
        "images": {split: len(part) for split, part in zip(chosen, parts, strict=True)},
        "framing": framing,
        "precision": compute.precision,
        "features": int(parts[0].shape[1]),
    }
    return Embedding(tuple(parts), tuple(rows), facts)


def _described(dataset: Dataset, split: Split) -> list[tuple[str, str, str]]:
    """Return path, label and class of every image of a split."""
    labels = dataset.labels(split).tolist()
    files = dataset.files[split]() if split in dataset.files else None
    names = [""] * len(labels)
    if files is not None:
        base = data_folder(dataset)
        names = [printable(os.path.relpath(base / path, base)) for path in paths_below(dataset, files)]
    if dataset.classes == UNLABELLED:
        return [(name, "", "") for name in names]
    found = []
    for name, label in zip(names, labels, strict=True):
        there = [place for place, value in enumerate(label) if value == 1] if dataset.multilabel else [label]
        classes = "|".join(printable(dataset.classes[place]) for place in there)
        found.append((name, " ".join(map(str, there)), classes))
    return found


def require_ending(out: Path) -> None:
    """Check the name of the file to write.

    Raises:
        UserError: it does not end in .npy or .npz.
    """
    if out.suffix.lower() not in ENDINGS:
        raise UserError(f"--out {printable(out)}: the name must end in {' or '.join(ENDINGS)}")


def require_own_companions(out: Path) -> None:
    """Check that the table and the facts beside `name.npy` replace those of another array, or nothing.

    Args:
        out: the file to write.

    Raises:
        UserError: NAME.csv or NAME.json is there and is not what `write_embedding` writes.
    """
    if out.suffix.lower() == ".npz":
        return
    for ending, is_own in ((".csv", _is_table), (".json", _is_facts)):
        path = out.with_suffix(ending)
        if path.exists() and not is_own(path):
            raise UserError(
                f"--out {printable(out)}: {printable(path)} would be replaced, and mmbench embed did not "
                "write it; choose another name, or one that ends in .npz"
            )


def _is_table(path: Path) -> bool:
    """Return whether a file begins as the table of an embedding."""
    try:
        with path.open("rb") as stream:
            return stream.readline(1000).strip() == ",".join(COLUMNS).encode()
    except OSError:
        return False


def _is_facts(path: Path) -> bool:
    """Return whether a file holds the facts of an embedding."""
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(facts, dict) and facts.keys() >= FACTS


def write_embedding(found: Embedding, out: Path) -> list[Path]:
    """Write features and what belongs to them; return the paths.

    `name.npy` holds the features (N, C) float32, `name.csv` a line for each of its rows, `name.json` the
    facts. `name.npz` holds all of it: arrays `features`, and one for each column of the table (see
    `Embedding.rows`), and the facts as JSON text in `facts`. Nothing needs pickle to be read.

    Raises:
        UserError: another ending, or files of others in these places.
        OSError: the disk is full.
    """
    require_ending(out)
    if out.suffix.lower() == ".npz":
        _write_npz(found, out)
        return [out]
    require_own_companions(out)
    with atomic_path(out) as temporary:
        array = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.float32, shape=found.shape)
        start = 0
        for part in found.parts:
            for piece in part.split(PIECE):
                array[start : start + len(piece)] = piece.numpy()
                start += len(piece)
        array.flush()
        del array
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(found.rows)
    write_text(out.with_suffix(".csv"), table.getvalue())
    write_json(out.with_suffix(".json"), found.facts)
    return [out, out.with_suffix(".csv"), out.with_suffix(".json")]


def _write_npz(found: Embedding, out: Path) -> None:
    columns = dict(zip(COLUMNS[1:], list(zip(*found.rows, strict=True))[1:], strict=True))
    arrays: dict[str, Any] = {name: np.array(values) for name, values in columns.items()}
    features = np.concatenate([part.numpy() for part in found.parts])
    with atomic_path(out) as temporary, temporary.open("wb") as stream:
        np.savez(stream, features=features, facts=np.array(json.dumps(found.facts)), **arrays)
