"""What pretraining says of its data, and what it takes: lists, loose images, only train, odd names."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmbench.errors import UserError
from mmbench.pretrain.config import resolve_config
from mmbench.pretrain.engine import pretrain
from mmbench.pretrain.settings import PretrainConfig
from mmbench.runs import RunFolder


def images(root: Path, count: int = 16, start: int = 0) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    for number in range(start, start + count):
        pixels = np.random.default_rng(number).integers(0, 256, (24, 20, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / f"{number}.png")
    return root


def config(data: Path, *more: str) -> PretrainConfig:
    overrides = ("batch_size=8", "framework.queue=16", "precision=fp32", *more)
    return resolve_config("moco", data=str(data), epochs=1, device="cpu", threads=1, overrides=overrides)


def trained(data: Path, out: Path, *more: str) -> tuple[RunFolder, list[str]]:
    said: list[str] = []
    run = pretrain(config(data, *more), out, say=said.append)
    assert run.finished and all("\n" not in line for line in said)
    return run, said


def test_loose_images_beside_a_folder_are_all_used(tmp_path: Path) -> None:
    images(tmp_path / "flat", 20)
    images(tmp_path / "flat" / "masks", 4, start=100)
    _, said = trained(tmp_path / "flat", tmp_path / "run")
    assert any(line.startswith("24 images, 3 steps") for line in said)
    assert any(line.startswith("all 24 images below") for line in said)
    assert any("4 of them lie in folders named like label maps" in line for line in said)


@pytest.mark.parametrize("loading", ["memory", "files"])
def test_only_train_and_names_that_are_not_utf_8(tmp_path: Path, loading: str) -> None:
    root = tmp_path / os.fsdecode(b"se\xf1al")
    images(root / "train" / "a", 12)
    images(root / "train" / os.fsdecode(b"ni\xf1o"), 12, start=50)
    first = root / "train" / "a" / "0.png"
    first.rename(first.with_name(os.fsdecode(b"caf\xe9.png")))
    (root / "train" / "a" / os.fsdecode(b"da\xf1ado.png")).write_bytes(b"damaged")
    run, said = trained(root, tmp_path / "run", f"loading={loading}", "workers=0")
    assert any("only train folders: 70%" in line for line in said)
    assert "se\\xf1al" in run.readme.read_text()
    for line in said:
        line.encode()  # can be printed anywhere
    listed = run.root / "unreadable.txt"
    if listed.exists():  # the damaged one may be held out
        assert listed.read_text() == "train/a/da\\xf1ado.png\n" or "da\\xf1ado" in listed.read_text()


def test_a_list_of_files(tmp_path: Path) -> None:
    images(tmp_path / "here", 6)
    images(tmp_path / "there", 10, start=50)
    (tmp_path / "there" / "unused.png").write_bytes(b"x")
    listing = tmp_path / "here" / "list.txt"
    lines = [f"{n}.png" for n in range(6)] + [f"..\\there\\{n}.png" for n in range(50, 60)]
    listing.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(lines).encode())
    run, said = trained(listing, tmp_path / "run")
    assert any(line.startswith("16 images, 2 steps") for line in said)
    assert "on list for 1 epoch" in run.readme.read_text()


def test_a_queue_longer_than_the_data_is_said(tmp_path: Path) -> None:
    images(tmp_path / "few", 16)
    _, said = trained(tmp_path / "few", tmp_path / "long", "framework.queue=17")
    assert any("the queue holds 17 keys but there are only 16 images" in line for line in said)
    _, said = trained(tmp_path / "few", tmp_path / "fits", "framework.queue=16")
    assert not any("the queue holds" in line for line in said)


def test_pixels_that_are_changed_are_said(tmp_path: Path) -> None:
    images(tmp_path / "few", 15)
    Image.new("RGBA", (20, 20), (1, 2, 3, 0)).save(tmp_path / "few" / "clear.png")
    _, said = trained(tmp_path / "few", tmp_path / "run")
    assert "of all 16 train images, 1 have transparency, which is dropped" in said


def test_only_test_images_are_never_trained_on(tmp_path: Path) -> None:
    images(tmp_path / "data" / "test" / "a")
    with pytest.raises(UserError, match="no train folder"):
        pretrain(config(tmp_path / "data"), tmp_path / "run")
    assert not (tmp_path / "run").exists()
