"""The network that other libraries must build for a backbone, and its feature maps after every stage."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from mmbench.checkpoints.backbone import Backbone
from mmbench.checkpoints.networks.options import departing, equal_of_ours
from mmbench.checkpoints.networks.plain import Plain, plain
from mmbench.errors import UserError


@dataclass(frozen=True)
class TimmNetwork:
    """A network as timm builds it.

    Attributes:
        arch: timm name.
        options: further keywords of `timm.create_model`, as JSON holds them.
    """

    arch: str
    options: dict[str, Any] = field(default_factory=dict)

    def create(self, **settings: Any) -> nn.Module:
        """Return the network, randomly initialised."""
        import timm

        model: nn.Module = timm.create_model(self.arch, **self.options, **settings)
        return model

    @property
    def keywords(self) -> str:
        """The options as Python source, each behind a comma: ", stem_padding=2"."""
        values = {n: tuple(v) if isinstance(v, list) else v for n, v in self.options.items()}
        return "".join(f", {name}={value!r}" for name, value in values.items())

    @property
    def call(self) -> str:
        """The call that builds it, as Python source."""
        return f'timm.create_model("{self.arch}"{self.keywords}, num_classes=0)'


def network_of(backbone: Backbone) -> TimmNetwork:
    """Return the network that gives this backbone's features of normalised images.

    Where the weights expect a high-pass filter it is in the network, unless `backbone.filter_outside`.

    Raises:
        UserError: timm's architecture has no place for the filter, and none of ours is the same network.
    """
    options: dict[str, Any] = departing(backbone.arch, backbone.card.arch_options)
    if backbone.high_pass is None:
        return TimmNetwork(backbone.arch, options)
    arch = equal_of_ours(backbone.arch)
    if arch is None:
        raise UserError(
            f"{backbone.arch} has no place for the high-pass filter that these weights expect, only "
            "mmbench's own architectures have; --without-high-pass leaves it to the code that prepares the "
            "images"
        )
    return TimmNetwork(arch, options | {"high_pass": list(backbone.high_pass)})


def plain_network(backbone: Backbone) -> Plain | None:
    """Return the network as detection and segmentation libraries build it, None where they cannot.

    They have early strides, but neither a filter inside nor the other options.
    """
    network = plain(backbone.arch)
    if network is None or backbone.high_pass is not None:
        return None
    options = departing(backbone.arch, backbone.card.arch_options)
    early = bool(options.pop("early_stride", network.early_stride))
    return None if options else Plain(network.depth, network.wide, early)


def refuse_filter(backbone: Backbone, library: str, instead: str) -> None:
    """Refuse a target that cannot hold the filter of these weights.

    Raises:
        UserError: the weights expect a filter, and it must be in the network.
    """
    if backbone.high_pass is not None:
        raise UserError(
            f"{library} has no network that holds the high-pass filter of these weights; convert --to "
            f"{instead}, or add --without-high-pass and filter the images yourself"
        )


@torch.inference_mode()
def timm_stages(model: nn.Module, images: Tensor) -> list[Tensor]:
    """Return the maps of all stages of a timm model, shallow to deep, stem included.

    Uses timm's `forward_intermediates`; a stage that is an identity gives no map of its own.
    """
    _, maps = model.forward_intermediates(images)  # type: ignore[operator]
    count = len(model.feature_info)  # type: ignore[arg-type]
    return list(maps)[:count]
