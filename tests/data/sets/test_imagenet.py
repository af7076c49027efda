"""Tiny-ImageNet, ImageNet and ImageNet-100, written here in their own layouts on disk."""

import contextlib
import functools
import hashlib
import io
import shutil
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
import torchvision
from PIL import Image
from scipy.io import savemat

from mmbench.data import download_dataset, load_dataset
from mmbench.data.sets import tiny_imagenet
from mmbench.errors import UserError

WNIDS = ("n01443537", "n01629819", "n01641577")


@pytest.fixture(autouse=True)
def fresh_cache():
    load_dataset.cache_clear()
    yield
    load_dataset.cache_clear()


def image(level: int, side: int) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (side, side), (level, level, level)).save(stream, "JPEG")
    return stream.getvalue()


def write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def write_tiny_imagenet(folder: Path, per_class: int = 20) -> Path:
    """Write the layout of tiny-imagenet-200.zip, with three classes; val is not in the classes' order."""
    for index, wnid in enumerate(WNIDS):
        for number in range(per_class):
            level = 60 * index + number
            write(folder / "train" / wnid / "images" / f"{wnid}_{number}.JPEG", image(level, 64))
        write(folder / "train" / wnid / f"{wnid}_boxes.txt", b"")
    lines = []
    for number in range(6):
        write(folder / "val" / "images" / f"val_{number}.JPEG", image(200 + number, 64))
        lines.append(f"val_{number}.JPEG\t{WNIDS[(number + 1) % 3]}\t0\t0\t62\t62")
    write(folder / "val" / "val_annotations.txt", "\n".join(lines).encode() + b"\n")
    write(folder / "test" / "images" / "test_0.JPEG", image(0, 64))
    write(folder / "wnids.txt", "\n".join(WNIDS).encode())
    return folder


@pytest.mark.parametrize("inside", ["", "tiny-imagenet-200"])
def test_tiny_imagenet_is_read_as_it_is_unzipped(tmp_path: Path, inside: str) -> None:
    write_tiny_imagenet(tmp_path / "tiny-imagenet" / inside)
    dataset = load_dataset("tiny-imagenet", tmp_path)
    assert (dataset.classes, dataset.image_size) == (WNIDS, 64)
    assert dataset.remarks == (
        "3 of the 200 classes of tiny-imagenet: figures do not compare with published ones",
    )
    train, val, test = (dataset.split(name) for name in ("train", "val", "test"))
    assert (len(train), len(val), len(test)) == (54, 6, 6)
    assert train.images.shape[1:] == (3, 80, 80)
    assert test.labels.tolist() == [1, 2, 0, 1, 2, 0]
    for split in (train, val):  # the grey level tells the class
        assert torch.equal(split.images[:, 0, 40, 40].long() // 60, split.labels)
    assert dataset.files["test"]().paths[0] == "images/val_0.JPEG"


def test_tiny_imagenet_with_missing_parts(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"tiny-imagenet is not in .* --download"):
        load_dataset("tiny-imagenet", tmp_path)
    folder = write_tiny_imagenet(tmp_path / "tiny-imagenet")
    (folder / "val" / "val_annotations.txt").write_text("val_0.JPEG\tn99\t0\t0\t1\t1\n")
    with pytest.raises(UserError, match="line 1: class 'n99' is not in the train folder"):
        load_dataset("tiny-imagenet", tmp_path).split("test")
    (folder / "val" / "val_annotations.txt").unlink()
    with pytest.raises(UserError, match="is missing; unzip"):
        load_dataset("tiny-imagenet", tmp_path).split("test")


def test_val_of_tiny_imagenet_lists_each_of_its_images_once(tmp_path: Path) -> None:
    folder = write_tiny_imagenet(tmp_path / "tiny-imagenet") / "val"
    annotations = folder / "val_annotations.txt"
    lines = annotations.read_text().splitlines()
    other = f"val_0.JPEG\t{WNIDS[0]}\t0\t0\t1\t1"
    for content, words in (
        ([*lines, lines[0]], r"line 7: 'val_0\.JPEG' is in line 1 too"),
        ([*lines, other], r"line 7: 'val_0\.JPEG' is in line 1 too"),
        (lines[:4], r"2 images in .*val/images not in val_annotations\.txt \(val_4\.JPEG, val_5\.JPEG\)"),
        ([*lines, other.replace("0.J", "6.J")], r"1 image of the 7 in .* missing from .* \(val_6\.JPEG\)"),
    ):
        annotations.write_text("\r\n".join(content))
        with pytest.raises(UserError, match=words):
            load_dataset("tiny-imagenet", tmp_path).labels("test")
        load_dataset.cache_clear()
    annotations.write_text("\ufeff" + "\r\n\r\n".join(lines[:4]) + "\r\n \r\n", encoding="utf-8")
    for number in (4, 5):
        (folder / "images" / f"val_{number}.JPEG").unlink()
    write(folder / "images" / "._val_0.JPEG", b"made by a system")
    assert load_dataset("tiny-imagenet", tmp_path).labels("test").tolist() == [1, 2, 0, 1]


def test_columns_of_val_between_blanks(tmp_path: Path) -> None:
    annotations = write_tiny_imagenet(tmp_path / "tiny-imagenet") / "val" / "val_annotations.txt"
    text = annotations.read_text()
    annotations.write_text(text.replace("\t", "  "))
    assert load_dataset("tiny-imagenet", tmp_path).labels("test").tolist() == [1, 2, 0, 1, 2, 0]
    load_dataset.cache_clear()
    annotations.write_text(text + "val_6.JPEG\n")
    with pytest.raises(UserError, match=r"val_annotations\.txt, line 7 is not an image and its class"):
        load_dataset("tiny-imagenet", tmp_path).labels("test")


def test_images_beside_the_class_folders_of_tiny_imagenet(tmp_path: Path) -> None:
    write(write_tiny_imagenet(tmp_path / "tiny-imagenet") / "train" / "0.JPEG", image(0, 64))
    with pytest.raises(UserError, match=r"1 image beside the class folders in .*train \(0\.JPEG\)"):
        load_dataset("tiny-imagenet", tmp_path)


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a folder over HTTP on this machine; yield the address."""
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


def test_tiny_imagenet_is_fetched_checked_and_unzipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tiny_imagenet(tmp_path / "source" / "tiny-imagenet-200")
    archive = tmp_path / "tiny-imagenet-200.zip"
    with zipfile.ZipFile(archive, "w") as stream:
        for path in sorted((tmp_path / "source").rglob("*.*")):
            stream.write(path, path.relative_to(tmp_path / "source"))
    with served(tmp_path) as address:
        monkeypatch.setattr(tiny_imagenet, "ARCHIVE", f"{address}/{archive.name}")
        with pytest.raises(UserError, match="download of 'tiny-imagenet' failed"):
            download_dataset("tiny-imagenet", tmp_path / "data")  # not the authors' bytes
        monkeypatch.setattr(tiny_imagenet, "ARCHIVE_MD5", hashlib.md5(archive.read_bytes()).hexdigest())
        download_dataset("tiny-imagenet", tmp_path / "data")
    assert len(load_dataset("tiny-imagenet", tmp_path / "data").split("test")) == 6
    with pytest.raises(UserError, match="'imagenet' cannot be downloaded here"):
        download_dataset("imagenet", tmp_path / "data")
    with pytest.raises(UserError, match="did you mean 'tiny-imagenet'"):
        download_dataset("tiny-imagnet", tmp_path / "data")


def test_tiny_imagenet_whose_unpacking_was_interrupted_is_fetched_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, interrupting: Callable[..., object]
) -> None:
    write_tiny_imagenet(tmp_path / "source" / "tiny-imagenet-200")
    archive = tmp_path / "tiny-imagenet-200.zip"
    with zipfile.ZipFile(archive, "w") as stream:
        for path in sorted((tmp_path / "source").rglob("*.*")):
            stream.write(path, path.relative_to(tmp_path / "source"))
    monkeypatch.setattr(tiny_imagenet, "ARCHIVE_MD5", hashlib.md5(archive.read_bytes()).hexdigest())
    with served(tmp_path) as address:
        monkeypatch.setattr(tiny_imagenet, "ARCHIVE", f"{address}/{archive.name}")
        with monkeypatch.context() as patched:
            patched.setattr(shutil, "copyfileobj", interrupting(shutil.copyfileobj, 30))
            with pytest.raises(KeyboardInterrupt):
                download_dataset("tiny-imagenet", tmp_path / "data")
        assert len(list((tmp_path / "data").rglob("train/*/images"))) in (1, 2)
        with pytest.raises(
            UserError, match=r"tiny-imagenet in .* not unpacked to its end; run: mmbench data"
        ):
            load_dataset("tiny-imagenet", tmp_path / "data")
        download_dataset("tiny-imagenet", tmp_path / "data")
    assert len(load_dataset("tiny-imagenet", tmp_path / "data").labels("train")) == 54


def write_imagenet_folders(root: Path, per_class: int = 100) -> None:
    for split, count in (("train", per_class), ("val", 2)):
        for index, wnid in enumerate(WNIDS):
            for number in range(count):
                write(root / split / wnid / f"{number}.JPEG", image(80 * index, 16))


def test_imagenet_from_folders_and_imagenet_100_from_its_list(tmp_path: Path) -> None:
    write_imagenet_folders(tmp_path / "imagenet")
    dataset = load_dataset("imagenet", tmp_path)
    assert (dataset.classes, dataset.image_size) == (WNIDS, 224)
    assert dataset.remarks == (
        "3 of the 1000 classes of imagenet: figures do not compare with published ones",
    )
    assert [len(dataset.files[name]()) for name in ("train", "val", "test")] == [297, 3, 6]
    with pytest.raises(UserError, match=r"classes\.txt is missing"):
        load_dataset("imagenet-100", tmp_path)
    listing = tmp_path / "imagenet-100" / "classes.txt"
    write(listing, b"n01641577 frog\nn01443537\n")
    part = load_dataset("imagenet-100", tmp_path)
    assert part.classes == ("n01443537", "n01641577")
    assert part.remarks == (
        "classes.txt names 2 classes, where ImageNet-100 has 100: figures do not compare with published ones",
    )
    assert [len(part.files[name]()) for name in ("train", "val", "test")] == [198, 2, 4]
    assert part.split("test").images.shape == (4, 3, 280, 280)
    load_dataset.cache_clear()
    write(listing, b"\xef\xbb\xbfn01443537\r\nn01641577 frog\r\n")  # as Windows saves UTF-8
    assert load_dataset("imagenet-100", tmp_path).classes == part.classes
    for content, words in (
        ("caf\u00e9\n".encode("latin-1"), r"classes\.txt is not text in UTF-8 or UTF-16; save it as UTF-8"),
        (b"n01641577\nn01641577\n", "name each class once"),
        (b"", "name each class once"),
        (b"n77\n", "not in .*train: n77"),
    ):
        load_dataset.cache_clear()
        write(listing, content)
        with pytest.raises(UserError, match=words):
            load_dataset("imagenet-100", tmp_path)


def write_tar(path: Path, files: dict[str, bytes]) -> bytes:
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path.read_bytes()


def write_imagenet_archives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write the devkit, train and val archives in their own layout; replace torchvision's checksums.

    Returns:
        the folder with the archives.
    """
    root = tmp_path / "imagenet"
    root.mkdir()
    synsets = {
        "synsets": [
            (index + 1, wnid, f"word {index}", "gloss", 0, [], 0, 1) for index, wnid in enumerate(WNIDS)
        ]
    }
    matrix = io.BytesIO()
    savemat(matrix, synsets)
    devkit = {
        "ILSVRC2012_devkit_t12/data/meta.mat": matrix.getvalue(),
        "ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt": b"2\n1\n3\n",
    }
    train = {
        f"{wnid}.tar": write_tar(
            tmp_path / "one.tar", {f"{wnid}_{number}.JPEG": image(80 * index, 16) for number in range(100)}
        )
        for index, wnid in enumerate(WNIDS)
    }
    val = {f"ILSVRC2012_val_{number:08d}.JPEG": image(number, 16) for number in (1, 2, 3)}
    archives = torchvision.datasets.imagenet.ARCHIVE_META
    for kind, files in (("devkit", devkit), ("train", train), ("val", val)):
        name = archives[kind][0]
        digest = hashlib.md5(write_tar(root / name, files)).hexdigest()
        monkeypatch.setitem(archives, kind, (name, digest))
    return root


def test_imagenet_is_unpacked_from_the_official_archives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_imagenet_archives(tmp_path, monkeypatch)
    dataset = load_dataset("imagenet", tmp_path)
    assert dataset.classes == WNIDS
    assert len(dataset.files["train"]()) == 297
    assert dataset.files["test"]().paths == [
        "n01443537/ILSVRC2012_val_00000002.JPEG",
        "n01629819/ILSVRC2012_val_00000001.JPEG",
        "n01641577/ILSVRC2012_val_00000003.JPEG",
    ]


@pytest.mark.parametrize(
    ("stopped", "before", "words"),
    [
        ("move", 0, r"3 images .*val \(ILSVRC2012_val_00000001\.JPEG, .*sort them into the class folders"),
        (
            "move",
            2,
            r"1 image .*val \(ILSVRC2012_val_00000003\.JPEG\).*ILSVRC2012_img_val\.tar is unpacked anew",
        ),
        (
            "extract_archive",
            3,
            r"1 archive .*train \(n0\d+\.tar\).*img_train\.tar is unpacked anew, or unpack each",
        ),
    ],
)
def test_imagenet_whose_unpacking_was_interrupted_is_refused_until_it_is_unpacked_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stopped: str, before: int, words: str
) -> None:
    """Unpacking extracts the devkit, train, each class and val in turn, and moves the images of val last."""
    root = write_imagenet_archives(tmp_path, monkeypatch)
    unpacking = torchvision.datasets.imagenet
    owner = unpacking.shutil if stopped == "move" else unpacking
    original = getattr(owner, stopped)
    calls = 0

    def interrupted(*arguments: object, **options: object) -> object:
        nonlocal calls
        calls += 1
        if calls > before + (stopped == "extract_archive"):
            raise KeyboardInterrupt
        return original(*arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(owner, stopped, interrupted)
        with pytest.raises(KeyboardInterrupt):
            load_dataset("imagenet", tmp_path)
    write(tmp_path / "imagenet-100" / "classes.txt", WNIDS[0].encode())
    for name in ("imagenet", "imagenet-100"):
        with pytest.raises(UserError, match=words) as refusal:
            load_dataset(name, tmp_path)
        assert "\n" not in str(refusal.value)
    shutil.rmtree(root / ("val" if stopped == "move" else "train"))
    dataset = load_dataset("imagenet", tmp_path)
    assert [len(dataset.files[name]()) for name in ("train", "val", "test")] == [297, 3, 3]


def test_loose_images_of_imagenet_without_archives_are_to_be_sorted(tmp_path: Path) -> None:
    write_imagenet_folders(tmp_path / "imagenet", per_class=2)
    for name in ("._0.JPEG", "notes.txt", "ILSVRC2012_img_train.tar"):  # hidden; no image; the whole archive
        write(tmp_path / "imagenet" / "train" / name, b"x")
    assert len(load_dataset("imagenet", tmp_path).labels("test")) == 6
    load_dataset.cache_clear()
    write(tmp_path / "imagenet" / "val" / "0.JPEG", image(0, 16))
    with pytest.raises(UserError, match=r"1 image .* not finished; sort them into the class folders$"):
        load_dataset("imagenet", tmp_path)


def test_a_class_of_val_that_train_lacks_is_refused(tmp_path: Path) -> None:
    write_imagenet_folders(tmp_path / "imagenet", per_class=2)
    write(tmp_path / "imagenet" / "val" / "n09999999" / "0.JPEG", image(0, 16))
    with pytest.raises(UserError, match=r"val has 1 class that train lacks \(n09999999\)"):
        load_dataset("imagenet", tmp_path)


def test_imagenet_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"imagenet is not in .*ILSVRC2012_img_train"):
        load_dataset("imagenet", tmp_path)
