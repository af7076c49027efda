"""Images on disk whose JPEGs the device decodes, a batch at a time; workers read and crop the others."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset

from mmbench.data import ImageFiles
from mmbench.data.images.ahead import empty_batch, read_batches
from mmbench.data.images.box_resize import Box
from mmbench.data.images.device_crops import device_crops
from mmbench.data.images.device_jpegs import OwnStream, decode_each
from mmbench.data.images.encoded_jpegs import EncodedJpeg, encoded_jpeg
from mmbench.data.images.file_crops import generator_of
from mmbench.images.crops import draw_crops
from mmbench.pretrain.settings import PretrainConfig
from mmbench.pretrain.sources.base import Part
from mmbench.pretrain.sources.files import (
    VIEWS,
    CroppedImages,
    FileSource,
    first_readable,
    keys_of,
)

MOST_DECODED = 2**30  # bytes of pixels that are decoded at a time; larger batches take several calls

Key = tuple[int, int]  # epoch and index of an image


class Jpeg(NamedTuple):
    """What is to be done with one JPEG of a batch.

    Attributes:
        place: in the batch.
        key: of the image.
        length: bytes of the file.
        stored: (width, height).
        boxes: of both crops, in whole pixels.
    """

    place: int
    key: Key
    length: int
    stored: tuple[int, int]
    boxes: list[Box]

    @property
    def decoded_bytes(self) -> int:
        """Bytes of the pixels."""
        return 3 * self.stored[0] * self.stored[1]


class EncodedPairs(NamedTuple):
    """A batch as a worker hands it over.

    Attributes:
        jpegs: for the device.
        contents: their files, one after another: uint8 (bytes,).
        places: in the batch, of the images that the worker cropped.
        pairs: their crops, uint8 (2, M, 3, S, S).
        unreadable, lost: see `CropPairs`.
    """

    jpegs: list[Jpeg]
    contents: Tensor
    places: list[int]
    pairs: Tensor
    unreadable: list[int]
    lost: bool

    def parts(self) -> Iterator[tuple[list[Jpeg], list[Tensor]]]:
        """Yield JPEGs and their files, as many as MOST_DECODED holds; one at least."""
        jpegs, files, size = list[Jpeg](), list[Tensor](), 0
        contents = self.contents.split([jpeg.length for jpeg in self.jpegs])
        for jpeg, content in zip(self.jpegs, contents, strict=True):
            if jpegs and size + jpeg.decoded_bytes > MOST_DECODED:
                yield jpegs, files
                jpegs, files, size = [], [], 0
            jpegs.append(jpeg)
            files.append(content)
            size += jpeg.decoded_bytes
        if jpegs:
            yield jpegs, files


class EncodedImages(TorchDataset[EncodedPairs]):
    """Usual JPEGs with the boxes of their crops, and the crops of other files.

    Boxes and crops are drawn as in `CroppedImages`.
    """

    def __init__(self, crops: CroppedImages) -> None:
        self.crops = crops

    def __getitems__(self, keys: list[Key]) -> EncodedPairs:
        """Return images `index` in `epoch`, or the next ones that can be read."""
        size, total = self.crops.size, len(self.crops.files)
        encoded: list[tuple[Jpeg, bytes | memoryview]] = []
        cropped: dict[int, Tensor] = {}
        unreadable: list[int] = []
        lost = False
        for place, (epoch, index) in enumerate(keys):
            read = functools.partial(self._read, place, epoch)
            found = first_readable(read, index, total, unreadable)
            if isinstance(found, tuple):
                encoded.append(found)
            else:
                lost |= found is None
                cropped[place] = torch.zeros((VIEWS, 3, size, size)) if found is None else found
        pairs = empty_batch(VIEWS, len(cropped), 3, size, size)
        for number, pair in enumerate(cropped.values()):
            pairs[:, number] = pair
        contents = _joined([content for _, content in encoded])
        return EncodedPairs([jpeg for jpeg, _ in encoded], contents, list(cropped), pairs, unreadable, lost)

    def _read(self, place: int, epoch: int, index: int) -> tuple[Jpeg, bytes | memoryview] | Tensor:
        """Return a usual JPEG and its file, or the crops of another image, uint8 (2, 3, S, S).

        Raises:
            UserError: the image cannot be read.
        """
        found = encoded_jpeg(self.crops.files.place(index))
        if found is None:
            pair = torch.empty((VIEWS, 3, self.crops.size, self.crops.size), dtype=torch.uint8)
            return self.crops.crop(pair, epoch, index)
        key = (epoch, index)
        return Jpeg(place, key, len(found.content), found.stored, self._boxes(key, found)), found.content

    def _boxes(self, key: Key, found: EncodedJpeg) -> list[Box]:
        """Return the boxes of both crops of an image."""
        generator = generator_of(self.crops.seed, *key)
        drawn = draw_crops(VIEWS, found.stored[::-1], self.crops.rule, generator)
        return [
            (left, top, left + wide, top + tall)
            for top, left, tall, wide in zip(*(value.tolist() for value in drawn), strict=True)
        ]


def _joined(contents: Sequence[bytes | memoryview]) -> Tensor:
    """Return files one after another, in shared memory where it holds them: uint8 (bytes,)."""
    joined = empty_batch(sum(map(len, contents)))
    for place, content in zip(joined.split([len(content) for content in contents]), contents, strict=True):
        place.copy_(torch.frombuffer(bytearray(content), dtype=torch.uint8))
    return joined


class DeviceFileSource(FileSource):
    """Images on disk, whose usual JPEGs the device decodes whole, once for both crops.

    Attributes:
        on_device: images of this session that the device decoded.
        on_cpu: those that workers decoded, as they are no usual JPEGs.
        refused: JPEGs that the device's decoder failed on, and the CPU was left with.
    """

    def __init__(
        self, name: str, files: ImageFiles, size: int, config: PretrainConfig, device: torch.device
    ) -> None:
        super().__init__(name, files, size, config, device)
        self.encoded = EncodedImages(self.crops)
        self.stream = OwnStream(device)
        self.on_device = self.on_cpu = self.refused = 0

    def batches(self, plan: Iterable[Part]) -> Iterator[Tensor]:
        """Yield pairs of crops.

        Raises:
            UserError: too many images cannot be read.
        """
        batches: Iterator[EncodedPairs] = read_batches(self.encoded, keys_of(plan), self.workers)
        for found in batches:
            self.leave_out(found.unreadable, found.lost)
            yield self.stream.run(functools.partial(self._pairs, found))

    def counts(self) -> dict[str, int]:
        """Return how many images the device decoded, how many workers, and how many the device refused."""
        return {
            "decoded_on_gpu": self.on_device,
            "decoded_on_cpu": self.on_cpu,
            "refused_by_gpu": self.refused,
        }

    def closing_remarks(self) -> list[str]:
        """Return a line with these numbers."""
        total = self.on_device + self.on_cpu + self.refused
        if not total:
            return []
        return [
            f"of {total} images of this session, the GPU decoded {self.on_device}, and the CPU {self.on_cpu} "
            f"that are no usual JPEGs and {self.refused} that the GPU's decoder refused"
        ]

    def _pairs(self, found: EncodedPairs) -> Tensor:
        """Return the crops of a batch on the device, uint8 (2, B, 3, S, S)."""
        total, size = len(found.jpegs) + len(found.places), self.image_size
        pairs = torch.empty((VIEWS, total, 3, size, size), dtype=torch.uint8, device=self.device)
        pairs[:, found.places] = found.pairs.to(self.device)
        self.on_cpu += len(found.places)
        for jpegs, files in found.parts():
            images = decode_each(files, self.device)
            decoded = [
                (jpeg, image)
                for jpeg, image in zip(jpegs, images, strict=True)
                if image is not None and image.shape == (3, *jpeg.stored[::-1])
            ]
            self.on_device += len(decoded)
            if decoded:
                boxes, around = [jpeg.boxes for jpeg, _ in decoded], self.crops.rule.weighs_around
                crops = device_crops([image for _, image in decoded], boxes, size, around=around)
                pairs[:, [jpeg.place for jpeg, _ in decoded]] = crops.transpose(0, 1)
            done = {jpeg.place for jpeg, _ in decoded}
            for jpeg in jpegs:
                if jpeg.place not in done:
                    pairs[:, jpeg.place] = self._by_cpu(jpeg).to(self.device)
        return pairs

    def _by_cpu(self, jpeg: Jpeg) -> Tensor:
        """Return the crops of a JPEG that the device refused, or of the next image that can be read.

        Raises:
            UserError: too many images cannot be read.
        """
        self.refused += 1
        pair = torch.empty((VIEWS, 3, self.image_size, self.image_size), dtype=torch.uint8)
        unreadable: list[int] = []
        found = self.crops.fill(pair, *jpeg.key, unreadable)
        self.leave_out(unreadable, not found)
        return pair
