"""Multinomial logistic regression at its optimum by Newton's method, for a path of strengths.

Each Newton step is solved by conjugate gradients (CG) in float32, preconditioned by the factorised Hessian of
an earlier fit; loss and gradient are float64, so that float32 limits the speed of a fit and not its optimum.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from mmbench.transfer.probes.logistic import Head

# A fit ends after a step that was to lower the loss by less than this share; it lowers what is left of it by
# the square of the precision of the step.
CHOICE, EXACT = 1e-6, 1e-9
LEAST_WEIGHT = 1e-6  # of an image in the Hessian, over the largest; images below it are left out of CG
FEW_ROWS = 0.6  # share of the images below which copying them pays
FEWEST_STEPS = 20  # CG steps with one preconditioner before another is made
EASY = 10  # CG steps of a fit that needs no new factor
SUFFICIENT, SHORTEST = 1e-4, 1e-6  # of the line search: Armijo's constant, the shortest step
UNSEEN_GAIN = 1e-11  # share of the loss below which float64 cannot tell whether a step lowers it
SLOW = 0.5  # share of the last gradient above which float64 sees no more progress


@dataclass(frozen=True)
class Fit:
    """The optimum of one strength, and what the fit of the next one begins with.

    Attributes:
        head: the classifier.
        before: the optima of the last two strengths, the newest first; the next is extrapolated from them.
        basis: the classifier whose Hessian is the preconditioner.
        factored: the strength at which it was factorised.
        steps: CG steps of this fit.
        since: CG steps with this preconditioner.
    """

    head: Head
    before: tuple[Head, ...]
    basis: Head
    factored: float
    steps: int = 0
    since: int = 0


class Newton:
    """The multinomial loss of features: mean cross-entropy + strength / 2 * |weight|^2; the bias is free.

    Args:
        features: (N, C), float64, on the device where everything is computed; best without their mean.
        labels: int64, (N,), on the same device; each of the classes has an image.
        classes: their number.
        iterations: most CG steps per fit; each reads the features once or twice.
    """

    def __init__(self, features: Tensor, labels: Tensor, classes: int, iterations: int) -> None:
        self.features, self.single = features, features.float()
        self.labels, self.classes, self.iterations = labels, classes, iterations
        self._hessian: tuple[Head, Tensor] | None = None
        self._factor: tuple[Head, float, Tensor] | None = None

    def fit(self, strength: float, start: Fit | None, tolerance: float | None = None) -> Fit:
        """Return the optimum.

        Args:
            strength: of the regularisation, above 0.
            start: the fit of a similar strength.
            tolerance: largest gradient entry of an exact fit; None ends a fit when it can be compared.
        """
        start = self._started(strength, start)
        point, logits = self._nearest(strength, start)
        loss, left, spent = self._loss(point, logits, strength), self.iterations, 0
        share = CHOICE if tolerance is None else EXACT
        forcing = 0.1 if tolerance is None else 0.01
        sure, before = False, float("inf")
        while True:
            probability = logits.softmax(dim=1)
            error = probability.clone()
            error[torch.arange(len(error), device=error.device), self.labels] -= 1
            gradient = torch.cat((error.T @ self.features, error.sum(dim=0)[:, None]), dim=1) / len(error)
            gradient[:, :-1] += strength * point[:, :-1]
            largest = float(gradient.abs().max())
            if sure and (tolerance is None or largest <= tolerance or largest > SLOW * before):
                sure = tolerance is None or largest <= tolerance
                break
            if left <= 0:
                sure = False
                break
            before = largest if sure else float("inf")
            step, used = self._direction(gradient, probability, strength, start, left, forcing)
            spent, left = spent + used, left - used
            gain = -float((gradient * step).sum()) / 2  # by which Newton's step is to lower the loss
            moved = self.features @ step[:, :-1].T + step[:, -1]
            length = 1.0
            while gain > UNSEEN_GAIN * loss and length >= SHORTEST:
                lower = self._loss(point + length * step, logits + length * moved, strength)
                if lower <= loss - 2 * SUFFICIENT * length * gain:
                    break
                length /= 2
            sure = length == 1 and gain <= share * loss
            if length < SHORTEST:
                break
            point, logits = point + length * step, logits + length * moved
            loss = self._loss(point, logits, strength)
        head = Head(point[:, :-1].clone(), point[:, -1].clone(), converged=sure)
        return replace(start, head=head, steps=spent, since=start.since + spent)

    def _started(self, strength: float, start: Fit | None) -> Fit:
        """Return what a fit begins with: a new preconditioner if the last one was slow."""
        if start is None:
            width = self.features.shape[1]
            zero = Head(self.features.new_zeros(self.classes, width), self.features.new_zeros(self.classes))
            return Fit(zero, (), zero, strength)
        before = (start.head, *start.before)[:3]
        if start.since >= max(FEWEST_STEPS, self.features.shape[1] // (2 * self.classes)):
            return Fit(start.head, before, start.head, strength)
        factored = strength if start.steps > EASY else start.factored
        return replace(start, before=before, factored=factored)

    def _nearest(self, strength: float, start: Fit) -> tuple[Tensor, Tensor]:
        """Return the better of the last optimum and its extrapolation, and its logits."""
        points = [
            torch.cat((head.weight, head.bias[:, None]), dim=1) for head in (start.before or (start.head,))
        ]
        candidates = [points[0]]
        if len(points) == 2:
            candidates.append(2 * points[0] - points[1])
        elif len(points) == 3:
            candidates.append(3 * (points[0] - points[1]) + points[2])
        found = [(point, self.features @ point[:, :-1].T + point[:, -1]) for point in candidates]
        return min(found, key=lambda pair: self._loss(pair[0], pair[1], strength))

    def _loss(self, point: Tensor, logits: Tensor, strength: float) -> float:
        return float(F.cross_entropy(logits, self.labels) + strength / 2 * point[:, :-1].square().sum())

    def _direction(
        self,
        gradient: Tensor,
        probability: Tensor,
        strength: float,
        start: Fit,
        most: int,
        forcing: float,
    ) -> tuple[Tensor, int]:
        """Return Newton's step (classes, C + 1) to the precision `forcing`, and the CG steps that it took."""
        shares = probability.float()
        weight = 1 - shares.square().sum(dim=1)
        rows = (weight > LEAST_WEIGHT * weight.max()).nonzero()[:, 0]
        seen = self.single
        if len(rows) < FEW_ROWS * len(shares):
            seen, shares = seen[rows], shares[rows]
        count = len(probability)
        factor = self._preconditioner(start)

        def hessian(of: Tensor) -> Tensor:
            change = shares * (seen @ of[:, :-1].T + of[:, -1])
            change = (change - shares * change.sum(dim=1, keepdim=True)) / count
            product = torch.cat((change.T @ seen, change.sum(dim=0)[:, None]), dim=1)
            product[:, :-1] += strength * of[:, :-1]
            return product

        def preconditioned(of: Tensor) -> Tensor:
            return torch.cholesky_solve(of.T.contiguous(), factor).T

        size = gradient.abs().max()
        if size == 0:
            return torch.zeros_like(gradient), 0
        rest = (-gradient / size).float()
        step, ahead = torch.zeros_like(rest), preconditioned(rest)
        norm = first = float((rest * ahead).sum())
        used = 0
        while used < most:
            used += 1
            product = hessian(ahead)
            curvature = float((ahead * product).sum())
            if not curvature > 0:  # float32 sees no more progress
                break
            step += norm / curvature * ahead
            rest -= norm / curvature * product
            turned = preconditioned(rest)
            new = float((rest * turned).sum())
            if not new > forcing**2 * first:
                break
            ahead, norm = turned + new / norm * ahead, new
        return step.double() * size, used

    def _preconditioner(self, start: Fit) -> Tensor:
        """Return the Cholesky factor (C + 1, C + 1) of the Hessian at the basis, as if all classes had one.

        An image weighs as much as the mean eigenvalue of its block, (1 - sum of squared probabilities) /
        (classes - 1).
        """
        if self._factor is not None and self._factor[0] is start.basis and self._factor[1] == start.factored:
            return self._factor[2]
        if self._hessian is None or self._hessian[0] is not start.basis:
            head = start.basis
            shares = (self.single @ head.weight.float().T + head.bias.float()).softmax(dim=1)
            weight = (1 - shares.square().sum(dim=1)) / (self.classes - 1) / len(shares)
            rows = (weight > LEAST_WEIGHT * weight.max()).nonzero()[:, 0]
            seen = self.single[rows] * weight[rows].sqrt()[:, None]
            seen = torch.cat((seen, weight[rows].sqrt()[:, None]), dim=1)
            self._hessian = head, seen.T @ seen
        matrix = self._hessian[1].clone()
        matrix.diagonal()[:-1].add_(start.factored)
        factor: Tensor
        most = float(matrix.diagonal().max())
        for jitter in (1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2):
            matrix.diagonal().add_(jitter * most)
            factor, failed = torch.linalg.cholesky_ex(matrix)
            if not failed:
                break
        else:
            factor = torch.diag_embed(matrix.diagonal().sqrt())
        self._factor = start.basis, start.factored, factor
        return factor
