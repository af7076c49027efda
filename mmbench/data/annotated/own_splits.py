"""Splits of a user's own annotated data: what is evaluated where the files do not have every split."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from mmbench.data.annotated.findings import Finding, Findings
from mmbench.data.annotated.split_checks import check_objects
from mmbench.data.annotated.types import AnnotatedData, AnnotatedImage, AnnotatedSplit
from mmbench.data.label_maps.checks import recheck_labels
from mmbench.data.types import Split
from mmbench.errors import UserError

HELD_OUT_SHARE = 0.15
SEED = 0
HELD_OUT = "held out"

Finder = Callable[[], AnnotatedSplit]


def with_evaluation(data: AnnotatedData, names: Mapping[Split, str]) -> AnnotatedData:
    """Return data whose splits can be trained on and evaluated, whatever split a protocol evaluates.

    With one split besides train, that one is both val and test. Without any, 15% of the images are held out.

    Args:
        data: with the splits that the files have.
        names: what the files call each split.

    Raises:
        UserError: there is no train split.
    """
    finders = {split: functools.cache(find) for split, find in data.finders.items()}
    others = [split for split in finders if split != "train"]
    if "train" not in finders:
        raise UserError(
            f"{data.root} has no split to train on (it has: {', '.join(names[split] for split in others)}); "
            "name one of them train"
        )
    remarks = list(data.remarks)
    train = finders["train"]
    if not others:
        parts = functools.cache(functools.partial(_carved, train, data))
        remarks.append(
            f"no split to evaluate: {1 - HELD_OUT_SHARE:.0%} of the images (seed {SEED}) are trained on, and "
            f"{HELD_OUT_SHARE:.0%} are evaluated"
        )
        evaluated: Finder = functools.cache(lambda: parts()[1])
        chosen: dict[Split, Finder] = {"train": lambda: parts()[0], "val": evaluated, "test": evaluated}
    elif len(others) == 1:
        evaluated = finders[others[0]]
        remarks.append(f"the split {names[others[0]]} is evaluated, as there is no other besides train")
        chosen = {"train": train, "val": evaluated, "test": evaluated}
    else:
        chosen = dict(finders)
    return replace(data, finders=chosen, remarks=tuple(remarks))


def _carved(whole: Finder, data: AnnotatedData) -> tuple[AnnotatedSplit, AnnotatedSplit]:
    """Return a split in two parts: what is trained on, and what is evaluated.

    Equal images stay together. The draw depends on names and contents of the files alone.
    """
    split = whole()
    groups: dict[bytes, list[AnnotatedImage]] = {}
    for image, digest in zip(split.images, split.contents, strict=True):
        groups.setdefault(digest or image.path.encode("utf-8", "surrogateescape"), []).append(image)
    if len(groups) < 2:
        one = Finding(
            f"train: {len(groups)} different images",
            "refused",
            "some must be held out for evaluation; add images, or a split to evaluate",
        )
        return replace(split, findings=(one, *split.findings)), replace(split, images=(), findings=())
    in_order = sorted(groups.values(), key=lambda group: group[0].path)
    count = max(1, round(HELD_OUT_SHARE * len(in_order)))
    held_out = set(np.random.default_rng(SEED).permutation(len(in_order))[:count].tolist())
    paths = {image.path for place in held_out for image in in_order[place]}
    evaluated = replace(split, images=tuple(image for image in split.images if image.path in paths))
    train = replace(split, images=tuple(image for image in split.images if image.path not in paths))
    if data.label_maps is not None:
        return (
            recheck_labels(train, "train", data.classes, data.label_maps),
            recheck_labels(evaluated, HELD_OUT, data.classes, data.label_maps, alone=True),
        )
    findings = Findings(HELD_OUT)
    check_objects(evaluated.images, data.classes, findings)
    return train, replace(evaluated, findings=findings.found())
