"""Runs of earlier versions of recipes: continued, finished, repeated from their settings, asked for by id."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import mmbench
from mmbench.data import Dataset
from mmbench.errors import UserError
from mmbench.pretrain.config import resolve_config
from mmbench.pretrain.planning import RunRequest, recipe_begun
from mmbench.pretrain.recipes.files import methods, scales
from mmbench.pretrain.recipes.recipe import earlier_recipes, get_recipe, recipes
from mmbench.runs import RunFolder, read_settings

SMALL: dict[str, Any] = {"arch": "mixmask_resnet8", "epochs": 2, "threads": 1, "device": "cpu"}
CHANGES = {"batch_size": 16, "framework.queue": 32, "precision": "fp32", "image_size": 20}


def run(method: str | None, dataset: Dataset, out: Path, said: list[str], **given: Any) -> RunFolder:
    if method is not None:
        given = {**SMALL, "overrides": CHANGES, **given}
    return mmbench.run_pretraining(method, dataset=dataset, out=out, say=said.append, **given)


def test_every_pair_above_small_images_has_its_former_version() -> None:
    """Version 2 of these scales draws crops again that do not fit; before, all cut them."""
    assert len(earlier_recipes()) == len(methods()) * (len(scales()) - 1)
    for name, found in earlier_recipes().items():
        newest = get_recipe(found.method.name, found.scale.name)
        base, _, version = newest.id.partition("@")
        assert name == found.id == f"{base}@{int(version) - 1}" and name not in recipes()
        assert found.settings == {
            **newest.settings,
            "augmentation": {**newest.settings["augmentation"], "crop_fit": "cut"},
        }
        changed = found.with_axes("simclr", "erase")
        assert changed.id == name and changed.sources()["augmentation.crop_fit"].source != ""


def test_a_run_of_an_earlier_version_goes_on_by_it(tiny: Dataset, tmp_path: Path) -> None:
    said: list[str] = []
    whole = run("moco-cifar100@1", tiny, tmp_path / "whole", said)
    assert said[0].startswith("recipe moco-cifar100@1 (an earlier version: crops that do not fit are cut)")
    recorded = read_settings(whole.settings)
    assert (recorded["recipe"], recorded["augmentation"]["crop_fit"]) == ("moco-cifar100@1", "cut")

    weights = whole.weights.read_bytes()
    for spelling in ("moco", "moco-cifar100"):  # finished
        run(spelling, tiny, whole.root, said, scale="cifar100" if spelling == "moco" else None)
        assert said[-1] == f"{whole.root} is finished already; nothing to do"

    for name in ("model.safetensors", "card.json"):  # as if it had been interrupted
        (whole.root / name).unlink()
    last = whole.state_paths()[-1]
    if len(whole.state_paths()) > 1:
        last.unlink()
    said.clear()
    run("moco", tiny, whole.root, said, scale="cifar100")
    assert said[0].endswith("scale cifar100: it was begun by this version")
    assert whole.weights.read_bytes() == weights

    again = run(None, tiny, tmp_path / "again", said, config=whole.settings)
    assert again.weights.read_bytes() == weights

    with pytest.raises(UserError, match="recipe: moco-cifar100@1 there, moco-cifar100@2 now"):
        run("moco-cifar100@2", tiny, whole.root, said)
    with pytest.raises(UserError, match="recipe: moco-cifar100@1 there, mixmask-cifar100@2 now"):
        run("mixmask", tiny, whole.root, said, scale="cifar100")


def test_a_new_run_follows_the_newest_version(tmp_path: Path) -> None:
    assert recipe_begun(RunFolder(tmp_path)) is None
    asked = RunRequest("moco", "cifar100", given={"data": "patterns"}, begun="moco-cifar100@2")
    assert asked.resolved().recipe == "moco-cifar100@2"


def test_a_file_without_the_setting_is_taken_by_its_recipe() -> None:
    """Version 1 did not state how crops fit, as it knew one way."""
    stated = resolve_config("moco-imagenet@1").model_dump(mode="json")
    del stated["augmentation"]["crop_fit"]
    assert resolve_config(stated=stated).augmentation.crop_fit == "cut"


@pytest.mark.parametrize(
    ("name", "scale", "words"),
    [
        ("byol-imagenet@1", None, "did you mean 'byol-imagenet@"),  # what LARS did is not here any more
        ("moco-cifar100@1", "imagenet", "states scale cifar100, not imagenet"),
        ("moco@0", None, "did you mean 'moco@1'"),
    ],
)
def test_versions_that_are_not_here_are_refused(name: str, scale: str | None, words: str) -> None:
    with pytest.raises(UserError) as caught:
        get_recipe(name, scale)
    assert words in str(caught.value)
