"""Published numbers: separate rows, never ranked or averaged with measured ones."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import resources

import pandas as pd

from mmbench.leaderboard.published.types import PublishedGroup, PublishedRow

# Our task -> tasks of the published table.
PUBLISHED_TASKS = {
    "linear": ("linear",),
    "knn": ("knn",),
    "semisup": ("semi_1pct", "semi_10pct"),
    "finetune": ("finetune",),
    "detection": ("detection_voc", "detection_coco"),
    "segmentation": ("seg_voc", "seg_cityscapes", "seg_ade20k"),
}
TASK_TITLES = {
    "linear": "Linear probe",
    "knn": "kNN",
    "semi_1pct": "1% labels",
    "semi_10pct": "10% labels",
    "finetune": "Finetuning",
    "detection_voc": "Detection, VOC",
    "detection_coco": "Detection, COCO",
    "seg_voc": "Segmentation, VOC",
    "seg_cityscapes": "Segmentation, Cityscapes",
    "seg_ade20k": "Segmentation, ADE20K",
}
SUBJECTS = ("MixMask", "MSCN", "Un-Mix")
FAMILY = (*SUBJECTS, "MoCo v2", "Supervised", "Random init")
METRIC_ORDER = ("top1", "top5", "AP", "AP50", "AP75", "mAP", "mIoU")
GROUP = ["task", "dataset", "protocol", "source"]
FACT = ["task", "dataset", "method", "backbone", "metric", "value"]  # stands for the same number elsewhere
QUOTED = "quoted"
ROW = ["method", "variant", "backbone", "pretrain_dataset", "pretrain_epochs", "batch_size"]


def published_table() -> pd.DataFrame:
    """Return every published number in our table, as text, one per row, each with its source."""
    source = resources.files("mmbench.leaderboard.published").joinpath("published_results.csv")
    with source.open(encoding="utf-8") as stream:
        return pd.read_csv(stream, dtype=str, keep_default_na=False)


def published_groups(tasks: Iterable[str]) -> tuple[PublishedGroup, ...]:
    """Return the published rows that belong beside a board of these tasks, in groups that compare.

    A group is one task, data set, protocol and source, so no group mixes protocols or laboratories. Of the
    sources that report MixMask, MSCN or Un-Mix on a task, all rows of the family are shown (MoCo v2,
    supervised and random weights being their references); for a task that none of them reports, the
    references of every source. Rows that a source quotes are left out where another group shows the same
    numbers, and counted.

    Args:
        tasks: names of our tasks, such as "linear" and "detection".
    """
    table = published_table()
    wanted = {name for task in tasks for name in PUBLISHED_TASKS.get(task, ())}
    table = table[table["method"].isin(FAMILY) & table["task"].isin(wanted)]
    groups: list[PublishedGroup] = []
    for task in (name for name in TASK_TITLES if name in wanted):
        of_task = table[table["task"] == task]
        sources = set(of_task.loc[of_task["method"].isin(SUBJECTS), "source"])
        shown = of_task[of_task["source"].isin(sources)] if sources else of_task
        known = _facts(shown[shown["origin"] != QUOTED])
        for _, rows in shown.groupby(GROUP, sort=False):
            group = _group(rows, known)
            if group.rows:
                groups.append(group)
    return tuple(groups)


def _facts(rows: pd.DataFrame) -> set[tuple[str, ...]]:
    return set(rows[FACT].itertuples(index=False, name=None))


def _group(rows: pd.DataFrame, known: set[tuple[str, ...]]) -> PublishedGroup:
    """Return a group without the quoted rows whose facts are all `known`; others become known."""
    task, dataset, protocol, source = rows[GROUP].iloc[0]
    metrics = tuple(sorted(rows["metric"].unique(), key=METRIC_ORDER.index))
    listed, repeats = [], 0
    for _, numbers in rows.groupby(ROW, sort=False):
        if (numbers["origin"] == QUOTED).all() and _facts(numbers) <= known:
            repeats += 1
            continue
        known |= _facts(numbers)
        by_metric = dict(zip(numbers["metric"], numbers["value"], strict=True))
        values = tuple(by_metric.get(metric) for metric in metrics)
        notes = "; ".join(note for note in numbers["note"].unique() if note)
        method, variant, backbone, data, epochs, batch = numbers[ROW].iloc[0]
        origin = numbers["origin"].iloc[0]
        listed.append(PublishedRow(method, variant, backbone, data, epochs, batch, values, origin, notes))
    return PublishedGroup(TASK_TITLES[task], dataset, protocol, source, metrics, tuple(listed), repeats)
