"""The names of timm's feature extractors, which both dense tasks feed."""

from __future__ import annotations

from torch import Tensor, nn

from mmbench.checkpoints.backbone import Backbone
from mmbench.errors import UserError


def feature_tensors(
    backbone: Backbone, timm_model: nn.Module, task: str
) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Return what a dense network's `timm_model` must hold, as `timm_model.NAME`.

    timm's feature extractors call a stage `stages_0` where the network says `stages.0`; apart from dots and
    underscores the names are equal, which is how they are matched.

    Returns:
        The tensors, and the names of those that belong behind the last feature map (a final norm or a
        classifier's own layers), for which a dense network has no place.

    Raises:
        UserError: a tensor of `timm_model` is not in the checkpoint.
    """
    by_flat_name = {name.replace(".", "_"): name for name in backbone.state_dict}
    sources = {name: by_flat_name.get(name.replace(".", "_")) for name in timm_model.state_dict()}
    missing = sorted(name for name, source in sources.items() if source is None)
    if missing:
        raise UserError(
            f"{len(missing)} tensors of '{backbone.arch}' as a feature extractor are not in the checkpoint "
            f"({', '.join(missing[:4])}); this architecture cannot be used for {task}"
        )
    tensors = {
        f"timm_model.{name}": backbone.state_dict[source]
        for name, source in sources.items()
        if source is not None
    }
    used = set(sources.values())
    return tensors, tuple(sorted(name for name in backbone.state_dict if name not in used))
