"""`mmbench data pack`, and the commands that take what it writes, called as a user calls them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from calling import run
from PIL import Image

from mmbench.data import load_dataset

sys.path.insert(0, str(Path(__file__).parent))
from image_folders import CLASSES, PER_CLASS, write_images


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    load_dataset.cache_clear()
    yield
    load_dataset.cache_clear()


@pytest.fixture
def pack(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    write_images(tmp_path / "stripes")
    code, out, err = run(
        capsys,
        *("data", "pack", tmp_path / "stripes", "--out", tmp_path / "packs" / "p"),
        *("--short-side", 12, "--format", "png"),
    )
    assert code == 0
    lines = out.splitlines()
    count = len(CLASSES) * PER_CLASS["train"]
    assert lines[0].startswith(f"train: {count} images in 1 file, ")
    assert lines[0].endswith(
        f" MiB: {count} encoded again, 0 kept as they were, 0 that cannot be read left out"
    )
    assert lines[-1] == f"stripes-12px is packed in {tmp_path}/packs/p; it is not the data set stripes"
    assert err.splitlines()[-1] == f"next: mmbench data check {tmp_path}/packs/p"
    return tmp_path / "packs" / "p"


def test_check_and_show(pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "data", "check", pack)
    assert code == 0
    assert f"train: 24 images of 12 px, {len(CLASSES)} classes, 8 per class" in out
    assert "a packed copy of 'stripes' (fingerprint " in out and out.endswith(f"{pack} is complete\n")
    code, out, _ = run(capsys, "data", "show", pack, "--out", tmp_path / "sheet.png")
    assert code == 0
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert len(np.unique(np.asarray(sheet.convert("L")))) > 50
    code, out, _ = run(capsys, "preview", "moco", "--data", pack, "--out", tmp_path / "views.png")
    assert code == 0 and (tmp_path / "views.png").exists()


def test_a_flipped_byte_ends_the_check(pack: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = pack / "test-00000.arrow"
    content = bytearray(path.read_bytes())
    content[content.index(b"IDAT") + 20] ^= 4
    path.write_bytes(content)
    code, out, err = run(capsys, "data", "check", pack)
    assert code == 2 and "is complete" not in out
    assert "is not the image that was packed; copy it again, or pack the data again" in err
    assert err.splitlines()[-1].startswith(f"mmbench: error: {pack}: ")


def test_pretrain_and_transfer(pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = (
        "batch_size=8",
        "framework.queue=16",
        "loading=files",
        "workers=1",
        "image_size=16",
        "knn_every=1",
    )
    settings = [word for value in small for word in ("--set", value)]
    code, _, err = run(
        capsys,
        "pretrain",
        "--method",
        "moco",
        "--data",
        pack,
        "--out",
        tmp_path / "run",
        "--epochs",
        1,
        *settings,
    )
    assert code == 0, err
    card = json.loads((tmp_path / "run" / "card.json").read_text())
    where = ("--checkpoint", tmp_path / "run", "--out", tmp_path / "results", "--no-bank", "--device", "cpu")
    records = {}
    for data, size in ((pack, 16), (pack, 72), (tmp_path / "stripes", 16)):
        code, _, err = run(
            capsys, "transfer", "--task", "knn", "--data", data, "--image-size", size, "--workers", 1, *where
        )
        assert code == 0, err
    for path in (tmp_path / "results").rglob("*.json"):
        record = json.loads(path.read_text())
        records.setdefault(record["dataset"]["name"], []).append(record["dataset"]["fingerprint"])
    assert records.keys() == {"stripes", "stripes-12px"}
    assert set(records["stripes"]).isdisjoint(records["stripes-12px"])
    assert set(records["stripes-12px"]) == {load_dataset(str(pack)).fingerprint}
    assert "stripes-12px" in json.dumps(card)
    code, out, _ = run(capsys, "leaderboard", "show", tmp_path / "results")
    assert code == 0 and "stripes-12px" in out and "stripes" in out.replace("stripes-12px", "")


def test_labelled_images_are_found_by_name(
    pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Lists are looked up in train and val together, also where the images are read one by one."""
    names = [f"{name}/{index}.png" for name in CLASSES for index in range(4, 8)]  # not in val
    (tmp_path / "list.txt").write_text("\n".join(names))
    code, _, err = run(
        capsys,
        *("transfer", "--task", "semisup", "--data", pack, "--checkpoint", "random"),
        *("--arch", "mixmask_resnet8", "--labels-file", tmp_path / "list.txt", "--image-size", 72),
        *("--set", "epochs=1", "--out", tmp_path / "results", "--no-bank", "--workers", 0),
    )
    assert code == 0, err
    (path,) = (tmp_path / "results").rglob("*.json")
    assert "12" in path.read_text()


def test_what_cannot_be_read_is_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_images(tmp_path / "stripes")
    bad = [tmp_path / "stripes" / "train" / "rows" / f"{index}.png" for index in range(7)]
    for path in bad:
        path.write_bytes(path.read_bytes()[:60])
    command = ("data", "pack", tmp_path / "stripes", "--out", tmp_path / "p", "--short-side", 12)
    code, out, err = run(capsys, *command)
    lines = err.splitlines()
    assert code == 2 and out == "" and not (tmp_path / "p").exists()
    assert [line for line in lines if line.startswith(f"problem: {bad[0]} cannot be read as an image")]
    assert "problem: 2 more images cannot be read" in lines
    assert lines[-1].startswith("mmbench: error: 7 of 54 images in") and "--skip-unreadable" in lines[-1]
    code, out, _ = run(capsys, *command, "--skip-unreadable")
    assert code == 0 and "7 that cannot be read left out" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("--format", "png", "--quality", "90"),
            "--quality is for JPEG and WebP, and PNG loses nothing; omit it",
        ),
        (("--quality", "101"), "101 is not in the range 1<=x<=100"),
        (("--short-side", "4"), "4 is not in the range"),
        (("--format", "gif"), "'gif' is not one of 'jpeg', 'webp', 'png'"),
        (("--layout", "coco"), "is not in COCO layout"),
    ],
)
def test_wrong_options(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], message: str
) -> None:
    write_images(tmp_path / "stripes")
    code, _, err = run(
        capsys, "data", "pack", tmp_path / "stripes", "--out", tmp_path / "p", "--short-side", "12", *words
    )
    assert code == 2 and message in err and not (tmp_path / "p").exists()
    assert len(err.splitlines()) == 1


def test_a_folder_without_clear_labels_is_packed_without_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, number in (("a", 3), ("b", 1)):  # too few of b to hold some out
        (tmp_path / "some" / name).mkdir(parents=True)
        for index in range(number):
            Image.new("RGB", (20, 20), (9 * index, 0, 0)).save(tmp_path / "some" / name / f"{index}.png")
    code, out, err = run(
        capsys, "data", "pack", tmp_path / "some", "--out", tmp_path / "p", "--short-side", "12"
    )
    assert code == 0 and out.startswith("train: 4 images")
    assert "used, without labels" in err
    assert load_dataset(str(tmp_path / "p")).classes == ("unlabelled",)
