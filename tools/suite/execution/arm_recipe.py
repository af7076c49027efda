"""The recipe by which a suite began an arm: its other seeds follow the same version."""

from __future__ import annotations

from mmbench.errors import UserError
from mmbench.runs import RunFolder, read_settings
from mmbench.tools.suite.folder import SuiteFolder
from mmbench.tools.suite.planning.cell import PretrainWork


def arm_recipe(folder: SuiteFolder, work: PretrainWork) -> str | None:
    """Return the id of the recipe by which runs of an arm were begun; None where there is none yet.

    Versions of recipes change with mmbench's own; runs by two of them would not be seeds of one row.
    """
    own = RunFolder(folder.runs / work.folder)
    others = (RunFolder(path.parent) for path in sorted(folder.runs.glob("*/settings.yaml")))
    for run in (own, *others):
        try:
            settings = read_settings(run.settings)
        except (OSError, UserError):
            continue  # not begun; a damaged one is reported where it is trained
        of_seed = work.model_copy(update={"seed": settings.get("seed")})
        if of_seed.folder == run.root.name and isinstance(recipe := settings.get("recipe"), str):
            return recipe
    return None
