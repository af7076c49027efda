"""Every pair of method and scale resolves, with a source for each value."""

import re

import pytest
from timm.models.resnet import BasicBlock
from torch import nn

from mmbench.checkpoints.card import Preprocessing
from mmbench.errors import UserError
from mmbench.pretrain.config import resolve_config
from mmbench.pretrain.recipes.files import OURS, methods, scales
from mmbench.pretrain.recipes.recipe import arm_of, flat, get_recipe, recipes, split_name
from mmbench.pretrain.recipes.table import grid_lines, recipe_tables
from mmbench.pretrain.settings import SECTIONS, PretrainConfig
from mmbench.pretrain.trainer import build_framework

METHODS = {"moco", "simclr", "byol", "simsiam", "erase", "mscn", "unmix", "mixmask", "unmix-mixmask"}
# Ids of the release before scales, and a few values of each.
EARLIER = {
    "mixmask@1": ("mixmask_resnet8", 8, 128, 2e-3, "discrete", 4),
    "mixmask-cifar100@2": ("mixmask_resnet18_cifar", 1000, 512, 0.06, "discrete", 4),
    "mixmask-tiny-imagenet@2": ("mixmask_resnet18_cifar", 800, 512, 0.06, "block", 8),
    "mixmask-imagenet@2": ("mixmask_resnet50", 200, 256, 0.03, "block", 8),
}


def test_the_grid_is_whole() -> None:
    assert list(scales()) == ["small-images", "cifar100", "tiny-imagenet", "imagenet"]
    assert set(methods()) == METHODS
    assert len(recipes()) == 4 * 9


@pytest.mark.parametrize("name", list(recipes()))
def test_every_pair_resolves_and_every_value_has_a_source(name: str) -> None:
    found = recipes()[name]
    config = resolve_config(name)
    assert (config.recipe, config.method) == (name, found.arm)
    assert config == resolve_config(found.method.name, scale=found.scale.name)
    assert PretrainConfig.model_validate(config.model_dump(mode="json")) == config
    sources = found.sources()
    assert sources.keys() == {setting for setting, _ in flat(found.settings)} - {"data"}
    for statement in sources.values():
        assert (
            statement.why if statement.source == OURS else re.search(r"arXiv|Un-Mix|MoCo", statement.source)
        )
    chosen = config.model_dump(mode="json")
    stated = {setting for setting, _ in flat(found.settings)}
    for section in SECTIONS:  # no value that changes numbers is left to the code's defaults
        if section not in ("batch_norm", "augmentation"):
            left = {f"{section}.{inner}" for inner in chosen[section]} - stated
            assert left <= {"optimiser.momentum", "framework.constant_predictor", "masking.noise_std"}, left
    assert {"arch", "epochs", "batch_size", "precision"} <= stated


@pytest.mark.parametrize("name", list(EARLIER))
def test_earlier_ids_name_the_same_settings(name: str) -> None:
    config = resolve_config(name)
    masking = config.masking
    found = (
        config.arch,
        config.epochs,
        config.batch_size,
        config.optimiser.lr,
        masking["kind"],
        masking["grid"],
    )
    assert found == EARLIER[name]
    assert resolve_config(name.partition("@")[0]) == config


@pytest.mark.parametrize("scale", ["small-images", "cifar100", "tiny-imagenet", "imagenet"])
def test_the_arms_that_are_compared_share_all_but_their_masking(scale: str) -> None:
    dumps = [
        resolve_config(method, scale=scale).model_dump(mode="json") for method in ("moco", "mixmask", "mscn")
    ]
    for dump in dumps:
        for name in ("method", "recipe", "masking"):
            dump.pop(name)
    assert dumps[0] == dumps[1] == dumps[2]
    mixmask, erase, both = (
        resolve_config(method, scale=scale).masking for method in ("mixmask", "erase", "unmix-mixmask")
    )
    for setting in ("kind", "grid", "ratio", "per_sample"):
        assert mixmask[setting] == erase[setting] == both[setting]


@pytest.mark.parametrize("scale", ["small-images", "cifar100", "tiny-imagenet", "imagenet"])
def test_crops_are_drawn_again_as_in_the_cited_code(scale: str) -> None:
    """MoCo's code draws by torchvision's RandomResizedCrop, BYOL's cuts (at its own scale, ImageNet)."""
    for method in methods():
        cut = scale == "small-images" or (method.startswith("byol") and scale == "imagenet")
        found = resolve_config(method, scale=scale).augmentation.crop_fit
        assert found == ("cut" if cut else "redraw")


def test_cells_have_8_pixels_below_224() -> None:
    for scale, size in (("small-images", 32), ("cifar100", 32), ("tiny-imagenet", 64)):
        assert size // resolve_config("mixmask", scale=scale).masking["grid"] == 8


@pytest.mark.parametrize(
    ("name", "scale", "expected"),
    [
        ("mixmask", None, "mixmask@1"),
        ("mixmask", "imagenet", "mixmask-imagenet@2"),
        ("unmix+mixmask", "cifar100", "unmix-mixmask-cifar100@2"),
        ("unmix-mixmask-tiny-imagenet", None, "unmix-mixmask-tiny-imagenet@2"),
        ("mscn-imagenet@2", None, "mscn-imagenet@2"),
        ("mscn-imagenet", "imagenet", "mscn-imagenet@2"),
        ("moco-small-images", None, "moco@1"),
    ],
)
def test_names(name: str, scale: str | None, expected: str) -> None:
    assert get_recipe(name, scale).id == expected


@pytest.mark.parametrize(
    ("name", "scale", "words"),
    [
        ("mixmsk", None, "unknown method 'mixmsk'; did you mean 'mixmask'"),
        ("mixmask@9", None, "did you mean 'mixmask@1'"),
        ("mixmask", "imagnet", "unknown scale 'imagnet'; did you mean 'imagenet'"),
        ("mixmask-imagenet", "cifar100", "--method mixmask-imagenet states scale imagenet, not cifar100"),
        ("mixmask@1", "cifar100", "states scale small-images"),
    ],
)
def test_wrong_names_are_one_line(name: str, scale: str | None, words: str) -> None:
    with pytest.raises(UserError) as caught:
        get_recipe(name, scale)
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_a_name_states_its_scale_or_none() -> None:
    assert split_name("mixmask")[1] is None
    found = split_name("mixmask@1")[1]
    assert found is not None and found.name == "small-images"


def test_arms() -> None:
    assert arm_of("moco", "none") == "moco"
    assert arm_of("byol", "unmix+mixmask") == "byol+unmix+mixmask"


def test_the_tables_hold_every_pair_and_say_what_is_ours() -> None:
    tables, grid = recipe_tables(), "\n".join(grid_lines())
    for name in recipes():
        assert f"`{name}`" in tables
    for scale in scales():
        assert f"### Scale `{scale}`" in tables and scale in grid
    for method in methods():
        assert f"\n{method} " in grid
    assert "| ours: " in tables and "`masking.grid=8`" in tables
    rows = [line for line in tables.splitlines() if line.startswith("|")]
    assert {row.count("|") for row in rows} == {5}


def test_the_tables_say_how_scales_and_methods_differ_from_their_sources() -> None:
    tables = recipe_tables()
    _, _, listed = tables.partition("### Differences from the sources")
    for name, method in methods().items():
        assert f"- `{name}`: {method.differs}." in listed
    for name, scale in scales().items():
        section = tables.partition(f"### Scale `{name}`")[2].partition("### ")[0]
        assert section.count("Differences from the source: ") == bool(scale.differs)
        assert scale.differs in section
        # Whatever takes values from the demo says what the demo does otherwise.
        assert bool(scale.differs) == any("CIFAR demo" in statement.source for statement in scale.stated)


def test_what_is_said_of_the_demo_is_what_a_run_at_these_scales_does() -> None:
    for name in ("cifar100", "tiny-imagenet"):
        words, config = scales()[name].differs, resolve_config("unmix", scale=name)
        assert config.augmentation.crop_scale == (0.2, 1.0)
        assert "0.08 to 1 of the area (here 0.2 to 1)" in words
        assert Preprocessing().mean == (0.485, 0.456, 0.406) and "(here by ImageNet's)" in words
        head = build_framework(config).head
        assert sum(isinstance(layer, nn.Linear) for layer in head) == 2  # type: ignore[union-attr, arg-type]
        assert "one linear layer (here MoCo v2's two)" in words and "symmetric" not in config.framework


@pytest.mark.parametrize("method", ["simclr", "byol", "simsiam"])
def test_residual_branches_start_as_is_said(method: str) -> None:
    config = resolve_config(method)
    blocks = [module for module in build_framework(config).modules() if isinstance(module, BasicBlock)]
    assert blocks and all((block.bn2.weight == 1).all() for block in blocks)
    assert "the last norm of a residual branch starts at one" in methods()[method].differs
