"""The scale that fits the data, and what the first lines say of it."""

from dataclasses import replace
from pathlib import Path

import pytest

from mmbench.data import Dataset
from mmbench.errors import UserError
from mmbench.pretrain.config import Given
from mmbench.pretrain.planning import RunRequest
from mmbench.pretrain.scale_choice import ImageFacts, known_facts, scale_for, scale_for_images


@pytest.mark.parametrize(
    ("side", "images", "scale"),
    [
        (28, 60_000, "cifar100"),
        (32, 4_000, "small-images"),
        (48, 20_000, "cifar100"),
        (49, 20_000, "tiny-imagenet"),
        (96, 100_000, "tiny-imagenet"),
        (64, 500, "small-images"),
        (129, 20_000, "imagenet"),
        (500, 1_281_167, "imagenet"),
        (500, 19_999, "small-images"),
        (None, 50_000, "small-images"),
    ],
)
def test_size_and_count_decide(side: int | None, images: int, scale: str) -> None:
    choice = scale_for_images(ImageFacts(side, images))
    assert choice.scale.name == scale
    assert f"{images:,} images" in choice.reason


@pytest.mark.parametrize(
    ("data", "scale"),
    [
        ("patterns", "small-images"),
        ("fashion-mnist", "small-images"),
        ("cifar100", "cifar100"),
        ("cifar10", "cifar100"),
        ("tiny-imagenet", "tiny-imagenet"),
        ("imagenet", "imagenet"),
        ("imagenet-100", "imagenet"),
        ("food101", "imagenet"),
        ("flowers102", "small-images"),
    ],
)
def test_known_data_sets_need_not_be_there(data: str, scale: str, tmp_path: Path) -> None:
    choice, dataset = scale_for(data, tmp_path)
    assert (choice.scale.name, dataset) == (scale, None)


def test_facts_of_a_manifest() -> None:
    assert known_facts("cifar100") == ImageFacts(32, 45_000)
    assert known_facts("no-such-data") is None


def test_other_data_are_looked_at(tiny: Dataset, tmp_path: Path) -> None:
    choice, dataset = scale_for("stripes", tmp_path, tiny)
    assert choice.scale.name == "small-images" and dataset is tiny
    assert choice.reason == "it fits 96 images of 20 px"


def test_open_data_are_named_by_themselves(tiny: Dataset, tmp_path: Path) -> None:
    def planned(dataset: Dataset, **given: str) -> tuple[str, Path]:
        config = RunRequest("moco", given=Given(**given), dataset=dataset).plan().config  # type: ignore[typeddict-item]
        return config.data, config.data_root

    plan = RunRequest("moco", dataset=tiny).plan()
    assert plan.config.data == "stripes" and plan.lines[0].endswith("it fits 96 images of 20 px")
    known = replace(tiny, name="cifar100", root=tmp_path / "sets" / "cifar100")
    assert planned(known) == ("cifar100", tmp_path / "sets")
    assert RunRequest("moco", dataset=known).plan().recipe.scale.name == "cifar100"
    own = replace(tiny, name="mine", root=tmp_path / "mine")
    own.root.mkdir()
    assert planned(own) == (str(tmp_path / "mine"), Path("data"))
    assert planned(own, data="patterns") == ("patterns", Path("data"))


def first_lines(method: str, scale: str | None = None, **given: str) -> tuple[str, ...]:
    return RunRequest(method, scale, given=Given(**given)).plan().lines  # type: ignore[typeddict-item]


def test_the_first_line_says_recipe_scale_and_why() -> None:
    first, what = first_lines("mixmask", data="patterns")
    assert first == "recipe mixmask@1, scale small-images: patterns is a data set of this scale"
    assert "mixmask_resnet8 on patterns" in what
    first, what = first_lines("mixmask", data="imagenet")
    assert "recipe mixmask-imagenet@2 (not yet run to its end by us), scale imagenet: imagenet is" in first
    assert "mixmask_resnet50 on imagenet, 200 epochs, batch 256, sgd" in what
    first, what = first_lines("simclr", "cifar100")
    assert "recipe simclr-cifar100@3" in first and "scale cifar100: chosen by --scale" in first
    assert "on cifar100," in what


@pytest.mark.parametrize("method", ["moco", "moco-imagenet"])
def test_a_scale_that_does_not_fit_warns_in_one_line(method: str) -> None:
    scale = "imagenet" if method == "moco" else None
    first, warning, what = first_lines(method, scale, data="patterns")
    assert "scale imagenet: chosen by --" in first
    assert warning == (
        "scale imagenet does not fit patterns: patterns is a data set of this scale; "
        "without --scale it is small-images"
    ) or warning.startswith("scale imagenet does not fit patterns")
    assert "on patterns" in what


def test_settings_that_state_a_recipe_decide_their_scale() -> None:
    plan = RunRequest(stated={"recipe": "mixmask-imagenet@2", "data": "patterns"}).plan()
    assert plan.lines[0].endswith("scale imagenet: stated by the settings")
    assert len(plan.lines) == 2
    with pytest.raises(UserError, match="leave out --scale"):
        RunRequest(scale="cifar100", stated={"recipe": "mixmask@1"}).plan()
