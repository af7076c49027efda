"""Recipes: versioned YAML files, one per method; what methods share stands once, in their base."""

from __future__ import annotations

import functools
from importlib import resources
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field

from mmbench.errors import unknown_name


class Recipe(BaseModel):
    """One recipe file.

    Attributes:
        id: `name@version`; a change of anything that changes numbers is a new version.
        method: the method, which is the arm that its weights appear under.
        title: one line for people.
        base: name of a file `_NAME.yaml` whose settings come first.
        source: paper, section or repository.
        differs: where it differs from the source.
        tried: whether this recipe was ever run to its end here; False marks a recipe kept as data.
        settings: of PretrainConfig.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(pattern=r"^[a-z0-9_-]+@[0-9]+$")
    method: str
    title: str
    base: str | None = None
    source: str
    differs: str
    tried: bool
    settings: dict[str, Any]


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


@functools.cache
def recipes() -> dict[str, Recipe]:
    """Return every shipped recipe by id, base settings filled in."""
    folder = resources.files(__name__)
    found: dict[str, Recipe] = {}
    for entry in folder.iterdir():
        if entry.name.endswith(".yaml") and not entry.name.startswith("_"):
            recipe = Recipe.model_validate(yaml.safe_load(entry.read_text(encoding="utf-8")))
            if recipe.base is not None:
                text = (folder / f"_{recipe.base}.yaml").read_text(encoding="utf-8")
                recipe = recipe.model_copy(update={"settings": merged(yaml.safe_load(text), recipe.settings)})
            found[recipe.id] = recipe
    return found


def get_recipe(name: str) -> Recipe:
    """Return a recipe by id ("mixmask@1") or by name ("mixmask": its newest version).

    The "+" of "unmix+mixmask" may stand for the "-" of its recipe.

    Raises:
        UserError: there is none (near match named).
    """
    name = name.replace("+", "-")
    if name in recipes():
        return recipes()[name]
    versions = [recipe for recipe in recipes().values() if recipe.id.partition("@")[0] == name]
    if not versions:
        known = recipes() if "@" in name else {recipe_id.partition("@")[0] for recipe_id in recipes()}
        raise unknown_name("method", name, known)
    return max(versions, key=lambda recipe: int(recipe.id.partition("@")[2]))
