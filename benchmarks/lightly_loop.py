"""lightly's MoCo v2 modules and transform in the ordinary loop of its documentation (pip install lightly)."""

import copy
import itertools
from collections.abc import Iterator

import timm
import torch
from lightly.loss import NTXentLoss
from lightly.models.modules import MoCoProjectionHead
from lightly.models.utils import (
    batch_shuffle,
    batch_unshuffle,
    deactivate_requires_grad,
    update_momentum,
)
from lightly.transforms import MoCoV2Transform
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms.functional import to_pil_image


class Images(Dataset):  # type: ignore[type-arg]
    def __init__(self, images: Tensor, size: int) -> None:
        self.images = images
        self.transform = MoCoV2Transform(input_size=size, min_scale=0.3)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> list[Tensor]:
        return list(self.transform(to_pil_image(self.images[index])))


class LightlyLoop:
    """One step of the loop per call of `step`; data by `workers` processes, float32."""

    def __init__(self, images: Tensor, arch: str, size: int, batch: int, workers: int) -> None:
        self.backbone = timm.create_model(arch, num_classes=0).train()
        width = self.backbone.num_features
        self.head = MoCoProjectionHead(width, width, 64)
        self.key_backbone, self.key_head = copy.deepcopy(self.backbone), copy.deepcopy(self.head)
        deactivate_requires_grad(self.key_backbone)
        deactivate_requires_grad(self.key_head)
        self.criterion = NTXentLoss(temperature=0.2, memory_bank_size=(1024, 64))
        parameters = [*self.backbone.parameters(), *self.head.parameters()]
        self.optimiser = torch.optim.AdamW(parameters, lr=2e-3, weight_decay=1e-4)
        loader = DataLoader(
            Images(images, size),
            batch,
            shuffle=True,
            drop_last=True,
            num_workers=workers,
            persistent_workers=workers > 0,
        )
        self.batches: Iterator[list[Tensor]] = itertools.chain.from_iterable(itertools.repeat(loader))

    def step(self) -> float:
        query_view, key_view = next(self.batches)
        update_momentum(self.backbone, self.key_backbone, m=0.99)
        update_momentum(self.head, self.key_head, m=0.99)
        query = self.head(self.backbone(query_view))
        shuffled, order = batch_shuffle(key_view)
        with torch.no_grad():
            key = batch_unshuffle(self.key_head(self.key_backbone(shuffled)), order)
        loss = self.criterion(query, key)
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        return float(loss)
