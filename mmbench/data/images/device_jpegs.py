"""Batches of JPEGs decoded on the device that trains: on NVIDIA's GPUs by nvJPEG, through torchvision."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence

import torch
from PIL import Image
from torch import Tensor

from mmbench.errors import UserError

TRIED_SIDE = 16  # pixels of the JPEG that tries the decoder


def decode_jpegs(contents: Sequence[Tensor], device: torch.device) -> list[Tensor]:
    """Return the pixels of JPEGs, uint8 (3, H, W) each, decoded on the device in one call.

    Args:
        contents: the files, uint8 (bytes,) in the memory of the CPU.

    Raises:
        RuntimeError: one of them cannot be decoded; torchvision does not say which.
    """
    from torchvision.io import ImageReadMode, decode_jpeg  # deprecated there: a later version may lack it

    if device.type == "cuda":
        # torchvision writes from a stream of its own into memory that torch may have handed out while
        # kernels of the current stream still read what was there before.
        torch.cuda.current_stream(device).synchronize()
        device = torch.device("cuda", torch.cuda.current_device() if device.index is None else device.index)
    images: list[Tensor] = decode_jpeg(list(contents), ImageReadMode.RGB, device)
    return images


def decode_each(contents: Sequence[Tensor], device: torch.device) -> list[Tensor | None]:
    """Return the pixels of each JPEG, and None for those that the device's decoder refuses.

    Where a batch fails, its halves are tried: one file among 256 costs about 16 calls more.
    """
    if not contents:
        return []
    try:
        return [*decode_jpegs(contents, device)]
    except RuntimeError:
        if len(contents) == 1:
            return [None]
        half = len(contents) // 2
        return decode_each(contents[:half], device) + decode_each(contents[half:], device)


def require_decoder(device: torch.device) -> None:
    """Check that the device decodes JPEGs, by a small one.

    Raises:
        UserError: it does not.
    """
    stream = io.BytesIO()
    Image.new("RGB", (TRIED_SIDE, TRIED_SIDE)).save(stream, "JPEG")
    try:
        decode_jpegs([torch.frombuffer(bytearray(stream.getvalue()), dtype=torch.uint8)], device)
    except (ImportError, AttributeError, RuntimeError) as error:
        reason = str(error).partition("\n")[0]
        raise UserError(
            f"torchvision cannot decode JPEGs on '{device}' ({reason}); leave out --set decode=gpu, or "
            "install a torchvision with nvJPEG"
        ) from None


class OwnStream:
    """Work on a device beside what is queued there: on a GPU in a stream of its own.

    So decoding waits for the work of earlier batches of images, and not for a training step.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.stream = torch.cuda.Stream(device) if device.type == "cuda" else None

    def run(self, work: Callable[[], Tensor]) -> Tensor:
        """Return what `work` does, for use in the current stream."""
        if self.stream is None:
            return work()
        current = torch.cuda.current_stream(self.device)
        with torch.cuda.stream(self.stream):
            found = work()
        current.wait_stream(self.stream)
        found.record_stream(current)
        return found
