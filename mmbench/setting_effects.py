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
    """

    def __init__(self, setting: str, *values: Any) -> None:
        self.setting, self.values = setting, values

    @property
    def holds_when_off(self) -> bool:
        """Whether the marked setting has its effect where the other one is switched off, too."""
        return any(not value for value in self.values)

    def problem(self, value: Any) -> str | None:
        """Return in words why the marked setting has no effect where the other one has this value.

        >>> OnlyWith("optimizer", "sgd").problem("adamw")
        'has no effect with optimizer=adamw; omit it, or set optimizer=sgd'
        """
        if value in self.values if self.values else value:
            return None
        usual = self.values[0] if self.values else True if value is False else "..."
        given = f"with {self.setting}={_plain(value)}" if value else f"without {self.setting}"
        return f"has no effect {given}; omit it, or set {self.setting}={_plain(usual)}"


def require_effects(
    values: Mapping[str, Any], marks: Mapping[str, Iterable[OnlyWith]], stated: Iterable[str], owner: str
) -> None:
    """Check that what a user states has an effect.

    Values that switch something off, such as 0 and false, are let pass: they say what is the case. A setting
    that has no effect itself counts as switched off for those that wait for it.

    Args:
        values: of all settings in force, and of the library's own keys; one that is missing counts as None.
        marks: conditions by the name of a setting, of a key, or of a section of keys.
        stated: names of the settings and keys that the user states.
        owner: of the settings, such as a protocol's id.

    Raises:
        UserError: one has no effect; the setting that decides is named.
    """
    for name in stated:
        if values.get(name) and (problem := _problem(name, values, marks, ())):
            raise UserError(f"setting '{name}' of {owner} = {shown(values[name])}: {problem}")


def _problem(
    name: str, values: Mapping[str, Any], marks: Mapping[str, Iterable[OnlyWith]], waiting: tuple[str, ...]
) -> str | None:
    """Return in words why a setting has no effect, None where it has one.

    Args:
        waiting: the settings whose conditions led to this one; conditions in a circle end there.
    """
    for mark in (one for marked in marks if f"{name}.".startswith(f"{marked}.") for one in marks[marked]):
        if problem := mark.problem(values.get(mark.setting)):
            return problem
        if mark.holds_when_off or mark.setting in (name, *waiting):
            continue
        if further := _problem(mark.setting, values, marks, (name, *waiting)):
            return f"has no effect, since {mark.setting} {further}"
    return None


def _plain(value: Any) -> str:
    """Return a value as `--set` takes it."""
    return (
        str(value).lower() if isinstance(value, bool) else value if isinstance(value, str) else shown(value)
    )
