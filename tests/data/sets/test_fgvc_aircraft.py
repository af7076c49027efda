"""FGVC-Aircraft in its layout: lists of image and variant, whose names have spaces and slashes."""

import shutil
from pathlib import Path

import pytest
from torchvision.datasets import FGVCAircraft

from mmbench.data import download_dataset, load_dataset
from mmbench.errors import UserError

VARIANTS = ("737-700", "A340-300", "Boeing 717", "F/A-18")
LISTS = {
    "train": (("0034309", "F/A-18"), ("1025794", "Boeing 717"), ("0034958", "737-700")),
    "val": (("0481847", "A340-300"),),
    "test": (("1514522", "A340-300"), ("0747566", "737-700")),
}
SIZES = {"train": 3, "val": 1, "test": 2}


def write_aircraft(folder: Path, image) -> Path:
    data = folder / "data"
    for part, lines in LISTS.items():
        for name, _ in lines:
            image(data / "images" / f"{name}.jpg")
        text = "".join(f"{name} {variant}\n" for name, variant in lines)
        (data / f"images_variant_{part}.txt").write_text(text)
    (data / "variants.txt").write_text("".join(f"{variant}\n" for variant in VARIANTS))
    return data


def test_variants(tmp_path: Path, image, stand_in) -> None:
    write_aircraft(tmp_path / "fgvc-aircraft" / "fgvc-aircraft-2013b", image)
    stand_in("fgvc-aircraft", classes=4, official=SIZES, images=SIZES)
    dataset = load_dataset("fgvc-aircraft", tmp_path)
    assert (dataset.classes, dataset.metric) == (VARIANTS, "mean_per_class")
    assert dataset.files["train"]().paths == [
        "data/images/0034958.jpg",
        "data/images/1025794.jpg",
        "data/images/0034309.jpg",
    ]
    assert [dataset.labels(split).tolist() for split in SIZES] == [[0, 2, 3], [1], [0, 1]]


def test_lists_are_read_as_torchvision_reads_them_in_any_usual_form(tmp_path: Path, image, stand_in) -> None:
    data = write_aircraft(tmp_path / "fgvc-aircraft" / "fgvc-aircraft-2013b", image)
    stand_in("fgvc-aircraft", classes=4, official=SIZES, images=SIZES)
    theirs = FGVCAircraft(str(tmp_path / "fgvc-aircraft"), split="train")
    for name in ("variants", "images_variant_train"):
        listing = data / f"{name}.txt"
        text = listing.read_text().replace("\n", "\r\n\r\n")
        listing.write_text("\ufeff" + text, encoding="utf-8")
    dataset = load_dataset("fgvc-aircraft", tmp_path)
    assert dataset.classes == tuple(theirs.classes)
    files = dataset.files["train"]()
    ours = {
        str(files.root / path): label for path, label in zip(files.paths, files.labels.tolist(), strict=True)
    }
    assert ours == dict(zip(theirs._image_files, theirs._labels, strict=True))
    load_dataset.cache_clear()
    (data / "images_variant_test.txt").write_text("1514522 A340-300\n1514522 737-700\n")
    with pytest.raises(UserError, match=r"_test\.txt, line 2: '1514522' is in line 1 too"):
        load_dataset("fgvc-aircraft", tmp_path).labels("test")


def test_an_unknown_variant_is_one_line(tmp_path: Path, image, stand_in) -> None:
    data = write_aircraft(tmp_path / "fgvc-aircraft" / "fgvc-aircraft-2013b", image)
    stand_in("fgvc-aircraft", classes=4, official=SIZES)
    (data / "images_variant_test.txt").write_text("1514522 Zeppelin\n")
    dataset = load_dataset("fgvc-aircraft", tmp_path)
    with pytest.raises(UserError, match=r"_test\.txt, line 1: 'Zeppelin' is not in variants\.txt"):
        dataset.labels("test")


def test_torchvision_downloads_to_where_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, image, stand_in, serve
) -> None:
    write_aircraft(tmp_path / "source" / "fgvc-aircraft-2013b", image)
    stand_in("fgvc-aircraft", classes=4, official=SIZES)
    monkeypatch.setattr(FGVCAircraft, "_URL", serve(tmp_path / "source", "fgvc-aircraft-2013b.tar.gz")[0])
    download_dataset("fgvc-aircraft", tmp_path / "data")
    assert len(load_dataset("fgvc-aircraft", tmp_path / "data").labels("train")) == 3


def test_an_archive_that_is_cut_off_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, image, stand_in, serve
) -> None:
    """torchvision has no MD5 sum to compare and unpacks what is there."""
    write_aircraft(tmp_path / "source" / "fgvc-aircraft-2013b", image)
    stand_in("fgvc-aircraft", classes=4, official=SIZES)
    monkeypatch.setattr(FGVCAircraft, "_URL", serve(tmp_path / "source", "fgvc-aircraft-2013b.tar.gz")[0])
    (served,) = tmp_path.rglob("fgvc-aircraft-2013b.tar.gz")
    whole = served.read_bytes()
    served.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(
        UserError, match=r"archive of 'fgvc-aircraft' below .* damaged or cut off .*; remove it"
    ):
        download_dataset("fgvc-aircraft", tmp_path / "data")
    served.write_bytes(whole)
    shutil.rmtree(tmp_path / "data" / "fgvc-aircraft")
    download_dataset("fgvc-aircraft", tmp_path / "data")
    assert len(load_dataset("fgvc-aircraft", tmp_path / "data").labels("train")) == 3
