"""A diverged training is one line that says what to change."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mmbench.errors import UserError
from mmbench.transfer.dense.common.divergence import Divergence

CHECKS = Divergence("detection", 0.02)
ADVICE = r"lower learning_rate, such as --set learning_rate=0\.002, or lengthen warmup_iterations"


def test_weights_that_are_not_finite_are_named() -> None:
    model = nn.Linear(2, 2)
    CHECKS.check_weights(model)
    with torch.no_grad():
        model.bias[1] = torch.inf
    with pytest.raises(UserError, match=rf"detection diverged \(bias is not finite after .*; {ADVICE}"):
        CHECKS.check_weights(model)


def test_finite_weights_with_scores_that_are_not_are_noticed() -> None:
    model = nn.Linear(2, 1, bias=False)
    with torch.no_grad(), CHECKS.watched(model):
        model(torch.ones(1, 2))
        model.weight.fill_(3e38)
    with pytest.raises(UserError, match=rf"its scores are not finite\); {ADVICE}"), CHECKS.watched(model):
        model(torch.ones(1, 2))


def test_an_error_inside_the_evaluation_is_kept() -> None:
    with pytest.raises(KeyError, match="inside"), CHECKS.watched(nn.Identity()):
        raise KeyError("inside")
