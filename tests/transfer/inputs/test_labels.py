"""Official lists of labelled images take the place of a draw."""

from pathlib import Path

import pytest
import torch
from PIL import Image
from running import run_task

from mmbench.checkpoints.backbone import Backbone
from mmbench.data import Dataset, load_dataset
from mmbench.errors import UserError
from mmbench.records.store import Result, ResultStore
from mmbench.transfer.inputs import images as image_inputs


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Ten images of each of two classes to learn from, whose names tell the class, as ImageNet's do."""
    for split, count in (("train", 20), ("test", 5)):
        for name in ("n01", "n02"):
            (tmp_path / "data" / split / name).mkdir(parents=True)
            for index in range(count):
                noise = torch.randint(0, 256, (24, 24, 3), generator=torch.Generator().manual_seed(index))
                image = Image.fromarray(noise.to(torch.uint8).numpy())
                image.save(tmp_path / "data" / split / name / f"{name}_{index:02}.png")
    return tmp_path


def run(backbone: Backbone, dataset: Dataset, folder: Path, listing: str, **more: object) -> Result:
    path = folder / "list.txt"
    path.write_text(listing)
    return run_task(
        "semisup",
        backbone,
        dataset,
        ResultStore(folder / "results"),
        work=folder / "work",
        overrides={"epochs": 2, "batch_size": 3},
        labels_file=path,
        **more,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("largest", [8, 64])
def test_the_list_is_what_is_trained_on(
    backbone: Backbone, folder: Path, monkeypatch: pytest.MonkeyPatch, largest: int
) -> None:
    """Also images that our own val split holds: official lists know nothing of it."""
    monkeypatch.setattr(image_inputs, "LARGEST_IN_MEMORY", largest)
    dataset = load_dataset(str(folder / "data"))
    held_out = dataset.files["val"]().paths
    names = ["n01_03.png", "n02_07.png", "n02_11.png", Path(held_out[0]).name, Path(held_out[-1]).name]
    names = list(dict.fromkeys(names))
    names = names[: len(names) // 3 * 3] if len(names) % 3 else names
    result = run(backbone, dataset, folder, "# official\n" + "\n".join(names) + "\n", workers=0)
    assert result.labels is not None
    assert (result.labels.used, result.labels.available) == (len(names), 40)
    assert result.labels.source == "listed in list.txt"
    assert result.dataset.split_sizes["train"] == len(names)
    assert result.config["labels_file"] == "list.txt" and len(result.config["labels_file_sha256"]) == 64


def test_another_list_is_another_record(backbone: Backbone, gratings: Dataset, tmp_path: Path) -> None:
    first = run(backbone, gratings, tmp_path, "\n".join(str(20 * label) for label in range(6)))
    second = run(backbone, gratings, tmp_path, "\n".join(str(20 * label + 1) for label in range(6)))
    assert first.labels != second.labels and first.config != second.config
    assert len(list((tmp_path / "results").rglob("*.json"))) == 2


@pytest.mark.parametrize(
    ("listing", "message"),
    [
        ("", "list.txt"),
        ("0\n0\n", "list.txt"),
        ("0\n9999\n", "9999"),
        ("zero\n", "zero"),
        ("0\n20\n40\n60\n80\n", "lists no image of class '150 degrees'"),
    ],
)
def test_bad_lists_are_one_line(
    backbone: Backbone, gratings: Dataset, tmp_path: Path, listing: str, message: str
) -> None:
    with pytest.raises(UserError, match=message) as caught:
        run(backbone, gratings, tmp_path, listing)
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "results").rglob("*.json"))


def test_only_semisup_takes_a_list(backbone: Backbone, gratings: Dataset, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("1\n")
    for name in ("knn", "finetune", "linear"):
        with pytest.raises(UserError, match=f"task '{name}' takes no list of labelled images"):
            run_task(
                *(name, backbone, gratings, ResultStore(tmp_path)),
                work=tmp_path / "work",
                labels_file=tmp_path / "list.txt",
            )
    with pytest.raises(UserError, match="no list of labelled images at"):
        run_task(
            *("semisup", backbone, gratings, ResultStore(tmp_path)),
            work=tmp_path / "work",
            labels_file=tmp_path / "nowhere.txt",
        )
