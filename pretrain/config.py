"""`resolve_config`: from a method, a scale and a few changes to a whole PretrainConfig."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict, Unpack

from pydantic import ValidationError

from mmbench.errors import UserError, shown, typed, unknown_name
from mmbench.pretrain.recipes.recipe import AXES, Recipe, get_recipe, merged
from mmbench.pretrain.section_settings import require_section_effects
from mmbench.pretrain.settings import SECTIONS, USUAL, PretrainConfig, axis_model, fields_of, read_as
from mmbench.settings.problems import first_problem
from mmbench.settings.values import parse_setting

Overrides = Sequence[str] | Mapping[str, Any]

# Other spellings of settings; what is recorded has one.
SPELLINGS = {"optimizer": "optimiser"}
INNER_SPELLINGS = {
    "optimiser": {"learning_rate": "lr"},
    "batch_norm": {"synchronized": "synchronised"},
}
FIXED = ("method", "recipe")  # stated by name, not by `--set`


class Given(TypedDict, total=False):
    """Settings that have an option of their own; None leaves a setting to the recipe."""

    arch: str | None
    data: str | None
    data_root: Path | None
    epochs: int | None
    seed: int | None
    device: str | None
    threads: int | None


def resolve_config(
    method: str | None = None,
    *,
    scale: str | None = None,
    overrides: Overrides = (),
    stated: Mapping[str, Any] | None = None,
    begun: bool = False,
    **given: Unpack[Given],
) -> PretrainConfig:
    """Return the configuration of a method at a scale: its recipe, then `stated`, then the rest.

    Args:
        method: "mixmask", with its scale "mixmask-imagenet", or a recipe's id "mixmask@1", in place of what
            `stated` names, its framework and masking too; None takes the one of `stated`.
        scale: None takes the one that the method's name states, else the small images. (`plan_run` takes the
            one that fits the data.)
        overrides: "optimiser.lr=0.001", the value in YAML; or {"optimiser.lr": 0.001}. "framework.name" and
            "masking.name" choose another one, with its own settings at this scale.
        stated: settings as in a run folder's settings.yaml, some or all.
        begun: whether a run has these settings already, so that overrides without effect are let pass:
            earlier versions did not refuse them.
        given: settings by keyword, such as `epochs=8`.

    Raises:
        UserError: unknown method or setting (near match named), a value out of range, or an override without
            effect beside the other settings.
    """
    values = canonical(stated or {})
    changes = list(override_pairs(overrides))
    recipe = recipe_of(method, scale, values)
    if method is not None:
        _drop_others(values, {axis: str(recipe.settings[axis]["name"]) for axis in AXES})
    chosen = _axes(recipe, values, changes)
    _drop_others(values, chosen)
    recipe = recipe.with_axes(**chosen)
    values = {name: value for name, value in values.items() if name not in (*FIXED, "scale", "effective")}
    settings = merged(copy.deepcopy(recipe.settings), values)
    settings |= {name: value for name, value in given.items() if value is not None}
    for path, value in changes:
        if path not in {f"{axis}.name" for axis in AXES}:
            _set(settings, path, value)
    stated = {**settings, "method": recipe.arm, "recipe": recipe.id}
    try:
        config = PretrainConfig.model_validate(stated)
    except ValidationError as error:
        raise first_problem(error, stated) from None
    if not begun:
        sections = {"augmentation": config.augmentation, "optimiser": config.optimiser}
        require_section_effects(sections, (path for path, _ in changes), recipe.id)
    return config


def recipe_of(method: str | None, scale: str | None, stated: Mapping[str, Any]) -> Recipe:
    """Return the recipe that is asked for by name, or that settings state.

    Raises:
        UserError: none of them names one, or two disagree.
    """
    recorded = stated.get("recipe")
    if method is None and recorded is not None:
        if scale is not None:
            raise UserError(f"the settings state recipe {recorded}, which has a scale; leave out --scale")
        method = _text(recorded, "recipe")
    scale = scale or (None if stated.get("scale") is None else _text(stated["scale"], "scale"))
    if method is None and stated.get("method") is not None:
        method = _text(stated["method"], "method")
    if method is None:
        raise UserError("no method is named; use --method, such as --method mixmask")
    return get_recipe(method, scale)


def _text(value: object, name: str) -> str:
    if not isinstance(value, str):
        raise UserError(f"setting {name} = {shown(value)}: must be a name")
    return value


def canonical(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings under their recorded names."""
    found: dict[str, Any] = {}
    for name, value in settings.items():
        name = SPELLINGS.get(name, name)
        inner = INNER_SPELLINGS.get(name, {})
        if name in found:
            raise UserError(f"setting {name} is given twice, by two spellings")
        if isinstance(value, Mapping):
            if twice := [inner[key] for key in inner if {key, inner[key]} <= value.keys()]:
                raise UserError(f"setting {name}.{twice[0]} is given twice, by two spellings")
            value = {inner.get(key, key): kept for key, kept in value.items()}
        found[name] = value
    return found


def override_pairs(overrides: Overrides) -> Iterator[tuple[str, Any]]:
    """Yield (full name of a setting, value), with the recorded spelling.

    Raises:
        UserError: two spellings of one setting are given, of which one value would be lost.
    """
    pairs = (
        overrides.items()
        if isinstance(overrides, Mapping)
        else (parse_setting(text, "optimiser.lr=0.001") for text in overrides)
    )
    written: dict[str, str] = {}
    for path, value in pairs:
        section, dot, name = path.partition(".")
        section = SPELLINGS.get(section, section)
        full = f"{section}{dot}{INNER_SPELLINGS.get(section, {}).get(name, name)}"
        if (before := written.setdefault(full, path)) != path:
            raise UserError(f"setting {full} is given twice, as {before} and {path}; remove one of them")
        yield full, value


def _drop_others(values: dict[str, Any], chosen: Mapping[str, str]) -> None:
    """Remove the settings of a framework or a masking that another one was chosen over, in place."""
    for axis, name in chosen.items():
        section = values.get(axis)
        if isinstance(section, dict) and section.get("name", name) != name:
            del values[axis]


def _axes(recipe: Recipe, stated: Mapping[str, Any], changes: list[tuple[str, Any]]) -> dict[str, str]:
    """Return the names of framework and masking: the recipe's, what settings state, then the changes.

    Raises:
        UserError: not a name, or unknown (near match named).
    """
    chosen = {axis: str(recipe.settings[axis]["name"]) for axis in AXES}
    wanted = [
        (f"{axis}.name", stated[axis]["name"])
        for axis in AXES
        if isinstance(stated.get(axis), dict) and "name" in stated[axis]
    ]
    for place, (path, value) in enumerate([*wanted, *changes]):
        axis = path.removesuffix(".name")
        if path.endswith(".name") and axis in AXES:
            if not isinstance(value, str):
                given = f"setting {path}" if place < len(wanted) else f"--set {path}"
                raise UserError(
                    f"{given}: {shown(value)} is not a name{read_as(value)}; "
                    f'write one, such as "{USUAL[axis]}"'
                )
            axis_model(axis, value)
            chosen[axis] = value
    return chosen


def _set(settings: dict[str, Any], path: str, value: Any) -> None:
    """Set one "a.b" in place.

    Raises:
        UserError: there is no such setting (near match named), or it is a section.
    """
    if path in SECTIONS:
        raise UserError(f"--set {path}: set its settings one by one, such as --set {SECTIONS[path]}")
    section, dot, rest = path.partition(".")
    _require_known(section, set(PretrainConfig.model_fields) - set(FIXED))
    if not dot:
        settings[section] = value
        return
    if section not in SECTIONS:
        raise UserError(f"--set {typed(path)}: '{section}' holds no settings of its own")
    name, dot, _ = rest.partition(".")
    _require_known(name, fields_of(section, settings), section)
    if dot:
        raise UserError(f"--set {typed(path)}: '{section}.{name}' holds no settings of its own")
    settings[section] = {**settings.get(section, {}), name: value}


def _require_known(name: str, known: set[str], section: str = "") -> None:
    if name not in known:
        raise unknown_name(f"setting{f' of {section}' if section else ''}", name, known)
