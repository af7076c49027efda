"""MoCo v2 (arXiv 1911.05722, 2003.04297): a momentum encoder, a queue of keys and an MLP head.

Where parts of the batch have batch-norm statistics of their own, in several processes or by splitting, the
key encoder sees the images in another order than the query encoder (shuffling BN, section 3.3 of the first).
"""

from __future__ import annotations

import copy
from typing import Annotated, ClassVar, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from mmbench.checkpoints.backbone import feature_width
from mmbench.distributed import encode_in_order, gather
from mmbench.pretrain.framework import FRAMEWORKS, Compare, Framework, FrameworkSettings
from mmbench.pretrain.heads import mlp, unit
from mmbench.pretrain.losses import info_nce, negative_energy
from mmbench.pretrain.momentum import follow
from mmbench.settings.types import Share, Temperature, Width, Within


class MocoSettings(FrameworkSettings):
    """MoCo's own numbers.

    Attributes:
        dim: length of an embedding.
        queue: number of keys that serve as negatives; need not be a multiple of the batch.
        momentum: the key encoder keeps this share of itself at each step.
        temperature: divides the cosine similarities.
    """

    dim: Width = 128
    queue: Annotated[int, Within(1, 2**24)] = 65536
    momentum: Share = 0.999
    temperature: Temperature = 0.2


@FRAMEWORKS.register("moco")
class Moco(Framework):
    """MoCo v2.

    The key encoder starts as a copy, follows by exponential moving average of the parameters, gets no
    gradient, and keeps batch-norm statistics of its own: it runs on batch statistics, as in MoCo's code.
    """

    Settings: ClassVar[type[FrameworkSettings]] = MocoSettings

    def __init__(self, backbone: nn.Module, settings: FrameworkSettings) -> None:
        super().__init__(backbone, settings)
        self.settings = cast(MocoSettings, settings)
        self.backbone = backbone
        features = feature_width(backbone)
        self.head = mlp(features, features, self.settings.dim)
        self.key_backbone = copy.deepcopy(self.backbone).requires_grad_(False)
        self.key_head = copy.deepcopy(self.head).requires_grad_(False)
        self.register_buffer("queue", normalize(torch.randn(self.settings.queue, self.settings.dim)))
        self.register_buffer("queue_position", torch.zeros((), dtype=torch.int64))
        self._fresh_keys: list[Tensor] = []

    queue: Tensor
    queue_position: Tensor

    @torch.no_grad()
    def embed_keys(self, images: Tensor) -> Tensor:
        """Return the key encoder's embeddings, without gradient: (B, dim), unit length."""
        return unit(self.key_head(self.key_backbone(images)), self.backbone)

    def update_key_encoder(self) -> None:
        """Move the key encoder's parameters towards the query encoder's: k <- m k + (1 - m) q."""
        followers: list[nn.Module] = [self.key_backbone, self.key_head]
        follow(followers, [self.backbone, self.head], self.settings.momentum)

    @torch.no_grad()
    def remarks(self, images: int) -> tuple[str, ...]:
        """Return a line where the queue is longer than the data: an image is then its own negative."""
        keys = len(self.queue)
        if keys <= images:
            return ()
        return (
            f"the queue holds {keys} keys but there are only {images} images, so each image is among its own "
            f"negatives; for fewer keys: --set framework.queue={max(1, images // 2)}",
        )

    def enqueue(self, keys: Tensor) -> None:
        """Write keys (B, dim) over the oldest ones; the write wraps around the end of the queue."""
        keys = keys[-len(self.queue) :]
        start = int(self.queue_position)
        fits = min(len(keys), len(self.queue) - start)
        self.queue[start : start + fits] = keys[:fits]
        self.queue[: len(keys) - fits] = keys[fits:]
        self.queue_position.fill_((start + len(keys)) % len(self.queue))

    def begin_step(self, progress: float) -> None:
        """Let the key encoder follow."""
        self.update_key_encoder()

    def targets(self, images: Tensor, order: Tensor | None = None) -> Tensor:
        """Return the keys, and keep them for the queue."""
        keys = self.embed_keys(images) if order is None else encode_in_order(self.embed_keys, images, order)
        self._fresh_keys.append(keys)
        return keys

    def predict(self, images: Tensor) -> Tensor:
        """Return the query encoder's embeddings: (B, dim), unit length."""
        return unit(self.head(self.backbone(images)), self.backbone)

    def compare(self, predictions: Tensor, targets: Tensor) -> Compare:
        """Return InfoNCE against the queue; all that it needs of the negatives is computed here, once."""
        temperature = self.settings.temperature
        energy = negative_energy(predictions, self.queue, temperature)

        def against(partner: Tensor | None) -> Tensor:
            keys = targets if partner is None else targets[partner]
            return info_nce(predictions, keys, energy, temperature)

        return against

    def after_step(self) -> None:
        """Enqueue all processes' keys; not before, as the backward pass reads the queue, not a clone."""
        for keys in self._fresh_keys:
            self.enqueue(gather(keys))
        self._fresh_keys.clear()
