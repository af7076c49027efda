"""Backbone -> mmsegmentation's backbone -> proof that every tensor arrived."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn

from mmbench.checkpoints.backbone import Backbone, load_exactly
from mmbench.transfer.dense.common.architectures import plain_resnet_depth
from mmbench.transfer.dense.common.weights import feature_tensors, require_arrival


def write_weights(backbone: Backbone, folder: Path) -> Path | None:
    """Write a plain ResNet for mmsegmentation's `ResNet` and return the file; None for other networks.

    Raises:
        UserError: the backbone does not cover the architecture.
    """
    if plain_resnet_depth(backbone.arch, backbone.card.arch_options) is None:
        backbone.build()  # raises unless the weights are exactly those of the architecture
        return None
    from mmbench.checkpoints.writing import write_for_mmseg

    path = folder / "backbone.pth"
    write_for_mmseg(backbone, path)
    return path


def expected_tensors(backbone: Backbone, target: nn.Module) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Return what mmsegmentation's backbone `target` must hold, by its own names.

    mmsegmentation's `ResNet` has torchvision's names, as the checkpoint has.

    Returns:
        The tensors, and the names of those for which a segmentor has no place (`feature_tensors`).

    Raises:
        UserError: a tensor of `target` is not in the checkpoint.
    """
    timm_model = getattr(target, "timm_model", None)
    if timm_model is None:
        return dict(backbone.state_dict), ()
    return feature_tensors(backbone, timm_model, "segmentation")


def feed_timm_backbone(backbone: Backbone, target: nn.Module) -> tuple[str, ...]:
    """Load the weights into mmsegmentation's `TIMMBackbone`, strictly, and keep mmengine from resetting it.

    Returns:
        The names of the tensors for which a segmentor has no place.

    Raises:
        UserError: a tensor is missing, left over or misshapen.
    """
    tensors, unused = expected_tensors(backbone, target)
    load_exactly(target, tensors, what=f"the {backbone.card.arm} checkpoint")
    target._is_init = True  # type: ignore[assignment]  # mmengine's mark of finished initialisation
    return unused


def check_arrival(backbone: Backbone, target: nn.Module) -> int:
    """Return how many tensors of mmsegmentation's backbone equal the checkpoint's, bit for bit: all must.

    mmengine loads with `strict=False` and only logs what did not match.

    Raises:
        UserError: names the tensors that did not arrive, or that were left at random.
    """
    expected, _ = expected_tensors(backbone, target)
    held = target.state_dict()
    return require_arrival(expected, held, held, "mmsegmentation")
