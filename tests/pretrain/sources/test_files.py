"""Folders that are read as they are needed: crops, workers, damaged images, exact resume."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from small_runs import same, stopped
from torch import Tensor

from mmbench.data import Dataset, ImageFiles, load_dataset
from mmbench.errors import UserError
from mmbench.file_names import printable
from mmbench.images.crops import draw_crops
from mmbench.pretrain.config import resolve_config
from mmbench.pretrain.engine import pretrain
from mmbench.pretrain.settings import PretrainConfig
from mmbench.pretrain.sources import opening as source_module
from mmbench.pretrain.sources.base import EpochOrders, Part
from mmbench.pretrain.sources.files import CroppedImages, FileSource, check_unreadable
from mmbench.pretrain.sources.memory import MemorySource
from mmbench.pretrain.sources.opening import open_source
from mmbench.runs import RunFolder, read_metrics

CPU = torch.device("cpu")


def write_images(folder: Path, count: int = 48, side: int = 60) -> Path:
    """Write two classes of JPEGs; the grey level of image i is about 5 i."""
    generator = np.random.default_rng(0)
    for number in range(count):
        noise = generator.integers(0, 10, (side, side + 8, 3), dtype=np.uint8)
        path = folder / "ab"[number % 2] / f"{number:03d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise + np.uint8(5 * number)).save(path, quality=95)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_images(tmp_path_factory.mktemp("data") / "images")


def config(folder: Path, *more: str, epochs: int = 2) -> PretrainConfig:
    overrides = ("loading=files", "batch_size=8", "framework.queue=20", "log_every=1", *more)
    return resolve_config(
        "mixmask", data=str(folder), epochs=epochs, device="cpu", threads=1, overrides=overrides
    )


def opened(folder: Path, *more: str) -> FileSource:
    chosen = config(folder, *more)
    source = open_source(chosen, load_dataset(str(folder)), CPU)
    assert isinstance(source, FileSource)
    return source


def crop_pair(images: CroppedImages, epoch: int, index: int) -> Tensor:
    found = images.__getitems__([(epoch, index)])
    assert not found.unreadable and not found.lost
    return found.pairs[:, 0]


def test_crops_are_those_of_the_whole_picture(folder: Path) -> None:
    """Independent: full decode, crop, resize; the JPEG may be decoded smaller, so a little differs."""
    source = opened(folder)
    for epoch, index in ((0, 3), (4, 20)):
        pair = crop_pair(source.crops, epoch, index)
        assert pair.shape == (2, 3, 32, 32)
        assert torch.equal(pair, crop_pair(source.crops, epoch, index))
        assert not torch.equal(pair[0], pair[1])
        assert not torch.equal(pair, crop_pair(source.crops, epoch + 1, index))
    image = Image.open(folder / source.files.paths[3]).convert("RGB")
    whole = torch.from_numpy(np.asarray(image).copy()).float()
    pair = crop_pair(source.crops, 0, 3).float()
    assert abs(pair.mean() - whole.mean()) < 3


def test_crops_come_from_where_they_were_drawn(tmp_path: Path) -> None:
    """In an image whose colours are its coordinates, a crop tells its rectangle."""
    down, across = np.meshgrid(np.arange(240), np.arange(200), indexing="ij")
    pixels = np.stack([across, down, 0 * down], axis=2).astype(np.uint8)
    for name, tolerance in (("a.png", 1.5), ("a.jpg", 6.0)):
        Image.fromarray(pixels).save(tmp_path / name, **({"quality": 100} if name.endswith("jpg") else {}))
        files = ImageFiles(tmp_path, [name], torch.zeros(1, dtype=torch.int64))
        images = CroppedImages(files, 32, config(tmp_path))
        seen: list[object] = []

        def remember(*arguments: object, seen: list[object] = seen) -> object:
            crops = draw_crops(*arguments)  # type: ignore[arg-type]
            seen.append(crops)
            return crops

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("mmbench.data.images.file_crops.draw_crops", remember)
            pair = crop_pair(images, 0, 0).float()
        top, left, tall, wide = (values.tolist() for values in seen[-1])  # type: ignore[attr-defined]
        for view in range(2):
            # The centre of the first and of the last of 32 pixels lies half a pixel inside the rectangle.
            for channel, start, length in ((0, left[view], wide[view]), (1, top[view], tall[view])):
                line = pair[view, channel].mean(dim=1 if channel == 1 else 0)
                step = length / 32
                expected = start + (torch.arange(32) + 0.5) * step - 0.5
                assert (line - expected)[2:-2].abs().max() < tolerance


def test_the_number_of_workers_changes_nothing(folder: Path) -> None:
    plan = [Part(epoch, torch.tensor([5 * epoch, 1, 7])) for epoch in range(3)]
    alone = list(opened(folder, "workers=0").batches(plan))
    helped = list(opened(folder, "workers=2").batches(plan))
    assert [part.shape for part in alone] == [(2, 3, 3, 32, 32)] * 3
    assert all(torch.equal(a, b) for a, b in zip(alone, helped, strict=True))


def test_stopped_and_resumed_with_workers_equals_uninterrupted(folder: Path, tmp_path: Path) -> None:
    whole = pretrain(config(folder, "workers=0"), tmp_path / "whole")
    stopped(config(folder, "workers=2"), tmp_path / "parts", 5)
    parts = pretrain(config(folder, "workers=1"), tmp_path / "parts")
    assert same(parts, whole)
    record = read_metrics(parts.metrics)[-1]
    assert 0 <= record["data_wait"] <= 1
    assert (parts.root / "views.png").stat().st_size > 10_000


def test_a_run_whose_states_are_all_damaged_starts_again(folder: Path, tmp_path: Path) -> None:
    whole = pretrain(config(folder), tmp_path / "whole")
    stopped(config(folder), tmp_path / "damaged", 5)
    for state in (tmp_path / "damaged" / "training").glob("*.pth"):
        state.write_bytes(state.read_bytes()[:100])
    (tmp_path / "damaged" / "views.png").unlink()
    again = pretrain(config(folder), tmp_path / "damaged")
    assert same(again, whole)
    assert (again.root / "views.png").read_bytes() == (whole.root / "views.png").read_bytes()


def test_a_damaged_picture_gives_way_to_the_next_that_can_be_read(tmp_path: Path) -> None:
    damaged = write_images(tmp_path / "images", 40)
    paths = load_dataset(str(damaged)).files["train"]().paths
    for path in paths[3:5]:
        (damaged / path).write_bytes(b"<html>")
    load_dataset.cache_clear()
    crops = opened(damaged).crops
    found = crops.__getitems__([(0, 3), (0, 4), (0, 5), (1, 3)])
    assert found.unreadable == [3, 4, 4, 3, 4] and not found.lost
    assert torch.equal(found.pairs[:, 0], crop_pair(crops, 0, 5))
    assert torch.equal(found.pairs[:, 3], crop_pair(crops, 1, 5))
    for path in paths:
        (damaged / path).write_bytes(b"<html>")
    found = crops.__getitems__([(0, 0), (0, 1)])
    assert found.lost and not found.pairs.any()
    assert found.unreadable == [*range(11), *range(1, 12)]


def test_damaged_pictures_are_left_out_counted_and_listed(folder: Path, tmp_path: Path) -> None:
    damaged = write_images(tmp_path / "images")
    files = load_dataset(str(damaged)).files["train"]()
    for path in files.paths[2:5]:
        (damaged / path).write_bytes((damaged / path).read_bytes()[:300])
    for loading in ("files", "memory"):
        said: list[str] = []
        load_dataset.cache_clear()
        run = pretrain(config(damaged, f"loading={loading}", epochs=1), tmp_path / loading, say=said.append)
        assert any("3 images cannot be read" in words for words in said)
        listed = (run.root / "unreadable.txt").read_text().split()
        assert sorted(listed) == sorted(files.paths[2:5])


def test_what_an_earlier_sitting_left_out_stays_on_the_list(folder: Path, tmp_path: Path) -> None:
    damaged = write_images(tmp_path / "images")
    chosen = config(damaged, "workers=0", epochs=1)
    files = load_dataset(str(damaged)).files["train"]()
    order = EpochOrders(len(files), 0).of(0).tolist()
    early, late = files.paths[order[0]], files.paths[order[-1]]
    for path in (early, late):  # one is met in the first step, one in the last
        (damaged / path).write_bytes(b"x" * (damaged / path).stat().st_size)
    stopped(chosen, tmp_path / "run", 1)
    assert (tmp_path / "run" / "unreadable.txt").read_text().split() == [early]
    run = pretrain(chosen, tmp_path / "run")
    assert (run.root / "unreadable.txt").read_text().split() == [early, late]


@pytest.mark.parametrize("mark", [os.fsdecode(b"\xe9"), "\x85\n"], ids=["latin-1", "breaks"])
def test_an_image_is_counted_once_however_it_is_printed(tmp_path: Path, mark: str) -> None:
    """Ten may be damaged: one of them twice would stop the run that goes on."""
    damaged = write_images(tmp_path / "images")
    for path in damaged.rglob("*.jpg"):
        path.rename(path.with_stem(path.stem + mark))
    paths = load_dataset(str(damaged)).files["train"]().paths[:10]
    for path in paths:
        (damaged / path).write_bytes(b"x")
    load_dataset.cache_clear()
    stopped(config(damaged, "workers=0"), tmp_path / "run", 4)
    run = pretrain(config(damaged, "workers=0"), tmp_path / "run")
    assert sorted((run.root / "unreadable.txt").read_text().splitlines()) == sorted(map(printable, paths))


def test_too_many_damaged_pictures_stop_the_run(tmp_path: Path) -> None:
    damaged = write_images(tmp_path / "images")
    for path in load_dataset(str(damaged)).files["train"]().paths[:12]:
        (damaged / path).write_bytes(b"<html>")
    for loading in ("files", "memory"):
        load_dataset.cache_clear()
        with pytest.raises(UserError, match=r"1[12] of 32 images in .* cannot be read"):
            pretrain(config(damaged, f"loading={loading}", "workers=0", epochs=8), tmp_path / loading)


def test_the_limit_is_a_share_of_many_pictures() -> None:
    check_unreadable(["a"] * 10, 20, "here")
    check_unreadable(["a"] * 100, 10_000, "here")
    with pytest.raises(UserError, match="101 of 10000"):
        check_unreadable(["a"] * 101, 10_000, "here")


def test_what_fits_is_kept_in_memory_unless_told_otherwise(
    folder: Path, tiny: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = load_dataset(str(folder))
    auto = config(folder, "loading=auto")
    source = open_source(auto, dataset, CPU)
    assert isinstance(source, MemorySource)
    assert source.images.shape == (32, 3, 40, 40)
    larger = open_source(config(folder, "loading=auto", "image_size=48"), dataset, CPU)
    assert isinstance(larger, MemorySource)
    assert larger.images.shape == (32, 3, 60, 60)  # read again at the size that is asked for
    monkeypatch.setattr(source_module, "MEMORY_LIMIT", 32 * 3 * 40 * 40 - 1)
    assert isinstance(open_source(auto, dataset, CPU), FileSource)
    with pytest.raises(UserError, match="'stripes' is not read from files"):
        open_source(config(folder), tiny, CPU)


def test_orders_are_those_of_one_generator_in_any_sequence() -> None:
    generator = torch.Generator().manual_seed(5)
    expected = [torch.randperm(20, generator=generator) for _ in range(4)]
    orders = EpochOrders(20, 5)
    for epoch in (0, 3, 1, 1, 2, 0):
        assert torch.equal(orders.of(epoch), expected[epoch])


def test_unlabelled_pictures_are_enough(tmp_path: Path) -> None:
    write_images(tmp_path / "source", 24)
    loose = tmp_path / "loose"
    loose.mkdir()
    for path in sorted((tmp_path / "source").rglob("*.jpg")):
        path.rename(loose / path.name)
    run = pretrain(config(loose, "loading=auto", epochs=1), tmp_path / "run")
    assert run.finished
    with pytest.raises(UserError, match="knn_every needs a val split and two classes"):
        pretrain(config(loose, "knn_every=1"), tmp_path / "watched")
    assert not (tmp_path / "watched").exists()


def test_an_empty_folder_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="has no class folders"):
        pretrain(config(tmp_path / "empty"), tmp_path / "run")
    assert not RunFolder(tmp_path / "run").root.exists()


@pytest.mark.parametrize(
    ("recipe", "data", "side", "more"),
    [
        ("mixmask-tiny-imagenet", "tiny-imagenet", 64, ()),
        ("mixmask-imagenet", "imagenet", 80, ("image_size=64", "loading=files")),
        ("mixmask-imagenet", "imagenet-100", 80, ("image_size=64",)),
    ],
)
def test_the_papers_recipes_run_on_data_in_their_own_layouts(
    tmp_path: Path, recipe: str, data: str, side: int, more: tuple[str, ...]
) -> None:
    """A small network, three classes and one epoch; the settings are otherwise the recipe's."""
    home = "imagenet" if data == "imagenet-100" else data
    for index in range(60):
        wnid = f"n0000000{index % 3}"
        inside = "images" if data == "tiny-imagenet" else ""
        path = tmp_path / home / "train" / wnid / inside / f"{wnid}_{index}.JPEG"
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(index).integers(0, 256, (side, side, 3), dtype=np.uint8)
        Image.fromarray(noise).save(path)
    (tmp_path / home / "val").mkdir()
    if data == "imagenet-100":
        (tmp_path / data).mkdir()
        (tmp_path / data / "classes.txt").write_text("n00000001\nn00000002\n")
    small = ("batch_size=16", "framework.queue=24", "workers=1", "log_every=1", *more)
    chosen = resolve_config(
        recipe, arch="mixmask_resnet8", data=data, data_root=tmp_path, epochs=1, threads=1, overrides=small
    )
    if chosen.batch_norm.splits > 1:
        chosen = chosen.model_copy(update={"batch_norm": chosen.batch_norm.model_copy(update={"splits": 4})})
    run = pretrain(chosen, tmp_path / "run")
    records = read_metrics(run.metrics)
    assert len(records) == (2 if data == "imagenet-100" else 3)
    assert all(np.isfinite(record["loss"]) for record in records)
    assert f"on {data} for 1 epoch" in run.readme.read_text()
