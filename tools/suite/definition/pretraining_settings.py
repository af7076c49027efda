"""Settings of a suite's pretrainings: checked without torch where they are of light sections alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from mmbench.errors import UserError
from mmbench.pretrain.recipes.recipe import Recipe, get_recipe
from mmbench.pretrain.section_settings import (
    AugmentationSettings,
    OptimiserSettings,
    require_section_effects,
)
from mmbench.tools.suite.definition.suite import Pretraining
from mmbench.tools.suite.planning.cell import PretrainWork

LIGHT_SECTIONS: dict[str, type[BaseModel]] = {
    "optimiser": OptimiserSettings,
    "augmentation": AugmentationSettings,
}
# Fields of `Pretraining`, or what the suite decides.
NOT_SETTINGS = (
    "method",
    "recipe",
    "scale",
    "arch",
    "epochs",
    "data",
    "data_root",
    "seed",
    "device",
    "threads",
)


def check_settings(stated: Pretraining, recipe: Recipe, data: str, arch: str | None) -> None:
    """Check the settings and the epochs of a pretraining.

    Raises:
        UserError: an unknown setting, a value out of range, or a setting that has a field of its own.
    """
    for setting in stated.settings:
        if setting in NOT_SETTINGS:
            raise UserError(f"settings: '{setting}' has a field of its own, in the suite or beside `method`")
    sections = _light_sections(recipe, stated.settings)
    if stated.settings and (sections is None or not _warms_up(recipe, sections, stated.epochs)):
        from mmbench.pretrain.config import resolve_config  # imports torch

        resolve_config(
            stated.method,
            scale=stated.scale,
            overrides=stated.settings,
            begun=True,  # effects are checked of the cells that are new
            arch=arch,
            data=data,
            epochs=stated.epochs,
        )
    elif stated.epochs is not None and _warmup_of(recipe) > stated.epochs:
        raise UserError(
            f"epochs {stated.epochs} are fewer than the {_warmup_of(recipe)} of the recipe's warm-up; state "
            "more, or settings: {optimiser.warmup_epochs: 0}"
        )


def require_pretraining_effects(work: PretrainWork) -> None:
    """Check that every setting that a suite states of a pretraining has an effect.

    Raises:
        UserError: one has none.
    """
    recipe = get_recipe(work.method, work.scale)
    sections = _light_sections(recipe, work.settings)
    if sections is not None:
        require_section_effects(sections, work.settings, recipe.id)
        return
    from mmbench.pretrain.config import resolve_config

    resolve_config(
        work.method,
        scale=work.scale,
        overrides=work.settings,
        arch=work.arch,
        data=work.data,
        epochs=work.epochs,
    )


def _light_sections(recipe: Recipe, settings: Mapping[str, Any]) -> dict[str, BaseModel] | None:
    """Return the light sections of a recipe with settings in place of its own; None if others are stated.

    Those that are not valid count as others, which are checked with the whole configuration.
    """
    changed: dict[str, dict[str, Any]] = {section: {} for section in LIGHT_SECTIONS}
    for name, value in settings.items():
        section, _, field = name.partition(".")
        if section not in LIGHT_SECTIONS or field not in LIGHT_SECTIONS[section].model_fields:
            return None
        changed[section][field] = value
    try:
        return {
            section: LIGHT_SECTIONS[section].model_validate({**recipe.settings.get(section, {}), **values})
            for section, values in changed.items()
        }
    except ValidationError:
        return None


def _warmup_of(recipe: Recipe) -> Any:
    return recipe.settings.get("optimiser", {}).get("warmup_epochs", 0)


def _warms_up(recipe: Recipe, sections: Mapping[str, BaseModel], epochs: int | None) -> bool:
    """Return whether the warm-up ends within the run."""
    warmup = float(dict(sections["optimiser"])["warmup_epochs"])
    return warmup <= (epochs or recipe.settings.get("epochs", 0))
