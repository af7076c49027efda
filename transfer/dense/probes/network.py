"""A frozen encoder as a network from images to feature maps."""

from __future__ import annotations

from typing import Any, cast

import timm
import torch
from timm.models.resnet import ResNet
from torch import Tensor, nn
from torch.nn import functional as F

from mmbench.checkpoints.backbone import Backbone, create_headless, load_exactly
from mmbench.checkpoints.images.timm_config import fixed_size
from mmbench.errors import UserError
from mmbench.faults import fault_of
from mmbench.images.preprocessing import Preprocess
from mmbench.transfer.compute import Compute
from mmbench.transfer.dense.common.notes import filtered_images
from mmbench.transfer.encoder import DenseEncoder, EncodedModel, copied, shaped_as_maps
from mmbench.transfer.inputs.features import is_pixels, require_unchanged
from mmbench.transfer.module_encoder import maps_of, patched

PROBED, PATCHES = 224, 8  # px, or patches a side, of the image that shows stride and width


class _Pixels(nn.Module):
    """The control without a network: each position has the pixels of its square, as they are prepared."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, images: Tensor) -> Tensor:
        """Return (N, 3 stride², H / stride, W / stride) of images (N, 3, H, W)."""
        return F.pixel_unshuffle(images, self.stride)


class DenseNetwork(nn.Module):
    """A backbone behind its own preprocessing, in evaluation mode and without gradients.

    Plain ResNets run with their last stages dilated down to `output_stride`, with the very same weights.
    Vision Transformers give their patch tokens, with position embeddings interpolated to the image; an
    `Encoder` gives what its `encode_dense` returns; other networks their last map.

    Attributes:
        network: the timm model, the encoder, or the pixels.
        stride: in pixels of the image; rounded where it is not exact, which the notes then do not state.
        width: channels of the maps.
        multiple: sides of images must be multiples of it: a patch, or 1.
        notes: what a record must say of it.

    Raises:
        UserError: the weights do not fit the architecture, or it gives no feature maps.
    """

    def __init__(self, backbone: Backbone, compute: Compute, output_stride: int = 16) -> None:
        super().__init__()
        self.backbone, self.compute = backbone, compute
        self.prepare = Preprocess(backbone.card.preprocessing)
        with torch.random.fork_rng(devices=[]):  # building draws weights, which are then replaced
            self.network, notes = _built(backbone, output_stride)
        self.to(compute.device).to(memory_format=torch.channels_last).eval().requires_grad_(False)
        side = self._probed()
        found = self.require(side, side)
        self.width, self.stride = found.shape[1], round(side / found.shape[-1])
        self.multiple = self.stride if self._whole or patched(self.network) else 1
        rows, columns = found.shape[-2:]
        exact = rows * self.stride == columns * self.stride == side
        laid = f"stride {self.stride}" if exact else f"{rows} x {columns} positions of {side} x {side} px"
        self.notes = (
            f"features are the last map of {backbone.arch}, {laid}, {self.width} channels{notes}",
            *filtered_images(backbone.card.preprocessing),
        )

    @torch.no_grad()
    def maps(self, images: Tensor) -> Tensor:
        """Return float32 maps (N, C, h, w) on the device of images (N, 3, H, W), uint8 or float in [0, 1].

        Raises:
            UserError: maps that are not finite, or not maps: the weights or the encoder are at fault.
        """
        images = images.to(self.compute.device, non_blocking=True)
        prepared = self.prepare(images).contiguous(memory_format=torch.channels_last)
        with self.compute.autocast():
            found: Tensor = self.network(prepared) if self._whole else maps_of(self.network, prepared)
        if not torch.isfinite(found).all():
            raise UserError(
                f"the {self.backbone.card.arm} checkpoint gives features that are not finite; its weights "
                "are damaged"
                + ("" if self.compute.precision == "float32" else ", or need --precision float32")
            )
        return found.float()

    def require(self, height: int, width: int) -> Tensor:
        """Return the maps of one black image; networks for one size refuse another.

        Raises:
            UserError: the network takes no images of this size.
        """
        image = torch.zeros(1, 3, height, width)
        try:
            return self.maps(image)
        except (AssertionError, RuntimeError, TypeError, ValueError, AttributeError) as error:
            if fault_of(error) is not None:  # full memory says nothing about the size
                raise
            reason = (str(error) or type(error).__name__).splitlines()[0]
            raise UserError(
                f"{self.backbone.arch} gives no feature maps of images of {width} x {height} px ({reason}); "
                "feed the size that it takes, by --set test_size=... (and crop=...), or use another network"
            ) from None

    def _probed(self) -> int:
        """Return the side of an image that the network certainly takes."""
        if isinstance(self.network, _Encoded) or fixed_size(self.backbone.arch) is not None:
            return self.backbone.card.preprocessing.image_size
        if not patched(self.network):
            return PROBED
        patch = cast(Any, self.network).patch_embed.patch_size
        return PATCHES * int(patch if isinstance(patch, int) else max(patch))

    @property
    def _whole(self) -> bool:
        """Whether the network itself returns maps."""
        return isinstance(self.network, _Pixels | _Encoded)

    def fitted(self, side: int) -> int:
        """Return the largest side in pixels, at most `side`, that the network takes.

        Raises:
            UserError: the side is smaller than one patch.
        """
        if side < self.multiple:
            raise UserError(
                f"images of {side} px are smaller than a patch of {self.backbone.arch} ({self.multiple} px)"
            )
        return side // self.multiple * self.multiple

    def check_frozen(self) -> None:
        """Check that weights and batch-norm buffers are bit for bit those of the checkpoint.

        Raises:
            RuntimeError: something trained or recalibrated the network: a bug, never the user's fault.
        """
        require_unchanged(self.network, self.backbone)


class _Encoded(nn.Module):
    """An encoder as a network from images to maps."""

    def __init__(self, encoder: DenseEncoder) -> None:
        super().__init__()
        self.encoder = encoder  # where it is an nn.Module itself, its tensors are found and moved with it

    def forward(self, images: Tensor) -> Tensor:
        """Return maps (N, C, h, w).

        Raises:
            UserError: the encoder returned something else.
        """
        return shaped_as_maps(self.encoder.encode_dense(images), len(images), self.encoder.name)


def _built(backbone: Backbone, output_stride: int) -> tuple[nn.Module, str]:
    """Return the network with its weights, and what the record adds about it."""
    if is_pixels(backbone):
        return _Pixels(output_stride), f" (the pixels of each {output_stride} x {output_stride} square)"
    if isinstance(backbone, EncodedModel):
        encoder = backbone.encoder
        if not isinstance(encoder, DenseEncoder):
            raise UserError(
                f"encoder {backbone.card.arm} has no method encode_dense(images) -> maps (N, C, h, w), which "
                "task 'dense' needs; add one, or give a timm model"
            )
        own = copied(encoder) if isinstance(encoder, nn.Module) else encoder
        return _Encoded(own), ""
    options: dict[str, Any] = dict(backbone.card.arch_options)
    plain = create_headless(backbone.arch, **options)
    model, notes = plain, ""
    if isinstance(plain, ResNet):
        stride = int(plain.feature_info[-1]["reduction"])
        if stride > output_stride:
            model = _create(backbone.arch, **{**options, "output_stride": output_stride})
            notes = f" (its last stages dilated from stride {stride}, with the same weights)"
    elif patched(plain):
        model = _resizable(backbone.arch, plain, options)
        notes = " (patch tokens)"
    load_exactly(model, backbone.state_dict, what=f"the {backbone.card.arm} checkpoint")
    return model, notes


def _resizable(arch: str, plain: nn.Module, options: dict[str, Any]) -> nn.Module:
    """Return a Vision Transformer that takes images of any size; its position embeddings stay as they are."""
    try:
        return _create(arch, dynamic_img_size=True, **options)
    except TypeError:
        return plain


def _create(arch: str, **options: Any) -> nn.Module:
    return cast(nn.Module, timm.create_model(arch, pretrained=False, num_classes=0, **options))
