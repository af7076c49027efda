"""Images that do not fit into memory: workers decode and crop them as uint8, the device does the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset

from mmbench.data import ImageFiles
from mmbench.data.images.ahead import empty_batch, read_batches
from mmbench.data.images.decoding import read_image
from mmbench.data.images.file_crops import generator_of, random_crops
from mmbench.data.images.sides import sides_of_files
from mmbench.errors import UserError
from mmbench.file_names import listed
from mmbench.pretrain.settings import PretrainConfig
from mmbench.pretrain.sources.base import ImageSource, Part, spread

UNREADABLE_SHARE, UNREADABLE_AT_LEAST = 0.01, 10
VIEWS = 2
Found = TypeVar("Found")


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


def first_readable(
    read: Callable[[int], Found], index: int, total: int, unreadable: list[int]
) -> Found | None:
    """Return what `read` makes of the image at `index`, or of the next one that it can read.

    Args:
        read: raises UserError for an image that cannot be read.
        total: images; the first follows the last.
        unreadable: takes the indices of the others.

    Returns:
        None where that many in a row cannot be read that the run is stopped.
    """
    for _ in range(UNREADABLE_AT_LEAST + 1):
        try:
            return read(index)
        except UserError:
            unreadable.append(index)
            index = (index + 1) % total
    return None


class CropPairs(NamedTuple):
    """Two crops of each image of a batch.

    Attributes:
        pairs: uint8 (2, B, 3, S, S).
        unreadable: indices of the damaged images that were met on the way.
        lost: for some image nothing was found that can be read, and its crops are empty.
    """

    pairs: Tensor
    unreadable: list[int]
    lost: bool


class CroppedImages(TorchDataset[CropPairs]):
    """Two random crops of each image, in whole batches. What is drawn depends on seed, epoch and image alone.

    So the number of workers changes nothing, and a run goes on in the middle of an epoch exactly.
    """

    def __init__(self, files: ImageFiles, size: int, config: PretrainConfig) -> None:
        self.files, self.size = files, size
        self.rule = config.augmentation.crop_rule()
        self.seed = config.seed

    def __getitems__(self, keys: list[tuple[int, int]]) -> CropPairs:
        """Return crops of images `index` in `epoch`, or of the next ones that can be read."""
        pairs = empty_batch(VIEWS, len(keys), 3, self.size, self.size)
        unreadable: list[int] = []
        lost = [not self.fill(pairs[:, place], *key, unreadable) for place, key in enumerate(keys)]
        return CropPairs(pairs, unreadable, any(lost))

    def fill(self, pair: Tensor, epoch: int, index: int, unreadable: list[int]) -> bool:
        """Write the crops of an image or of one after it, and return whether one can be read.

        Args:
            unreadable: takes the indices of damaged images.
        """
        found = first_readable(lambda at: self.crop(pair, epoch, at), index, len(self.files), unreadable)
        if found is None:
            pair.zero_()
        return found is not None

    def crop(self, pair: Tensor, epoch: int, index: int) -> Tensor:
        """Write two random resized crops into `pair`, uint8 (2, 3, S, S), antialiased bilinear; return it.

        Raises:
            UserError: the image cannot be read.
        """
        generator = generator_of(self.seed, epoch, index)
        random_crops(self.files.place(index), pair, self.rule, generator)
        return pair


def keys_of(plan: Iterable[Part]) -> Iterator[list[tuple[int, int]]]:
    """Yield the (epoch, index) of the images of each part."""
    for part in plan:
        yield [(part.epoch, index) for index in part.indices.tolist()]


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

    def paths(self) -> Sequence[str]:
        """Return the paths of the files, below their folder."""
        return self.files.paths

    def batches(self, plan: Iterable[Part]) -> Iterator[Tensor]:
        """Yield pairs of crops.

        Raises:
            UserError: too many images cannot be read.
        """
        pin = self.device.type == "cuda"
        batches: Iterator[CropPairs] = read_batches(self.crops, keys_of(plan), self.workers, pin_memory=pin)
        for found in batches:
            self.leave_out(found.unreadable, found.lost)
            yield found.pairs.to(self.device, non_blocking=True)

    def leave_out(self, unreadable: list[int], lost: bool) -> None:
        """Remember the images at these indices as unreadable.

        Raises:
            UserError: too many images cannot be read, or for one nothing was found in its place (`lost`).
        """
        if unreadable:
            paths = dict.fromkeys([*self.unreadable, *(self.files.paths[index] for index in unreadable)])
            self.unreadable[:] = paths
        share = 0.0 if lost else UNREADABLE_SHARE
        check_unreadable(self.unreadable, len(self), str(self.files.root), share)

    def samples(self, count: int) -> Tensor:
        """Return some images, a little larger than a view."""
        size, found = round(self.image_size * 1.25), []
        for index in spread(len(self), count).tolist():
            try:
                found.append(torch.from_numpy(read_image(self.files.place(index), size).copy()))
            except UserError:
                continue  # the run itself counts and lists it
        if not found:
            raise UserError(f"none of the images tried in {self.files.root} can be read")
        return torch.stack(found).permute(0, 3, 1, 2)
