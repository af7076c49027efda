"""Encoder: all that tasks on frozen features need of a model, whoever made it."""

from __future__ import annotations

import copy
import hashlib
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, runtime_checkable

import torch
from torch import Tensor, nn

from mmbench.checkpoints.backbone import Backbone
from mmbench.checkpoints.card import ModelCard, Preprocessing
from mmbench.errors import UserError, shown
from mmbench.files import safe_name
from mmbench.records.fields import recordable

AnyModule = TypeVar("AnyModule")


@runtime_checkable
class Encoder(Protocol):
    """A frozen model of any kind.

    Attributes:
        name: of the model; its row on the leaderboard.
        identity: of the weights, such as a SHA-256; features are stored by it.
        preprocessing: what images need; mmbench applies it before `encode`.
    """

    @property
    def name(self) -> str:
        """Name of the model."""

    @property
    def identity(self) -> str:
        """Identity of the weights."""

    @property
    def preprocessing(self) -> Preprocessing:
        """What images need before `encode`."""

    def encode(self, images: Tensor) -> Tensor:
        """Return features (N, C) of normalised images (N, 3, S, S), float32, S the preprocessing's size."""


@runtime_checkable
class DenseEncoder(Encoder, Protocol):
    """An encoder that gives feature maps too, which task `dense` needs."""

    def encode_dense(self, images: Tensor) -> Tensor:
        """Return maps (N, C, h, w) of normalised images (N, 3, H, W), float32, of the size that is fed."""


def shaped_as_maps(maps: Any, images: int, name: str) -> Tensor:
    """Return the maps of an encoder.

    Raises:
        UserError: they are not maps of that many images.
    """
    if not isinstance(maps, Tensor) or maps.ndim != 4 or len(maps) != images:
        found = tuple(maps.shape) if isinstance(maps, Tensor) else type(maps).__name__
        raise UserError(
            f"encoder {name} returned {found} for {images} images; `encode_dense` must return maps of shape "
            "(images, channels, height, width)"
        )
    return maps


class _Encoding(nn.Module):
    """An encoder as a network from images to features."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder  # where it is an nn.Module itself, its tensors are found and moved with it

    def forward(self, images: Tensor) -> Tensor:
        """Return features (N, C).

        Raises:
            UserError: the encoder returned something else.
        """
        features = self.encoder.encode(images)
        if not isinstance(features, Tensor) or features.ndim != 2 or len(features) != len(images):
            found = tuple(features.shape) if isinstance(features, Tensor) else type(features).__name__
            raise UserError(
                f"encoder {self.encoder.name} returned {found} for {len(images)} images; "
                "`encode` must return features of shape (images, numbers)"
            )
        return features


@torch.no_grad()
def copied(module: AnyModule) -> AnyModule:
    """Return a copy of a module; with gradients, copied tensors of TorchScript would not be leaves."""
    return copy.deepcopy(module)


@dataclass(frozen=True)
class EncodedModel(Backbone):
    """An encoder in the place of a backbone. It gives features; it has no weights to train or convert."""

    encoder: Encoder | None = None

    def build(self) -> nn.Module:
        """Return a network from normalised images to features; a module is copied, never changed."""
        assert self.encoder is not None
        encoder = copied(self.encoder) if isinstance(self.encoder, nn.Module) else self.encoder
        return _Encoding(encoder)


def check_encoder(encoder: Encoder) -> None:
    """Check what an encoder states of itself.

    Raises:
        UserError: name or identity is not text, or preprocessing is not `mmbench.Preprocessing`.
    """
    facts = {"name": encoder.name, "identity": encoder.identity}
    for fact, value in facts.items():
        if not isinstance(value, str):
            raise UserError(f"the encoder's {fact} is {shown(value)}; it must be text")
    if not isinstance(encoder.preprocessing, Preprocessing):
        raise UserError(
            f"the preprocessing of encoder {encoder.name} is {shown(encoder.preprocessing)}; it must be "
            "mmbench.Preprocessing(mean=..., std=..., image_size=...)"
        )


def model_of_encoder(encoder: Encoder) -> EncodedModel:
    """Return an encoder as tasks take it, with a card that names it."""
    identity = encoder.identity
    card = ModelCard(
        arm=safe_name(encoder.name),
        arch=recordable(encoder.name),
        preprocessing=encoder.preprocessing,
        source_format="encoder",
        source_sha256=hashlib.sha256(identity.encode()).hexdigest(),
        origins={"source_sha256": "of the encoder's identity", "preprocessing": "the encoder's own"},
    )
    tensors: dict[str, Tensor] = {}
    if isinstance(encoder, nn.Module):  # so that a run proves that they stay as they are
        tensors = {f"encoder.{name}": tensor.clone() for name, tensor in encoder.state_dict().items()}
    return EncodedModel(f"encoder {identity}", tensors, card, encoder=encoder)
