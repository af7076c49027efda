"""What the authors of data sets with boxes or label maps publish: sizes, and where they are from.

Data sets of labelled images have manifests (see `manifest`) instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mmbench.registry import Registry


@dataclass(frozen=True)
class Official:
    """A published data set, as used for one purpose.

    Attributes:
        title: what papers call it.
        labels: what the images have, such as "label maps".
        classes: their number; of label maps the background counts as one where it is evaluated.
        images: per split that has annotations.
        metric: the usual one.
        archives: names of the files to unpack; empty where there are none.
    """

    title: str
    labels: str
    classes: int
    images: Mapping[str, int]
    metric: str
    archives: str = ""


# What is said of published data of which a part is there.
NOT_COMPARABLE = "figures do not compare with published ones"

# Name of the data set -> one entry per purpose.
PUBLISHED: Registry[tuple[Official, ...]] = Registry(
    "data set with official sizes",
    "mmbench.data",
    "mmbench.data.sets",
    "mmbench.data.annotated",
    "mmbench.data.label_maps",
)
