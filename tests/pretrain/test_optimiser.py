"""LARS against the formula of its paper, with the exclusions of SimCLR and BYOL."""

import pytest
import torch
from small_runs import make_trainer
from torch import Tensor, nn

from mmbench.data import Dataset
from mmbench.pretrain.config import resolve_config
from mmbench.pretrain.frameworks.simclr import Simclr, SimclrSettings
from mmbench.pretrain.optimiser import TRUST, make_optimiser, set_learning_rate
from mmbench.pretrain.section_settings import OptimiserSettings

SETTINGS = OptimiserSettings(name="lars", lr=0.5, weight_decay=0.1, momentum=0.9)


class Backbone(nn.Sequential):
    num_features = 4

    def __init__(self) -> None:
        super().__init__(nn.Flatten(), nn.Linear(12, 4), nn.BatchNorm1d(4))


def with_gradients(seed: int) -> Simclr:
    torch.manual_seed(0)
    framework = Simclr(Backbone(), SimclrSettings(dim=3, head_norm=True)).double()
    generator = torch.Generator().manual_seed(seed)
    for parameter in framework.parameters():
        if parameter.requires_grad:
            parameter.grad = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    return framework


def lars_gradient(name: str, weight: Tensor, gradient: Tensor) -> Tensor:
    """g for biases and norms, else eta |w| / (|g| + beta |w|) (g + beta w): You et al. 2017, equation 6."""
    if "bias" in name or "norm" in name or weight.ndim == 1:
        return gradient
    decay, length = SETTINGS.weight_decay, weight.pow(2).sum().sqrt()
    rate = TRUST * length / (gradient.pow(2).sum().sqrt() + decay * length)
    return rate * (gradient + decay * weight)


def test_two_steps_by_the_formula() -> None:
    framework = with_gradients(1)
    optimiser = make_optimiser(framework, SETTINGS)
    trained = {name: value for name, value in framework.named_parameters() if value.requires_grad}
    before = {name: value.detach().clone() for name, value in trained.items()}
    first = {name: lars_gradient(name, before[name], value.grad) for name, value in trained.items()}
    optimiser.step()
    expected = {name: before[name] - 0.5 * first[name] for name in trained}
    for name, value in trained.items():
        torch.testing.assert_close(value.detach(), expected[name], rtol=1e-6, atol=1e-12)
    set_learning_rate(optimiser, 0.25)
    again = {name: lars_gradient(name, expected[name], value.grad) for name, value in trained.items()}
    optimiser.step()
    for name, value in trained.items():
        second = expected[name] - 0.25 * (0.9 * first[name] + again[name])
        torch.testing.assert_close(value.detach(), second, rtol=1e-6, atol=1e-12)


def test_weights_are_adapted_without_weight_decay_too() -> None:
    framework = with_gradients(2)
    weight = framework.backbone[1].weight
    before = weight.detach().clone()
    make_optimiser(framework, SETTINGS.model_copy(update={"weight_decay": 0.0})).step()
    moved = (weight.detach() - before).norm() / before.norm()
    assert float(moved) == pytest.approx(0.5 * TRUST)


def test_the_head_of_simclr_has_the_norms_of_its_code() -> None:
    head = with_gradients(3).head
    kinds = [type(layer).__name__ for layer in head]
    assert kinds == ["Linear", "BatchNorm1d", "ReLU", "Linear", "BatchNorm1d"]
    assert head[0].bias is None and head[3].bias is None
    assert head[1].bias.requires_grad and not head[4].bias.requires_grad


def test_lars_goes_on_from_a_saved_state(tiny: Dataset) -> None:
    chosen = resolve_config(
        "simclr",
        epochs=2,
        device="cpu",
        threads=1,
        overrides=("optimiser.name=lars", "optimiser.lr=1", "batch_size=16", "precision=fp32"),
    )
    whole, first = make_trainer(chosen, tiny), make_trainer(chosen, tiny)
    for _ in range(2):
        whole.step()
        first.step()
    second = make_trainer(chosen, tiny)
    second.load(first.state())
    assert whole.step().loss == second.step().loss
    for ours, theirs in zip(whole.framework.parameters(), second.framework.parameters(), strict=True):
        assert torch.equal(ours, theirs)
