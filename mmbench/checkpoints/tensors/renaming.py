"""Rename tables: data that reads both ways, matched against whole names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

NUMBER, REST = r"\d+", r".+"
STATISTIC = r"weight|bias|running_mean|running_var|num_batches_tracked"
FIELD = re.compile(r"\{(\w+)\}")
STAGE = re.compile(
    r".*?\{(stage|last|module)\}."
)  # a template's beginning, up to a stage and what separates it


@dataclass(frozen=True)
class Renaming:
    """Pairs of templates: a library's name of a tensor, and torchvision's.

    A field such as `{block}` stands for a number, `{statistic}` for a tensor of a batch norm, `{rest}` for
    anything; `values` says where a field is spelled differently. The first pair that fits a whole name wins.

    Attributes:
        pairs: (theirs, torchvision's), with the same fields on both sides.
        values: field -> their spelling -> torchvision's.
    """

    pairs: tuple[tuple[str, str], ...]
    values: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @cached_property
    def _forward(self) -> list[tuple[re.Pattern[str], str]]:
        return [(self._pattern(theirs, inverse=False), ours) for theirs, ours in self.pairs]

    @cached_property
    def _backward(self) -> list[tuple[re.Pattern[str], str]]:
        return [(self._pattern(ours, inverse=True), theirs) for theirs, ours in self.pairs]

    def to_torchvision(self, name: str) -> str | None:
        """Return torchvision's name of the tensor that the library calls `name`, None where there is none."""
        return self._rename(name, self._forward, inverse=False)

    def from_torchvision(self, name: str) -> str | None:
        """Return the library's name of the tensor that torchvision calls `name`, None where there is none."""
        return self._rename(name, self._backward, inverse=True)

    def has_place_of(self, name: str) -> bool:
        """Return whether a name lies in a module that a template names: in a stage, or beside a tensor."""
        return any(place.match(name) for place in self._places)

    @cached_property
    def _places(self) -> list[re.Pattern[str]]:
        found = []
        for theirs, _ in self.pairs:
            stage = STAGE.match(theirs)
            separator = "." if "." in theirs else "_"
            place = stage[0] if stage else theirs.rpartition(separator)[0] + separator
            found.append(self._pattern(place, inverse=False))
        return found

    def _spellings(self, name: str, inverse: bool) -> dict[str, str]:
        known = self.values.get(name, {})
        return {ours: theirs for theirs, ours in known.items()} if inverse else dict(known)

    def _pattern(self, template: str, inverse: bool) -> re.Pattern[str]:
        """Return the template as a regular expression with one named group per field."""
        parts = FIELD.split(template)
        for index in range(1, len(parts), 2):
            name = parts[index]
            if name in self.values:
                inner = "|".join(map(re.escape, self._spellings(name, inverse)))
            else:
                inner = {"statistic": STATISTIC, "rest": REST}.get(name, NUMBER)
            parts[index] = f"(?P<{name}>{inner})"
        parts[::2] = map(re.escape, parts[::2])
        return re.compile("".join(parts))

    def _rename(self, name: str, rules: list[tuple[re.Pattern[str], str]], inverse: bool) -> str | None:
        for pattern, template in rules:
            match = pattern.fullmatch(name)
            if match:
                found = {
                    key: self._spellings(key, inverse).get(value, value)
                    for key, value in match.groupdict().items()
                }
                return template.format_map(found)
        return None
