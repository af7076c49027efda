"""What a checkpoint format is: anchored rules that name the backbone's tensors and what is dropped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from mmbench.registry import Registry


@dataclass(frozen=True)
class Format:
    """One way of naming a backbone's tensors. Rules are prefixes, anchored at the start of a key.

    Attributes:
        name: the format's name; one that a ModelCard knows.
        prefix: what stands before torchvision's names.
        dropped: prefix of keys that are not the backbone's -> why they are dropped; longest match first.
        marks: prefixes of which one must occur for the format to be recognised.
    """

    name: str
    prefix: str
    dropped: Mapping[str, str] = field(default_factory=dict)
    marks: tuple[str, ...] = ()

    def recognises(self, keys: Iterable[str]) -> bool:
        """Return whether a file with these keys is of this format."""
        return any(key.startswith(self.marks) for key in keys)

    def fate(self, key: str) -> tuple[str | None, str]:
        """Return (name under torchvision's naming, "") or (None, why the key is dropped)."""
        for prefix in sorted(self.dropped, key=len, reverse=True):
            if key.startswith(prefix):
                return None, self.dropped[prefix]
        if key.startswith(self.prefix):
            return key[len(self.prefix) :], ""
        return None, "not part of the backbone"


# Specific formats are asked before general ones: longer marks win.
FORMATS: Registry[Format] = Registry("checkpoint format", package="mmbench.checkpoints.formats")


def detect(keys: Iterable[str]) -> Format | None:
    """Return the format of a file with these keys, or None."""
    known = [FORMATS.get(name) for name in FORMATS.names()]
    names = list(keys)
    found = [entry for entry in known if entry.recognises(names)]
    return max(found, key=lambda entry: max(map(len, entry.marks)), default=None)
