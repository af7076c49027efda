"""Images that do not fit into memory: workers decode and crop them as uint8, the device does the rest."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset

from mmbench.data import ImageFiles
from mmbench.data.ahead import read_batches
from mmbench.data.decoding import read_image
from mmbench.data.file_crops import generator_of, random_crops
from mmbench.data.sides import sides_of_files
from mmbench.errors import UserError
from mmbench.file_names import listed
from mmbench.pretrain.settings import PretrainConfig
from mmbench.pretrain.sources.base import ImageSource, Part, spread

UNREADABLE_SHARE, UNREADABLE_AT_LEAST = 0.01, 10
VIEWS = 2


def check_unreadable(unreadable: list[str], total: int, place: str, share: float = UNREADABLE_SHARE) -> None:
    """Stop a run whose data are damaged.

    Raises:
        UserError: more than `share` of the images, and more than ten, cannot be read.
    """
    if len(unreadable) > max(UNREADABLE_AT_LEAST, share * total):
        raise UserError(
            f"{len(unreadable)} of {total} images in {place} cannot be read ({listed(unreadable)}); "
            "fix or remove them"
        )


class Crop(NamedTuple):
    """An image's two crops, uint8 (2, 3, S, S).

    Attributes:
        unreadable: indices of the damaged images that were met on the way.
        lost: nothing was found that can be read, and the crops are empty.
    """

    pair: Tensor
    unreadable: list[int]
    lost: bool = False


class CroppedImages(TorchDataset[Crop]):
    """Two random crops of each image. What is drawn depends on seed, epoch and image alone.

    So the number of workers changes nothing, and a run goes on in the middle of an epoch exactly.
    """

    def __init__(self, files: ImageFiles, size: int, config: PretrainConfig) -> None:
        self.files, self.size = files, size
        self.scale, self.aspect = config.augmentation.crop_scale, config.augmentation.crop_aspect
        self.seed = config.seed

    def __getitem__(self, key: tuple[int, int]) -> Crop:
        """Return crops of image `index` in `epoch`, or of the next one that can be read."""
        epoch, index = key
        unreadable: list[int] = []
        while len(unreadable) <= UNREADABLE_AT_LEAST:
            try:
                return Crop(self.crop(epoch, index), unreadable)
            except UserError:
                unreadable.append(index)
                index = (index + 1) % len(self.files)
        empty = torch.zeros((VIEWS, 3, self.size, self.size), dtype=torch.uint8)
        return Crop(empty, unreadable, lost=True)

    def crop(self, epoch: int, index: int) -> Tensor:
        """Return two random resized crops, uint8 (2, 3, S, S), antialiased bilinear.

        Raises:
            UserError: the image cannot be read.
        """
        path = self.files.root / self.files.paths[index]
        generator = generator_of(self.seed, epoch, index)
        return random_crops(path, VIEWS, self.size, self.scale, self.aspect, generator)


def collate(crops: list[Crop]) -> Crop:
    """Return the crops of a part, uint8 (2, B, 3, S, S)."""
    return Crop(
        torch.stack([crop.pair for crop in crops], dim=1),
        [index for crop in crops for index in crop.unreadable],
        any(crop.lost for crop in crops),
    )


class FileSource(ImageSource):
    """Images on disk, read by `config.workers` processes ahead of the step."""

    def __init__(
        self, name: str, files: ImageFiles, size: int, config: PretrainConfig, device: torch.device
    ) -> None:
        self.name = name
        self.files = files
        self.fingerprint = files.fingerprint
        self.image_size = size
        self.sides = sides_of_files(files)
        # The middle 224 of 256 pixels, as in ImageNet's usual evaluation.
        self.crop_pct = 1.0 if self.small else 0.875
        self.unreadable: list[str] = []
        self.device = device
        self.workers = config.workers
        self.crops = CroppedImages(files, size, config)

    def __len__(self) -> int:
        return len(self.files)

    def batches(self, plan: Iterable[Part]) -> Iterator[Tensor]:
        """Yield pairs of crops.

        Raises:
            UserError: too many images cannot be read.
        """
        keys = ([(part.epoch, index) for index in part.indices.tolist()] for part in plan)
        pin = self.device.type == "cuda"
        known = set(self.unreadable)
        for crop in read_batches(self.crops, keys, self.workers, collate, pin_memory=pin):
            for index in crop.unreadable:
                path = self.files.paths[index]
                if path not in known:
                    known.add(path)
                    self.unreadable.append(path)
            share = 0.0 if crop.lost else UNREADABLE_SHARE
            check_unreadable(self.unreadable, len(self), str(self.files.root), share)
            yield crop.pair.to(self.device, non_blocking=True)

    def samples(self, count: int) -> Tensor:
        """Return some images, a little larger than a view."""
        size, found = round(self.image_size * 1.25), []
        for index in spread(len(self), count).tolist():
            try:
                found.append(
                    torch.from_numpy(read_image(self.files.root / self.files.paths[index], size).copy())
                )
            except UserError:
                continue  # the run itself counts and lists it
        if not found:
            raise UserError(f"none of the images tried in {self.files.root} can be read")
        return torch.stack(found).permute(0, 3, 1, 2)
