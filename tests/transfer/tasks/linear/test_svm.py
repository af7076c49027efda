"""The SVM probe of images with several labels: LIBLINEAR's optimum, chosen within train and val alone."""

import functools
from dataclasses import replace
from pathlib import Path

import forked  # noqa: F401  (the server that the processes are forked from)
import numpy as np
import pytest
import torch
from joblib.externals.loky.backend import context
from running import make_run
from sklearn.metrics import average_precision_score
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.svm import LinearSVC

from mmbench.checkpoints.backbone import Backbone
from mmbench.data import Dataset, ImageSplit
from mmbench.data.types import Split
from mmbench.errors import UserError
from mmbench.leaderboard.verify.recomputed import recomputed
from mmbench.transfer.job import Measurement, TransferJob
from mmbench.transfer.metrics import average_precision, average_precision_11_points
from mmbench.transfer.protocol import get_protocol
from mmbench.transfer.resolution import parse_settings
from mmbench.transfer.tasks.linear import svm as svm_probe
from mmbench.transfer.tasks.linear.settings import LinearSettings, SvmProbe
from mmbench.transfer.tasks.linear.svm import cost_scores, fit, fit_classes, measure_svm, normalise

CPU = torch.device("cpu")
NAMES = ("red", "green", "bright corner")
SIZES: dict[str, int] = {"train": 60, "val": 40, "test": 50}


def render(split: str) -> ImageSplit:
    """Noise with red or green shade and a bright corner, or without; some corners are difficult (-1)."""
    count = SIZES[split]
    generator = torch.Generator().manual_seed(list(SIZES).index(split))
    there = torch.rand((count, 3), generator=generator) < torch.tensor([0.4, 0.3, 0.25])
    images = 90 + 40 * torch.randn((count, 3, 16, 16), generator=generator)
    images[:, 0] += 25 * there[:, 0].view(-1, 1, 1)
    images[:, 1] += 25 * there[:, 1].view(-1, 1, 1)
    images[:, :, :5, :5] += 60 * there[:, 2].view(-1, 1, 1, 1)
    labels = there.long()
    labels[torch.rand(count, generator=generator) < 0.1, 2] = -1
    return ImageSplit(images.clamp(0, 255).to(torch.uint8), labels)


@pytest.fixture
def shades() -> Dataset:
    splits = {split: functools.partial(render, split) for split in SIZES}
    return Dataset("shades", Path("shades"), NAMES, splits, 16, metric="mAP", multilabel=True)


def settings(**changes: object) -> SvmProbe:
    protocol = get_protocol("linear/voc07-svm@1")
    parsed = parse_settings(LinearSettings, protocol, {"costs": [0.1, 1.0, 10.0], **changes})
    assert isinstance(parsed, SvmProbe)
    return parsed


def make_job(backbone: Backbone, dataset: Dataset, work: Path, seed: int = 0) -> TransferJob:
    return TransferJob(
        make_run("linear", backbone, dataset, protocol_id="linear/voc07-svm@1", seed=seed), work
    )


def relabelled(dataset: Dataset, split: Split, labels: torch.Tensor) -> Dataset:
    """Return the data set with other labels in one split."""
    images = dataset.split(split).images
    return replace(dataset, splits={**dataset.splits, split: lambda: ImageSplit(images, labels)})


def test_the_published_recipe_is_kept() -> None:
    kept = parse_settings(LinearSettings, get_protocol("linear/voc07-svm@1"), {})
    assert isinstance(kept, SvmProbe)
    assert kept.costs == (0.01, 0.1, 1, 2, 5, 10, 15, 20, 50, 100, 1000)
    assert (kept.folds, kept.positive_weight, kept.iterations, kept.tolerance) == (3, 2, 2000, 1e-4)
    assert get_protocol("linear/voc07-svm@1").metric == "mAP"


def test_a_fit_minimises_the_weighted_squared_hinge_loss() -> None:
    """The gradient, written out, vanishes: images of the class weigh twice, the bias is regularised."""
    generator = torch.Generator().manual_seed(0)
    labels = np.where(torch.rand(80, generator=generator).numpy() < 0.3, 1, -1)
    features = normalise(
        torch.randn((80, 6), generator=generator) + 0.5 * torch.from_numpy(labels).view(-1, 1)
    )
    machine, converged = fit(features, labels, 3.0, settings(tolerance=1e-9, iterations=100000), seed=0)
    assert converged
    weight, bias = machine.coef_[0], machine.intercept_[0]
    slack = np.maximum(0, 1 - labels * (features @ weight + bias))
    pull = 3.0 * np.where(labels > 0, 2.0, 1.0) * 2 * slack * labels
    np.testing.assert_allclose(weight, features.T @ pull, atol=1e-5)
    np.testing.assert_allclose(bias, pull.sum(), atol=1e-5)


def test_a_fit_that_was_stopped_says_so() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = np.where(torch.rand(80, generator=generator).numpy() < 0.5, 1, -1)
    features = normalise(torch.randn((80, 6), generator=generator))
    assert not fit(features, labels, 1000.0, settings(iterations=2), seed=0)[1]


def test_features_get_the_length_one() -> None:
    features = torch.randn((7, 5), generator=torch.Generator().manual_seed(0)) * 50
    features[3] = 0
    lengths = np.linalg.norm(normalise(features), axis=1)
    np.testing.assert_allclose(np.delete(lengths, 3), 1, atol=1e-5)
    assert lengths[3] == 0


def test_the_cost_is_scikit_learns_cross_validation() -> None:
    generator = torch.Generator().manual_seed(4)
    labels = np.where(torch.rand(90, generator=generator).numpy() < 0.4, 1, -1)
    features = normalise(
        torch.randn((90, 30), generator=generator) + 0.3 * torch.from_numpy(labels).view(-1, 1)
    )
    candidates = settings(costs=[100.0, 0.01, 1.0], folds=3)
    folds = StratifiedKFold(3, shuffle=True, random_state=7)
    means = {}
    for cost in candidates.costs:
        machine = LinearSVC(C=cost, class_weight={1: 2, -1: 1}, dual=True, max_iter=2000, random_state=7)
        means[cost] = cross_val_score(machine, features, labels, cv=folds, scoring="average_precision").mean()
    assert len(set(means.values())) == 3
    assert cost_scores(features, labels, candidates, seed=7) == pytest.approx(means)


def test_the_probe_is_a_machine_per_class_on_train_and_val(
    backbone: Backbone, shades: Dataset, tmp_path: Path
) -> None:
    job = make_job(backbone, shades, tmp_path)
    measured = measure_svm(job, settings(costs=[1.0]))
    bank = normalise(torch.cat([job.features("train"), job.features("val")]))
    truth = torch.cat([shades.labels("train"), shades.labels("val")]).numpy()
    queries, test = normalise(job.features("test")), shades.labels("test")
    expected, eleven, plain = {}, [], []
    for index, name in enumerate(NAMES):
        kept = truth[:, index] >= 0
        machine = LinearSVC(C=1.0, class_weight={1: 2, 0: 1}, dual=True, max_iter=2000, random_state=0)
        machine.fit(bank[kept], truth[kept, index])
        counted = test[:, index] >= 0
        scores = torch.from_numpy(machine.decision_function(queries))[counted]
        there = test[counted, index] == 1
        expected[name] = 100 * average_precision(scores, there)
        eleven.append(100 * average_precision_11_points(scores, there))
        plain.append(100 * average_precision_score(there.numpy(), scores.numpy()))
    assert measured.per_class == pytest.approx(expected)
    assert measured.metrics["mAP"].value == pytest.approx(sum(expected.values()) / 3)
    assert measured.metrics["mAP_11_points"].value == pytest.approx(sum(eleven) / 3)
    assert measured.metrics["mAP"].n == 50
    assert measured.metrics["mAP"].value >= sum(plain) / 3
    assert measured.metrics["mAP"].value > 55  # chance is about 32
    assert measured.split_sizes == SIZES and measured.images_seen == 150 and measured.from_bank


def test_what_is_difficult_does_not_count(backbone: Backbone, shades: Dataset, tmp_path: Path) -> None:
    """Neither in training nor on test may the features of an image that is left out reach its class."""

    def repainted(split: Split) -> ImageSplit:
        part = shades.split(split)
        images = part.images.clone()
        images[part.labels[:, 2] == -1] = 255
        return ImageSplit(images, part.labels)

    other = replace(shades, splits={split: functools.partial(repainted, split) for split in SIZES})  # type: ignore[arg-type]
    first = measure_svm(make_job(backbone, shades, tmp_path), settings())
    second = measure_svm(make_job(backbone, other, tmp_path), settings())
    assert first.per_class is not None and second.per_class is not None
    assert first.per_class["bright corner"] == second.per_class["bright corner"]
    assert first.per_class["red"] != second.per_class["red"]


def test_the_choice_never_sees_test(backbone: Backbone, shades: Dataset, tmp_path: Path) -> None:
    def measured(dataset: Dataset) -> Measurement:
        return measure_svm(
            make_job(backbone, dataset, tmp_path), settings(costs=[0.01, 0.1, 1.0, 10.0, 100.0])
        )

    right = measured(shades)
    test, train = shades.labels("test"), shades.labels("train")
    wrong = measured(relabelled(shades, "test", test.roll(1, dims=0)))
    assert wrong.notes[:-1] == right.notes[:-1] and wrong.metrics != right.metrics
    assert right.notes[0].startswith("cost per class by 3-fold cross-validation on train and val, among 5: ")
    assert measured(relabelled(shades, "train", train.roll(1, dims=0))).notes[:-1] != right.notes[:-1]


def test_the_same_seed_gives_the_same_numbers_on_one_core_and_on_two(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    features = normalise(torch.randn((60, 8), generator=generator))
    truth = (torch.rand((60, 2), generator=generator) < 0.4).long().numpy()
    alone = list(fit_classes(features, truth, settings(), seed=3))
    monkeypatch.setattr(svm_probe, "ALONE", 0)
    monkeypatch.setattr(svm_probe, "cores", lambda: 2)
    monkeypatch.setattr(context, "_DEFAULT_START_METHOD", "forkserver")
    together = list(fit_classes(features, truth, settings(), seed=3))
    for one, two in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one.weight, two.weight)
        assert one[1:] == two[1:]


def test_a_class_that_test_does_not_show_is_left_out_of_the_mean(
    backbone: Backbone, shades: Dataset, tmp_path: Path
) -> None:
    labels = shades.labels("test").clone()
    labels[:, 1] = 0
    measured = measure_svm(make_job(backbone, relabelled(shades, "test", labels), tmp_path), settings())
    assert measured.per_class is not None and list(measured.per_class) == ["red", "bright corner"]
    assert measured.metrics["mAP"].value == pytest.approx(sum(measured.per_class.values()) / 2)
    assert measured.notes[-2] == "not in test, and so not in the mean: green"


@pytest.mark.parametrize("there", [1, 99])
def test_a_class_without_enough_images_is_named(
    backbone: Backbone, shades: Dataset, tmp_path: Path, there: int
) -> None:
    dataset = shades
    for split, start in (("train", 0), ("val", 60)):
        labels = shades.labels(split).clone()  # type: ignore[arg-type]
        labels[:, 0] = (torch.arange(start, start + len(labels)) < there).long()
        dataset = relabelled(dataset, split, labels)  # type: ignore[arg-type]
    with pytest.raises(
        UserError, match=rf"class 'red' of 'shades' is in {there} and not in {100 - there} images"
    ):
        measure_svm(make_job(backbone, dataset, tmp_path), settings())


def test_a_class_with_two_images_gets_two_folds() -> None:
    features = normalise(torch.randn((20, 4), generator=torch.Generator().manual_seed(0)))
    labels = np.where(np.arange(20) < 2, 1, -1)
    assert set(cost_scores(features, labels, settings(), seed=0)) == set(settings().costs)


def test_the_outcomes_give_the_metrics_again(backbone: Backbone, shades: Dataset, tmp_path: Path) -> None:
    measured = measure_svm(make_job(backbone, shades, tmp_path), settings())
    table = measured.outcomes
    assert table is not None and len(table) == 50 * 3 and table["image"].nunique() == 50
    found = {"mAP": [], "mAP_11_points": []}
    for place, name in enumerate(NAMES):
        own = table[table["class"] == name]
        assert own["truth"].tolist() == shades.labels("test")[:, place].tolist()
        own = own[own["truth"] >= 0]
        scores, truth = torch.tensor(own["score"].to_numpy()), torch.tensor(own["truth"].to_numpy()) > 0
        found["mAP"].append(100 * average_precision(scores, truth))
        found["mAP_11_points"].append(100 * average_precision_11_points(scores, truth))
    for name, values in found.items():
        metric = measured.metrics[name]
        assert metric.value == pytest.approx(sum(values) / 3, rel=1e-12)
        assert metric.interval is not None and metric.interval[0] < metric.value < metric.interval[1]
    again = recomputed(table, {})
    assert again == pytest.approx({name: metric.value for name, metric in measured.metrics.items()})
