"""Every one of many heads is the head that torch's own modules and optimiser train alone."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from running import run_task
from torch import Tensor, nn

from mmbench.checkpoints.backbone import Backbone
from mmbench.data import Dataset
from mmbench.errors import UserError
from mmbench.records.store import ResultStore
from mmbench.transfer.tasks.linear.heads import HeadRecipe, LinearHeads, recipes

CPU = torch.device("cpu")
WIDTH, CLASSES, BATCH, STEPS = 11, 5, 16, 40
GRID = recipes((0.003, 0.01, 0.03, 0.1, 0.3, 1.0), (0.0, 1e-2), (False, True))
Batches = list[tuple[Tensor, Tensor]]


def batches(seed: int = 0, count: int = STEPS, size: int = BATCH) -> Batches:
    """Return features of the same five classes for every seed.

    Their columns have a mean and a scale, so that the batch norm has work to do.
    """
    fixed, generator = torch.Generator().manual_seed(99), torch.Generator().manual_seed(seed)
    shift, scale = torch.randn(WIDTH, generator=fixed), 0.3 + torch.rand(WIDTH, generator=fixed)
    centres = torch.randn((CLASSES, WIDTH), generator=fixed)
    found = []
    for _ in range(count):
        labels = torch.randint(CLASSES, (size,), generator=generator)
        noise = torch.randn((size, WIDTH), generator=generator)
        found.append(((centres[labels] + noise) * scale + shift, labels))
    return found


def factor(step: int) -> float:
    return 0.5 * (1 + math.cos(math.pi * step / STEPS))


def train(grid: list[HeadRecipe], data: Batches, momentum: float = 0.9, seed: int = 3) -> LinearHeads:
    generator = torch.Generator().manual_seed(seed)
    heads = LinearHeads(grid, WIDTH, CLASSES, momentum, generator, CPU)
    for step, (features, labels) in enumerate(data):
        heads.step(features, labels, factor(step))
    return heads


def train_with_torch(
    recipe: HeadRecipe,
    data: Batches,
    momentum: float = 0.9,
    seed: int = 3,
    dtype: torch.dtype = torch.float32,
) -> nn.Sequential:
    """The same head by autograd, nn.BatchNorm1d, nn.Linear and torch.optim.SGD."""
    linear = nn.Linear(WIDTH, CLASSES)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        linear.weight.copy_(0.01 * torch.randn((CLASSES, WIDTH), generator=generator))
        linear.bias.zero_()
    norm = nn.BatchNorm1d(WIDTH, affine=False) if recipe.batch_norm else nn.Identity()
    model = nn.Sequential(norm, linear).to(dtype)
    optimiser = torch.optim.SGD(
        linear.parameters(), lr=recipe.learning_rate, momentum=momentum, weight_decay=recipe.weight_decay
    )
    for step, (features, labels) in enumerate(data):
        optimiser.param_groups[0]["lr"] = recipe.learning_rate * factor(step)
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(features.to(dtype)), labels).backward()
        optimiser.step()
    return model.eval()


def relative(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).norm() / expected.norm().clamp_min(1e-12))


def test_each_of_24_heads_is_the_head_trained_alone() -> None:
    data = batches()
    together = train(GRID, data)
    assert len(together.recipes) == 24 and set(together.recipes) == set(GRID)
    for row, recipe in enumerate(together.recipes):
        alone = train([recipe], data)
        assert relative(together.weight[row], alone.weight[0]) < 1e-5, recipe
        assert relative(together.bias[row], alone.bias[0]) < 1e-5, recipe


def test_each_of_24_heads_is_what_torch_trains() -> None:
    data = batches()
    together = train(GRID, data)
    features, labels = batches(seed=1, count=1, size=200)[0]
    accuracies, logits = together.accuracies(features, labels), together.logits(features)
    assert logits.shape == (200, 24, CLASSES)
    for row, recipe in enumerate(together.recipes):
        model = train_with_torch(recipe, data)
        linear = model[1]
        assert isinstance(linear, nn.Linear)
        assert relative(together.weight[row], linear.weight.detach()) < 1e-5, recipe
        assert relative(together.bias[row], linear.bias.detach()) < 1e-5, recipe
        expected = model(features).detach()
        assert relative(logits[:, row], expected) < 1e-5, recipe
        assert relative(together.logits(features, row), expected) < 1e-5, recipe
        hits = sum(int(a == b) for a, b in zip(expected.argmax(dim=1).tolist(), labels.tolist(), strict=True))
        assert accuracies[row] == pytest.approx(hits / 200, abs=1e-12), recipe
    assert max(accuracies) > 0.6 > min(accuracies)  # chance is 0.2: the grid tells heads apart


def test_running_statistics_are_those_of_batch_norm() -> None:
    data = batches(count=7)
    heads = train([HeadRecipe(0.1, 0.0, True)], data)
    norm = nn.BatchNorm1d(WIDTH, affine=False)
    for features, _ in data:
        norm(features)
    assert norm.running_mean is not None and norm.running_var is not None
    unit = torch.eye(WIDTH) * 2
    # What a head with batch norm sees of new features is told by its logits alone.
    expected = norm.eval()(unit) @ heads.weight[0].T + heads.bias[0]
    torch.testing.assert_close(heads.logits(unit, 0), expected, rtol=1e-5, atol=1e-6)
    mean, variance = torch.zeros(WIDTH), torch.ones(WIDTH)
    for features, _ in data:
        mean, variance = 0.9 * mean + 0.1 * features.mean(0), 0.9 * variance + 0.1 * features.var(0)
    by_hand = (unit - mean) / (variance + 1e-5).sqrt() @ heads.weight[0].T + heads.bias[0]
    torch.testing.assert_close(heads.logits(unit, 0), by_hand, rtol=1e-5, atol=1e-5)


@settings(max_examples=25, deadline=None)
@given(
    rate=st.floats(1e-3, 1.0),
    decay=st.sampled_from([0.0, 1e-4, 1e-2]),
    batch_norm=st.booleans(),
    momentum=st.sampled_from([0.0, 0.5, 0.9]),
    size=st.integers(2, 20),
    seed=st.integers(0, 1000),
)
def test_a_head_among_others_follows_the_float64_head(
    rate: float, decay: float, batch_norm: bool, momentum: float, size: int, seed: int
) -> None:
    """Against float64 there is nothing to hide behind: what differs is float32's rounding."""
    data = batches(seed, count=8, size=size)
    recipe = HeadRecipe(rate, decay, batch_norm)
    others = [HeadRecipe(0.7, 0.0, True), HeadRecipe(0.2, 0.1, False)]
    heads = train([others[0], recipe, others[1]], data, momentum, seed)
    row = heads.recipes.index(recipe)
    linear = train_with_torch(recipe, data, momentum, seed, torch.float64)[1]
    assert isinstance(linear, nn.Linear)
    assert relative(heads.weight[row].double(), linear.weight.detach()) < 1e-4
    assert relative(heads.bias[row].double(), linear.bias.detach()) < 1e-4


def test_a_head_that_diverges_does_not_touch_its_neighbours() -> None:
    data = batches()
    wild = [HeadRecipe(1e38, 1e-2, False), HeadRecipe(1e38, 1e-2, True)]
    mixed = train([*GRID[:6], wild[0], *GRID[6:], wild[1]], data)
    calm = train(GRID, data)
    features, labels = batches(seed=1, count=1, size=50)[0]
    accuracies, without = mixed.accuracies(features, labels), calm.accuracies(features, labels)
    for recipe in wild:
        row = mixed.recipes.index(recipe)
        assert not mixed.weight[row].isfinite().all()
        assert accuracies[row] == 0
    for recipe in GRID:
        row, there = mixed.recipes.index(recipe), calm.recipes.index(recipe)
        assert relative(mixed.weight[row], calm.weight[there]) < 1e-5, recipe
        assert accuracies[row] == without[there]


def test_a_head_that_overflows_on_one_image_only_counts_as_diverged() -> None:
    """Its other logits may be right by luck; it must not be chosen for them."""
    heads = LinearHeads(GRID[:2], WIDTH, CLASSES, 0.9, torch.Generator().manual_seed(0), CPU)
    features, labels = torch.ones((1500, WIDTH)), torch.zeros(1500, dtype=torch.int64)
    heads.weight[:, 0] = 1e37  # class 0 is right wherever the logits are finite
    assert heads.accuracies(features, labels) == [1.0, 1.0]
    features[3, :] = 100
    plain, normed = heads.accuracies(features, labels)
    assert heads.recipes[1].batch_norm and not heads.recipes[0].batch_norm
    assert plain == 0 and normed == 0


@pytest.mark.parametrize("chunk", [1, 7, 64, 65, 1000])
def test_accuracies_do_not_depend_on_the_chunk(chunk: int) -> None:
    heads = train(GRID, batches(count=10))
    features, labels = batches(seed=2, count=1, size=65)[0]
    assert heads.accuracies(features, labels, chunk) == heads.accuracies(features, labels)


def sweep(backbone: Backbone, dataset: Dataset, folder: Path, rates: list[float]) -> tuple[float, str]:
    result = run_task(
        "linear",
        backbone,
        dataset,
        ResultStore(folder),
        work=folder / "work",
        protocol_id="linear/sweep@1",
        overrides={"epochs": 20, "batch_size": 40, "learning_rates": rates},
    )
    assert result.effective_lr is not None
    return result.effective_lr, result.notes[0]


def test_the_sweep_never_chooses_a_head_that_diverged(
    backbone: Backbone, gratings: Dataset, tmp_path: Path
) -> None:
    rate, note = sweep(backbone, gratings, tmp_path, [1e38, 0.1])
    assert rate == 0.1
    assert "among 8 heads (val top-1 0.0 to" in note


def test_where_every_head_diverged_the_message_says_what_to_do(
    backbone: Backbone, gratings: Dataset, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="every head of linear/sweep@1 diverged; give smaller learning_rates"):
        sweep(backbone, gratings, tmp_path, [1e38])
