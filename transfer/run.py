"""From what the user names (a checkpoint, `random`, `pixels`) to a backbone that a task can take."""

from __future__ import annotations

from mmbench.checkpoints.backbone import Backbone
from mmbench.data import Dataset
from mmbench.errors import UserError
from mmbench.transfer.control import CONTROLS, pixels_backbone, recalibrated_random_backbone


def load_backbone(spec: str, arch: str | None, dataset: Dataset, seed: int) -> Backbone:
    """Return the backbone that `spec` names.

    Args:
        spec: path of a checkpoint or run folder, or a control: "random" or "pixels".
        arch: timm name; needed for "random", otherwise a check or a help for files that do not tell.
        dataset: the controls take their image size, and random weights their batch-norm statistics, from it.
        seed: seed of random weights.

    Raises:
        UserError: no such file, no architecture for random weights, or weights that do not fit.
    """
    if spec == "pixels":
        return pixels_backbone(dataset.image_size)
    if spec == "random":
        if arch is None:
            raise UserError(
                "random weights need an architecture; add --arch, such as --arch mixmask_resnet18"
            )
        return recalibrated_random_backbone(arch, seed, dataset)
    from mmbench.checkpoints.reading import read_backbone

    return read_backbone(spec, arch)


__all__ = ["CONTROLS", "load_backbone"]
