"""The sweep as a task: which head is chosen, on what, and what it then measures."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from running import extract, run_task
from torch import Tensor, nn

from mmbench.checkpoints.backbone import Backbone
from mmbench.data import Dataset, ImageSplit
from mmbench.errors import UserError
from mmbench.records.store import Result, ResultStore
from mmbench.transfer.inputs.features import FrozenNetwork
from mmbench.transfer.protocol import get_protocol
from mmbench.transfer.resolution import parse_settings
from mmbench.transfer.tasks.linear.heads import recipes
from mmbench.transfer.tasks.linear.settings import LinearSettings, SweepProbe

CPU = torch.device("cpu")
GRID: dict[str, Any] = {
    "epochs": 6,
    "batch_size": 32,
    "learning_rates": [0.001, 0.1, 1.0],
    "weight_decays": [0.0, 0.01],
    "batch_norm": [False, True],
}


def run(
    backbone: Backbone, dataset: Dataset, folder: Path, protocol: str = "linear/sweep@1", **more: Any
) -> Result:
    return run_task(
        *("linear", backbone, dataset, ResultStore(folder)),
        work=folder / "work",
        protocol_id=protocol,
        overrides={**GRID, **more},
        device=CPU,
        seed=3,
    )


def alone(
    features: Tensor, labels: Tensor, classes: int, rate: float, decay: float, norm: bool, steps: list[Tensor]
) -> nn.Module:
    """One head by torch's own modules, from the weights and through the batches of the sweep."""
    generator = torch.Generator().manual_seed(3)
    head = nn.Linear(features.shape[1], classes)
    head.weight.data = torch.randn(head.weight.shape, generator=generator) * 0.01
    head.bias.data.zero_()
    model = nn.Sequential(nn.BatchNorm1d(features.shape[1], affine=False), head) if norm else head
    optimiser = torch.optim.SGD(head.parameters(), lr=rate, momentum=0.9, weight_decay=decay)
    model.train()
    for number, indices in enumerate(steps):
        for group in optimiser.param_groups:
            group["lr"] = rate * math.cos(math.pi * number / len(steps) / 2) ** 2
        loss = nn.functional.cross_entropy(model(features[indices]), labels[indices])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return model.eval()


def batches(count: int, size: int, epochs: int, width: int, classes: int) -> list[Tensor]:
    """The batches of the sweep: its generator first draws the heads' weights."""
    generator = torch.Generator().manual_seed(3)
    torch.randn((classes, width), generator=generator)
    found = []
    for _ in range(epochs):
        order = torch.randperm(count, generator=generator)
        found += [part for part in order.split(size) if len(part) == size]
    return found


def test_the_head_of_the_best_val_accuracy_measures_test(
    backbone: Backbone, gratings: Dataset, tmp_path: Path
) -> None:
    result = run(backbone, gratings, tmp_path)
    splits = {name: gratings.split(name) for name in ("train", "val", "test")}
    features = {name: extract(backbone, split.images, CPU) for name, split in splits.items()}
    steps = batches(120, 32, 6, 128, 6)
    on_val, on_test, losses = {}, {}, {}
    for rate in GRID["learning_rates"]:
        for decay in GRID["weight_decays"]:
            for norm in GRID["batch_norm"]:
                with torch.enable_grad():
                    model = alone(features["train"], splits["train"].labels, 6, rate, decay, norm, steps)
                word = "with" if norm else "without"
                key = f"learning rate {rate:g}, weight decay {decay:g}, {word} batch norm"
                with torch.no_grad():
                    logits = {name: model(features[name]) for name in ("val", "test")}
                on_val[key] = float((logits["val"].argmax(1) == splits["val"].labels).double().mean())
                on_test[key] = 100 * float((logits["test"].argmax(1) == splits["test"].labels).float().mean())
                losses[key] = float(nn.functional.cross_entropy(logits["test"], splits["test"].labels))
    chosen = result.notes[0].partition(" chosen on val among 12 heads")[0]
    assert on_val[chosen] == pytest.approx(max(on_val.values()))
    assert result.metrics["top1"].value == pytest.approx(on_test[chosen], abs=1e-4)
    assert result.metrics["loss"].value == pytest.approx(losses[chosen], rel=1e-4)
    assert f"{100 * min(on_val.values()):.1f} to {100 * max(on_val.values()):.1f}" in result.notes[0]
    assert result.effective_lr is not None and f"learning rate {result.effective_lr:g}," in chosen
    assert result.dataset.split_sizes == {"train": 120, "val": 60, "test": 60}


@pytest.mark.parametrize("protocol", ["linear/sweep@1", "linear/moco-sweep@1"])
def test_the_choice_never_sees_test(
    backbone: Backbone, gratings: Dataset, tmp_path: Path, protocol: str
) -> None:
    def mislabelled(split: str, offset: int) -> Dataset:
        def load() -> ImageSplit:
            there = gratings.split(split)  # type: ignore[arg-type]
            return ImageSplit(there.images, (there.labels + offset) % 6)

        return replace(gratings, splits={**gratings.splits, split: load})

    right = run(backbone, gratings, tmp_path / "right", protocol).notes[0]
    for offset in (1, 3):
        assert run(backbone, mislabelled("test", offset), tmp_path / f"{offset}", protocol).notes[0] == right
    assert run(backbone, mislabelled("val", 1), tmp_path / "val", protocol).notes[0] != right


def test_the_augmented_sweep_keeps_the_backbone_frozen(
    backbone: Backbone, gratings: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {name: tensor.clone() for name, tensor in backbone.state_dict.items()}
    result = run(backbone, gratings, tmp_path / "frozen", "linear/moco-sweep@1", epochs=8)
    assert all(torch.equal(before[name], tensor) for name, tensor in backbone.state_dict.items())
    assert result.metrics["top1"].value > 25  # chance is 17
    forward = FrozenNetwork.forward

    def careless(self: FrozenNetwork, images: Tensor) -> Tensor:
        self.network.train()
        return forward(self, images)

    monkeypatch.setattr(FrozenNetwork, "forward", careless)
    with pytest.raises(RuntimeError, match="frozen backbone was changed"):
        run(backbone, gratings, tmp_path / "moved", "linear/moco-sweep@1", epochs=1)
    assert not list((tmp_path / "moved").rglob("*.json"))


def test_heads_that_all_diverge_are_told(backbone: Backbone, gratings: Dataset, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="every head of linear/sweep@1 diverged; give smaller"):
        run(backbone, gratings, tmp_path, learning_rates=[1e38], batch_norm=[False], weight_decays=[1.0])


@pytest.mark.parametrize("protocol", ["linear/sweep@1", "linear/moco-sweep@1"])
def test_the_protocols_train_at_least_24_heads(protocol: str) -> None:
    settings = parse_settings(LinearSettings, get_protocol(protocol), {})
    assert isinstance(settings, SweepProbe)
    grid = recipes(settings.learning_rates, settings.weight_decays, settings.batch_norm)
    assert len(set(grid)) == len(grid) >= 24
