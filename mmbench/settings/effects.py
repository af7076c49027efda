"""Settings that have an effect only where others have certain values: refused where they have none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from mmbench.errors import UserError, shown


class OnlyWith:
    """Mark of a setting, in `Annotated[...]`, that has an effect only where another one has certain values.

    Attributes:
        setting: the other one's name.
        values: that it may have, the usual one first; where there are none, any but 0, false, null and [].
        unless: another condition, with which the marked setting has its effect in any case.
    """

    def __init__(self, setting: str, *values: Any, unless: OnlyWith | None = None) -> None:
        self.setting, self.values, self.unless = setting, values, unless

    @property
    def holds_when_off(self) -> bool:
        """Whether the marked setting has its effect where the other one is switched off, too."""
        return any(not value for value in self.values)

    def holds(self, value: Any) -> bool:
        """Return whether the marked setting has its effect where the other one has this value."""
        return value in self.values if self.values else bool(value)

    @property
    def usual(self) -> Any:
        """The value of the other setting that a message recommends, None for any."""
        return self.values[0] if self.values else None

    def problem(self, value: Any) -> str | None:
        """Return in words why the marked setting has no effect where the other one has this value.

        >>> OnlyWith("optimizer", "sgd").problem("adamw")
        'has no effect with optimizer=adamw; omit it, or set optimizer=sgd'
        """
        if self.holds(value):
            return None
        usual = self.usual if self.usual is not None else True if value is False else "..."
        given = f"with {self.setting}={_plain(value)}" if value else f"without {self.setting}"
        return f"has no effect {given}; omit it, or set {self.setting}={_plain(usual)}"

    def problem_in(self, values: Mapping[str, Any]) -> str | None:
        """Return the same of all settings in force, `unless` among them."""
        if self.unless is not None and self.unless.problem_in(values) is None:
            return None
        return self.problem(values.get(self.setting))


class NotWith(OnlyWith):
    """Mark of a setting that has no effect where another one has certain values, and one with all others.

    Attributes:
        values: with which it has none; None among them stands for a setting that is not there.
        instead: one with which it has.
    """

    def __init__(self, setting: str, *values: Any, instead: Any) -> None:
        super().__init__(setting, *values)
        self.instead = instead

    @property
    def holds_when_off(self) -> bool:
        """Whether the marked setting has its effect where the other one is switched off, too."""
        return all(self.values)

    def holds(self, value: Any) -> bool:
        """Return whether the marked setting has its effect where the other one has this value."""
        return value not in self.values

    @property
    def usual(self) -> Any:
        """The value of the other setting that a message recommends."""
        return self.instead


def require_effects(
    values: Mapping[str, Any], marks: Mapping[str, Iterable[OnlyWith]], stated: Iterable[str], owner: str
) -> None:
    """Check that what a user states has an effect.

    Values that switch something off, such as 0, false and "none", are let pass: they say what is the case.
    A setting that has no effect itself counts as switched off for those that wait for it.

    Args:
        values: of all settings in force, and of the library's own keys; one that is missing counts as None.
        marks: conditions by the name of a setting, of a key, or of a section of keys.
        stated: names of the settings and keys that the user states.
        owner: of the settings, such as a protocol's id.

    Raises:
        UserError: one has no effect; the setting that decides is named.
    """
    for name, problem in without_effect(values, marks, stated).items():
        raise UserError(f"setting '{name}' of {owner} = {shown(values[name])}: {problem}")


def without_effect(
    values: Mapping[str, Any], marks: Mapping[str, Iterable[OnlyWith]], stated: Iterable[str]
) -> dict[str, str]:
    """Return name -> in words why it has no effect, of what a user states; see `require_effects`."""
    found = {name: _problem(name, values, marks, ()) for name in stated if not _is_off(values.get(name))}
    return {name: problem for name, problem in found.items() if problem is not None}


def _problem(
    name: str, values: Mapping[str, Any], marks: Mapping[str, Iterable[OnlyWith]], waiting: tuple[str, ...]
) -> str | None:
    """Return in words why a setting has no effect, None where it has one.

    Args:
        waiting: the settings whose conditions led to this one; conditions in a circle end there.
    """
    for mark in (one for marked in marks if f"{name}.".startswith(f"{marked}.") for one in marks[marked]):
        if problem := mark.problem_in(values):
            return problem
        if mark.holds_when_off or mark.setting in (name, *waiting):
            continue
        if further := _problem(mark.setting, values, marks, (name, *waiting)):
            return f"has no effect, since {mark.setting} {further}"
    return None


def _is_off(value: Any) -> bool:
    """Return whether a value says that something is not done."""
    return not value or value == "none"


def _plain(value: Any) -> str:
    """Return a value as `--set` takes it."""
    return (
        str(value).lower() if isinstance(value, bool) else value if isinstance(value, str) else shown(value)
    )
