"""How far a keypoint may be from its place: COCO's sigmas, those that a user states, or equal ones.

A detection's similarity to an object (OKS, cocodataset.org, "Keypoint Evaluation") is the mean over the
object's visible keypoints of exp(-d^2 / (8 sigma^2 area)), with their distances d in pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mmbench.data.annotated.named_coco import KEYPOINTS


@dataclass(frozen=True)
class Tolerances:
    """The tolerances of an evaluation.

    Attributes:
        sigmas: one per keypoint; None takes those that COCO's evaluators have for its keypoints.
        note: what a reader of the record must know of them, "" for COCO's.
    """

    sigmas: tuple[float, ...] | None = None
    note: str = ""


def tolerances_of(count: int, names: Sequence[str], stated: Sequence[float] = ()) -> Tolerances:
    """Return the tolerances of keypoints.

    Args:
        count: of an object's keypoints.
        names: of the keypoints, compared by their letters alone; () takes 17 for COCO's.
        stated: sigmas that the user states, one per keypoint; () where there are none.
    """
    if stated:
        pairs = zip(names or range(1, count + 1), stated, strict=True)
        told = ", ".join(f"{name} {sigma:g}" for name, sigma in pairs)
        return Tolerances(tuple(stated), f"keypoint AP by keypoint_sigmas: {told}")
    if count == len(KEYPOINTS) and (
        not names or list(map(_letters, names)) == list(map(_letters, KEYPOINTS))
    ):
        return Tolerances()
    return Tolerances(
        (1 / count,) * count,
        f"keypoint AP: COCO has tolerances for {len(KEYPOINTS)} keypoints of persons; these {count} "
        f"keypoints have 1/{count} each; --set keypoint_sigmas=[...] states others",
    )


def _letters(name: str) -> str:
    """Return a name without case, blanks and marks, such as lefteye of left_eye and of Left Eye."""
    return "".join(filter(str.isalpha, name.casefold()))
