"""Per-image outcomes of a task, and the measurement of a classification that has them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from mmbench.data import Dataset
from mmbench.data.lists.image_paths import paths_below
from mmbench.data.types import Split
from mmbench.file_names import printable, stored_name
from mmbench.records.store import Metric
from mmbench.transfer.intervals import with_intervals
from mmbench.transfer.job import TransferJob
from mmbench.transfer.metrics import classification_metrics, confusion, true_places

if TYPE_CHECKING:
    import pandas as pd


def image_names(dataset: Dataset, split: Split) -> list[str]:
    """Return what the images of a split are called in outcomes, in the order of the split.

    Files are called by their path below the data set's folder, as `stored_name` writes it, and " (2)" is
    added to one that is listed again; images of a packed copy are called as those of its source, and images
    in memory by their position from 0.
    """
    if split not in dataset.files:
        return [str(position) for position in range(len(dataset.labels(split)))]
    files = dataset.files[split]()
    names = [stored_name(path) for path in paths_below(dataset, files)]
    if len(set(names)) == len(names):
        return names
    seen: Counter[str] = Counter()
    for place, name in enumerate(names):
        seen[name] += 1
        names[place] = name if seen[name] == 1 else f"{name} ({seen[name]})"
    return names


def image_table(job: TransferJob, **columns: Any) -> pd.DataFrame:
    """Return outcomes with one row per evaluated image, in the order of the data set.

    Args:
        columns: a value per image each, as a sequence or an array.
    """
    import pandas as pd

    return pd.DataFrame({"image": image_names(job.dataset, job.evaluated), **columns})


def class_column(classes: Sequence[str], labels: Tensor) -> pd.Categorical[str]:
    """Return labels (N,) as a column of class names, which are stored once."""
    import pandas as pd

    names = [printable(name) for name in classes]
    if len(set(names)) < len(names):  # a category must have a name of its own
        names = [f"{name} ({number})" for number, name in enumerate(names)]
    return pd.Categorical.from_codes(labels.numpy(), pd.Index(names))


def class_outcomes(job: TransferJob, predicted: Tensor) -> pd.DataFrame:
    """Return the outcomes of a classification: image, label, predicted (class names) and correct.

    Args:
        predicted: int64, (N,), the predicted label of every image of the evaluated split.
    """
    labels, classes = job.dataset.labels(job.evaluated), job.dataset.classes
    return image_table(
        job,
        label=class_column(classes, labels),
        predicted=class_column(classes, predicted),
        correct=(predicted == labels).numpy(),
    )


def several_label_outcomes(job: TransferJob, scores: Tensor) -> pd.DataFrame:
    """Return the outcomes of images with several labels, a row per image and class.

    The columns are image, class, score, and truth: 1 where the class is present, 0 where it is absent, -1
    where it is not evaluated.

    Args:
        scores: float64, (N, classes), of the evaluated split; larger is more likely.
    """
    import pandas as pd

    names, classes = image_names(job.dataset, job.evaluated), job.dataset.classes
    each, places = torch.meshgrid(torch.arange(len(names)), torch.arange(len(classes)), indexing="ij")
    return pd.DataFrame(
        {
            "image": np.asarray(names, dtype=object)[each.flatten().numpy()],
            "class": class_column(classes, places.flatten()),
            "score": scores.flatten().numpy(),
            "truth": job.dataset.labels(job.evaluated).flatten().to(torch.int8).numpy(),
        }
    )


class Classified(NamedTuple):
    """What follows from the scores of a classifier; the fields of `Measurement` of these names.

    Attributes:
        metrics: with their intervals.
        outcomes: those of `class_outcomes`, and "rank", the place of the true class among the scores from 1.
        confusion: see `confusion`.
        notes: how the intervals were found.
    """

    metrics: dict[str, Metric]
    outcomes: pd.DataFrame
    confusion: Tensor
    notes: tuple[str, ...]


def classified(job: TransferJob, scores: Tensor, *, logits: bool) -> Classified:
    """Return metrics, outcomes and confusion of a classifier.

    Args:
        scores: (N, classes), of the evaluated split, in the order of the data set.
        logits: see `classification_metrics`.

    Raises:
        UserError: scores that are not finite.
    """
    labels = job.dataset.labels(job.evaluated)
    values = classification_metrics(scores, labels, logits=logits)
    places = true_places(scores, labels)
    metrics, note = with_intervals(values, scores, labels, places, job.seed)
    outcomes = class_outcomes(job, scores.argmax(dim=1))
    outcomes["rank"] = places.numpy().astype(np.int32)
    return Classified(metrics, outcomes, confusion(scores, labels), (note,))
