"""Task `logreg`: logistic regression on frozen features by scikit-learn's L-BFGS."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Annotated

import numpy as np
import torch
from pydantic import ValidationInfo, field_validator
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # scikit-learn's own dependency
from torch import Tensor

from mmbench.data.types import Split
from mmbench.distributed import on_main
from mmbench.errors import UserError
from mmbench.settings_types import Iterations, Positive, Tolerance, Within
from mmbench.tasks import ON_FEATURES, BoardColumn, TaskSettings, task
from mmbench.transfer.job import Measurement, TransferJob
from mmbench.transfer.metrics import classification_metrics, confusion, percent_correct, require_finite
from mmbench.transfer.tasks.edges import edge_note, edge_of

TOLERANCE = 1e-6
NARROWER = "by --set weakest=0.0001 --set strongest=1000"
SMALL_PRODUCT = 2e8  # multiplications per L-BFGS iteration: about 10 ms on one core


class LogregSettings(TaskSettings):
    """Settings of the logistic regression.

    Attributes:
        candidates: how many values of the L2 strength are tried, evenly spaced in their logarithm.
        weakest, strongest: ends of that range; strength multiplies |weight|^2 / 2 beside the mean loss.
        iterations: most L-BFGS iterations per fit.
        tolerance: a fit ends when the largest gradient entry falls below it. At scikit-learn's default of
            1e-4 it would not move any more at strengths below about 1e-4, and many candidates would be one.
    """

    candidates: Annotated[int, Within(1, 1000)]
    weakest: Positive
    strongest: Positive
    iterations: Iterations = 1000
    tolerance: Tolerance = TOLERANCE

    @field_validator("strongest")
    @classmethod
    def _is_the_upper_end(cls, value: float, others: ValidationInfo) -> float:
        if value < others.data.get("weakest", 0.0):
            raise ValueError(f"must not be less than weakest ({others.data['weakest']:g}); set both")
        return value


def fit(
    features: Tensor,
    labels: Tensor,
    strength: float,
    iterations: int,
    start: LogisticRegression | None,
    tolerance: float = TOLERANCE,
) -> tuple[LogisticRegression, bool]:
    """Return scikit-learn's fit and whether it converged; `start` only saves time.

    The loss is mean cross-entropy + strength / 2 * |weight|^2: scikit-learn's C is 1 / (strength x images).
    Of two classes, the weight is that of the second alone, the first has none.

    Args:
        features: (N, C). In float32 a fit is faster, but ends where float32 sees no more progress.
        labels: int64, (N,).
        start: the fit of a similar strength on the same data.

    Raises:
        UserError: all images are of one class.
    """
    classes = torch.unique(labels)
    if len(classes) < 2:
        raise UserError(
            f"all {len(labels)} images to learn from are of class {int(labels[0])}; "
            "a logistic regression needs two classes"
        )
    model = LogisticRegression(
        C=1 / (strength * len(labels)), max_iter=iterations, tol=tolerance, solver="lbfgs", warm_start=True
    )
    if start is not None:
        model.coef_, model.intercept_, model.classes_ = start.coef_, start.intercept_, start.classes_
    # Over a small product, threads wait for each other longer than they work: on two busy cores a fit of
    # 2,000 images took five times as long as on one.
    small = features.numel() * len(classes) < SMALL_PRODUCT
    with threadpool_limits(1 if small else None, "blas"), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(features.numpy(), labels.numpy())
    return model, not any(issubclass(warning.category, ConvergenceWarning) for warning in caught)


def scores(model: LogisticRegression, features: Tensor, classes: int) -> Tensor:
    """Return logits (N, classes) float64; a class that the fit has not seen gets -1e9."""
    decision = np.atleast_2d(model.decision_function(features.numpy()))
    if len(model.classes_) == 2:  # scikit-learn gives one column for two classes
        decision = np.stack([np.zeros(decision.size), decision.ravel()], axis=1)
    full = np.full((len(features), classes), -1e9)
    full[:, model.classes_] = decision
    return torch.from_numpy(full)


@task(
    "logreg",
    LogregSettings,
    "logreg/lbfgs@2",
    column=BoardColumn("Logistic regression", order=30),
    metrics=("top1",),
    uses=ON_FEATURES,
    frozen=True,
)
def logreg(job: TransferJob, settings: LogregSettings) -> Measurement:
    """Choose the strength on val, refit on train and val, measure once on the evaluated split.

    Candidates go from strong to weak, each from where the one before it ended, as in the source. They are
    fitted in float32, which is enough to choose; the last fit starts afresh, in float64.
    """
    splits: tuple[Split, ...] = tuple(dict.fromkeys(("train", "val", job.evaluated)))
    features = {split: job.features(split).float() for split in splits}
    labels = {split: job.dataset.labels(split) for split in splits}
    return on_main(lambda: _measure(job, settings, features, labels))


def _measure(
    job: TransferJob,
    settings: LogregSettings,
    features: Mapping[Split, Tensor],
    labels: Mapping[Split, Tensor],
) -> Measurement:
    evaluated, total = job.evaluated, settings.candidates + 1
    # The bias is free, so a shift of all features changes no score; but without their common mean the
    # problem is far better conditioned: 1,200 instead of 8,300 iterations on a random ResNet-18.
    mean = features["train"].mean(dim=0)
    features = {split: part - mean for split, part in features.items()}
    classes = len(job.dataset.classes)
    strengths = np.geomspace(settings.strongest, settings.weakest, settings.candidates)
    accuracies: list[float] = []
    last: LogisticRegression | None = None
    for done, strength in enumerate(strengths):
        job.report(done, total, f"L2 strength {strength:.2g}")
        last, _ = fit(
            features["train"],
            labels["train"],
            float(strength),
            settings.iterations,
            last,
            settings.tolerance,
        )
        predicted = scores(last, features["val"], classes).argmax(dim=1)
        accuracies.append(percent_correct(predicted, labels["val"]))
    best = max(range(len(accuracies)), key=accuracies.__getitem__)  # of equal ones the strongest
    job.report(total - 1, total, "fit on train and val")
    refitted: tuple[Split, ...] = ("train",) if evaluated == "val" else ("train", "val")
    model, converged = fit(
        torch.cat([features[split] for split in refitted]).double(),
        torch.cat([labels[split] for split in refitted]),
        float(strengths[best]),
        settings.iterations,
        None,
        settings.tolerance,
    )
    found = scores(model, features[evaluated], classes)
    require_finite(found, f"the fit overflowed; narrow the strengths {NARROWER}")
    notes = [
        f"L2 strength {strengths[best]:.3g} chosen on val among {len(strengths)}, "
        f"then fitted on {' and '.join(refitted)}",
        *_edges(strengths.tolist(), accuracies, best),
    ]
    unseen = classes - len(model.classes_)
    if unseen:
        notes.append(f"{unseen} of {classes} classes have no image to learn from, so the loss says nothing")
    if not converged:
        notes.append(f"the last fit ended after {int(model.n_iter_[0])} iterations before it had converged")
    job.report(total, total, "done")
    return Measurement(
        metrics=classification_metrics(found, labels[evaluated], logits=not unseen),
        split_sizes={split: len(part) for split, part in labels.items()},
        images_seen=sum(len(part) for part in labels.values()),
        notes=tuple(notes),
        confusion=confusion(found, labels[evaluated]),
        from_bank=True,
    )


def _edges(strengths: list[float], accuracies: list[float], best: int) -> tuple[str, ...]:
    """Return a note if the chosen strength is the strongest or the weakest."""
    edge = edge_of(dict(zip(strengths, accuracies, strict=True)), strengths[best], strengths)
    setting = "strongest" if best == 0 else "weakest"
    return edge_note("L2 strength", setting, edge, strengths)
