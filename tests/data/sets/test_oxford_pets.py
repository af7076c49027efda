"""Oxford-IIIT Pets in its layout: images in one folder, and lists of name, class, species, breed."""

from pathlib import Path

import pytest
from torchvision.datasets import OxfordIIITPet

from mmbench.data import download_dataset, load_dataset
from mmbench.errors import UserError

BREEDS = ("Abyssinian", "american_bulldog")
OFFICIAL = {"trainval": 45, "test": 4}


def write_pets(folder: Path, image) -> Path:
    """Write 30 trainval images of one breed and 15 of the other, and two test images of each."""
    lines: dict[str, list[str]] = {"trainval": [], "test": []}
    for label, (breed, count) in enumerate(zip(BREEDS, (30, 15), strict=True), 1):
        for number in range(count + 2):
            name = f"{breed}_{number + 1}"
            image(folder / "images" / f"{name}.jpg")
            lines["trainval" if number < count else "test"].append(f"{name} {label} {label} 1")
    annotations = folder / "annotations"
    annotations.mkdir()
    for part, content in lines.items():
        (annotations / f"{part}.txt").write_text("\n".join(reversed(content)) + "\n")
    return annotations


def test_val_is_drawn_from_trainval(tmp_path: Path, image, stand_in) -> None:
    write_pets(tmp_path / "oxford-pets" / "oxford-iiit-pet", image)
    stand_in("oxford-pets", classes=2, official=OFFICIAL)
    dataset = load_dataset("oxford-pets", tmp_path)
    assert (dataset.classes, dataset.metric) == (("Abyssinian", "American Bulldog"), "mean_per_class")
    counts = [dataset.labels(split).bincount().tolist() for split in ("train", "val", "test")]
    assert counts == [[27, 13], [3, 2], [2, 2]]  # a tenth of 30 and, rounded, of 15
    parts = [set(dataset.files[split]().paths) for split in ("train", "val", "test")]
    assert len(set.union(*parts)) == 49 == sum(map(len, parts))
    for split in ("train", "val", "test"):
        files = dataset.files[split]()
        for path, label in zip(files.paths, files.labels.tolist(), strict=True):
            assert path.startswith(f"images/{BREEDS[label]}_")


def test_an_incomplete_list_and_a_bad_line(tmp_path: Path, image, stand_in) -> None:
    annotations = write_pets(tmp_path / "oxford-pets" / "oxford-iiit-pet", image)
    stand_in("oxford-pets", classes=2, official=OFFICIAL)
    lines = (annotations / "trainval.txt").read_text().splitlines()
    (annotations / "trainval.txt").write_text("\n".join(lines[:-1]))
    with pytest.raises(UserError, match="has 44 trainval images where its manifest says 45"):
        load_dataset("oxford-pets", tmp_path).labels("train")
    (annotations / "trainval.txt").write_text("\n".join([*lines[:-1], "Abyssinian_1 1"]))
    load_dataset.cache_clear()
    with pytest.raises(
        UserError, match=r"trainval\.txt, line 45 is not a name and three numbers, as in .*; put it right"
    ):
        load_dataset("oxford-pets", tmp_path)


def test_lists_are_read_as_torchvision_reads_them_in_any_usual_form(tmp_path: Path, image, stand_in) -> None:
    annotations = write_pets(tmp_path / "oxford-pets" / "oxford-iiit-pet", image)
    stand_in("oxford-pets", classes=2, official=OFFICIAL)
    theirs = OxfordIIITPet(str(tmp_path / "oxford-pets"), split="test")
    listing = annotations / "test.txt"
    listing.write_text("\ufeff\r\n" + listing.read_text().replace("\n", "\r\n\r\n"), encoding="utf-8")
    dataset = load_dataset("oxford-pets", tmp_path)
    assert dataset.classes == tuple(theirs.classes)
    files = dataset.files["test"]()
    ours = {files.root / path: label for path, label in zip(files.paths, files.labels.tolist(), strict=True)}
    assert ours == dict(zip(theirs._images, theirs._labels, strict=True))
    load_dataset.cache_clear()
    listing.write_text("Abyssinian_31 1 1 1\n\nAbyssinian_31 2 1 1\n")
    with pytest.raises(UserError, match=r"test\.txt, line 3: 'Abyssinian_31' is in line 1 too"):
        load_dataset("oxford-pets", tmp_path).labels("test")
    load_dataset.cache_clear()
    listing.write_text("Abyssinian_31 one 1 1\n")
    with pytest.raises(UserError, match=r"test\.txt, line 1: breed 'one' is not a number"):
        load_dataset("oxford-pets", tmp_path).labels("test")


def test_torchvision_downloads_to_where_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, image, stand_in, serve
) -> None:
    write_pets(tmp_path / "source", image)
    stand_in("oxford-pets", classes=2, official=OFFICIAL)
    monkeypatch.setattr(OxfordIIITPet, "_RESOURCES", (serve(tmp_path / "source", "images.tar.gz"),))
    download_dataset("oxford-pets", tmp_path / "data")
    assert len(load_dataset("oxford-pets", tmp_path / "data").labels("test")) == 4
