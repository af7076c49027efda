"""From what a user asks for to what is run: recipe, the scale that fits the data, and what to say of it."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mmbench.data import DATASETS, Dataset
from mmbench.errors import UserError
from mmbench.home import at_home, home_path
from mmbench.pretrain.config import Given, Overrides, canonical, override_pairs, recipe_of, resolve_config
from mmbench.pretrain.recipes.recipe import AXES, Recipe, earlier_recipes, split_name
from mmbench.pretrain.scale_choice import Choice, misfit, scale_for
from mmbench.pretrain.settings import PretrainConfig
from mmbench.runs import RunFolder, read_settings


@dataclass(frozen=True)
class RunPlan:
    """What is going to be run.

    Attributes:
        config: the whole configuration.
        recipe: where its settings come from.
        lines: for the user: recipe, scale and why, then warnings, then what is run.
        dataset: the data, where they had to be opened for the choice of the scale.
    """

    config: PretrainConfig
    recipe: Recipe
    lines: tuple[str, ...]
    dataset: Dataset | None

    @property
    def reusable_data(self) -> Dataset | None:
        """The data, so that they are not opened twice; None where the run needs labels."""
        return None if self.config.knn_every else self.dataset


def recipe_begun(folder: RunFolder) -> str | None:
    """Return the id of the recipe by which the run in a folder was begun; None where none was.

    Raises:
        UserError: its settings are damaged.
    """
    if not folder.settings.is_file():
        return None
    return str(read_settings(folder.settings).get("recipe", ""))


@dataclass(frozen=True)
class RunRequest:
    """What a user asks for; everything left out is decided by the recipe, and the scale by the data.

    Attributes:
        method: see `resolve_config`.
        scale: name of a scale.
        overrides: changed settings, by text or by name.
        stated: settings of a file.
        given: settings that have an option of their own.
        dataset: used instead of opening the data, and named as the data where nothing else is.
        begun: id of the recipe by which the run in the folder was begun; None where none was. An earlier
            version of what is asked for is then followed, and what `resolve_config` says of begun runs holds.
    """

    method: str | None = None
    scale: str | None = None
    overrides: Overrides = ()
    stated: Mapping[str, Any] = field(default_factory=dict)
    given: Given = field(default_factory=Given)
    dataset: Dataset | None = None
    begun: str | None = None

    def __post_init__(self) -> None:
        """Name the data that are open already, so that settings do not state the scale's own."""
        if self.dataset is None or self._asked().get("data"):
            return
        name, root = self.dataset.name, self.dataset.root
        named: Given = {**self.given, "data": name}
        if name in DATASETS.names():
            if root.name == name and not self._asked().get("data_root"):
                named["data_root"] = root.parent
        elif root.name == name and root.exists():
            named["data"] = str(root)
        object.__setattr__(self, "given", named)

    def _asked(self) -> dict[str, Any]:
        """Return the settings that are asked for anywhere; those that are None are not."""
        asked = {**canonical(self.stated)}
        asked |= {name: value for name, value in self.given.items() if value is not None}
        return asked | dict(override_pairs(self.overrides))

    def data(self) -> tuple[str, Path]:
        """Return the name or path of the data, and the folder with one folder per data set."""
        asked = self._asked()
        data = asked.get("data") or recipe_of(self.method, self.scale, canonical(self.stated)).scale.data[0]
        return at_home(str(data)), home_path(str(asked.get("data_root") or "data"))

    def plan(self) -> RunPlan:
        """Return what is going to be run.

        Raises:
            UserError: unknown method, scale or setting (near match named); a value out of range; no data.
        """
        if (earlier := self._earlier()) is not None:
            return replace(self, method=earlier, scale=None).plan()
        recipe = recipe_of(self.method, self.scale, canonical(self.stated))
        config = self.resolved()
        if self.method is not None and self.method == self.begun:
            reason, warning, dataset = "it was begun by this version", None, self.dataset
        elif self.method is None and self.stated.get("recipe") is not None:
            reason, warning, dataset = "stated by the settings", None, self.dataset
        else:
            choice, dataset = self._choice()
            by = self._scale_stated_by()
            if by is None:
                reason, warning = choice.reason, None
                recipe = recipe_of(self.method, choice.scale.name, canonical(self.stated))
                config = self.resolved(choice.scale.name)
            else:
                reason, warning = f"chosen by {by}", misfit(recipe.scale, config.data, choice)
        recipe = recipe.with_axes(*(getattr(config, axis)["name"] for axis in AXES))
        remark = "" if recipe.tried else " (not yet run to its end by us)"
        if recipe.earlier is not None:
            remark = f" (an earlier version: {recipe.earlier.why})"
        first = f"recipe {recipe.id}{remark}, scale {recipe.scale.name}: {reason}"
        return RunPlan(config, recipe, (first, *([warning] if warning else []), config.in_words()), dataset)

    def _choice(self) -> tuple[Choice, Dataset | None]:
        """Return the scale that fits the data, and these where they had to be opened.

        Of data that cannot be opened it is that of the run that has begun: a finished one needs no data, and
        another one says what is wrong with them when it opens them itself.

        Raises:
            UserError: no run has begun, and the data are not known or not there.
        """
        try:
            return scale_for(*self.data(), self.dataset)
        except UserError:
            with contextlib.suppress(UserError):  # the recipe of another version or package
                if self.begun:
                    return Choice(
                        recipe_of(self.begun, None, {}).scale, f"the run was begun by {self.begun}"
                    ), None
            raise

    def _earlier(self) -> str | None:
        """Return the recipe by which the run was begun, if it is an earlier version of what is asked for.

        A method that is asked for with a version is that version.
        """
        begun = earlier_recipes().get(self.begun or "")
        if begun is None or self.method is None or "@" in self.method:
            return None
        method, scale = split_name(self.method)
        asked = self.scale or (begun.scale.name if scale is None else scale.name)
        return begun.id if (method.name, asked) == (begun.method.name, begun.scale.name) else None

    def _scale_stated_by(self) -> str | None:
        """Return what states the scale, None if nothing does."""
        if self.scale is not None:
            return "--scale"
        name = self.method or self.stated.get("method")
        if isinstance(name, str) and split_name(name)[1] is not None:
            return f"--method {name}"
        return "the settings" if self.stated.get("scale") is not None else None

    def resolved(self, scale: str | None = None) -> PretrainConfig:
        """Return the configuration at a scale, without a look at the data.

        Args:
            scale: None takes the one that is asked for, else the small images.
        """
        scale = scale or self.scale
        return resolve_config(
            self.method,
            scale=scale,
            overrides=self.overrides,
            stated=self.stated,
            begun=self.begun is not None,
            **self.given,
        )
