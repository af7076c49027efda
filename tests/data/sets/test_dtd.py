"""DTD in its layout: images by class, and a list per split and partition."""

import shutil
import tarfile
from pathlib import Path

import pytest
from torchvision.datasets import DTD

from mmbench.data import download_dataset, load_dataset
from mmbench.data.downloads import UNFINISHED
from mmbench.errors import UserError

LISTS = {
    "train1": ("woven/woven_0002.jpg", "banded/banded_0004.jpg", "banded/banded_0001.jpg"),
    "val1": ("banded/banded_0002.jpg", "woven/woven_0001.jpg"),
    "test1": ("woven/woven_0003.jpg", "banded/banded_0003.jpg"),
    "train2": ("banded/banded_0003.jpg", "woven/woven_0003.jpg"),  # another partition is not read
}
SIZES = {"train": 3, "val": 2, "test": 2}


def write_dtd(folder: Path, image) -> None:
    for name, lines in LISTS.items():
        for line in lines:
            image(folder / "images" / line)
        (folder / "labels").mkdir(parents=True, exist_ok=True)
        (folder / "labels" / f"{name}.txt").write_text("\n".join(lines) + "\n")


def test_the_first_partition(tmp_path: Path, image, stand_in) -> None:
    write_dtd(tmp_path / "dtd" / "dtd" / "dtd", image)
    stand_in("dtd", classes=2, official=SIZES, images=SIZES)
    dataset = load_dataset("dtd", tmp_path)
    assert (dataset.classes, dataset.metric) == (("banded", "woven"), "top1")
    assert dataset.files["train"]().paths == [
        "dtd/images/banded/banded_0001.jpg",
        "dtd/images/banded/banded_0004.jpg",
        "dtd/images/woven/woven_0002.jpg",
    ]
    assert dataset.labels("train").tolist() == [0, 0, 1]
    assert dataset.files["val"]().paths[1] == "dtd/images/woven/woven_0001.jpg"
    assert dataset.files["test"]().paths[0] == "dtd/images/banded/banded_0003.jpg"


def test_lists_are_read_as_torchvision_reads_them_in_any_usual_form(tmp_path: Path, image, stand_in) -> None:
    write_dtd(tmp_path / "dtd" / "dtd" / "dtd", image)
    stand_in("dtd", classes=2, official=SIZES, images=SIZES)
    theirs = DTD(str(tmp_path / "dtd"), split="train")
    listing = tmp_path / "dtd" / "dtd" / "dtd" / "labels" / "train1.txt"
    listing.write_text("\ufeff" + listing.read_text().replace("\n", "\r\n \r\n"), encoding="utf-8")
    dataset = load_dataset("dtd", tmp_path)
    assert dataset.classes == tuple(theirs.classes)
    files = dataset.files["train"]()
    ours = {files.root / path: label for path, label in zip(files.paths, files.labels.tolist(), strict=True)}
    assert ours == dict(zip(theirs._image_files, theirs._labels, strict=True))


@pytest.mark.parametrize(
    ("lines", "words"),
    [  # the number of images is right in each
        (["woven/woven_0003.jpg"] * 2, r"line 2: 'woven/woven_0003\.jpg' is in line 1 too"),
        (["woven/woven_0003.jpg", "banded_0003.jpg"], r"line 2 is not a class and a file, as in"),
        (["woven/woven_0003.jpg", "banded/"], r"line 2 is not a class and a file, as in"),
    ],
)
def test_lines_that_are_repeated_or_something_else(
    tmp_path: Path, image, stand_in, lines: list[str], words: str
) -> None:
    write_dtd(tmp_path / "dtd" / "dtd" / "dtd", image)
    stand_in("dtd", classes=2, official=SIZES, images=SIZES)
    (tmp_path / "dtd" / "dtd" / "dtd" / "labels" / "test1.txt").write_text("\n".join(lines))
    with pytest.raises(UserError, match=words):
        load_dataset("dtd", tmp_path).labels("test")


def test_a_missing_split_is_one_line(tmp_path: Path, image, stand_in) -> None:
    write_dtd(tmp_path / "dtd" / "dtd" / "dtd", image)
    stand_in("dtd", classes=2, official=SIZES)
    (tmp_path / "dtd" / "dtd" / "dtd" / "labels" / "val1.txt").unlink()
    dataset = load_dataset("dtd", tmp_path)
    with pytest.raises(UserError, match=r"dtd in .* cannot be read \(FileNotFoundError: .*val1\.txt"):
        dataset.labels("val")
    assert len(dataset.labels("test")) == 2


def test_torchvision_downloads_to_where_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, image, stand_in, serve
) -> None:
    write_dtd(tmp_path / "source" / "dtd", image)
    stand_in("dtd", classes=2, official=SIZES)
    address, md5 = serve(tmp_path / "source", "dtd-r1.0.1.tar.gz")
    monkeypatch.setattr(DTD, "_URL", address)
    with pytest.raises(UserError, match="download of 'dtd' failed"):
        download_dataset("dtd", tmp_path / "data")  # not the authors' bytes
    assert not (tmp_path / "data" / "dtd" / UNFINISHED).exists()  # nothing was unpacked
    monkeypatch.setattr(DTD, "_MD5", md5)
    download_dataset("dtd", tmp_path / "data")
    assert len(load_dataset("dtd", tmp_path / "data").labels("train")) == 3
    assert not (tmp_path / "data" / "dtd" / UNFINISHED).exists()


def test_what_torchvision_would_take_for_complete_is_to_be_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, image, stand_in, serve, interrupting
) -> None:
    write_dtd(tmp_path / "source" / "dtd", image)
    stand_in("dtd", classes=2, official=SIZES)
    address, md5 = serve(tmp_path / "source", "dtd-r1.0.1.tar.gz")
    monkeypatch.setattr(DTD, "_URL", address)
    monkeypatch.setattr(DTD, "_MD5", md5)
    root = tmp_path / "data" / "dtd"
    with monkeypatch.context() as patched:
        patched.setattr(tarfile.TarFile, "makefile", interrupting(tarfile.TarFile.makefile, 8))
        with pytest.raises(KeyboardInterrupt):
            download_dataset("dtd", tmp_path / "data")
    assert (root / "dtd" / "dtd").is_dir()
    for use in (load_dataset, download_dataset):
        with pytest.raises(
            UserError, match=r"not unpacked to its end; remove .*dtd/dtd/dtd, then run: mmbench"
        ):
            use("dtd", tmp_path / "data")
    shutil.rmtree(root / "dtd" / "dtd")
    with pytest.raises(UserError, match=r"dtd in .* cannot be read"):
        load_dataset("dtd", tmp_path / "data")
    download_dataset("dtd", tmp_path / "data")
    assert len(load_dataset("dtd", tmp_path / "data").labels("train")) == 3
    assert not (root / UNFINISHED).exists()
    monkeypatch.setattr(DTD, "_MD5", "0" * 32)  # what is there is used, and nothing is fetched
    download_dataset("dtd", tmp_path / "data")
    assert len(load_dataset("dtd", tmp_path / "data").labels("train")) == 3
