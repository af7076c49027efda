"""The linear probes: the optimum is scikit-learn's, SGD is the textbook's, frozen means frozen."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from running import extract, make_run, run_task
from sklearn.linear_model import LogisticRegression

from mmbench.checkpoints.backbone import Backbone
from mmbench.data import Dataset, ImageSplit
from mmbench.errors import UserError
from mmbench.images.crop_rule import CropRule
from mmbench.records.store import ResultStore
from mmbench.transfer.compute import Compute
from mmbench.transfer.controls import pixels_backbone
from mmbench.transfer.inputs.augment import augment
from mmbench.transfer.inputs.features import FrozenNetwork
from mmbench.transfer.job import TransferJob
from mmbench.transfer.probes.logistic import Solver, standardise
from mmbench.transfer.tasks.linear.augmented import train_head
from mmbench.transfer.tasks.linear.settings import AugmentedProbe

CPU = torch.device("cpu")


@pytest.mark.parametrize("weight_decay", [0.3, 0.01])
def test_the_optimum_is_scikit_learns(weight_decay: float) -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(90) % 3
    features = torch.randn((90, 5), generator=generator).double() + labels.view(-1, 1) * 0.7
    exact = Solver(iterations=500, tolerance=1e-7)
    head = exact.fit(features, labels, 3, weight_decay)
    # scikit-learn minimises C * summed loss + |w|^2 / 2, which is ours times C * N.
    reference = LogisticRegression(C=1 / (weight_decay * 90), tol=1e-10, max_iter=5000)
    reference.fit(features.numpy(), labels.numpy())
    np.testing.assert_allclose(head.weight.numpy(), reference.coef_, atol=1e-6)
    ours, theirs = head.bias.numpy(), reference.intercept_
    np.testing.assert_allclose(ours - ours.mean(), theirs - theirs.mean(), atol=1e-6)
    assert head.converged


def test_where_a_fit_starts_does_not_matter() -> None:
    generator = torch.Generator().manual_seed(1)
    features, labels = torch.randn((60, 4), generator=generator).double(), torch.arange(60) % 3
    exact = Solver(iterations=500, tolerance=1e-7)
    far = exact.fit(features, labels, 3, 1e-3)
    cold = exact.fit(features, labels, 3, 0.1)
    warm = exact.fit(features, labels, 3, 0.1, far)
    torch.testing.assert_close(cold.weight, warm.weight, atol=1e-5, rtol=1e-5)


def test_a_fit_that_was_stopped_says_so() -> None:
    features = torch.randn((40, 5), generator=torch.Generator().manual_seed(2))
    assert not Solver(2, 1e-9).fit(features, torch.arange(40) % 4, 4, 1e-3).converged


def test_standardising_uses_the_first_tensor_alone() -> None:
    generator = torch.Generator().manual_seed(3)
    first, second = (
        torch.randn((30, 4), generator=generator) * 3 + 2,
        torch.randn((9, 4), generator=generator),
    )
    first[:, 3] = 5  # a constant feature must not divide by zero
    a, b = standardise(first, second)
    torch.testing.assert_close(a[:, :3].mean(0), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(a[:, :3].std(0), torch.ones(3))
    expected = (second - first.mean(0)) / first.std(0)
    torch.testing.assert_close(b[:, :3], expected[:, :3])
    assert torch.isfinite(a).all() and torch.isfinite(b).all()


def test_the_cached_probe_refits_on_train_and_val(
    backbone: Backbone, gratings: Dataset, tmp_path: Path
) -> None:
    result = run_task(
        "linear",
        backbone,
        gratings,
        ResultStore(tmp_path),
        work=tmp_path / "work",
        overrides={"weight_decays": [0.1]},
    )
    splits = [gratings.split(name) for name in ("train", "val", "test")]
    train, val, test = (extract(backbone, split.images, CPU).double().numpy() for split in splits)
    fitted = np.concatenate([train, val])
    mean, deviation = fitted.mean(0), fitted.std(0, ddof=1)
    reference = LogisticRegression(C=1 / (0.1 * len(fitted)), tol=1e-8, max_iter=5000)
    reference.fit((fitted - mean) / deviation, torch.cat([splits[0].labels, splits[1].labels]).numpy())
    accuracy = 100 * float((reference.predict((test - mean) / deviation) == splits[2].labels.numpy()).mean())
    assert result.metrics["top1"].value == pytest.approx(accuracy, abs=100 / 60 + 1e-6)  # one image at most
    assert result.dataset.split_sizes == {"train": 120, "val": 60, "test": 60}
    assert result.notes[0] == "weight decay 0.1 chosen on val among 1, then fitted on train and val"
    assert (
        result.notes[1].startswith("intervals: 95%, over the 60 evaluated images") and len(result.notes) == 2
    )
    assert result.metrics["top1"].value > 40  # chance is 17


def test_the_choice_never_sees_test(backbone: Backbone, gratings: Dataset, tmp_path: Path) -> None:
    """With wrong labels on test, the same weight decay is chosen; with wrong labels on val, another."""

    def chosen(dataset: Dataset, name: str) -> str:
        store = ResultStore(tmp_path / name)
        overrides = {"weight_decays": [10.0, 0.1, 0.001], "patience": 3}
        result = run_task("linear", backbone, dataset, store, work=tmp_path / "work", overrides=overrides)
        return result.notes[0]

    def mislabelled(split: str) -> Dataset:
        def load() -> ImageSplit:
            there = gratings.split(split)  # type: ignore[arg-type]
            return ImageSplit(there.images, (there.labels + 1) % 6)

        return replace(gratings, splits={**gratings.splits, split: load})

    right = chosen(gratings, "right")
    assert chosen(mislabelled("test"), "test") == right
    assert chosen(mislabelled("val"), "val") != right


def test_the_search_ends_after_candidates_that_are_no_better(
    backbone: Backbone, gratings: Dataset, tmp_path: Path
) -> None:
    same = [1.0, 1.0, 1.0, 1.0, 1.0]
    overrides = {"weight_decays": same, "patience": 2}
    store = ResultStore(tmp_path)
    result = run_task("linear", backbone, gratings, store, work=tmp_path, overrides=overrides)
    assert "among 3," in result.notes[0]


def probe(**changes: object) -> AugmentedProbe:
    values = {
        "features": "augmented",
        "epochs": 3,
        "batch_size": 50,
        "learning_rate": 0.5,
        "weight_decay": 0.01,
        "decay_epochs": (2,),
    }
    return AugmentedProbe.model_validate({**values, **changes})


def make_job(backbone: Backbone, dataset: Dataset, work: Path, seed: int = 0) -> TransferJob:
    return TransferJob(make_run("linear", backbone, dataset, protocol_id="linear/moco@1", seed=seed), work)


def test_the_augmented_probe_is_textbook_sgd(backbone: Backbone, gratings: Dataset, tmp_path: Path) -> None:
    """Same crops, but gradient, momentum, decay and schedule are written out."""
    settings = probe()
    train = gratings.split("train")
    job = make_job(backbone, gratings, tmp_path, seed=5)
    head = train_head(job, FrozenNetwork(backbone, Compute(CPU)), job.images("train"), settings)

    generator = torch.Generator().manual_seed(5)
    network = FrozenNetwork(backbone, Compute(CPU))
    weight = (torch.randn((6, 128), generator=generator) * 0.01).double()
    bias = torch.zeros(6, dtype=torch.float64)
    velocity = [torch.zeros_like(weight), torch.zeros_like(bias)]
    for epoch in range(3):
        rate = 0.5 if epoch < 2 else 0.05
        order = torch.randperm(120, generator=generator)
        for indices in (order[:50], order[50:100], order[100:]):
            crops = augment(train.images[indices], 16, CropRule((0.08, 1.0)), generator, CPU)
            with torch.no_grad():
                features = network(crops).double()
            share = torch.softmax(features @ weight.T + bias, dim=1)
            share[torch.arange(len(indices)), train.labels[indices]] -= 1
            gradients = [
                share.T @ features / len(indices) + 0.01 * weight,
                share.mean(dim=0) + 0.01 * bias,
            ]
            velocity = [0.9 * old + new for old, new in zip(velocity, gradients, strict=True)]
            weight, bias = weight - rate * velocity[0], bias - rate * velocity[1]
    torch.testing.assert_close(head.weight.detach().double(), weight, rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(head.bias.detach().double(), bias, rtol=1e-3, atol=1e-5)


def test_the_augmented_task_runs_and_records(backbone: Backbone, gratings: Dataset, tmp_path: Path) -> None:
    before = {name: tensor.clone() for name, tensor in backbone.state_dict.items()}
    seen: list[tuple[int, int]] = []
    result = run_task(
        "linear",
        backbone,
        gratings,
        ResultStore(tmp_path),
        work=tmp_path / "work",
        protocol_id="linear/moco@1",
        overrides={"epochs": 8, "decay_epochs": [5, 7], "batch_size": 40},
        report=lambda done, total, words: seen.append((done, total)),
    )
    assert result.effective_lr == 30
    assert result.dataset.split_sizes == {"train": 120, "test": 60}
    assert result.metrics["top1"].value > 25  # chance is 17
    assert (24, 24) in seen and seen[-1] == (60, 60)  # the steps, then the features of test
    assert all(torch.equal(before[name], tensor) for name, tensor in backbone.state_dict.items())


def test_a_probe_that_trains_the_backbone_is_a_bug(
    backbone: Backbone, gratings: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Were the network in training mode, the batch-norm statistics would move: the run must notice."""
    forward = FrozenNetwork.forward

    def careless(self: FrozenNetwork, images: torch.Tensor) -> torch.Tensor:
        self.network.train()
        return forward(self, images)

    monkeypatch.setattr(FrozenNetwork, "forward", careless)
    for protocol_id in ("linear/patterns@1", "linear/moco@1"):
        overrides = {"epochs": 1} if protocol_id == "linear/moco@1" else {}
        with pytest.raises(RuntimeError, match="frozen backbone was changed"):
            run_task(
                "linear",
                backbone,
                gratings,
                ResultStore(tmp_path),
                work=tmp_path / "work",
                protocol_id=protocol_id,
                overrides=overrides,
            )
    assert not list(tmp_path.rglob("*.json"))


def test_a_head_that_diverges_says_what_to_change(
    backbone: Backbone, gratings: Dataset, tmp_path: Path
) -> None:
    job = make_job(backbone, gratings, tmp_path)
    with pytest.raises(UserError, match="lower learning_rate of linear/moco@1"):
        network = FrozenNetwork(backbone, Compute(CPU))
        train_head(job, network, job.images("train"), probe(epochs=9, learning_rate=1e38))


@pytest.mark.parametrize("protocol_id", ["linear/patterns@1", "linear/moco@1"])
def test_pixels_can_be_probed(gratings: Dataset, tmp_path: Path, protocol_id: str) -> None:
    overrides = {"epochs": 1} if protocol_id == "linear/moco@1" else {"weight_decays": [1.0]}
    result = run_task(
        "linear",
        pixels_backbone(16),
        gratings,
        ResultStore(tmp_path),
        work=tmp_path / "work",
        protocol_id=protocol_id,
        overrides=overrides,
    )
    assert result.model.arm == "pixels" and 0 <= result.metrics["top1"].value <= 100
