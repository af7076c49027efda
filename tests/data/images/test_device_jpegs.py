"""Batches for a device's decoder: what is done where it refuses a file, what is said where there is none."""

import io
import math

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from mmbench.data.images import device_jpegs
from mmbench.data.images.device_jpegs import OwnStream, decode_each, decode_jpegs, require_decoder
from mmbench.errors import UserError

CPU = torch.device("cpu")


def jpeg(number: int, mode: str = "RGB", **options: object) -> tuple[Tensor, np.ndarray]:
    """Return a file, and its pixels as Pillow decodes them."""
    pixels = np.random.default_rng(number).integers(0, 256, (20 + number, 30, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(stream, "JPEG", quality=90, **options)
    with Image.open(stream) as image:
        return torch.frombuffer(bytearray(stream.getvalue()), dtype=torch.uint8), np.asarray(
            image.convert("RGB")
        )


def test_pixels_are_three_planes_of_colour_in_the_order_of_the_files() -> None:
    made = [jpeg(0), jpeg(1, "L"), jpeg(2)]
    for found, (_, expected) in zip(decode_jpegs([file for file, _ in made], CPU), made, strict=True):
        assert np.array_equal(found.permute(1, 2, 0).numpy(), expected)


def test_only_what_is_refused_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a decoder that fails as torchvision's does: whole batches, by one file in them."""
    made = [jpeg(number) for number in range(16)]
    refused = {3, 11}
    calls: list[int] = []

    def picky(contents: list[Tensor], device: torch.device) -> list[Tensor]:
        calls.append(len(contents))
        if any(content is made[number][0] for number in refused for content in contents):
            raise RuntimeError("Unknown chroma subsampling")
        return decode_jpegs(contents, device)

    monkeypatch.setattr(device_jpegs, "decode_jpegs", picky)
    found = decode_each([file for file, _ in made], CPU)
    assert [number for number, image in enumerate(found) if image is None] == sorted(refused)
    for image, (_, expected) in zip(found, made, strict=True):
        assert image is None or np.array_equal(image.permute(1, 2, 0).numpy(), expected)
    assert len(calls) <= 1 + 2 * len(refused) * math.log2(len(made))
    calls.clear()
    refused.clear()
    assert all(image is not None for image in decode_each([file for file, _ in made], CPU))
    assert calls == [16]
    assert decode_each([], CPU) == [] and calls == [16]


def test_a_machine_without_the_decoder_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    require_decoder(CPU)

    def missing(contents: list[Tensor], device: torch.device) -> list[Tensor]:
        raise RuntimeError("torchvision not compiled with nvJPEG support\nat line 7")

    monkeypatch.setattr(device_jpegs, "decode_jpegs", missing)
    with pytest.raises(
        UserError, match=r"nvJPEG support\); leave out --set decode=gpu, or install"
    ) as caught:
        require_decoder(CPU)
    assert "\n" not in str(caught.value)


def test_work_in_a_stream_of_its_own_returns_what_it_makes() -> None:
    assert OwnStream(CPU).run(lambda: torch.arange(3)).tolist() == [0, 1, 2]


@pytest.mark.gpu
def test_a_gpu_decodes_nearly_what_the_cpu_does() -> None:
    """At full colour resolution, so that only the transform and the conversion to RGB round otherwise."""
    gpu = torch.device("cuda")
    require_decoder(gpu)
    made = [jpeg(0, subsampling="4:4:4"), jpeg(1, "L"), jpeg(2, subsampling="4:4:4", progressive=True)]
    files = [file for file, _ in made]
    for found, (_, expected) in zip(decode_jpegs(files, gpu), made, strict=True):
        assert found.shape == (3, *expected.shape[:2]) and found.device.type == "cuda"
        pixels = found.permute(1, 2, 0).cpu().numpy().astype(int)
        assert np.abs(pixels - expected).mean() < 2
    none = torch.zeros(100, dtype=torch.uint8)
    assert [image is None for image in decode_each([files[1], none, files[2]], gpu)] == [False, True, False]


@pytest.mark.gpu
def test_work_on_a_gpu_is_seen_by_what_comes_after() -> None:
    stream = OwnStream(torch.device("cuda"))
    for number in range(20):
        found = stream.run(lambda number=number: torch.full((1000, 1000), number, device="cuda"))  # type: ignore[misc]
        assert found.double().mean().item() == number
