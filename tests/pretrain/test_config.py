"""Recipes, overrides, and what is said when they cannot be."""

import pytest

from mmbench.errors import UserError
from mmbench.pretrain.config import resolve_config
from mmbench.pretrain.recipes.recipe import get_recipe, merged, recipes
from mmbench.pretrain.settings import PretrainConfig


def test_every_recipe_resolves_to_a_configuration() -> None:
    for recipe in recipes().values():
        config = resolve_config(recipe.id)
        assert config.recipe == recipe.id
        assert config.method == recipe.arm
        assert PretrainConfig.model_validate(config.model_dump(mode="json")) == config


def test_the_demo_arms_differ_in_their_masking_alone() -> None:
    dumps = []
    for method in ("moco", "mixmask", "erase", "mscn"):
        dump = resolve_config(method).model_dump(mode="json")
        assert dump.pop("method") == dump["masking"]["name"].replace("none", "moco")
        dump.pop("masking")
        dump.pop("recipe")
        dumps.append(dump)
    assert all(dump == dumps[0] for dump in dumps)
    mixmask, erase = (resolve_config(method).masking for method in ("mixmask", "erase"))
    for setting in ("kind", "grid", "ratio", "per_sample"):
        assert mixmask[setting] == erase[setting]


def test_the_papers_recipe() -> None:
    config = resolve_config("mixmask-imagenet")
    assert not get_recipe("mixmask-imagenet").tried
    assert config.framework == {
        "name": "moco",
        "dim": 128,
        "queue": 65536,
        "momentum": 0.999,
        "temperature": 0.2,
    }
    assert (config.epochs, config.batch_size, config.optimiser.lr) == (200, 256, 0.03)
    assert config.masking["kind"] == "block"


def test_overrides_reach_every_section() -> None:
    config = resolve_config(
        "mixmask",
        epochs=3,
        seed=5,
        overrides=[
            "optimiser.lr=0.5",
            "masking.ratio=0.25",
            "framework.queue=77",
            "augmentation.crop_scale=[0.5, 1]",
            "batch_size=32",
        ],
    )
    assert (config.epochs, config.seed, config.batch_size) == (3, 5, 32)
    assert config.optimiser.lr == 0.5
    assert config.masking["ratio"] == 0.25
    assert config.framework["queue"] == 77
    assert config.augmentation.crop_scale == (0.5, 1.0)
    assert resolve_config("mixmask").optimiser.lr != 0.5  # the recipe itself is as it was


@pytest.mark.parametrize(
    ("method", "overrides", "words"),
    [
        ("mixmsk", [], "did you mean 'mixmask'"),
        ("mixmask@9", [], "did you mean 'mixmask@1'"),
        ("mixmask", ["optimiser.lrr=1"], "unknown setting of optimiser 'lrr'; did you mean 'lr'"),
        ("mixmask", ["optimizr.lr=1"], "did you mean 'optimiser'"),
        ("mixmask", ["masking.grd=1"], "unknown setting of masking 'grd'; did you mean 'grid'"),
        ("mscn", ["masking.ratio=0.5"], "unknown setting of masking 'ratio'"),
        ("mixmask", ["masking.ratio=3"], "masking.ratio = 3"),
        ("mixmask", ["masking.name=mixmusk"], "unknown masking 'mixmusk'; did you mean 'mixmask'"),
        ("mixmask", ["masking.kind=block", "masking.grid=3"], "block masks need a grid of at least 4"),
        ("mscn", ["masking.focal=0.9"], "must add up to 1"),
        ("moco", ["framework.queue=0"], "framework.queue = 0"),
        ("moco", ["epochs=none"], "setting epochs = 'none'"),
        ("moco", ["seed.x=1"], "'seed' holds no settings"),
        ("moco", ["method=byol"], "unknown setting 'method'"),
        ("moco", ["batch_size"], "write it as name=value"),
        ("moco", ["augmentation.flip=[0"], "is not a valid value"),
        ("moco", ["augmentation.crop_scale=[0.5, 3]"], "must be a finite number from 0.0001 to 1"),
    ],
)
def test_bad_settings_are_one_clear_line(method: str, overrides: list[str], words: str) -> None:
    with pytest.raises(UserError) as caught:
        resolve_config(method, overrides=overrides)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("method", "overrides", "arm", "framework", "masking"),
    [
        ("mixmask", ["framework.name=simclr"], "simclr+mixmask", "simclr", "mixmask"),
        ("simsiam", ["masking.name=mixmask"], "simsiam+mixmask", "simsiam", "mixmask"),
        ("simclr", ["framework.name=moco"], "moco", "moco", "none"),
        ("byol", ["framework.name=moco", "masking.name=mscn"], "mscn", "moco", "mscn"),
        ("unmix-mixmask", [], "unmix+mixmask", "moco", "unmix+mixmask"),
        ("unmix+mixmask", ["framework.name=byol"], "byol+unmix+mixmask", "byol", "unmix+mixmask"),
    ],
)
def test_another_axis_comes_with_the_settings_of_its_own_recipe(
    method: str, overrides: list[str], arm: str, framework: str, masking: str
) -> None:
    config = resolve_config(method, overrides=overrides)
    assert (config.method, config.framework["name"], config.masking["name"]) == (arm, framework, masking)
    assert config.framework == resolve_config(framework).framework
    assert config.masking == resolve_config(masking if masking != "none" else "moco").masking


def test_settings_of_the_new_axis_can_be_changed_and_those_of_the_old_one_are_refused() -> None:
    config = resolve_config("mixmask", overrides=["framework.name=simclr", "framework.temperature=0.5"])
    assert config.framework["temperature"] == 0.5
    with pytest.raises(UserError, match="unknown setting of framework 'queue'"):
        resolve_config("mixmask", overrides=["framework.name=simclr", "framework.queue=9"])
    with pytest.raises(UserError, match="did you mean 'simclr'"):
        resolve_config("mixmask", overrides=["framework.name=simcl"])


@pytest.mark.parametrize(
    ("recipe", "batch", "expected"),
    [
        ("mixmask", 128, 2e-3),  # as the recipe has it
        ("mixmask", 512, 4e-3),  # four times the batch, Adam: twice the rate
        ("mixmask", 32, 1e-3),
        ("mixmask-imagenet", 256, 0.03),
        ("mixmask-imagenet", 1024, 0.12),  # SGD: in proportion
    ],
)
def test_the_learning_rate_follows_the_batch(recipe: str, batch: int, expected: float) -> None:
    config = resolve_config(recipe, overrides=[f"batch_size={batch}"])
    assert config.effective_lr == pytest.approx(expected)
    assert f"batch {batch}," in config.in_words()
    assert f"peak learning rate {expected:.3g}" in config.in_words()
    free = resolve_config(recipe, overrides=[f"batch_size={batch}", "optimiser.reference_batch=null"])
    assert free.effective_lr == free.optimiser.lr


def test_merged_leaves_its_arguments_alone() -> None:
    base = {"a": {"b": 1, "c": 2}, "d": 3}
    assert merged(base, {"a": {"b": 9}}) == {"a": {"b": 9, "c": 2}, "d": 3}
    named = {"a": {"name": "x", "b": 1}}
    assert merged(named, {"a": {"b": 2}}) == {"a": {"name": "x", "b": 2}}
    assert merged(named, {"a": {"name": "y"}}) == {"a": {"name": "y"}}
    assert base == {"a": {"b": 1, "c": 2}, "d": 3}


def test_an_axis_has_the_settings_of_the_scale_of_the_run() -> None:
    for base in ("moco", "mixmask-cifar100", "mixmask-imagenet"):
        _, _, scale = base.partition("-")
        config = resolve_config(base, overrides=["masking.name=erase", "masking.name=mixmask"])
        assert config.masking == resolve_config("mixmask", scale=scale or None).masking
    plain = resolve_config("mixmask-cifar100", overrides=["masking.name=none"])
    assert (plain.method, plain.batch_norm.splits, plain.framework["queue"]) == ("moco", 8, 4096)
    siamese = resolve_config("mixmask", scale="imagenet", overrides={"framework.name": "simsiam"})
    assert siamese.optimiser == resolve_config("simsiam", scale="imagenet").optimiser
    assert siamese.masking == resolve_config("mixmask", scale="imagenet").masking


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("optimiser.lr", "optimizer.lr"),
        ("optimizer.lr", "optimizer.learning_rate"),
        ("optimiser.learning_rate", "optimiser.lr"),
    ],
)
@pytest.mark.parametrize("mapping", [True, False])
def test_two_spellings_of_one_setting_are_refused(one: str, other: str, mapping: bool) -> None:
    """Whatever their order, and even where the values agree, as one of them would be lost."""
    for pair in ({one: 0.5, other: 0.001}, {other: 0.5, one: 0.5}):
        overrides = pair if mapping else [f"{name}={value}" for name, value in pair.items()]
        first, second = pair
        with pytest.raises(UserError) as refused:
            resolve_config("moco", overrides=overrides)
        assert f"setting optimiser.lr is given twice, as {first} and {second};" in str(refused.value)
    assert resolve_config("moco", overrides={one: 0.5}).optimiser.lr == 0.5
    assert resolve_config("moco", overrides=[f"{one}=1", f"{one}=0.5"]).optimiser.lr == 0.5  # last counts


@pytest.mark.parametrize(
    ("method", "changes", "reason"),
    [
        (
            "moco",
            ["optimiser.name=adamw", "optimizer.momentum=0.8"],
            "name=adamw; omit it, or set optimiser.name=sgd",
        ),
        (
            "moco",
            ["optimiser.reference_batch=null", "optimiser.scaling=sqrt"],
            "without optimiser.reference_batch",
        ),
        ("moco", ["augmentation.jitter=0", "augmentation.hue=0.2"], "without augmentation.jitter; omit it"),
        (
            "moco",
            ["augmentation.blur=0", "augmentation.blur_sigma=[0.5, 1]"],
            "without augmentation.blur; omit it",
        ),
    ],
)
def test_a_stated_setting_without_an_effect_is_refused(method: str, changes: list[str], reason: str) -> None:
    resolve_config(method, overrides=changes[:1])
    with pytest.raises(UserError) as caught:
        resolve_config(method, overrides=changes)
    name = changes[-1].partition("=")[0].replace("optimizer", "optimiser")
    line = str(caught.value)
    assert line.startswith(f"setting '{name}' of moco") and ": has no effect with" in line
    assert reason in line and "\n" not in line
    assert resolve_config(method, overrides=changes, begun=True).method == resolve_config(method).method


def test_what_has_an_effect_is_taken() -> None:
    changes = [
        "optimiser.name=sgd",
        "optimiser.momentum=0.8",
        "augmentation.jitter=0.5",
        "augmentation.hue=0.2",
    ]
    config = resolve_config("moco", overrides=changes)
    assert config.optimiser.momentum == 0.8 and config.augmentation.hue == 0.2
