"""A packed copy holds the images of its source: names, labels, splits, and pixels as Pillow reduces them."""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from packable import (
    CLASSES,
    COUNTS,
    everything,
    header,
    packed,
    pixels,
    smooth,
    splits_of,
    stored,
    write_folders,
)
from PIL import Image

from mmbench.data import Dataset, ImageFiles, load_dataset, load_images
from mmbench.data.lists.image_paths import folder_below, paths_below
from mmbench.data.packs import writing
from mmbench.data.packs.header import Encoding
from mmbench.data.packs.writing import write_pack
from mmbench.errors import UserError
from mmbench.files import write_json
from mmbench.verification import with_digest


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    return write_folders(tmp_path / "pets")


def reduced(image: Image.Image, short_side: int) -> Image.Image:
    """Return what is expected, written out anew: short side exact, long side in proportion."""
    width, height = image.size
    if min(width, height) <= short_side:
        return image
    factor = short_side / min(width, height)
    size = (round(width * factor), round(height * factor))
    return image.resize(size, Image.Resampling.BILINEAR, reducing_gap=3.0)


def test_names_labels_splits_and_pixels(folders: Path, tmp_path: Path) -> None:
    source, pack = load_dataset(str(folders)), packed(folders, tmp_path / "pack")
    assert pack.classes == CLASSES and splits_of(pack) == ["train", "val", "test"]
    for split in splits_of(pack):
        ours, theirs = pack.files[split](), source.files[split]()
        assert list(ours.paths) == list(theirs.paths)
        assert ours.labels.tolist() == [0] * COUNTS[split] + [1] * COUNTS[split]
        for name, content in stored(pack, split).items():
            original = Image.open(folders / split / name)
            assert np.array_equal(pixels(content), np.asarray(reduced(original, 40)))
        sizes = {Image.open(io.BytesIO(content)).size for content in stored(pack, split).values()}
        assert sizes == {(32, 40), (59, 40)}  # 40 / 61 of 90 x 61; the others are not enlarged


def test_what_readers_see_is_what_is_stored(folders: Path, tmp_path: Path) -> None:
    pack = packed(folders, tmp_path / "pack")
    (tmp_path / "files").mkdir()
    for name, content in stored(pack).items():
        place = tmp_path / "files" / name
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(content)
    part = pack.files["train"]()
    files = ImageFiles(tmp_path / "files", part.paths, part.labels)
    alike = Dataset("files", tmp_path / "files", CLASSES, files={"train": lambda: files})
    assert torch.equal(pack.split("train").images, alike.split("train").images)
    assert list(part.contents) == list(files.contents)
    assert pack.splits.keys() == {"train", "val", "test"}


@pytest.mark.parametrize(("kind", "quality", "most"), [("jpeg", 95, 2), ("jpeg", 40, 6), ("webp", 95, 3)])
def test_lossy_formats_stay_close(
    folders: Path, tmp_path: Path, kind: str, quality: int, most: float
) -> None:
    pack = packed(folders, tmp_path / "pack", format=kind, quality=quality)
    different = []
    for name, content in stored(pack).items():
        assert Image.open(io.BytesIO(content)).format == kind.upper()
        expected = np.asarray(reduced(Image.open(folders / "train" / name), 40)).astype(int)
        different.append(np.abs(pixels(content) - expected).mean())
    assert 0 < max(different) <= most


def test_worse_quality_is_smaller(folders: Path, tmp_path: Path) -> None:
    sizes = [
        sum(
            map(
                len, stored(packed(folders, tmp_path / f"{quality}", format="jpeg", quality=quality)).values()
            )
        )
        for quality in (30, 95)
    ]
    assert sizes[0] < sizes[1]


def test_small_files_in_the_format_are_kept_byte_for_byte(tmp_path: Path) -> None:
    folders = write_folders(tmp_path / "jpegs", "jpg")
    upright = Image.Exif()
    upright[0x0112] = 6
    smooth(30, 20).save(folders / "train" / "cat" / "turned.jpg", exif=upright)
    pack = packed(folders, tmp_path / "pack", format="jpeg", quality=90)
    kept = {
        name for name, content in stored(pack).items() if content == (folders / "train" / name).read_bytes()
    }
    assert kept == {*(f"{name}/{index}.jpg" for name in CLASSES for index in (0, 2, 4)), "cat/turned.jpg"}
    facts = header(pack.root)["splits"]["train"]
    assert (facts["images"], facts["reencoded"]) == (11, 4)
    place = pack.files["train"]().place(pack.files["train"]().paths.index("cat/turned.jpg"))
    assert Image.open(io.BytesIO(place.content)).getexif()[0x0112] == 6  # type: ignore[union-attr]
    again = packed(folders, tmp_path / "as_png", format="png")  # none is a PNG
    assert header(again.root)["splits"]["train"]["reencoded"] == 11


def test_exif_is_applied_where_an_image_is_encoded_again(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    turned = Image.Exif()
    turned[0x0112] = 6  # a quarter turn clockwise
    picture = smooth(120, 60)
    picture.save(tmp_path / "photos" / "a.png", exif=turned)
    (content,) = stored(packed(tmp_path / "photos", tmp_path / "pack", short_side=30)).values()
    image = Image.open(io.BytesIO(content))
    assert image.size == (30, 60) and image.getexif().get(0x0112, 1) == 1
    assert np.array_equal(
        pixels(content), np.asarray(reduced(picture.transpose(Image.Transpose.ROTATE_270), 30))
    )


@pytest.mark.parametrize("short_side", [20, 100])
def test_pixels_of_every_kind_follow_the_rules(tmp_path: Path, short_side: int) -> None:
    """The expected colours are written out here; `docs/data.md` has the rules."""
    folder = tmp_path / "kinds"
    folder.mkdir()
    rgb = np.asarray(smooth(60, 48))
    grey = np.asarray(smooth(60, 48).convert("L"))
    Image.fromarray(rgb).convert("CMYK").save(folder / "cmyk.tif")
    Image.fromarray(grey.astype(np.uint16) * 257).save(folder / "deep.png")
    Image.fromarray(rgb).quantize(16).save(folder / "palette.png")
    seen = np.dstack([rgb, np.tile(np.arange(60, dtype=np.uint8), (48, 1))])
    Image.fromarray(seen, "RGBA").save(folder / "transparent.png")
    expected = {
        "cmyk.tif": Image.fromarray(rgb).convert("CMYK").convert("RGB"),
        "deep.png": Image.fromarray(grey).convert("RGB"),
        "palette.png": Image.fromarray(rgb).quantize(16).convert("RGB"),
        "transparent.png": Image.fromarray(rgb),
    }
    pack = packed(folder, tmp_path / "pack", short_side)
    found = pack.split("train", stored=32)
    original = load_dataset(str(folder)).split("train", stored=32)
    if short_side == 100:  # nothing is reduced: readers see what they saw
        assert torch.equal(found.images, original.images)
        assert stored(pack)["deep.png"] == (folder / "deep.png").read_bytes()
    else:
        for name, content in stored(pack).items():
            assert np.array_equal(pixels(content), np.asarray(reduced(expected[name], 20))), name


def test_unlabelled_images_and_lists(tmp_path: Path) -> None:
    (tmp_path / "loose").mkdir()
    for index in range(4):
        smooth(50, 50, index).save(tmp_path / "loose" / f"{index}.png")
    loose = packed(tmp_path / "loose", tmp_path / "pack")
    assert loose.classes == ("unlabelled",) and splits_of(loose) == ["train"]
    assert list(stored(loose)) == [f"{index}.png" for index in range(4)]
    assert torch.equal(load_images(tmp_path / "pack").split("train").images, loose.split("train").images)
    (tmp_path / "some.txt").write_text("loose/3.png\nloose/1.png\n")
    listed = packed(tmp_path / "some.txt", tmp_path / "listed")
    assert list(stored(listed)) == ["loose/3.png", "loose/1.png"]  # in the order of the list
    assert listed.name == "some-40px"


def test_several_labels_per_image(tmp_path: Path) -> None:
    for index in range(3):
        smooth(30, 30, index).save(tmp_path / f"{index}.png")
    labels = torch.tensor([[1, 0, -1], [0, 1, 1], [1, 1, 0]])
    files = ImageFiles(tmp_path, [f"{index}.png" for index in range(3)], labels)
    source = Dataset(
        "many", tmp_path, ("a", "b", "c"), files={"test": lambda: files}, metric="mAP", multilabel=True
    )
    write_pack(source, tmp_path / "pack", Encoding(short_side=20, format="png"))
    pack = load_dataset(str(tmp_path / "pack"))
    assert pack.multilabel and pack.metric == "mAP"
    assert pack.labels("test").dtype == torch.int64 and torch.equal(pack.labels("test"), labels)


def test_names_of_any_bytes(tmp_path: Path) -> None:
    folder = tmp_path / "names"
    folder.mkdir()
    names = [os.fsdecode(b"ni\xf1o.png"), "ö b\\c.png"]
    for name in names:
        smooth(20, 20).save(tmp_path / "a.png")
        (tmp_path / "a.png").rename(folder / name)
    part = packed(folder, tmp_path / os.fsdecode(b"p\xe9ck")).files["train"]()
    assert sorted(part.paths) == sorted(names)


def test_the_same_bytes_however_often_and_by_however_many(folders: Path, tmp_path: Path, monkeypatch) -> None:
    packed(folders, tmp_path / "one", format="jpeg", quality=95)
    monkeypatch.setattr(writing, "FEW", 0)
    monkeypatch.setattr(writing, "AT_A_TIME", 2)
    packed(folders, tmp_path / "other", format="jpeg", quality=95, processes=2)
    assert everything(tmp_path / "one") == everything(tmp_path / "other")


def test_many_batches_and_files(folders: Path, tmp_path: Path, monkeypatch) -> None:
    whole = packed(folders, tmp_path / "whole")
    monkeypatch.setattr(writing, "BATCH_BYTES", 1500)
    monkeypatch.setattr(writing, "SHARD_BYTES", 4000)
    parts = packed(folders, tmp_path / "parts")
    shards = sorted((tmp_path / "parts").glob("train-*.arrow"))
    assert len(shards) > 1
    assert max(pa.ipc.open_file(path.read_bytes()).num_record_batches for path in shards) > 1
    assert stored(parts) == stored(whole) and parts.fingerprint == whole.fingerprint
    assert torch.equal(parts.split("train").images, whole.split("train").images)


def test_the_identity_is_another_one_and_follows_the_content(folders: Path, tmp_path: Path) -> None:
    source = load_dataset(str(folders))
    before = {path: path.read_bytes() for path in folders.rglob("*.*")}
    pack = packed(folders, tmp_path / "pack")
    assert {path: path.read_bytes() for path in folders.rglob("*.*")} == before
    assert pack.name == "pets-40px" and pack.fingerprint != source.fingerprint
    told = header(pack.root)["source"]
    load_dataset.cache_clear()
    assert told["fingerprint"] == load_dataset(str(folders)).fingerprint  # hashed anew, by the usual way
    assert any("'pets'" in line and "21 of 20" not in line for line in pack.remarks)
    (tmp_path / "elsewhere").mkdir()
    pack.root.rename(tmp_path / "elsewhere" / "moved")
    moved = load_dataset(str(tmp_path / "elsewhere" / "moved"))
    assert (moved.name, moved.fingerprint) == (pack.name, pack.fingerprint)
    others = {packed(folders, tmp_path / f"{side}", side).fingerprint for side in (20, 30)}
    smooth(90, 61, 99).save(folders / "val" / "cat" / "1.png")
    load_dataset.cache_clear()
    changed = packed(folders, tmp_path / "changed")
    assert len({pack.fingerprint, changed.fingerprint, *others}) == 4
    assert changed.files["train"]().fingerprint == pack.files["train"]().fingerprint


def test_digests_are_those_of_the_stored_bytes(folders: Path, tmp_path: Path) -> None:
    part = packed(folders, tmp_path / "pack").files["train"]()
    contents = list(stored(load_dataset(str(tmp_path / "pack"))).values())
    assert list(part.contents) == [hashlib.sha256(content).digest() for content in contents]
    lines = hashlib.sha256()
    for name, content, label in zip(part.paths, contents, part.labels.tolist(), strict=True):
        lines.update(f"{name}\0{hashlib.sha256(content).hexdigest()}:{label}\n".encode())
    text = f'mmbench pack {{"short_side":40,"format":"png","quality":null}} {lines.hexdigest()}'
    assert part.fingerprint == hashlib.sha256(text.encode()).hexdigest()
    assert part.fingerprint == header(tmp_path / "pack")["splits"]["train"]["fingerprint"]


def test_images_that_were_all_kept_are_another_data_set_too(folders: Path, tmp_path: Path) -> None:
    source, pack = load_dataset(str(folders)), packed(folders, tmp_path / "pack", 100)
    assert header(pack.root)["splits"]["train"]["reencoded"] == 0
    assert list(pack.files["train"]().contents) == list(source.files["train"]().contents)
    assert pack.name != source.name and pack.fingerprint != source.fingerprint
    assert pack.files["train"]().fingerprint != source.files["train"]().fingerprint


def test_a_pack_can_be_packed_smaller(folders: Path, tmp_path: Path) -> None:
    first = packed(folders, tmp_path / "first")
    second = packed(first.root, tmp_path / "second", 20)
    assert second.name == "pets-40px-20px"
    for name, content in stored(second).items():
        assert np.array_equal(
            pixels(content), np.asarray(reduced(Image.fromarray(pixels(stored(first)[name])), 20))
        )


def test_data_in_memory_are_refused(tmp_path: Path) -> None:
    images = load_dataset(str(write_folders(tmp_path / "pets"))).split("train")
    memory = Dataset("squares", tmp_path, CLASSES, {"train": lambda: images})
    with pytest.raises(UserError, match="'squares' is not read from image files"):
        write_pack(memory, tmp_path / "pack", Encoding(short_side=20))
    assert not (tmp_path / "pack").exists()


def test_an_image_that_the_format_cannot_hold(tmp_path: Path) -> None:
    (tmp_path / "long").mkdir()
    Image.new("RGB", (17_000, 20)).save(tmp_path / "long" / "a.png")
    with pytest.raises(UserError, match=r"a.png of 17000 x 20 px cannot be stored as webp .*--format png"):
        packed(tmp_path / "long", tmp_path / "pack", format="webp", quality=90)
    assert [path.name for path in tmp_path.iterdir()] == ["long"]


@pytest.mark.parametrize("layout", [("train", "val", "test"), ("Training", "valid", "Testing"), None])
def test_images_keep_their_places_below_the_folder_of_the_source(
    tmp_path: Path, layout: tuple[str, ...] | None
) -> None:
    """Also those of a copy of the copy, of a part of a split, and of folders that are no splits."""
    folders = write_folders(tmp_path / "pets")
    if layout is None:
        folders = folders / "train"
    else:
        for old, new in zip(COUNTS, layout, strict=True):
            (folders / old).rename(folders / new)
    pack = packed(folders, tmp_path / "pack")
    expected = {str(path.relative_to(folders)) for path in folders.rglob("*.png")}
    for copy in (load_dataset(str(folders)), pack, packed(pack.root, tmp_path / "again")):
        parts = [copy.files[split]() for split in splits_of(copy)]
        assert {path for part in parts for path in paths_below(copy, part)} == expected
        few = parts[0].subset(torch.tensor([0, 2]))
        assert paths_below(copy, few) == [paths_below(copy, parts[0])[place] for place in (0, 2)]


def test_a_pack_without_the_folders_of_its_splits_is_read(folders: Path, tmp_path: Path) -> None:
    """As packs were made before; the fingerprint is the same."""
    fingerprint = packed(folders, tmp_path / "pack").fingerprint
    content = header(tmp_path / "pack")
    for facts in content["splits"].values():
        del facts["folder"]
    del content["digest"]
    write_json(tmp_path / "pack" / "pack.json", with_digest(content))
    load_dataset.cache_clear()
    pack = load_dataset(str(tmp_path / "pack"))
    assert pack.fingerprint == fingerprint
    part = pack.files["test"]()
    assert folder_below(pack, part) is None and paths_below(pack, part) == list(part.paths)
