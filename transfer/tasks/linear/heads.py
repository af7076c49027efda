"""Many linear classifiers trained at once on the same features, as one wide matrix product."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor
from torch.nn import functional as F

HEAD_STD = 0.01  # MoCo's main_lincls.py draws the head's weights from N(0, 0.01^2); the bias starts at zero
BATCH_NORM_MOMENTUM, EPSILON = 0.1, 1e-5


@dataclass(frozen=True)
class HeadRecipe:
    """The hyperparameters of one head.

    Attributes:
        learning_rate: at the start.
        weight_decay: of SGD, on weight and bias.
        batch_norm: whether features go through a batch norm without scale and bias first.
    """

    learning_rate: float
    weight_decay: float
    batch_norm: bool

    def __str__(self) -> str:
        norm = "with" if self.batch_norm else "without"
        return f"learning rate {self.learning_rate:g}, weight decay {self.weight_decay:g}, {norm} batch norm"


def recipes(
    learning_rates: Sequence[float], weight_decays: Sequence[float], batch_norm: Sequence[bool]
) -> list[HeadRecipe]:
    """Return every combination."""
    return [HeadRecipe(*values) for values in product(learning_rates, weight_decays, batch_norm)]


class LinearHeads:
    """H linear classifiers on the same features, each trained by SGD with momentum as if it were alone.

    All start from the same weights, so a head does not depend on its neighbours. The gradient of mean
    cross-entropy is written out: (softmax - one-hot) / batch, times the features.

    Attributes:
        weight, bias: (H, classes, C) and (H, classes).
    """

    def __init__(
        self,
        recipes: Sequence[HeadRecipe],
        width: int,
        classes: int,
        momentum: float,
        generator: torch.Generator,
        device: torch.device,
    ) -> None:
        # Heads with batch norm last: each kind is then one block of rows.
        self.recipes = sorted(recipes, key=lambda recipe: recipe.batch_norm)
        self.plain = sum(not recipe.batch_norm for recipe in self.recipes)
        self.momentum = momentum
        count = len(self.recipes)
        start = torch.randn((classes, width), generator=generator) * HEAD_STD
        self.weight = start.repeat(count, 1, 1).to(device)
        self.bias = torch.zeros((count, classes), device=device)
        self._weight_speed, self._bias_speed = torch.zeros_like(self.weight), torch.zeros_like(self.bias)
        self._rates = torch.tensor([recipe.learning_rate for recipe in self.recipes], device=device)
        self._decays = torch.tensor([recipe.weight_decay for recipe in self.recipes], device=device)
        self._mean, self._variance = torch.zeros(width, device=device), torch.ones(width, device=device)

    def _inputs(self, features: Tensor, training: bool) -> list[tuple[slice, Tensor]]:
        """Return (rows of heads, what they see)."""
        inputs = [(slice(0, self.plain), features)] if self.plain else []
        if self.plain < len(self.recipes):
            normed = F.batch_norm(
                features,
                self._mean,
                self._variance,
                training=training,
                momentum=BATCH_NORM_MOMENTUM,
                eps=EPSILON,
            )
            inputs.append((slice(self.plain, len(self.recipes)), normed))
        return inputs

    def state_dict(self) -> dict[str, Tensor]:
        """Return everything that training changes."""
        return {
            "weight": self.weight,
            "bias": self.bias,
            "weight_speed": self._weight_speed,
            "bias_speed": self._bias_speed,
            "mean": self._mean,
            "variance": self._variance,
        }

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore it."""
        for name, tensor in self.state_dict().items():
            tensor.copy_(state[name])

    @torch.no_grad()
    def step(self, features: Tensor, labels: Tensor, factor: float = 1.0) -> None:
        """Take one step of every head.

        Args:
            features: (N, C).
            labels: int64, (N,).
            factor: what every learning rate is multiplied by at this step.
        """
        _, classes, width = self.weight.shape
        truth = labels * len(labels) + torch.arange(len(labels), device=labels.device)
        minus_one = features.new_full((1, len(labels)), -1)
        for rows, seen in self._inputs(features, training=True):
            weight, bias = self.weight[rows], self.bias[rows]
            # Images last: with the classes last, softmax would take as long as the products.
            logits = torch.addmm(bias.reshape(-1, 1), weight.reshape(-1, width), seen.T)
            error = logits.view(-1, classes, len(seen)).softmax(dim=1)
            # Adding to a flat index takes a sixth of the time of error[:, labels, images] -= 1.
            error.flatten(1).index_add_(1, truth, minus_one.expand(len(error), -1))
            error = error.div_(len(seen)).view(-1, len(seen))
            weight_speed, bias_speed = self._weight_speed[rows], self._bias_speed[rows]
            # The gradient goes straight into the momentum: of many classes it is as large as all weights.
            weight_speed.view(-1, width).addmm_(error, seen, beta=self.momentum)
            bias_speed.mul_(self.momentum).add_(error.sum(dim=1).view_as(bias))
            decay, rate = self._decays[rows], factor * self._rates[rows]
            for value, speed in ((weight, weight_speed), (bias, bias_speed)):
                shape = (-1, *[1] * (value.ndim - 1))
                speed.addcmul_(value, decay.view(shape))
                value.addcmul_(speed, rate.view(shape), value=-1)

    @torch.no_grad()
    def logits(self, features: Tensor, head: int | None = None) -> Tensor:
        """Return logits (N, H, classes), or (N, classes) of one head."""
        _, classes, width = self.weight.shape
        if head is not None:
            inputs = self._inputs(features, training=False)
            (seen,) = [seen for rows, seen in inputs if rows.start <= head < rows.stop]
            return F.linear(seen, self.weight[head], self.bias[head])
        parts = [
            F.linear(seen, self.weight[rows].reshape(-1, width), self.bias[rows].reshape(-1))
            for rows, seen in self._inputs(features, training=False)
        ]
        return torch.cat(parts, dim=1).view(len(features), -1, classes)

    def accuracies(self, features: Tensor, labels: Tensor, chunk: int = 1024) -> list[float]:
        """Return the top-1 share of every head; a head with a single logit that is not finite has 0.

        Args:
            features: (N, C).
            labels: int64, (N,).
            chunk: images whose logits are in memory at a time (24 heads of 1000 classes: 100 MB).
        """
        hits = torch.zeros(len(self.recipes), dtype=torch.int64, device=self.weight.device)
        sound = torch.ones_like(hits, dtype=torch.bool)
        for part, truth in zip(torch.split(features, chunk), torch.split(labels, chunk), strict=True):
            logits = self.logits(part.to(self.weight.device).float())
            hits += (logits.argmax(dim=2) == truth.to(self.weight.device)[:, None]).sum(dim=0)
            sound &= logits.isfinite().all(dim=2).all(dim=0)
        shares: list[float] = ((hits * sound).double() / len(labels)).tolist()
        return shares
