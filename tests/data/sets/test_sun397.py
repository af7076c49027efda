"""SUN397 in its layout: folders by first letter, class names as paths, and the authors' lists beside."""

from pathlib import Path

import pytest
from torchvision.datasets import SUN397

from mmbench.data import download_dataset, load_dataset
from mmbench.errors import UserError

SCENES = ("/a/abbey", "/a/apartment_building/outdoor", "/y/youth_hostel")
OFFICIAL = {"train": 30, "test": 6}


def write_images(folder: Path, image) -> dict[str, list[str]]:
    """Write 13 images of each scene; return the lists of 10 train and 2 test images of each."""
    lists: dict[str, list[str]] = {"Training_01.txt": [], "Testing_01.txt": []}
    for scene in SCENES:
        for number in range(13):
            path = f"{scene}/sun_{'abcdefghijklm'[number]}.jpg"
            image(folder / path[1:])
            if number < 12:
                lists["Training_01.txt" if number < 10 else "Testing_01.txt"].append(path)
    (folder / "ClassName.txt").write_text("".join(f"{scene}\n" for scene in SCENES))
    return lists


def write_lists(root: Path, lists: dict[str, list[str]], encoding: str = "utf-8") -> None:
    for name, lines in lists.items():
        (root / name).write_text("\n".join(reversed(lines)) + "\n", encoding=encoding)


def test_the_first_official_lists(tmp_path: Path, image, stand_in) -> None:
    root = tmp_path / "sun397"
    write_lists(root, write_images(root / "SUN397", image), "utf-8-sig")  # as some editors save them
    stand_in("sun397", classes=3, official=OFFICIAL, images={"train": 27, "val": 3, "test": 6})
    theirs = tuple(SUN397(str(root)).classes)
    names = root / "SUN397" / "ClassName.txt"
    names.write_text("\ufeff" + names.read_text().replace("\n", "\r\n\r\n"), encoding="utf-8")
    dataset = load_dataset("sun397", tmp_path)
    assert dataset.classes == ("abbey", "apartment_building/outdoor", "youth_hostel")
    assert dataset.classes == theirs
    assert dataset.labels("test").tolist() == [0, 0, 1, 1, 2, 2]
    assert dataset.files["test"]().paths[2] == "a/apartment_building/outdoor/sun_k.jpg"
    assert dataset.labels("val").tolist() == [0, 1, 2]
    assert dataset.labels("train").bincount().tolist() == [9, 9, 9]
    listed = {path for split in ("train", "val", "test") for path in dataset.files[split]().paths}
    assert len(listed) == 36 and not any(path.endswith("sun_m.jpg") for path in listed)


def test_lists_that_are_missing_or_of_other_images(tmp_path: Path, image, stand_in) -> None:
    root = tmp_path / "sun397"
    lists = write_images(root / "SUN397", image)
    stand_in("sun397", classes=3, official=OFFICIAL)
    with pytest.raises(UserError, match=r"Training_01\.txt is missing; .*Partitions\.zip there"):
        load_dataset("sun397", tmp_path)
    lists["Testing_01.txt"][0] = "/a/abbey/sun_zzz.jpg"
    write_lists(root, lists)
    with pytest.raises(UserError, match=r"Testing_01\.txt, line 6: a/abbey/sun_zzz\.jpg is not in"):
        load_dataset("sun397", tmp_path).labels("test")
    write_lists(root, {"Testing_01.txt": [*lists["Testing_01.txt"][1:], lists["Testing_01.txt"][1]]})
    load_dataset.cache_clear()
    with pytest.raises(UserError, match=r"line 6: 'a/abbey/sun_l\.jpg' is in line 1 too"):
        load_dataset("sun397", tmp_path).labels("test")
    write_lists(root, {"Testing_01.txt": lists["Testing_01.txt"][1:]})
    load_dataset.cache_clear()
    with pytest.raises(UserError, match="has 5 test images where its manifest says 6"):
        load_dataset("sun397", tmp_path).labels("test")
    (root / "SUN397" / "ClassName.txt").unlink()
    load_dataset.cache_clear()
    with pytest.raises(UserError, match=r"sun397 in .* cannot be read \(FileNotFoundError: .*ClassName\.txt"):
        load_dataset("sun397", tmp_path)


def test_torchvision_downloads_the_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, image, stand_in, serve
) -> None:
    lists = write_images(tmp_path / "source" / "SUN397", image)
    stand_in("sun397", classes=3, official=OFFICIAL)
    address, md5 = serve(tmp_path / "source", "SUN397.tar.gz")
    monkeypatch.setattr(SUN397, "_DATASET_URL", address)
    monkeypatch.setattr(SUN397, "_DATASET_MD5", md5)
    download_dataset("sun397", tmp_path / "data")
    write_lists(tmp_path / "data" / "sun397", lists)
    assert len(load_dataset("sun397", tmp_path / "data").labels("train")) == 27
