"""Logistic regression: warm starts end where a cold scikit-learn ends, and test has no say in the choice."""

from __future__ import annotations

import math
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from running import extract, run_task
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from mmbench.checkpoints.backbone import Backbone
from mmbench.data import Dataset, ImageSplit
from mmbench.errors import UserError
from mmbench.records.store import Result, ResultStore
from mmbench.transfer.controls import pixels_backbone
from mmbench.transfer.tasks.logreg.lbfgs import LbfgsProbe
from mmbench.transfer.tasks.logreg.newton import NewtonProbe
from mmbench.transfer.tasks.logreg.scikit_learn import fit, scores
from mmbench.transfer.tasks.logreg.settings import TorchLogregSettings

STRENGTHS = np.geomspace(1e5, 1e-6, 45)


def clouds(classes: int, per_class: int = 40, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Return features (N, 12) of overlapping classes, float64, and labels."""
    labels = torch.arange(classes).repeat_interleave(per_class)
    generator = torch.Generator().manual_seed(seed)
    centres = 0.8 * torch.randn((classes, 12), generator=torch.Generator().manual_seed(100)).double()
    noise = torch.randn((len(labels), 12), generator=generator).double()
    return centres[labels] + noise, labels


def cold(features: Tensor, labels: Tensor, strength: float) -> LogisticRegression:
    """Return scikit-learn's optimum from nowhere, by Newton's method instead of the L-BFGS under test."""
    model = LogisticRegression(
        C=1 / (strength * len(labels)), tol=1e-9, max_iter=1000, solver="newton-cholesky"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # where float64 sees no more progress
        return model.fit(features.double().numpy(), labels.numpy())


@pytest.mark.parametrize("classes", [4, 2])
def test_the_whole_path_is_that_of_cold_fits(classes: int) -> None:
    """To 2% of the largest weight: at the weakest strengths a gradient of 1e-6 leaves about so much open."""
    features, labels = clouds(classes)
    last = None
    for strength in STRENGTHS:
        last, converged = fit(features, labels, float(strength), 1000, last)
        expected = cold(features, labels, float(strength))
        assert converged
        largest = np.abs(expected.coef_).max()
        np.testing.assert_allclose(last.coef_, expected.coef_, rtol=0, atol=max(1e-6, 0.02 * largest))
        found = scores(last, features, classes).softmax(dim=1).numpy()
        np.testing.assert_allclose(found, expected.predict_proba(features.numpy()), atol=2e-3)


def test_the_loss_is_the_mean_plus_half_the_squared_weight() -> None:
    """The gradient, written out, vanishes at the fit."""
    features, labels = clouds(4)
    for strength in (1.0, 1e-2):
        model, _ = fit(features, labels, strength, 1000, None, tolerance=1e-8)
        weight, bias = torch.from_numpy(model.coef_), torch.from_numpy(model.intercept_)
        error = (features @ weight.T + bias).softmax(dim=1) - torch.eye(4, dtype=torch.float64)[labels]
        gradient = error.T @ features / len(labels) + strength * weight
        assert float(gradient.abs().max()) < 1e-6
        assert float(error.mean(dim=0).abs().max()) < 1e-6


def test_of_two_classes_the_scores_are_scikit_learns() -> None:
    features, labels = clouds(2)
    model, _ = fit(features, labels, 0.01, 1000, None)
    found = scores(model, features, 2)
    assert found.shape == (80, 2)
    assert found.argmax(dim=1).tolist() == model.predict(features.numpy()).tolist()
    probability = [1 / (1 + math.exp(float(first - second))) for first, second in found]
    np.testing.assert_allclose(probability, model.predict_proba(features.numpy())[:, 1], rtol=1e-9)


@pytest.mark.parametrize("missing", [(1,), (0, 2)])
def test_a_class_that_was_not_seen_is_never_predicted(missing: tuple[int, ...]) -> None:
    features, labels = clouds(4)
    seen = torch.tensor([label not in missing for label in labels.tolist()])
    model, _ = fit(features[seen], labels[seen], 0.01, 1000, None)
    found = scores(model, features, 4)
    assert not set(found.argmax(dim=1).tolist()) & set(missing)
    assert found[seen].argmax(dim=1).tolist() == model.predict(features[seen].numpy()).tolist()
    there = [label for label in range(4) if label not in missing]
    shares = model.predict_proba(features.numpy())
    np.testing.assert_allclose(found.softmax(dim=1)[:, there].numpy(), shares, rtol=1e-9)


def test_a_single_class_is_refused() -> None:
    features, labels = clouds(2)
    with pytest.raises(UserError, match=r"all 40 images to learn from are of class 1; .* needs two classes"):
        fit(features[40:], labels[40:], 0.01, 1000, None)


def test_a_fit_that_was_stopped_says_so() -> None:
    features, labels = clouds(4)
    assert not fit(features, labels, 1e-5, 3, None)[1]


def torch_probe(classes: int, **changes: object) -> LbfgsProbe:
    values = {"candidates": 45, "weakest": 1e-6, "strongest": 1e5, "solver": "torch", **changes}
    return LbfgsProbe(TorchLogregSettings.model_validate(values), classes)


def objective(weight: Tensor, bias: Tensor, strength: float, features: Tensor, labels: Tensor) -> float:
    logits = features.double() @ weight.double().T + bias.double()
    picked = logits.log_softmax(dim=1)[torch.arange(len(labels)), labels]
    return float(-picked.mean() + strength / 2 * weight.double().square().sum())


@pytest.mark.parametrize(("classes", "per_class"), [(4, 40), (2, 40), (3, 3)])
def test_the_torch_solver_reaches_the_optimum_of_scikit_learn(classes: int, per_class: int) -> None:
    """In objective and coefficients, also of fewer images than features; of two classes each has a weight."""
    features, labels = clouds(classes, per_class)
    probe, start = torch_probe(classes, tolerance=1e-8), None
    scaled, _ = probe.prepare(features, features)
    assert probe.axes is not None and probe.axes.shape == (12, min(12, len(features)))
    for strength in STRENGTHS[18:36]:  # 1 to 1e-4
        start = probe.refit(scaled, labels, float(strength), start)
        # A weight w of the second class alone is +w/2 and -w/2 of two classes: half the squared norm.
        expected = cold(features, labels, float(strength) / (2 if classes == 2 else 1))
        coefficients = torch.from_numpy(expected.coef_)
        bias = torch.from_numpy(expected.intercept_)
        if classes == 2:
            coefficients = torch.cat([-coefficients, coefficients]) / 2
            bias = torch.stack([-bias[0], bias[0]]) / 2
        weight = start.weight @ probe.axes.T
        shift = features.double().mean(dim=0)
        found = objective(weight, start.bias - weight @ shift, float(strength), features, labels)
        assert found == pytest.approx(
            objective(coefficients, bias, float(strength), features, labels), rel=1e-7, abs=1e-10
        )
        largest = float(coefficients.abs().max())
        torch.testing.assert_close(weight, coefficients, rtol=0, atol=1e-3 * largest)


def newton_probe(classes: int, **changes: object) -> NewtonProbe:
    values = {"candidates": 45, "weakest": 1e-6, "strongest": 1e5, "solver": "newton", **changes}
    return NewtonProbe(TorchLogregSettings.model_validate(values), classes, torch.device("cpu"))


@pytest.mark.parametrize(("classes", "per_class"), [(4, 40), (2, 40), (3, 3)])
def test_newtons_path_reaches_the_optimum_of_scikit_learn(classes: int, per_class: int) -> None:
    """Every candidate to 1e-6 of the loss; the last fit to 1e-9, with the same predictions and weights."""
    features, labels = clouds(classes, per_class)
    probe, start = newton_probe(classes), None
    scaled, _ = probe.prepare(features, features)
    for strength in map(float, STRENGTHS[9:45]):  # from 560
        start = probe.fit(scaled, labels, strength, start)
        # Of two classes each has a weight here: half the squared norm of scikit-learn's.
        expected = cold(features, labels, strength / (2 if classes == 2 else 1))
        weight, bias = torch.from_numpy(expected.coef_), torch.from_numpy(expected.intercept_)
        if classes == 2:
            weight, bias = torch.cat([-weight, weight]) / 2, torch.stack([-bias[0], bias[0]]) / 2
        lowest = objective(weight, bias, strength, features, labels)
        found = start.fit.head
        assert objective(found.weight, found.bias, strength, scaled, labels) == pytest.approx(
            lowest, rel=1e-6
        )
        probe.prepare(features, features)  # as before a last fit on other images
        again, _ = probe.prepare(features, features)
        last = probe.refit(again, labels, strength, start)
        exact = last.fit.head
        assert exact.converged
        assert objective(exact.weight, exact.bias, strength, again, labels) == pytest.approx(lowest, rel=1e-9)
        assert probe.scores(last, again).argmax(dim=1).tolist() == expected.predict(features.numpy()).tolist()
        original = exact.weight if probe.span is None else exact.weight @ probe.span.T
        torch.testing.assert_close(original, weight, rtol=0, atol=1e-3 * float(weight.abs().max()))


def test_newtons_last_fit_has_no_gradient_above_the_tolerance() -> None:
    """The gradient, written out, of features that are 10,000 times wider along one axis than another."""
    features, labels = clouds(4)
    features = features * torch.logspace(-2, 2, 12, dtype=torch.float64)
    probe = newton_probe(4, tolerance=1e-9)
    scaled, _ = probe.prepare(features, features)
    for strength in (1.0, 1e-3, 1e-6):
        start = probe.fit(scaled, labels, strength, None)
        probe.prepare(features, features)
        scaled, _ = probe.prepare(features, features)
        head = probe.refit(scaled, labels, strength, start).fit.head
        error = head.scores(scaled).softmax(dim=1) - torch.eye(4, dtype=torch.float64)[labels]
        gradient = error.T @ scaled / len(labels) + strength * head.weight
        assert head.converged and float(gradient.abs().max()) <= 1e-9
        assert float(error.mean(dim=0).abs().max()) <= 1e-9


def test_newton_never_predicts_a_class_that_it_has_not_seen() -> None:
    """A class that train lacks and val has is learned by the last fit."""
    features, labels = clouds(4)
    seen = labels != 1
    probe = newton_probe(4)
    scaled, others = probe.prepare(features[seen], features)
    model = probe.fit(scaled, labels[seen], 0.01, None)
    assert probe.unseen(model) == 1
    assert 1 not in probe.scores(model, others).argmax(dim=1).tolist()
    everything, _ = probe.prepare(features, features)
    last = probe.refit(everything, labels, 0.01, model)
    expected = cold(features, labels, 0.01)
    assert probe.unseen(last) == 0
    assert (
        probe.scores(last, everything).argmax(dim=1).tolist() == expected.predict(features.numpy()).tolist()
    )
    with pytest.raises(UserError, match=r"all 40 images to learn from are of class 2; .* needs two classes"):
        probe.fit(everything[labels == 2], labels[labels == 2], 0.01, None)


def test_newtons_fit_that_was_stopped_says_so(backbone: Backbone, gratings: Dataset, tmp_path: Path) -> None:
    strength = {"candidates": 1, "strongest": 1e-6, "weakest": 1e-6}
    result = measure(backbone, gratings, tmp_path, **strength, iterations=3)
    assert result.notes[1] == "the last fit was stopped after 3 conjugate-gradient steps, before its optimum"


def test_what_a_path_goes_on_from_is_restored_to_the_last_digit() -> None:
    features, labels = clouds(4)
    path: list[Tensor] = []
    for interrupted in (False, True):
        probe, start = newton_probe(4), None
        scaled, _ = probe.prepare(features, features)
        for strength in STRENGTHS[20:]:
            if interrupted and start is not None:
                probe = newton_probe(4)
                scaled, _ = probe.prepare(features, features)
                start = probe.restored(probe.stored(start))
            start = probe.fit(scaled, labels, float(strength), start)
        assert start is not None
        path.append(start.fit.head.weight)
    assert torch.equal(*path)


def test_the_torch_solver_never_predicts_a_class_that_it_has_not_seen() -> None:
    features, labels = clouds(4)
    seen = labels != 1
    probe = torch_probe(4)
    scaled, others = probe.prepare(features[seen], features)
    model = probe.refit(scaled, labels[seen], 0.01, probe.fit(scaled, labels[seen], 0.01, None))
    assert probe.unseen(model) == 1
    assert 1 not in probe.scores(model, others).argmax(dim=1).tolist()
    with pytest.raises(UserError, match=r"all 40 images to learn from are of class 2; .* needs two classes"):
        probe.fit(scaled[labels[seen] == 2], labels[labels == 2], 0.01, None)


def measure(
    backbone: Backbone, dataset: Dataset, folder: Path, protocol: str = "logreg/lbfgs@4", **overrides: object
) -> Result:
    store, work = ResultStore(folder), folder / "work"
    return run_task(
        "logreg", backbone, dataset, store, work=work, protocol_id=protocol, overrides=dict(overrides)
    )


def numbers(backbone: Backbone, dataset: Dataset) -> dict[str, tuple[Tensor, Tensor]]:
    cpu = torch.device("cpu")
    splits = {name: dataset.split(name) for name in ("train", "val", "test")}  # type: ignore[arg-type]
    return {
        name: (extract(backbone, split.images, cpu), torch.as_tensor(split.labels))
        for name, split in splits.items()
    }


def accuracy(model: LogisticRegression, features: Tensor, labels: Tensor) -> float:
    return float((model.predict(features.double().numpy()) == labels.numpy()).mean())


@pytest.mark.parametrize("protocol", ["logreg/lbfgs@2", "logreg/lbfgs@3", "logreg/lbfgs@4"])
def test_the_choice_and_the_refit_are_scikit_learns(
    backbone: Backbone, gratings: Dataset, tmp_path: Path, protocol: str
) -> None:
    result = measure(backbone, gratings, tmp_path, protocol, candidates=12)
    data = numbers(backbone, gratings)
    strengths = np.geomspace(1e5, 1e-6, 12)
    on_val = [accuracy(cold(*data["train"], float(strength)), *data["val"]) for strength in strengths]
    chosen = float(result.notes[0].split("L2 strength ")[1].split(" ")[0])
    row = int(np.argmin(np.abs(strengths - chosen)))
    assert strengths[row] == pytest.approx(chosen, rel=1e-2)
    assert on_val[row] >= max(on_val) - 1 / 60 - 1e-9  # float32 may decide one image otherwise
    note = f"L2 strength {strengths[row]:.3g} chosen on val among 12, then fitted on train and val"
    assert result.notes[0] == note
    assert all("is the smallest of the 12 tried" in other for other in result.notes[1:-1])
    both = [torch.cat([data["train"][part], data["val"][part]]) for part in (0, 1)]
    refitted = cold(both[0], both[1], float(strengths[row]))
    features, labels = data["test"]
    assert result.metrics["top1"].value == pytest.approx(100 * accuracy(refitted, features, labels), abs=1e-4)
    shares = refitted.predict_proba(features.double().numpy())
    loss = -np.log(shares[np.arange(60), labels.numpy()]).mean()
    assert result.metrics["loss"].value == pytest.approx(loss, rel=1e-3)
    assert result.dataset.split_sizes == {"train": 120, "val": 60, "test": 60}
    without_val = accuracy(cold(*data["train"], float(strengths[row])), features, labels)
    assert 100 * without_val != pytest.approx(result.metrics["top1"].value, abs=1e-4)  # the refit matters


def mislabelled(dataset: Dataset, name: str) -> Dataset:
    def load() -> ImageSplit:
        there = dataset.split(name)  # type: ignore[arg-type]
        return ImageSplit(there.images, (there.labels + 1) % 6)

    return replace(dataset, splits={**dataset.splits, name: load})


def test_the_choice_never_sees_test(backbone: Backbone, gratings: Dataset, tmp_path: Path) -> None:
    """With wrong labels on test, the same strength is chosen; with wrong labels on val, another."""
    right = measure(backbone, gratings, tmp_path / "right", candidates=10)
    wrong = measure(backbone, mislabelled(gratings, "test"), tmp_path / "test", candidates=10)
    assert wrong.notes[:-1] == right.notes[:-1], "all but the last, which is about the intervals"
    assert wrong.metrics["top1"].value < right.metrics["top1"].value
    other = measure(backbone, mislabelled(gratings, "val"), tmp_path / "val", candidates=10)
    assert other.notes[:-1] != right.notes[:-1]


def test_of_equal_candidates_the_strongest_is_chosen(
    backbone: Backbone, gratings: Dataset, tmp_path: Path
) -> None:
    result = measure(backbone, gratings, tmp_path, candidates=4, weakest=1e8, strongest=1e9)
    assert result.notes[0].startswith("L2 strength 1e+09 ")  # all of them know nothing but the bias


def test_a_class_without_images_to_learn_from_leaves_no_loss(
    backbone: Backbone, gratings: Dataset, tmp_path: Path
) -> None:
    def without_the_last(name: str) -> ImageSplit:
        there = gratings.split(name)  # type: ignore[arg-type]
        kept = there.labels < 5
        return ImageSplit(there.images[kept], there.labels[kept])

    few = {name: (lambda name=name: without_the_last(name)) for name in ("train", "val")}
    dataset = replace(gratings, splits={**gratings.splits, **few})
    result = measure(backbone, dataset, tmp_path, candidates=2)
    assert "loss" not in result.metrics
    assert result.notes[1] == "1 of 6 classes have no image to learn from, so the loss says nothing"
    assert result.per_class is not None and list(result.per_class.values())[-1] == 0


def test_pixels_can_be_classified(gratings: Dataset, tmp_path: Path) -> None:
    result = measure(pixels_backbone(16), gratings, tmp_path, candidates=3)
    assert result.model.arm == "pixels" and 0 <= result.metrics["top1"].value <= 100


def test_the_features_common_mean_costs_no_iterations(
    backbone: Backbone, gratings: Dataset, tmp_path: Path
) -> None:
    """Features as they are would need more iterations than the task is allowed here."""
    data = numbers(backbone, gratings)
    features, labels = (torch.cat([data["train"][part], data["val"][part]]) for part in (0, 1))
    strength = {"candidates": 1, "strongest": 1e-4, "weakest": 1e-4}
    result = measure(backbone, gratings, tmp_path, "logreg/lbfgs@2", **strength, iterations=110)
    assert len(result.notes) == 2, "the choice and the intervals"
    assert not fit(features.double(), labels, 1e-4, 110, None)[1]
    expected = accuracy(cold(features, labels, 1e-4), *data["test"])
    assert result.metrics["top1"].value == pytest.approx(100 * expected, abs=1e-4)
