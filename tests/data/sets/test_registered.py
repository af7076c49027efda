"""A data set of another package: one function and one decorator, without manifest and without download."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mmbench.cli import commands as cli
from mmbench.data import DATASETS, Dataset, ImageFiles, ImageSplit, download_dataset, load_dataset
from mmbench.data.quick_check import quick_check
from mmbench.data.types import SPLITS
from mmbench.errors import UserError
from mmbench.tools.data_check import check_dataset
from mmbench.tools.data_list import data_set_table

CLASSES = ("dark", "bright")
PER_CLASS = 3


def grey_images(split: str) -> ImageSplit:
    """Images whose level gives the class; no two splits share one."""
    offset = 10 * SPLITS.index(split)  # type: ignore[arg-type]
    levels = [40 + offset + index for index in range(PER_CLASS)] + [
        200 + offset + index for index in range(PER_CLASS)
    ]
    images = torch.tensor(levels, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, 16, 16).contiguous()
    return ImageSplit(images, torch.tensor([0] * PER_CLASS + [1] * PER_CLASS))


def load_in_memory(root: Path) -> Dataset:
    splits = {split: lambda split=split: grey_images(split) for split in SPLITS}
    return Dataset("greys", root, CLASSES, splits, 16, metric="mean_per_class")


def load_from_files(root: Path) -> Dataset:
    def find(split: str) -> ImageFiles:
        part = grey_images(split)
        paths = [f"{split}/{index}.png" for index in range(len(part))]
        for path, image in zip(paths, part.images, strict=True):
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image.permute(1, 2, 0).numpy()).save(root / path)
        return ImageFiles(root, paths, part.labels)

    files = {split: lambda split=split: find(split) for split in SPLITS}
    return Dataset("greys", root, CLASSES, image_size=16, files=files, remarks=("drawn by a test",))


@pytest.fixture(params=[load_in_memory, load_from_files], ids=["memory", "files"])
def registered(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Register a data set, as a package of others does; forget it afterwards."""
    DATASETS.names()  # the built-in ones are found first
    monkeypatch.setattr(DATASETS, "_entries", dict(DATASETS._entries))
    DATASETS.register("greys")(request.param)
    load_dataset.cache_clear()
    yield
    load_dataset.cache_clear()


@pytest.mark.usefixtures("registered")
def test_it_is_loaded_by_name(tmp_path: Path) -> None:
    dataset = load_dataset("greys", tmp_path)
    assert dataset.root == tmp_path / "greys" and dataset.classes == CLASSES
    for split in SPLITS:
        expected = grey_images(split)
        found = dataset.split(split, stored=16)
        assert torch.equal(found.images, expected.images) and torch.equal(found.labels, expected.labels)
        assert torch.equal(dataset.labels(split), expected.labels)
    assert quick_check(dataset) == []
    with pytest.raises(UserError, match="'grays'; did you mean 'greys'"):
        load_dataset("grays", tmp_path)


@pytest.mark.usefixtures("registered")
def test_it_is_checked(tmp_path: Path) -> None:
    facts, problems = check_dataset("greys", tmp_path)
    assert problems == []
    assert facts[-3:] == [f"{split}: 6 images of 16 px, 2 classes, 3 per class" for split in SPLITS]


@pytest.mark.usefixtures("registered")
def test_the_commands_know_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    row = next(row for row in data_set_table() if row[0] == "greys")
    assert set(row[1:-1]) == {"-"} and row[-1] == "your files"
    sheet = tmp_path / "sheet.png"
    for arguments, code, message in (
        (["prepare", "greys", "--root", str(tmp_path)], 0, "greys is ready"),
        (["show", "greys", "--root", str(tmp_path), "--out", str(sheet)], 0, str(sheet)),
        (["manifest", "greys"], 2, "has no manifest"),
        (["prepare", "greys", "--root", str(tmp_path), "--download"], 2, "cannot be downloaded"),
        (["prepare", "greys", "--root", str(tmp_path), "--seed", "1"], 2, "not generated"),
    ):
        with pytest.raises(SystemExit) as end:
            cli.main(["data", *arguments])
        said = capsys.readouterr()
        assert end.value.code == code and message in said.out + said.err
    assert np.asarray(Image.open(sheet)).ndim == 3
    with pytest.raises(UserError, match="cannot be downloaded"):
        download_dataset("greys", tmp_path)


@pytest.mark.parametrize("expected", [{"train": 7}, {"classes": 3}])
def test_counts_that_differ_from_its_own_are_refused(tmp_path: Path, expected: dict[str, int]) -> None:
    splits = {"train": lambda: grey_images("train")}
    dataset = Dataset("greys", tmp_path, CLASSES, splits, 16, expected=expected)
    with pytest.raises(UserError, match="where its manifest says"):
        dataset.split("train")
