"""A suite's settings without an effect: refused in cells that are new, kept in those that were begun."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from mmbench.errors import UserError
from mmbench.tools.suite.definition.suite import Suite
from mmbench.tools.suite.definition.suite_file import suite_of
from mmbench.tools.suite.folder import SuiteFolder
from mmbench.tools.suite.held import hold
from mmbench.tools.suite.planning.overview import overview
from mmbench.tools.suite.planning.plan import plan_of

LINEAR = {"task": "linear", "protocol": "linear/moco@1"}


def suite(settings: dict[str, Any], transfer: dict[str, Any], **changes: Any) -> Suite:
    """Return a suite of one pretraining and one transfer with settings of their own."""
    stated = {
        "name": "small",
        "data": ["patterns"],
        "arms": [{"name": "mine", "pretrain": {"method": "moco", "settings": settings}}],
        "tasks": [{**LINEAR, "settings": transfer}],
        "seeds": [0],
    }
    return suite_of(yaml.safe_dump({**stated, **changes}), "small.yaml")


@pytest.mark.parametrize(
    ("settings", "transfer", "message"),
    [
        (
            {"optimiser.name": "adamw", "optimiser.momentum": 0.5},
            {},
            r"mine-seed0: setting 'optimiser.momentum' of moco.* = 0.5: has no effect with .*=adamw",
        ),
        (
            {"optimizer.name": "adamw", "optimizer.momentum": 0.5, "batch_size": 64},
            {},
            r"mine-seed0: setting 'optimiser.momentum' of moco.* = 0.5: has no effect with .*=adamw",
        ),
        (
            {},
            {"decay_epochs": [], "decay_factor": 0.5},
            r"mine-seed0 linear/moco@1.*: setting 'decay_factor' of linear/moco@1 = 0.5: has no effect",
        ),
    ],
)
def test_a_setting_without_an_effect_is_refused_in_a_new_cell_alone(
    settings: dict[str, Any], transfer: dict[str, Any], message: str, tmp_path: Path
) -> None:
    stated, folder = suite(settings, transfer), SuiteFolder(tmp_path / "small")
    with pytest.raises(UserError, match=message):
        overview(stated, folder)
    hold(plan_of(stated), folder)  # as an earlier version did
    cells = overview(stated, folder).plan.cells
    assert [cell.work.kind for cell in cells] == ["data", "pretrain", "transfer"]
    with pytest.raises(UserError, match=message.replace("seed0", "seed1")):
        overview(suite(settings, transfer, seeds=[0, 1]), folder)
    grown = suite(settings, transfer, tasks=[{**LINEAR, "settings": transfer}, "knn"])
    assert len(overview(grown, folder).plan.cells) == 4


def test_settings_with_an_effect_are_planned(tmp_path: Path) -> None:
    stated = suite(
        {"optimiser.name": "sgd", "optimiser.momentum": 0.5}, {"decay_epochs": [60], "decay_factor": 0.5}
    )
    assert len(overview(stated, SuiteFolder(tmp_path)).plan.cells) == 3
