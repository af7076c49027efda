"""Weights that are no longer numbers are neither saved nor exported."""

import math
from pathlib import Path

import pytest
import torch
from small_runs import same, small

from mmbench.data import Dataset
from mmbench.errors import UserError
from mmbench.pretrain.engine import pretrain
from mmbench.pretrain.trainer import StepReport, Trainer
from mmbench.runs import RunFolder

STEPS, PER_EPOCH = 12, 6


def diverge_after(monkeypatch: pytest.MonkeyPatch, wanted: int, name: str, bad: float) -> None:
    """Let step number `wanted` leave `bad` in a tensor, as one of far too large a rate does."""
    step = Trainer.step

    def diverging(self: Trainer) -> StepReport:
        done = step(self)
        if done.step == wanted:
            with torch.no_grad():
                tensor = self.framework.state_dict()[name]
                tensor[tuple(-1 for _ in tensor.shape)] = bad
        return done

    monkeypatch.setattr(Trainer, "step", diverging)


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("backbone.conv1.weight", math.nan),
        ("backbone.conv1.weight", math.inf),
        ("backbone.bn1.running_var", math.nan),
        ("queue", math.nan),
    ],
)
def test_the_last_step_counts(
    tiny: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, bad: float
) -> None:
    diverge_after(monkeypatch, STEPS, name, bad)
    with pytest.raises(
        UserError, match=rf"{name} is not finite after step {STEPS}; .*--set optimiser\.lr="
    ) as caught:
        pretrain(small(), tmp_path / "run", dataset=tiny)
    folder = RunFolder(tmp_path / "run")
    assert "\n" not in str(caught.value)
    assert not folder.finished and not folder.weights.exists() and not folder.card.exists()
    assert [path.name for path in folder.state_paths()] == [f"step-{PER_EPOCH:08d}.pth"]
    assert str(folder.state_paths()[0]) in str(caught.value)


def test_a_saved_state_is_finite_and_the_run_goes_on_from_it(
    finished: RunFolder, tiny: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        diverge_after(patched, STEPS, "backbone.conv1.weight", math.nan)
        with pytest.raises(UserError, match="not finite"):
            pretrain(small(), tmp_path / "run", dataset=tiny)
    folder = pretrain(small(), tmp_path / "run", dataset=tiny)
    assert folder.finished and same(folder, finished)


def killed(*arguments: object) -> None:
    raise ProcessLookupError("killed between the last step and the export")


def test_an_old_state_that_is_not_finite_is_not_exported(
    tiny: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Written at the last step by a version that did not look."""
    with monkeypatch.context() as patched:
        diverge_after(patched, STEPS, "backbone.conv1.weight", math.nan)
        patched.setattr("mmbench.pretrain.session.require_finite", lambda trainer, folder: None)
        patched.setattr("mmbench.pretrain.engine.export", killed)
        with pytest.raises(ProcessLookupError):
            pretrain(small(), tmp_path / "run", dataset=tiny)
    with pytest.raises(UserError, match="not finite after step 12"):
        pretrain(small(), tmp_path / "run", dataset=tiny)
    assert not RunFolder(tmp_path / "run").finished
