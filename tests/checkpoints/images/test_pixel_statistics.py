"""Mean and std that a model keeps under any usual name are used; where they disagree they are refused."""

from pathlib import Path

import pytest
import torch
from layouts import State, backbone_of, trained_resnet, under
from torch import nn

import mmbench.backbones  # noqa: F401  (registers)
from mmbench.checkpoints.images.pixel_statistics import numbers_beside, pixel_statistics
from mmbench.checkpoints.reading import ReadCheckpoint, read_checkpoint
from mmbench.checkpoints.stated import NOTHING_STATED, Stated
from mmbench.errors import UserError

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@pytest.fixture(scope="module")
def model() -> nn.Module:
    return trained_resnet()


def statistics(mean_name: str, std_name: str, mean: tuple[float, ...], std: tuple[float, ...]) -> State:
    return {
        mean_name: torch.tensor(mean).view(1, 3, 1, 1),
        std_name: torch.tensor(std).view(1, 3, 1, 1),
    }


def read_with(
    beside: State, model: nn.Module, folder: Path, stated: Stated = NOTHING_STATED
) -> ReadCheckpoint:
    torch.save(beside | under("encoder.", backbone_of(model)), folder / "a.pth")
    return read_checkpoint(folder / "a.pth", stated=stated)


NAMES = [
    ("normalize.mean", "normalize.std"),
    ("mean", "std"),
    ("mu", "sigma"),
    ("image_mean", "image_std"),
    ("norm.mean_", "norm.std_"),
    ("preproc.rgb_mean", "preproc.rgb_std"),
    ("normalizer.new_mean", "normalizer.new_std"),
    ("data_preprocessor.mean", "data_preprocessor.std"),
    ("_mean", "_std"),
    ("normalize._mean", "normalize._std"),
    ("norm.means", "norm.stds"),
    ("img_mean", "img_std"),
    ("channel_mean", "channel_std"),
    ("normalizeLayer.imageMean", "normalizeLayer.imageStd"),
]


@pytest.mark.parametrize("names", NAMES)
def test_a_pair_under_any_usual_name_is_used(
    names: tuple[str, str], model: nn.Module, tmp_path: Path
) -> None:
    read = read_with(statistics(*names, MEAN, STD), model, tmp_path)
    preprocessing = read.backbone.card.preprocessing
    assert preprocessing.mean == pytest.approx(MEAN) and preprocessing.std == pytest.approx(STD)
    assert all(name in read.backbone.card.origins["preprocessing"] for name in names)
    assert not any("mean" in phrase for phrase in read.reading.assumed)
    assert torch.equal(read.backbone.state_dict["conv1.weight"], backbone_of(model)["conv1.weight"])


def test_a_name_that_says_bgr_turns_the_first_convolution(model: nn.Module, tmp_path: Path) -> None:
    read = read_with(statistics("bgr_mean", "bgr_std", MEAN, STD), model, tmp_path)
    assert read.backbone.card.preprocessing.mean == pytest.approx(MEAN[::-1])
    assert read.backbone.card.preprocessing.std == pytest.approx(STD[::-1])
    assert torch.equal(read.backbone.state_dict["conv1.weight"], backbone_of(model)["conv1.weight"].flip(1))


def test_a_name_and_a_mean_that_say_different_orders_are_not_decided(
    model: nn.Module, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="--channels rgb or --channels bgr"):
        read_with(statistics("rgb_mean", "rgb_std", IMAGENET_MEAN[::-1], IMAGENET_STD), model, tmp_path)


def test_two_pairs_that_differ_are_refused_until_all_is_stated(model: nn.Module, tmp_path: Path) -> None:
    both = statistics("perceptual.mean", "perceptual.std", IMAGENET_MEAN, IMAGENET_STD)
    both |= statistics("normalize.mean", "normalize.std", (0.5,) * 3, (0.5,) * 3)
    half = (0.5, 0.5, 0.5)
    for stated in (NOTHING_STATED, Stated(mean=half, std=half), Stated(channels="rgb")):
        with pytest.raises(UserError, match=r"perceptual\.mean .*normalize\.mean .*--channels") as refused:
            read_with(both, model, tmp_path, stated)
        assert "\n" not in str(refused.value)
    read = read_with(both, model, tmp_path, Stated(mean=half, std=half, channels="rgb"))
    assert read.backbone.card.preprocessing.mean == half


def test_two_pairs_that_are_equal_are_one_whatever_their_unit(model: nn.Module, tmp_path: Path) -> None:
    both = statistics("attacker.normalize.new_mean", "attacker.normalize.new_std", MEAN, STD)
    both |= statistics("pixel_mean", "pixel_std", *([255 * v for v in values] for values in (MEAN, STD)))  # type: ignore[arg-type]
    read = read_with(both, model, tmp_path, Stated(channels="rgb"))
    assert read.backbone.card.preprocessing.mean == pytest.approx(MEAN)


@pytest.mark.parametrize("spread", ["transform.var", "transform.inverse_std", None])
def test_a_mean_without_its_std_is_refused(spread: str | None, model: nn.Module, tmp_path: Path) -> None:
    beside = statistics("transform.mean", spread or "transform.other", MEAN, STD)
    with pytest.raises(UserError, match=r"transform\.mean .*state .*--mean, --std and --channels"):
        read_with(beside, model, tmp_path)


@pytest.mark.parametrize(
    "values", [(MEAN, (0.2, 0.0, 0.2)), ((float("nan"), 0.1, 0.1), STD), ((-0.1, 0.1, 0.1), STD)]
)
def test_values_that_cannot_be_are_refused_until_stated(
    values: tuple[tuple[float, ...], tuple[float, ...]], model: nn.Module, tmp_path: Path
) -> None:
    beside = statistics("normalize.mean", "normalize.std", *values)
    with pytest.raises(UserError, match="which cannot be; state"):
        read_with(beside, model, tmp_path)
    stated = Stated(mean=MEAN, std=STD, channels="rgb")  # type: ignore[arg-type]
    assert read_with(beside, model, tmp_path, stated).backbone.card.preprocessing.mean == MEAN


@pytest.mark.parametrize(
    "names", [("action_mean", "action_std"), ("normalizer.action.mean", "normalizer.action.std")]
)
def test_what_may_be_of_something_else_is_not_used_and_said(
    names: tuple[str, str], model: nn.Module, tmp_path: Path
) -> None:
    read = read_with(statistics(*names, MEAN, STD), model, tmp_path)
    assert read.backbone.card.preprocessing.mean == IMAGENET_MEAN
    assert f"{names[0]} and {names[1]}" in read.reading.assumed[0]
    stated = Stated(mean=MEAN, std=STD)  # type: ignore[arg-type]
    again = read_with(statistics(*names, MEAN, STD), model, tmp_path, stated)
    assert not any(names[0] in line for line in again.reading.assumed)


def test_batch_norms_and_single_words_are_no_statistics_of_images() -> None:
    three = torch.tensor(MEAN)
    stored = {"bn.running_mean": three, "bn.running_var": three, "loss.sigma": three, "log_var": three}
    stored |= {"fc.weight": three, "mixture.mu": three, "mean": torch.zeros(4), "std": torch.ones(4)}
    found = pixel_statistics(stored)
    assert (found.pairs, found.half, found.unclear) == ((), "", "")


HALF = (0.5, 0.5, 0.5)
BESIDE = [
    ({"mean": list(MEAN), "std": list(STD)}, MEAN, STD),
    ({"image_mean": MEAN, "image_std": STD}, MEAN, STD),
    ({"args": {"mean": list(MEAN), "std": list(STD)}}, MEAN, STD),
    ({"mean": 0.5, "std": 0.25}, HALF, (0.25, 0.25, 0.25)),
    ({"mean": [0.5], "std": [0.25]}, HALF, (0.25, 0.25, 0.25)),
    ({"args": {"image_mean": 0.5, "image_std": 0.5}}, HALF, HALF),
    ({"mean": torch.tensor(MEAN), "std": torch.tensor(STD)}, MEAN, STD),
]


@pytest.mark.parametrize(("beside", "mean", "std"), BESIDE, ids=lambda value: str(value)[:40])
def test_numbers_beside_the_weights_are_used(
    beside: dict[str, object],
    mean: tuple[float, ...],
    std: tuple[float, ...],
    model: nn.Module,
    tmp_path: Path,
) -> None:
    torch.save({"state_dict": under("encoder.", backbone_of(model)), **beside}, tmp_path / "a.pth")
    found = read_checkpoint(tmp_path / "a.pth").backbone.card
    assert found.preprocessing.mean == pytest.approx(mean)
    assert found.preprocessing.std == pytest.approx(std)
    assert found.origins["preprocessing"].endswith(" in the file, whose order is RGB") or mean == HALF


@pytest.mark.parametrize("shape", [(), (1,), (1, 1, 1, 1)], ids=str)
def test_one_number_for_all_colours_is_used(shape: tuple[int, ...], model: nn.Module, tmp_path: Path) -> None:
    beside = {"normalize.mean": torch.full(shape, 0.5), "normalize.std": torch.full(shape, 0.25)}
    found = read_with(beside, model, tmp_path).backbone.card.preprocessing
    assert (found.mean, found.std) == (HALF, (0.25, 0.25, 0.25))


@pytest.mark.parametrize(
    "beside",
    [{"args": {"mean": 0.0, "std": 1.0}}, {"mean": 71.3, "std": 0.4}, {"head": {"mean": 0.5, "std": 0.5}}],
    ids=str,
)
def test_numbers_that_may_be_of_anything_are_said(
    beside: dict[str, object], model: nn.Module, tmp_path: Path
) -> None:
    torch.save({"state_dict": under("encoder.", backbone_of(model)), **beside}, tmp_path / "a.pth")
    read = read_checkpoint(tmp_path / "a.pth")
    assert read.backbone.card.preprocessing.mean == IMAGENET_MEAN
    assert any("std are of images is not clear" in phrase for phrase in read.reading.assumed)


@pytest.mark.parametrize(
    "beside", [{"mean": 0.5}, {"loss_mean": 0.5, "acc_std": 0.1}, {"mean": "0.5"}], ids=str
)
def test_one_number_alone_says_nothing(beside: dict[str, object]) -> None:
    found = pixel_statistics(numbers_beside(beside))
    assert not found.pairs and not found.half and not found.unclear


def test_numbers_beside_the_weights_that_disagree_with_theirs_are_refused(
    model: nn.Module, tmp_path: Path
) -> None:
    state = statistics("normalize.mean", "normalize.std", MEAN, STD) | under("encoder.", backbone_of(model))
    torch.save({"state_dict": state, "mean": [0.5], "std": [0.5]}, tmp_path / "a.pth")
    with pytest.raises(UserError, match="normalises images in two ways"):
        read_checkpoint(tmp_path / "a.pth")
