"""Notes that the records of both dense tasks carry."""

from __future__ import annotations

from collections.abc import Sequence

from mmbench.checkpoints.card import Preprocessing


def unused_tensors(names: Sequence[str]) -> list[str]:
    """Return the note on tensors for which a dense network has no place, if there are any."""
    if not names:
        return []
    return [f"{len(names)} tensors behind the last feature map are not used ({names[0]}, ...)"]


def filtered_images(preprocessing: Preprocessing, images: str = "images") -> list[str]:
    """Return the note on the high-pass filter of the card, if it has one.

    Args:
        images: what the task's records call them; notes of one protocol keep their wording.
    """
    high_pass = preprocessing.high_pass
    if high_pass is None:
        return []
    return [
        f"{images} high-passed as the card says (kernel {high_pass.kernel_size} px, "
        f"sigma {high_pass.sigma:g} px), in training and evaluation"
    ]
