"""Seeds of an arm follow one version of its recipe, whatever mmbench's version is when they are trained."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from mmbench.tools.suite.execution.arm_recipe import arm_recipe
from mmbench.tools.suite.folder import SuiteFolder
from mmbench.tools.suite.planning.cell import PretrainWork


def work(arm: str, seed: int) -> PretrainWork:
    return PretrainWork(arm=arm, seed=seed, data="patterns", method="moco", scale="cifar100")


@pytest.mark.parametrize("arm", ["moco", "moco/2 [*]"])
def test_the_recipe_is_that_of_the_seeds_before(arm: str, tmp_path: Path) -> None:
    folder = SuiteFolder(tmp_path)
    assert arm_recipe(folder, work(arm, 1)) is None

    def begin(name: str, seed: int, recipe: str) -> None:
        run = folder.runs / work(name, seed).folder
        run.mkdir(parents=True, exist_ok=True)
        (run / "settings.yaml").write_text(yaml.safe_dump({"seed": seed, "recipe": recipe}))

    begin("another", 0, "moco-cifar100@9")
    begin("moco-seed0", 0, "moco-cifar100@8")
    assert arm_recipe(folder, work(arm, 1)) is None
    begin(arm, 0, "moco-cifar100@1")
    assert [arm_recipe(folder, work(arm, seed)) for seed in (0, 1, 2)] == ["moco-cifar100@1"] * 3
    begin(arm, 1, "moco-cifar100@2")  # as a version in between trained it
    assert arm_recipe(folder, work(arm, 1)) == "moco-cifar100@2"
    damaged = folder.runs / work(arm, 0).folder / "settings.yaml"
    damaged.write_text("[")
    assert arm_recipe(folder, work(arm, 0)) == "moco-cifar100@2"
