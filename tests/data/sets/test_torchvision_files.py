"""What all torchvision sets share: laziness, counts, missing images, fingerprints and kinds of images."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmbench.data import DATASETS, load_dataset
from mmbench.data.downloads import DOWNLOADS
from mmbench.data.lists.text_lists import numbered_lines
from mmbench.data.quick_check import quick_check
from mmbench.data.sets.torchvision_files import in_class_order
from mmbench.errors import UserError

NAMES = (
    "caltech101",
    "cars",
    "dtd",
    "fgvc-aircraft",
    "flowers102",
    "food101",
    "oxford-pets",
    "stl10",
    "sun397",
    "voc2007",
)
SIZES = {"train": 6, "val": 2, "test": 2}


@pytest.fixture
def textures(tmp_path: Path, image, stand_in) -> Path:
    """A small DTD, as it has no sums to compare; return its folder of images."""
    home = tmp_path / "dtd" / "dtd" / "dtd"
    (home / "labels").mkdir(parents=True)
    for split, count in SIZES.items():
        lines = [
            f"{name}/{split}_{number}.jpg" for name in ("dotted", "lined") for number in range(count // 2)
        ]
        (home / "labels" / f"{split}1.txt").write_text("\n".join(lines))
        for line in lines:
            image(home / "images" / line)
    stand_in("dtd", classes=2, official=SIZES, images=SIZES)
    return home / "images"


@pytest.mark.parametrize("name", NAMES)
def test_missing_files_say_what_to_put_where(tmp_path: Path, name: str) -> None:
    assert name in DATASETS.names()
    with pytest.raises(
        UserError, match=f"^{name} is not in {tmp_path / name}; put .* into {tmp_path}"
    ) as error:
        load_dataset(name, tmp_path)
    assert "\n" not in str(error.value)
    by_command = f"mmbench data prepare {name} --data-root {tmp_path} --download" in str(error.value)
    assert by_command == (name in DOWNLOADS) == (name != "cars")
    assert not (tmp_path / name).exists()


def test_nothing_is_listed_before_labels_are_asked_for(
    tmp_path: Path, textures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []

    def noting(path: Path) -> list[tuple[int, str]]:
        opened.append(path.name.removesuffix("1.txt"))
        return numbered_lines(path)

    monkeypatch.setattr("mmbench.data.sets.listed_sets.numbered_lines", noting)
    dataset = load_dataset("dtd", tmp_path)
    assert opened == ["train"]  # for the names of the classes
    dataset.labels("test")
    dataset.labels("test")
    dataset.split("test")
    dataset.labels("train")
    assert opened == ["train", "test"]


def test_counts_are_those_of_the_manifest(tmp_path: Path, textures: Path, stand_in) -> None:
    stand_in("dtd", classes=2, official=SIZES | {"test": 3})
    dataset = load_dataset("dtd", tmp_path)
    assert len(dataset.labels("train")) == 6
    with pytest.raises(UserError, match=r"dtd in .* has 2 test images where its manifest says 3; .* unpack"):
        dataset.labels("test")
    stand_in("dtd", classes=3, official={})
    load_dataset.cache_clear()
    with pytest.raises(UserError, match=r"dtd in .* has 2 classes where its manifest says 3"):
        load_dataset("dtd", tmp_path)
    stand_in("dtd", classes=2, official={}, images={"val": 9})  # the split itself, not the official part
    load_dataset.cache_clear()
    with pytest.raises(UserError, match="has 2 val images where its manifest says 9"):
        load_dataset("dtd", tmp_path).labels("val")


def test_a_small_set_is_refused_by_the_committed_manifest(
    tmp_path: Path, textures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    load_dataset.cache_clear()
    with pytest.raises(UserError, match="has 2 classes where its manifest says 47"):
        load_dataset("dtd", tmp_path)


def test_what_is_wrong_is_said_before_anything_is_to_be_removed(tmp_path: Path, textures: Path) -> None:
    (textures.parent / "labels" / "train1.txt").unlink()
    with pytest.raises(
        UserError,
        match=r"cannot be read \(.*\); put that right; or, where files are missing or cut off, "
        r"remove .*dtd/dtd, then put",
    ):
        load_dataset("dtd", tmp_path)


def test_lists_that_share_images_are_said(tmp_path: Path, textures: Path) -> None:
    assert quick_check(load_dataset("dtd", tmp_path)) == []
    load_dataset.cache_clear()
    (textures.parent / "labels" / "test1.txt").write_text("dotted/train_0.jpg\nlined/train_2.jpg\n")
    assert quick_check(load_dataset("dtd", tmp_path)) == [
        "train and test share 2 files (dtd/images/dotted/train_0.jpg): what is learned from is measured on"
    ]


def test_missing_images_are_counted(tmp_path: Path, textures: Path) -> None:
    (textures / "dotted" / "train_2.jpg").unlink()
    (textures / "lined" / "train_0.jpg").unlink()
    (textures / "lined" / "test_0.jpg").unlink()
    with pytest.raises(
        UserError,
        match=r"2 of 6 train images of dtd .* the first is dtd/images/dotted/train_2\.jpg; unpack",
    ):
        load_dataset("dtd", tmp_path).labels("train")


def test_the_fingerprint_changes_with_files_and_labels(tmp_path: Path, textures: Path, image) -> None:
    def fingerprint() -> str:
        load_dataset.cache_clear()
        return load_dataset("dtd", tmp_path).fingerprint

    first = fingerprint()
    assert len(first) == 64 and fingerprint() == first
    image(textures / "lined" / "val_0.jpg", size=(200, 100))
    second = fingerprint()
    assert second != first
    lines = (textures.parent / "labels" / "val1.txt").read_text().splitlines()
    (textures.parent / "labels" / "val1.txt").write_text("\n".join(reversed(lines)))
    assert fingerprint() == second  # the order of a list means nothing
    (textures / "dotted" / "val_0.jpg").rename(textures / "lined" / "val_9.jpg")
    (textures.parent / "labels" / "val1.txt").write_text("lined/val_9.jpg\nlined/val_0.jpg")
    assert fingerprint() != second


def test_grey_cmyk_and_16_bit_images_become_rgb(tmp_path: Path, textures: Path) -> None:
    grey = np.full((30, 40), 51, dtype=np.uint8)
    Image.fromarray(grey).save(textures / "dotted" / "train_0.jpg", "JPEG")
    Image.new("CMYK", (40, 30), (0, 255, 255, 0)).save(textures / "dotted" / "train_1.jpg", "JPEG")
    wide = np.full((30, 40), 200 << 8, dtype=np.uint16)
    Image.fromarray(wide).save(textures / "dotted" / "train_2.jpg", "PNG")  # the name need not tell
    dataset = load_dataset("dtd", tmp_path)
    images = dataset.split("train").images
    assert images.shape == (6, 3, 280, 280)
    middles = images[:3, :, 140, 140].tolist()
    assert middles[0] == [51, 51, 51]
    assert middles[1][0] > 200 and max(middles[1][1:]) < 60
    assert middles[2] == [200, 200, 200]


def test_a_truncated_image_is_named(tmp_path: Path, textures: Path) -> None:
    path = textures / "lined" / "test_0.jpg"
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(UserError, match=r"lined/test_0\.jpg cannot be read as an image"):
        load_dataset("dtd", tmp_path).split("test")


def test_images_are_put_in_the_order_of_classes_and_paths() -> None:
    files = in_class_order(Path("a"), [("a/z.jpg", 0), (Path("a/y.jpg"), 1), ("a/b/x.jpg", np.int64(0))])
    assert list(files.paths) == ["b/x.jpg", "z.jpg", "y.jpg"]
    assert files.labels.tolist() == [0, 0, 1]
