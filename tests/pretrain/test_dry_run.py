"""`mmbench pretrain --dry-run` refuses what the run refuses, and writes nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmbench.cli import main

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Call the command in an empty folder beside 24 images; return exit code and last line of errors."""
    draw = np.random.default_rng(0)
    (tmp_path / "photos").mkdir()
    for number in range(24):
        pixels = draw.integers(0, 256, (20, 20, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{number}.png")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.delenv("MMBENCH_DATA", raising=False)

    def call(data: str, *options: str) -> tuple[int, str]:
        words = [word for option in options for word in (["--set", option], [option])[option[0] == "-"]]
        with pytest.raises(SystemExit) as ended:
            main(["pretrain", "--method", "moco", "--data", data, "--device", "cpu", *words])
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.err.strip().splitlines()[-1] if said.err.strip() else said.out

    return call


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (("batch_size=20", "accumulation=3"), "cannot be shared out"),
        (("batch_size=20", "batch_norm.splits=7"), "use --set batch_size=14"),
        (("batch_size=25",), "larger than the train split"),
        (("batch_size=8", "knn_every=1"), "needs a val split"),
        (("batch_size=8", "loading=files", "decode=gpu"), "decode=gpu needs a CUDA device"),
        (("batch_size=8", "compile=true"), "needs a C++ compiler"),
    ],
)
def test_both_refuse(
    settings: tuple[str, ...], words: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", "no-compiler")
    planned = run("../photos", "framework.queue=16", *settings, "--dry-run")
    assert planned[0] == 2 and words in planned[1]
    trained = run("../photos", "framework.queue=16", *settings, "--out=run")
    assert trained[0] == 2 and words in trained[1]
    assert not any((tmp_path / "work").iterdir())


def test_a_data_set_that_is_not_here_is_neither_rendered_nor_downloaded(run: Run, tmp_path: Path) -> None:
    for data, count in (("patterns", "4,000 images"), ("cifar100", "images")):
        code, said = run(data, "--dry-run")
        assert code == 0 and count in said and f"the images of {data} are not here" in said
    assert not any((tmp_path / "work").iterdir())


def test_a_single_image_is_no_reason_for_another_batch(run: Run, tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    Image.new("RGB", (20, 20)).save(tmp_path / "one" / "a.png")
    for options in (("--dry-run",), ("--out=run",)):
        code, line = run("../one", *options)
        assert code == 2 and "has 1 image; a step takes at least two" in line
