"""Files whose JPEGs a device decodes, here the CPU: crops of the other way, counts, damage, resume."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from small_runs import same, stopped
from torch import Tensor

from mmbench.data import load_dataset
from mmbench.data.images import device_jpegs
from mmbench.data.images.decoding import open_rgb
from mmbench.data.images.file_crops import generator_of
from mmbench.errors import UserError
from mmbench.images.crops import draw_crops
from mmbench.pretrain.config import resolve_config
from mmbench.pretrain.engine import pretrain
from mmbench.pretrain.session import Requests
from mmbench.pretrain.settings import PretrainConfig
from mmbench.pretrain.sources import device_files
from mmbench.pretrain.sources.base import Part
from mmbench.pretrain.sources.device_files import DeviceFileSource, EncodedImages
from mmbench.pretrain.sources.files import FileSource
from mmbench.pretrain.sources.opening import open_source
from mmbench.runs import RunFolder, read_metrics

CPU = torch.device("cpu")
KINDS = ("colour", "grey", "progressive", "CMYK", "turned", "PNG")
GIVEN = KINDS[:3]  # what the device is given; the others are the CPU's


def encoded(number: int, side: int, smooth: bool = False) -> bytes:
    """Return image `number`, of one of KINDS in turn: noise on a grey level of about 4 * number."""
    noise = np.random.default_rng(number).integers(0, 40, (side, side + 8, 3), dtype=np.uint8)
    image, kind = Image.fromarray(noise + np.uint8(4 * number)), KINDS[number % len(KINDS)]
    if smooth:
        image = image.resize((9, 9)).resize(image.size, Image.Resampling.BICUBIC)
    exif = Image.Exif()
    exif[0x0112] = 6
    mode = {"grey": "L", "CMYK": "CMYK"}.get(kind, "RGB")
    options = {"turned": {"exif": exif}, "progressive": {"progressive": True}}.get(kind, {})
    stream = io.BytesIO()
    if kind == "PNG":
        image.save(stream, "PNG")
    else:
        image.convert(mode).save(stream, "JPEG", quality=95, **options)
    return stream.getvalue()


def write_images(folder: Path, count: int = 48, side: int = 60, smooth: bool = False) -> Path:
    """Write two classes of images of all kinds, some of them under the ending of another."""
    for number in range(count):
        path = folder / "ab"[number % 2] / f"{number:03d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(number, side, smooth))
    return folder


def without_tables(content: bytes) -> bytes:
    """Return a JPEG with a header and an end, whose Huffman tables no decoder takes."""
    place = content.index(b"\xff\xc4") + 5
    return content[:place] + b"\xff" * 16 + content[place + 16 :]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_images(tmp_path_factory.mktemp("data") / "images")


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    load_dataset.cache_clear()
    yield
    load_dataset.cache_clear()


def config(folder: Path, *more: str, epochs: int = 2) -> PretrainConfig:
    overrides = ("loading=files", "decode=gpu", "batch_size=8", "framework.queue=20", "log_every=1", *more)
    return resolve_config(
        "mixmask", data=str(folder), epochs=epochs, device="cpu", threads=1, overrides=overrides
    )


def opened(folder: Path, *more: str) -> FileSource:
    found = open_source(config(folder, *more), load_dataset(str(folder)), CPU)
    assert isinstance(found, FileSource)
    return found


def on_device(folder: Path, *more: str) -> DeviceFileSource:
    found = opened(folder, *more)
    assert isinstance(found, DeviceFileSource)
    return found


def plan(*parts: list[int]) -> list[Part]:
    return [Part(epoch, torch.tensor(indices)) for epoch, indices in enumerate(parts)]


def kind_of(source: FileSource, index: int) -> str:
    return KINDS[int(Path(source.files.paths[index]).stem) % len(KINDS)]


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many files were given to the decoder in each of its calls."""
    calls: list[int] = []
    decode = device_jpegs.decode_jpegs

    def counted(contents: list[Tensor], device: torch.device) -> list[Tensor]:
        calls.append(len(contents))
        return decode(contents, device)

    monkeypatch.setattr(device_jpegs, "decode_jpegs", counted)
    return calls


@pytest.mark.parametrize("fit", ["cut", "redraw"])
def test_crops_are_those_of_the_cpu_to_the_rounding(folder: Path, decoded: list[int], fit: str) -> None:
    """Both round after each pass; torch's uint8 kernel keeps 16 bits of a weight, and the sums meet halves.

    At this size no JPEG is decoded smaller on the CPU. Files that the device is not given are equal.
    """
    parts = plan(list(range(32)), list(range(31, -1, -1)))
    settings = ("workers=0", f"augmentation.crop_fit={fit}")
    found, usual = on_device(folder, *settings), opened(folder, *settings, "decode=cpu")
    assert type(usual) is FileSource
    differing = []
    for ours, theirs, part in zip(found.batches(parts), usual.batches(parts), parts, strict=True):
        assert ours.dtype == torch.uint8 and ours.shape == theirs.shape == (2, 32, 3, 32, 32)
        difference = (ours.int() - theirs.int()).abs()
        assert difference.max() <= 2
        differing.append((difference > 0).float().mean().item())
        for place, index in enumerate(part.indices.tolist()):
            if kind_of(found, index) not in GIVEN:
                assert torch.equal(ours[:, place], theirs[:, place])
    assert max(differing) < 0.02
    given = sum(kind_of(found, index) in GIVEN for index in range(32))
    assert decoded == [given, given]  # each image once, for both crops; each batch in one call
    assert found.counts() == {
        "decoded_on_gpu": 2 * given,
        "decoded_on_cpu": 64 - 2 * given,
        "refused_by_gpu": 0,
    }
    assert usual.counts() == {} and usual.closing_remarks() == []


def test_large_jpegs_are_decoded_whole(tmp_path: Path) -> None:
    """Independent: Pillow decodes, and resizes the boxes that the seed, epoch and index give."""
    source = on_device(write_images(tmp_path / "images", 20, side=300), "workers=0")
    index = next(n for n in range(len(source)) if kind_of(source, n) == "colour")
    pairs = next(source.batches(plan([index])))
    image = open_rgb(source.files.root / source.files.paths[index])
    generator = generator_of(0, 0, index)
    boxes = draw_crops(2, (300, 308), source.crops.rule, generator)
    for crop, top, left, tall, wide in zip(pairs[:, 0], *(side.tolist() for side in boxes), strict=True):
        box = (left, top, left + wide, top + tall)
        expected = np.asarray(image.resize((32, 32), Image.Resampling.BILINEAR, box=box)).astype(int)
        assert np.abs(crop.permute(1, 2, 0).numpy().astype(int) - expected).max() <= 1


def test_a_worker_hands_over_files_and_boxes(folder: Path) -> None:
    source = on_device(folder)
    found = EncodedImages(source.crops).__getitems__([(3, index) for index in range(12)])
    files = found.contents.split([jpeg.length for jpeg in found.jpegs])
    for jpeg, content in zip(found.jpegs, files, strict=True):
        path = source.files.root / source.files.paths[jpeg.place]
        assert content.numpy().tobytes() == path.read_bytes() and jpeg.stored == (68, 60)
        assert jpeg.key == (3, jpeg.place) and len(jpeg.boxes) == 2
    assert sorted([*(jpeg.place for jpeg in found.jpegs), *found.places]) == list(range(12))
    assert found.pairs.shape == (2, len(found.places), 3, 32, 32)


def test_the_number_of_workers_and_of_calls_changes_nothing(
    folder: Path, decoded: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = plan([5, 1, 7, 9], [0, 2, 4, 6], [8, 3, 10, 11])
    alone = list(on_device(folder, "workers=0").batches(parts))
    helped = list(on_device(folder, "workers=2").batches(parts))
    assert all(torch.equal(a, b) for a, b in zip(alone, helped, strict=True))
    calls = len(decoded) // 2
    decoded.clear()
    monkeypatch.setattr(device_files, "MOST_DECODED", 2 * 3 * 60 * 68)
    split = list(on_device(folder, "workers=0").batches(parts))
    assert len(decoded) > calls and max(decoded) == 2
    assert all((a.int() - b.int()).abs().max() <= 1 for a, b in zip(alone, split, strict=True))


@pytest.mark.parametrize("kinds", [GIVEN, KINDS[3:]], ids=["all given", "none given"])
def test_batches_of_one_way_alone(folder: Path, kinds: tuple[str, ...]) -> None:
    source = on_device(folder, "workers=0")
    indices = [index for index in range(len(source)) if kind_of(source, index) in kinds]
    pairs = next(source.batches(plan(indices)))
    usual = next(opened(folder, "workers=0", "decode=cpu").batches(plan(indices)))
    assert (pairs.int() - usual.int()).abs().max() <= 2
    assert Counter(source.counts())["decoded_on_gpu"] == (len(indices) if kinds == GIVEN else 0)


def test_what_the_decoder_refuses_the_cpu_reads(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a decoder that takes no grey image, and one that returns another size."""
    source = on_device(folder, "workers=0")
    indices = list(range(24))
    grey = [index for index in indices if kind_of(source, index) == "grey"]
    usual = next(opened(folder, "workers=0", "decode=cpu").batches(plan(indices)))
    decode = device_jpegs.decode_jpegs

    def picky(contents: list[Tensor], device: torch.device) -> list[Tensor]:
        if any(Image.open(io.BytesIO(content.numpy().tobytes())).mode == "L" for content in contents):
            raise RuntimeError("Error while decoding JPEG images")
        return decode(contents, device)

    monkeypatch.setattr(device_jpegs, "decode_jpegs", picky)
    pairs = next(source.batches(plan(indices)))
    assert all(torch.equal(pairs[:, index], usual[:, index]) for index in grey)
    assert (pairs.int() - usual.int()).abs().max() <= 2
    counts = source.counts()
    assert counts["refused_by_gpu"] == len(grey) > 0 and sum(counts.values()) == 24
    assert source.closing_remarks() == [
        f"of 24 images of this session, the GPU decoded {counts['decoded_on_gpu']}, and the CPU "
        f"{counts['decoded_on_cpu']} that are no usual JPEGs and {len(grey)} that the GPU's decoder refused"
    ]
    assert source.unreadable == []

    def other_size(contents: list[Tensor], device: torch.device) -> list[Tensor]:
        return [image[:, 1:] for image in decode(contents, device)]

    monkeypatch.setattr(device_jpegs, "decode_jpegs", other_size)
    other = on_device(folder, "workers=0")
    assert torch.equal(next(other.batches(plan(indices))), usual)
    assert other.counts()["decoded_on_gpu"] == 0


def test_damaged_files_give_way_as_on_the_cpu(tmp_path: Path) -> None:
    """A cut file and one that is none are the worker's; one without tables is met by the decoder."""
    damaged = write_images(tmp_path / "images")
    source = on_device(damaged, "workers=0")
    given = [index for index in range(len(source)) if kind_of(source, index) == "colour"]
    paths = [damaged / source.files.paths[index] for index in given]
    paths[0].write_bytes(paths[0].read_bytes()[:700])
    paths[1].write_bytes(b"<html>")
    paths[2].write_bytes(without_tables(paths[2].read_bytes()))
    indices = list(range(len(source)))
    load_dataset.cache_clear()
    source, usual = on_device(damaged, "workers=0"), opened(damaged, "workers=0", "decode=cpu")
    ours, theirs = next(source.batches(plan(indices))), next(usual.batches(plan(indices)))
    assert (ours.int() - theirs.int()).abs().max() <= 2
    assert sorted(source.unreadable) == sorted(usual.unreadable)
    assert set(source.unreadable) == {source.files.paths[index] for index in given[:3]}
    assert source.counts()["refused_by_gpu"] == 1
    for path in source.files.paths:
        (damaged / path).write_bytes(without_tables(encoded(0, 60)))
    load_dataset.cache_clear()
    with pytest.raises(UserError, match=r"11 of 32 images in .* cannot be read"):
        next(on_device(damaged, "workers=0").batches(plan([0])))
    for path in source.files.paths:
        (damaged / path).write_bytes(b"<html>")
    load_dataset.cache_clear()
    with pytest.raises(UserError, match=r"11 of 32 images in .* cannot be read"):
        next(on_device(damaged, "workers=0").batches(plan([0])))


def test_stopped_and_resumed_equals_uninterrupted(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mmbench.pretrain.acceleration.check_decoder", lambda config, device: None)
    said: list[str] = []
    whole = pretrain(config(folder, "workers=0"), tmp_path / "whole", say=said.append)
    assert any(words.startswith("of 64 images of this session, the GPU decoded") for words in said)
    stopped(config(folder, "workers=2"), tmp_path / "parts", 5)
    parts = pretrain(config(folder, "workers=1"), tmp_path / "parts")
    assert same(parts, whole)
    last = read_metrics(whole.metrics)[-1]
    assert last["decoded_on_gpu"] + last["decoded_on_cpu"] == 64 and last["refused_by_gpu"] == 0
    assert yaml.safe_load(whole.settings.read_text())["decode"] == "gpu"


def test_it_is_a_setting_of_the_run(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run goes on as it began; one of an older version, which states nothing, was decoded by the CPU."""
    monkeypatch.setattr("mmbench.pretrain.acceleration.check_decoder", lambda config, device: None)
    out = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        pretrain(config(folder, "decode=cpu", "workers=0"), out, requests=Requests(stop=True))
    with pytest.raises(UserError, match="decode: cpu there, gpu now"):
        pretrain(config(folder, "workers=0"), out)
    place = RunFolder(out).settings
    stated = yaml.safe_load(place.read_text())
    del stated["decode"]
    place.write_text(yaml.safe_dump(stated))
    with pytest.raises(UserError, match="decode: None there, gpu now"):
        pretrain(config(folder, "workers=0"), out)
    assert pretrain(config(folder, "decode=cpu", "workers=0"), out).finished


def test_where_it_cannot_be_it_is_one_line(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="decode=gpu needs a CUDA device, and this run is on 'cpu'"):
        pretrain(config(folder), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    with pytest.raises(UserError, match="decoded once, into memory; leave out --set decode=gpu, or add"):
        open_source(config(folder, "loading=memory"), load_dataset(str(folder)), CPU)


@pytest.mark.gpu
def test_a_gpu_gives_nearly_the_crops_of_the_cpu(tmp_path: Path) -> None:
    """nvJPEG enlarges colours otherwise than the CPU's decoder, which matters little in smooth images."""
    folder, indices = write_images(tmp_path / "images", smooth=True), list(range(32))
    dataset, chosen = load_dataset(str(folder)), config(folder, "workers=0")
    source = open_source(chosen, dataset, torch.device("cuda"))
    assert isinstance(source, DeviceFileSource)
    pairs = next(source.batches(plan(indices)))
    usual = next(opened(folder, "workers=0", "decode=cpu").batches(plan(indices)))
    assert pairs.device.type == "cuda"
    assert (pairs.cpu().float() - usual.float()).abs().mean() < 2
    assert source.counts()["refused_by_gpu"] == 0
    assert source.counts()["decoded_on_gpu"] == sum(kind_of(source, index) in GIVEN for index in indices)


@pytest.mark.gpu
def test_a_run_on_a_gpu_resumes(folder: Path, tmp_path: Path) -> None:
    chosen = config(folder).model_copy(update={"device": "cuda"})
    stopped(chosen, tmp_path / "run", 3)
    run = pretrain(chosen, tmp_path / "run")
    assert run.finished and read_metrics(run.metrics)[-1]["decoded_on_gpu"] > 0
