"""One recipe: a method at a scale, resolved to settings that remember where each value is from."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from mmbench.errors import UserError, unknown_name
from mmbench.pretrain.recipes.files import (
    DEFAULT_SCALE,
    Earlier,
    Method,
    Scale,
    Statement,
    methods,
    scales,
)

AXES = ("framework", "masking")


def merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Return `base` with the values of `over` on top, section by section.

    A section that names another thing (`name: simclr` over `name: moco`) replaces the whole section.
    """
    result = dict(base)
    for name, value in over.items():
        old = result.get(name)
        result[name] = value
        if isinstance(old, dict) and isinstance(value, dict) and value.get("name") in (None, old.get("name")):
            result[name] = merged(old, value)
    return result


def flat(settings: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield nested settings as ("optimiser.lr", value)."""
    for name, value in settings.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def arm_of(framework: str, masking: str) -> str:
    """Return the name of a pair, which is the arm on the leaderboard; MoCo is the framework that goes unsaid.

    >>> arm_of("moco", "none"), arm_of("moco", "mixmask"), arm_of("simclr", "mixmask")
    ('moco', 'mixmask', 'simclr+mixmask')
    """
    parts = [
        framework if framework != "moco" or masking == "none" else "",
        masking if masking != "none" else "",
    ]
    return "+".join(part for part in parts if part)


@dataclass(frozen=True)
class Recipe:
    """A method at a scale.

    Attributes:
        scale: the scale.
        method: the method whose name was asked for.
        statements: in the order in which they apply.
        earlier: what an earlier version of the scale did otherwise; None in the newest.
        settings: what they come to; `settings["framework"]["name"]` and `settings["masking"]["name"]` exist.
    """

    scale: Scale
    method: Method
    statements: tuple[Statement, ...]
    earlier: Earlier | None = None

    @property
    def id(self) -> str:
        """The versioned id, such as "mixmask@1" (small images) or "mixmask-imagenet@1"."""
        place = "" if self.scale.name == DEFAULT_SCALE else f"-{self.scale.name}"
        version = self.scale.version if self.earlier is None else self.earlier.version
        return f"{self.method.name}{place}@{version + self.method.version - 1}"

    @property
    def arm(self) -> str:
        """The name of the weights on the leaderboard."""
        return arm_of(*(self.settings[axis]["name"] for axis in AXES))

    @property
    def tried(self) -> bool:
        """Whether it was run to its end with mmbench."""
        return self.scale.name in self.method.tried

    @functools.cached_property
    def settings(self) -> dict[str, Any]:
        """The settings that the statements come to, one on top of the other."""
        result: dict[str, Any] = {}
        for statement in self.statements:
            result = merged(result, statement.settings)
        return {"data": self.scale.data[0], **result}

    def sources(self) -> dict[str, Statement]:
        """Return the statement that each value is from, by the setting's full name."""
        found: dict[str, Statement] = {}
        for statement in self.statements:
            found |= {name: statement for name, _ in flat(statement.settings)}
        return {name: found[name] for name, _ in flat(self.settings) if name in found}

    def with_axes(self, framework: str | None = None, masking: str | None = None) -> Recipe:
        """Return the recipe with another framework or masking, as their own methods state them at this scale.

        The id stays that of the recipe which was asked for.
        """
        chosen = list(_stated(self.scale, self.method))
        for axis, name in zip(AXES, (framework, masking), strict=True):
            if name is None or name == self.settings[axis]["name"]:
                continue
            own = methods().get(name.replace("+", "-"))
            chosen = [part for part in chosen if not _about(part, axis)]
            if own is not None and recipe(own, self.scale).settings[axis]["name"] == name:
                chosen += [part for part in _stated(self.scale, own) if _about(part, axis)]
            else:
                chosen.append(Statement(source="defaults of the code", settings={axis: {"name": name}}))
        return replace(self, statements=(*_of_scale(self.scale, self.earlier), *chosen))


def _of_scale(scale: Scale, earlier: Earlier | None) -> tuple[Statement, ...]:
    """Return what a scale states, in its newest version or an earlier one."""
    return scale.stated if earlier is None else (*scale.stated, earlier.statement())


def _stated(scale: Scale, method: Method) -> Iterator[Statement]:
    """Yield what a method states at a scale; what it states of its masking comes by itself."""
    for statement in method.stated:
        if statement.holds_at(scale.name):
            of_masking = {key: value for key, value in statement.settings.items() if key == "masking"}
            rest = {key: value for key, value in statement.settings.items() if key != "masking"}
            for settings in (rest, of_masking):
                if settings:
                    yield statement.model_copy(update={"settings": settings})


def _about(statement: Statement, axis: str) -> bool:
    """Return whether a statement goes with an axis: its masking, or all that the framework asks for."""
    return ("masking" in statement.settings) == (axis == "masking")


@functools.cache
def _recipe(method: str, scale: str) -> Recipe:
    found, place = methods()[method], scales()[scale]
    return _at(place, found)


def _at(scale: Scale, method: Method, earlier: Earlier | None = None) -> Recipe:
    return Recipe(scale, method, (*_of_scale(scale, earlier), *_stated(scale, method)), earlier)


def recipe(method: Method, scale: Scale) -> Recipe:
    """Return the recipe of a method at a scale."""
    return _recipe(method.name, scale.name)


@functools.cache
def recipes() -> dict[str, Recipe]:
    """Return the recipes of all pairs by id."""
    pairs = (recipe(method, scale) for scale in scales().values() for method in methods().values())
    return {found.id: found for found in pairs}


@functools.cache
def earlier_recipes() -> dict[str, Recipe]:
    """Return the recipes of earlier versions that can still be followed, by id."""
    found = (
        _at(scale, method, earlier)
        for scale in scales().values()
        for earlier in scale.earlier
        for method in methods().values()
    )
    return {recipe.id: recipe for recipe in found}


def get_scale(name: str) -> Scale:
    """Return a scale.

    Raises:
        UserError: unknown name (near match named).
    """
    if name not in scales():
        raise unknown_name("scale", name, scales())
    return scales()[name]


def split_name(name: str) -> tuple[Method, Scale | None]:
    """Return the method that a name states, and the scale if it states one.

    A name is that of a method ("mixmask"; "unmix+mixmask" is accepted for "unmix-mixmask"), with a scale
    ("mixmask-imagenet"), or a recipe's id ("mixmask@1", "mixmask-imagenet@1").

    Raises:
        UserError: unknown name (near match named).
    """
    name = name.replace("+", "-")
    if (found := recipes().get(name) or earlier_recipes().get(name)) is not None:
        return found.method, found.scale
    if name in methods():
        return methods()[name], None
    for scale in scales().values():
        method = methods().get(name.removesuffix(f"-{scale.name}"))
        if method is not None:
            return method, scale
    raise unknown_name("method", name, _known(name))


def _known(name: str) -> Iterable[str]:
    return recipes() if "@" in name else methods()


def get_recipe(name: str, scale: str | None = None) -> Recipe:
    """Return a recipe by the name of its method, alone or with its scale.

    Args:
        name: see `split_name`.
        scale: None takes the one that the name states, else the small images.

    Raises:
        UserError: unknown name (near match named), or two scales.
    """
    method, stated = split_name(name)
    earlier = earlier_recipes().get(name.replace("+", "-"))
    if scale is None or (stated is not None and stated.name == scale):
        return earlier or recipe(method, stated or scales()[DEFAULT_SCALE])
    if stated is not None:
        get_scale(scale)
        raise UserError(
            f"--method {name} states scale {stated.name}, not {scale}; use --method {method.name}"
        )
    return recipe(method, get_scale(scale))
