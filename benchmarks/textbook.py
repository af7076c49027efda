"""The obvious alternative to `mmbench pretrain`: a textbook MoCo v2 + MixMask loop.

Per-image PIL augmentation by torchvision in loader workers, float32, contiguous layout, one mask per batch,
two full matrices of logits, a cloned queue.
"""

import copy
import itertools
from collections.abc import Iterator

import timm
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, interpolate, normalize
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms
from torchvision.transforms.functional import to_pil_image


class TwoViews(Dataset):  # type: ignore[type-arg]
    def __init__(self, images: Tensor, size: int) -> None:
        self.images = images
        self.transform = transforms.Compose(
            [
                transforms.RandomResizedCrop(size, scale=(0.3, 1)),
                transforms.RandomApply([transforms.ColorJitter(0.4, 0.4, 0.4, 0.1)], p=0.8),
                transforms.RandomGrayscale(0.2),
                transforms.RandomApply([transforms.GaussianBlur(3, (0.1, 2.0))], p=0.5),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
            ]
        )

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        picture = to_pil_image(self.images[index])
        return self.transform(picture), self.transform(picture)


class TextbookLoop:
    """One step of the loop per call of `step`; data by `workers` processes."""

    def __init__(self, images: Tensor, arch: str, size: int, batch: int, mixed: bool, workers: int) -> None:
        self.mixed = mixed
        backbone = timm.create_model(arch, num_classes=0)
        width = backbone.num_features
        head = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 64))
        self.query = nn.Sequential(backbone, head).train()
        self.key = copy.deepcopy(self.query).requires_grad_(False)
        self.queue = normalize(torch.randn(64, 1024), dim=0)
        self.position = 0
        self.optimiser = torch.optim.AdamW(self.query.parameters(), lr=2e-3, weight_decay=1e-4)
        loader = DataLoader(
            TwoViews(images, size),
            batch,
            shuffle=True,
            drop_last=True,
            num_workers=workers,
            persistent_workers=workers > 0,
        )
        self.batches: Iterator[list[Tensor]] = itertools.chain.from_iterable(itertools.repeat(loader))

    def logits(self, query: Tensor, key: Tensor) -> Tensor:
        positive = (query * key).sum(1, keepdim=True)
        negative = query @ self.queue.clone().detach()
        return torch.cat([positive, negative], 1) / 0.2

    def step(self) -> float:
        query_view, key_view = next(self.batches)
        target = torch.zeros(len(query_view), dtype=torch.int64)
        with torch.no_grad():
            for key, query in zip(self.key.parameters(), self.query.parameters(), strict=True):
                key.mul_(0.99).add_(query, alpha=0.01)
            keys = normalize(self.key(key_view))
        loss = cross_entropy(self.logits(normalize(self.query(query_view)), keys), target)
        if self.mixed:
            mask = interpolate((torch.rand(1, 1, 4, 4) < 0.5).float(), query_view.shape[-2:])
            lam = float(mask.mean())
            mixed = normalize(self.query(mask * query_view + (1 - mask) * query_view.flip(0)))
            loss = loss + lam * cross_entropy(self.logits(mixed, keys), target)
            loss = loss + (1 - lam) * cross_entropy(self.logits(mixed.flip(0), keys), target)
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        self.queue[:, self.position : self.position + len(keys)] = keys.t()
        self.position = (self.position + len(keys)) % self.queue.shape[1]
        return loss.item()
