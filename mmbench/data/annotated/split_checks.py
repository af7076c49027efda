"""Checks that every reader makes: images and classes without objects, and names of classes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mmbench.data.annotated.findings import Findings
from mmbench.data.annotated.types import AnnotatedImage, Instance
from mmbench.errors import UserError


def check_objects(images: Sequence[AnnotatedImage], classes: Sequence[str], findings: Findings) -> None:
    """Add findings about images without objects, classes without objects, and splits without any.

    Args:
        images: of the split, cleaned.
        classes: of the data set, in the order of labels.
        findings: of the split; refused if no object counts. Difficult ones count in training.
    """
    training = findings.split == "train"
    counted = {
        instance.label
        for image in images
        for instance in image.instances
        if not instance.crowd and (training or not instance.difficult)
    }
    if not counted:
        kinds = "crowd regions" if training else "crowd regions and difficult objects"
        remedy = (
            f"an object that is trained on is needed; {kinds} are not"
            if training
            else f"{kinds} do not count"
        )
        findings.add("split without an object that counts", "", "refused", remedy, findings.split)
    for image in images:
        if not image.instances:
            remedy = "not trained on" if training else "detections in them count as wrong"
            findings.add("image without objects", "images without objects", "kept", remedy, image.path)
    for label, name in enumerate(classes):
        if counted and label not in counted:
            findings.add("class without any object", "classes without any object", "kept", "", name)


def add_repeats(instances: Sequence[Instance], findings: Findings, place: str) -> None:
    """Add findings about objects of one image that repeat others exactly.

    Args:
        place: the name of the image.
    """
    if len({(instance.label, instance.box) for instance in instances}) == len(instances):
        return
    for _ in range(len(instances) - len(set(map(repr, instances)))):
        findings.add(
            "object that repeats another one exactly",
            "objects that repeat others exactly",
            "kept",
            "each counts in evaluation",
            place,
        )


def require_distinct(names: Iterable[str], where: str = "") -> None:
    """Check that no two class names differ in capital letters only.

    Args:
        names: of the classes.
        where: for the message, such as the folder that they are from.

    Raises:
        UserError: two do.
    """
    lower: dict[str, str] = {}
    for name in names:
        other = lower.setdefault(name.casefold(), name)
        if other != name:
            place = f" in {where}" if where else ""
            raise UserError(
                f"classes '{other}' and '{name}'{place} differ in capital letters only; "
                "write them alike everywhere"
            )
