"""Settings that a suite states are to have an effect in every cell that is new to its folder."""

from __future__ import annotations

import json
from collections.abc import Iterable

from mmbench.errors import UserError
from mmbench.tools.suite.definition.pretraining_settings import require_pretraining_effects
from mmbench.tools.suite.planning.cell import Cell, DataWork, PretrainWork
from mmbench.transfer.resolution import resolve_task


def require_effects_in(cells: Iterable[Cell]) -> None:
    """Check that what a suite states has an effect in these cells.

    Args:
        cells: that are new: earlier versions did not check that, and what they began is finished as it is.

    Raises:
        UserError: a setting has none; the first cell with it is named.
    """
    checked: set[str] = set()
    for cell in cells:
        work = cell.work
        if isinstance(work, DataWork) or not work.settings:
            continue
        content = work.model_dump(mode="json", exclude={"arm", "seed", "weights", "weights_seed"})
        if (key := json.dumps(content, sort_keys=True)) in checked:
            continue
        checked.add(key)
        try:
            if isinstance(work, PretrainWork):
                require_pretraining_effects(work)
            else:
                resolve_task(work.task, work.protocol, work.settings, work.data).require_effects()
        except UserError as error:
            raise UserError(f"{cell.name}: {error}") from None
