"""A data set in memory that is not what its documentation asks for is refused in one line, by every use."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import mmbench
from mmbench.data import Dataset, ImageFiles, ImageSplit
from mmbench.errors import UserError

CLASSES = ("a", "b", "c")


def split(count: int) -> ImageSplit:
    labels = torch.arange(count) % 3
    images = torch.randint(0, 200, (count, 3, 16, 20), generator=torch.Generator().manual_seed(count))
    return ImageSplit(images.to(torch.uint8), labels)


def dataset(wrong: str = "", change: Callable[[ImageSplit], ImageSplit] = lambda part: part) -> Dataset:
    """Return a data set in which one split is changed."""
    parts = {name: split(count) for name, count in (("train", 30), ("val", 6), ("test", 12))}
    if wrong:
        parts[wrong] = change(parts[wrong])
    return Dataset("own", Path(), CLASSES, {name: lambda part=part: part for name, part in parts.items()})


def images(change: Callable[[torch.Tensor], object]) -> Callable[[ImageSplit], ImageSplit]:
    return lambda part: ImageSplit(change(part.images), part.labels)  # type: ignore[arg-type]


def labels(change: Callable[[torch.Tensor], object]) -> Callable[[ImageSplit], ImageSplit]:
    return lambda part: ImageSplit(part.images, change(part.labels))  # type: ignore[arg-type]


WRONG = {
    "numpy": (images(lambda it: it.numpy()), r"are numpy.ndarray; use torch.from_numpy\(images\)"),
    "list": (images(lambda it: it.tolist()), r"are list; use torch.tensor\(images\)"),
    "float": (images(lambda it: it / 255), r"are float32 of .*; use \(255 \* images\).round\(\)"),
    "int64": (images(lambda it: it.long()), r"are int64 of .*; use images.to\(torch.uint8\)"),
    "channels last": (images(lambda it: it.permute(0, 2, 3, 1)), r"use images\[..., :3\].permute"),
    "one channel": (images(lambda it: it[:, :1]), r"\(\d+, 1, 16, 20\); use images.repeat\(1, 3, 1, 1\)"),
    "no channel": (images(lambda it: it[:, 0]), r"use images.unsqueeze\(1\).repeat"),
    "four channels": (images(lambda it: it[:, [0, 1, 2, 0]]), r"use images\[:, :3\]"),
    "two channels": (images(lambda it: it[:, :2]), "give three channels"),
    "no pixels": (images(lambda it: it[..., :0]), r"\(\d+, 3, 16, 0\)"),
    "more images": (images(lambda it: torch.cat([it, it[:5]])), r"has \d+ images and \d+ labels; give one"),
    "fewer images": (images(lambda it: it[:-1]), r"has \d+ images and \d+ labels; give one"),
    "no images": (lambda part: ImageSplit(part.images[:0], part.labels[:0]), "has no images; add some"),
    "numpy labels": (labels(lambda it: it.numpy()), r"are numpy.ndarray; use torch.from_numpy\(labels\)"),
    "list of labels": (labels(lambda it: it.tolist()), r"are list; use torch.tensor\(labels\)"),
    "float labels": (labels(lambda it: it.float()), r"int64, and are float32; use labels.long\(\)"),
    "uint8 labels": (labels(lambda it: it.to(torch.uint8)), r"are uint8; use labels.long\(\)"),
    "int32 labels": (labels(lambda it: it.int()), r"are int32; use labels.long\(\)"),
    "a column of labels": (labels(lambda it: it[:, None]), r"labels of shape \(\d+, 1\)"),
    "one label": (labels(lambda it: it[0]), "a single number; give one label per image"),
    "a fourth class": (labels(lambda it: it + 1), "label 3 in .* is not one of its 3 classes"),
    "a negative label": (labels(lambda it: it - 1), "label -1 in .* is not one of its 3 classes"),
}


@pytest.mark.parametrize("wrong", ["train", "val", "test"])
@pytest.mark.parametrize("case", WRONG)
def test_it_is_refused_wherever_it_is(case: str, wrong: str) -> None:
    change, words = WRONG[case]
    for use in (
        lambda data: data.split(wrong),
        lambda data: data.labels(wrong),
        lambda data: data.fingerprint,
    ):
        with pytest.raises(UserError, match=words) as error:
            use(dataset(wrong, change))
        assert f"the {wrong} split of 'own'" in str(error.value) and "\n" not in str(error.value)


def test_what_the_documentation_asks_for_is_taken() -> None:
    data = dataset()
    assert torch.equal(data.split("train").images, split(30).images) and len(data.fingerprint) == 64
    strided = images(lambda it: it.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2))
    assert dataset("train", strided).fingerprint == data.fingerprint


@pytest.mark.parametrize("task", ["knn", "finetune"])
@pytest.mark.parametrize("case", ["more images", "int64", "one channel", "float"])
def test_no_task_measures_it(case: str, task: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=WRONG[case][1]):
        mmbench.evaluate(
            "random", task, dataset("train", WRONG[case][0]), arch="mixmask_resnet8", out=tmp_path
        )
    assert not list(tmp_path.iterdir())


def test_no_pretraining_learns_from_it(tmp_path: Path) -> None:
    wrong = dataset("train", WRONG["float"][0])
    with pytest.raises(UserError, match=WRONG["float"][1]):
        mmbench.run_pretraining(
            "moco", out=tmp_path / "run", dataset=wrong, arch="mixmask_resnet8", epochs=1,
            overrides={"batch_size": 8},
        )  # fmt: skip


@pytest.mark.parametrize(
    ("classes", "words"),
    [
        (("a", "b", "a"), "two classes called 'a'"),
        (("a", 1, "c"), "class 1 of data set 'own' is not text"),
        ((), "data set 'own' has no classes"),
    ],
)
def test_classes_have_names_of_their_own(classes: tuple[str, ...], words: str) -> None:
    with pytest.raises(UserError, match=words):
        Dataset("own", Path(), classes, {"train": lambda: split(9)}).labels("train")


def test_files_need_a_label_each(tmp_path: Path) -> None:
    def of(paths: list[str], labels: torch.Tensor) -> Dataset:
        files = ImageFiles(tmp_path, paths, labels)
        return Dataset("own", tmp_path, CLASSES, files={"train": lambda: files})

    assert of(["a.png", "b.png"], torch.tensor([0, 1])).labels("train").tolist() == [0, 1]
    for paths, given, words in (
        (["a.png", "b.png"], torch.tensor([0]), "has 2 images and 1 labels"),
        (["a.png"], torch.tensor([0.0]), "are float32"),
        ([], torch.tensor([], dtype=torch.int64), "has no images"),
    ):
        with pytest.raises(UserError, match=words):
            of(paths, given).labels("train")
