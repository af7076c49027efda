"""The linear probe of images with several labels: a support vector machine per class on frozen features.

Source: Goyal et al. 2019 (Scaling and benchmarking self-supervised visual representation learning) and its
code, facebookresearch/fair_self_supervision_benchmark, tools/svm; facebookresearch/vissl has the same.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from statistics import fmean
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import average_precision_score
from sklearn.model_selection import StratifiedKFold
from sklearn.svm import LinearSVC
from torch import Tensor

from mmbench.data.types import Split
from mmbench.distributed import on_main
from mmbench.errors import UserError
from mmbench.processes import cores
from mmbench.records.store import Metric
from mmbench.settings.types import legacy_seed
from mmbench.transfer.average_precision import with_precision_intervals
from mmbench.transfer.job import Measurement, TransferJob
from mmbench.transfer.metrics import average_precision, average_precision_11_points, require_finite
from mmbench.transfer.outcomes import several_label_outcomes
from mmbench.transfer.probes.refit import refit_splits
from mmbench.transfer.probes.selection import Edge, edge_of
from mmbench.transfer.tasks.linear.settings import SvmProbe

Array = npt.NDArray[np.float64]
ALONE = 2**27  # numbers in all classes' features, above which processes pay for their start


class ClassFit(NamedTuple):
    """The machine of one class.

    Attributes:
        weight: float64, (C,).
        cost: the chosen one.
        converged: whether the last fit, on all images, ended before the iterations did.
        edge: which end of the range of costs the chosen one is, None where it is inside.
    """

    weight: Array
    bias: float
    cost: float
    converged: bool
    edge: Edge | None = None


def normalise(features: Tensor) -> Array:
    """Return features (N, C) as float64, divided by their length + 1e-5, which is the source's."""
    wide = features.double()
    normalised: Array = (wide / (wide.norm(dim=1, keepdim=True) + 1e-5)).numpy()
    return normalised


def fit(features: Array, labels: Array, cost: float, settings: SvmProbe, seed: int) -> tuple[LinearSVC, bool]:
    """Return LIBLINEAR's machine (squared hinge, L2, dual) and whether it converged.

    Args:
        labels: (N,), 1 or -1.
        seed: of the order in which LIBLINEAR visits the images.
    """
    machine = LinearSVC(
        C=cost,
        class_weight={1: settings.positive_weight, -1: 1},
        penalty="l2",
        loss="squared_hinge",
        dual=True,
        tol=settings.tolerance,
        max_iter=settings.iterations,
        random_state=legacy_seed(seed),
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        machine.fit(features, labels)
    return machine, not any(issubclass(warning.category, ConvergenceWarning) for warning in caught)


def cost_scores(features: Array, labels: Array, settings: SvmProbe, seed: int) -> dict[float, float]:
    """Return the mean average precision over folds of every cost, in rising order of the costs.

    Folds are shuffled by the seed and have equal shares of the class; where it has fewer images than there
    are folds, there are as many folds as images.
    """
    folds = min(settings.folds, int((labels > 0).sum()), int((labels < 0).sum()))
    parts = list(StratifiedKFold(folds, shuffle=True, random_state=legacy_seed(seed)).split(features, labels))
    means = {}
    for cost in sorted(settings.costs):
        found = []
        for fitted, left_out in parts:
            machine, _ = fit(features[fitted], labels[fitted], cost, settings, seed)
            scores = machine.decision_function(features[left_out])
            found.append(float(average_precision_score(labels[left_out] > 0, scores)))
        means[cost] = sum(found) / len(found)
    return means


def fit_class(features: Array, truth: Array, settings: SvmProbe, seed: int) -> ClassFit:
    """Choose a class's cost by cross-validation, then fit on everything.

    Args:
        features: (N, C), normalised.
        truth: (N,), 1, 0, or -1 for images that are left out.
    """
    counted = truth >= 0
    features, labels = features[counted], np.where(truth[counted] > 0, 1, -1)
    cost, edge = settings.costs[0], None
    if len(settings.costs) > 1:
        means = cost_scores(features, labels, settings, seed)
        cost = max(means, key=means.__getitem__)  # of equal ones the smallest
        edge = edge_of(means, cost, settings.costs)
    machine, converged = fit(features, labels, cost, settings, seed)
    return ClassFit(machine.coef_[0], float(machine.intercept_[0]), cost, converged, edge)


def fit_classes(features: Array, truth: Array, settings: SvmProbe, seed: int) -> Iterator[ClassFit]:
    """Yield the machine of every class; of many features, on all cores. LIBLINEAR copies what it fits.

    Args:
        truth: (N, classes); see `fit_class`.
    """
    columns = [np.ascontiguousarray(column) for column in truth.T]
    workers = min(cores(), len(columns))
    if workers == 1 or features.size * len(columns) < ALONE:
        yield from (fit_class(features, column, settings, seed) for column in columns)
        return
    from joblib import Parallel, delayed

    # Processes, because LIBLINEAR has one random generator per process: threads would share it.
    run = Parallel(n_jobs=workers, return_as="generator")
    yield from run(delayed(fit_class)(features, column, settings, seed) for column in columns)


def measure_svm(job: TransferJob, settings: SvmProbe) -> Measurement:
    """Fit a machine per class on train and val, measure mean average precision once on the evaluated split.

    Raises:
        UserError: a class with too few images to choose a cost; no class at all in the evaluated split.
    """
    dataset, evaluated = job.dataset, job.evaluated
    fitted = refit_splits(evaluated)
    splits: tuple[Split, ...] = (*fitted, evaluated)
    labels = {split: dataset.labels(split) for split in splits}
    truth = torch.cat([labels[split] for split in fitted])
    _check_choice(job, truth, " and ".join(fitted))
    features = {split: normalise(job.features(split)) for split in splits}
    return on_main(lambda: _measure(job, settings, features, labels, truth))


def _measure(
    job: TransferJob,
    settings: SvmProbe,
    features: Mapping[Split, Array],
    labels: Mapping[Split, Tensor],
    truth: Tensor,
) -> Measurement:
    """Fit on the splits before the last, with labels `truth`, and measure on the last."""
    dataset, splits, machines = job.dataset, list(features), []
    evaluated, fitted = splits[-1], splits[:-1]
    bank = np.concatenate([features[split] for split in fitted])
    for machine in fit_classes(bank, truth.numpy(), settings, job.seed):
        machines.append(machine)
        name = dataset.classes[len(machines) - 1]
        job.report(len(machines), len(dataset.classes), f"machine of {name}")
    weight = np.stack([machine.weight for machine in machines])
    scores = torch.from_numpy(features[splits[-1]] @ weight.T + [machine.bias for machine in machines])
    require_finite(
        scores, "a machine overflowed; leave out the largest costs by --set costs=[0.01,0.1,1.0,10.0]"
    )
    if not bool((labels[splits[-1]] > 0).any()):
        raise UserError(f"no image in {evaluated} of '{dataset.name}' shows any class; fix its labels")
    metrics, per_class, missing = _mean_over_classes(scores, labels[splits[-1]], dataset.classes)
    metrics, note = with_precision_intervals(metrics, scores, labels[splits[-1]], job.seed)
    return Measurement(
        metrics=metrics,
        split_sizes={split: len(labels[split]) for split in splits},
        images_seen=sum(len(part) for part in labels.values()),
        notes=(*_notes(machines, settings, " and ".join(fitted)), *_missing_note(missing, evaluated), note),
        per_class=per_class,
        from_bank=True,
        outcomes=several_label_outcomes(job, scores),
    )


def _check_choice(job: TransferJob, truth: Tensor, where: str) -> None:
    """Raise UserError unless every class has two images with and two without it."""
    for name, column in zip(job.dataset.classes, truth.T, strict=True):
        there, absent = int((column == 1).sum()), int((column == 0).sum())
        if min(there, absent) < 2:
            raise UserError(
                f"class '{name}' of '{job.dataset.name}' is in {there} and not in {absent} images of "
                f"{where}; {job.protocol.id} needs two of each, so leave the class out of the data set"
            )


def _mean_over_classes(
    scores: Tensor, labels: Tensor, classes: tuple[str, ...]
) -> tuple[dict[str, Metric], dict[str, float], list[str]]:
    """Return the means, the average precision per class in percent, and the classes without images."""
    per_class, eleven, missing = {}, [], []
    for index, name in enumerate(classes):
        counted = labels[:, index] >= 0
        kept, truth = scores[counted, index], labels[counted, index] > 0
        if not bool(truth.any()):
            missing.append(name)
            continue
        per_class[name] = 100 * average_precision(kept, truth)
        eleven.append(100 * average_precision_11_points(kept, truth))
    values = {"mAP": list(per_class.values()), "mAP_11_points": eleven}
    metrics = {
        name: Metric(value=fmean(found), higher_is_better=True, n=len(labels))
        for name, found in values.items()
    }
    return metrics, per_class, missing


def _notes(machines: list[ClassFit], settings: SvmProbe, where: str) -> Iterator[str]:
    counts = sorted(Counter(machine.cost for machine in machines).items())
    words = ", ".join(f"{cost:g} for {count}" for cost, count in counts)
    yield (
        f"cost per class by {settings.folds}-fold cross-validation on {where}, among {len(settings.costs)}: "
        f"{words} of {len(machines)} classes; then fitted on {where}"
    )
    edges = [machine.edge for machine in machines if machine.edge is not None and not machine.edge.tied]
    for side in ("smallest", "largest"):
        if found := [edge for edge in edges if edge.side == side]:
            yield (
                f"cost {found[0].value:g}, the {side} of the {len(set(settings.costs))} tried, was best for "
                f"{len(found)} of {len(machines)} classes: the best may lie beyond this edge of the grid; "
                "widen it by --set costs=..."
            )
    if stopped := sum(not machine.converged for machine in machines):
        yield f"{stopped} of the last fits were stopped after {settings.iterations} iterations"


def _missing_note(missing: list[str], evaluated: str) -> Iterator[str]:
    if missing:
        yield f"not in {evaluated}, and so not in the mean: {', '.join(missing)}"
