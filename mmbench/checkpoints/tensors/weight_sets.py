"""Sets of weights in a file: one network each, by the names of a known format, and its role."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

from torch import Tensor

from mmbench.checkpoints.files.containers import Container, Place, containers, flattened
from mmbench.checkpoints.format import FORMATS, Format, detect, unwrapped

Role = Literal["online", "momentum", ""]
WHOLE_FILE = "."
MOMENTUM_WORDS = {"ema", "teacher", "momentum", "target", "average", "averaged", "avg", "swa", "key", "k"}
ONLINE_WORDS = {"student", "online", "query", "q"}
# What a network of ours cannot do without: the first convolution of the first block.
LANDMARK = "layer1.0.conv1.weight"
STEPS, AVERAGED = "steps", "n_averaged"  # counters of mmengine's and of torch's averaged models
# Words in snake case and camel case; a single letter is none behind a digit, as in "in1k".
WORD = re.compile(r"[A-Z]?[a-z]{2,}|[A-Z]{2,}(?![a-z])|(?<![0-9])[A-Za-z](?![a-z])")


@dataclass(frozen=True)
class WeightSet:
    """One network's tensors.

    Attributes:
        place: keys from the top of the file to the dictionary that holds it.
        prefix: what stands before the names that a format knows, such as "model."; "" for nothing.
        tensors: stored name -> tensor: the network, and what lies beside it in the same dictionary.
        inner: stored name -> name without wrappers and prefix, of the tensors behind the prefix.
        entry: the format that the names are of; None where none is known.
        role: whether it learns by gradient ("online"), is a moving average ("momentum"), or is alone ("").
        why: where the role came from.
        whole: whether the format names what every network of ours has.
    """

    place: Place
    prefix: str
    tensors: dict[str, Tensor]
    inner: dict[str, str]
    entry: Format | None = None
    role: Role = ""
    why: str = ""
    whole: bool = False

    @property
    def name(self) -> str:
        """The dotted path inside the file, which `--weights` takes."""
        return ".".join([*self.place, *self.prefix.split(".")]).strip(".") or WHOLE_FILE

    @property
    def looks_like_a_network(self) -> bool:
        """Whether there is a matrix or a kernel among the tensors."""
        return any(self.tensors[name].ndim >= 2 for name in self.inner)

    @property
    def words(self) -> str:
        """Its name, size and role."""
        role = {"online": "online", "momentum": "moving average", "": ""}[self.role]
        detail = f", {role} ({self.why})" if role else ""
        return f"{self.name}: {len(self.inner)} tensors{detail}"


def weight_sets(content: Any) -> list[WeightSet]:
    """Return every set of weights in a file; see `likeliest`.

    Raises:
        UserError: a stored array whose shape and bytes do not fit together.
    """
    found = [one for container in containers(content) for one in _networks(container)]
    if isinstance(content, dict) and not any(one.whole for one in found):
        found += [one for one in _networks(flattened(content)) if one.whole]
    return found


def likeliest(found: list[WeightSet]) -> list[WeightSet]:
    """Return the sets of the likeliest kind only: networks of a known format if there are any."""
    for kind in (
        [one for one in found if one.whole],
        [one for one in found if one.entry is not None],
        [one for one in found if one.looks_like_a_network],
    ):
        if kind:
            return with_swapped_roles(kind)
    return found


def _networks(container: Container) -> list[WeightSet]:
    """Return the networks of one dictionary: one for each prefix before names that a format knows."""
    bare = unwrapped(container.tensors)
    outermost = _set(container, bare, "")
    known = _known_prefixes(outermost) if outermost.whole else ()
    prefixes: list[str] = []
    for prefix in sorted(_prefixes_before_marks(bare.values()), key=len):
        if not prefix.startswith((*prefixes, *known)) and _set(container, bare, prefix).whole:
            prefixes.append(prefix)
    others = [_set(container, bare, prefix) for prefix in prefixes]
    if outermost.whole:
        inner = {k: n for k, n in outermost.inner.items() if not n.startswith(tuple(prefixes))}
        return [replace(outermost, inner=inner) if prefixes else outermost, *others]
    return others or [outermost]


def _known_prefixes(outermost: WeightSet) -> tuple[str, ...]:
    """Return the prefixes that a format itself distinguishes, or that its table of names spells out."""
    entry = outermost.entry
    if entry is None:
        return ()
    spelled: list[str] = []
    if entry.renaming is not None:
        landmarks = (name for name in outermost.inner.values() if entry.fate(name)[0] == LANDMARK)
        spelled = [f"{name.partition('.')[0]}." for name in landmarks]
    return tuple(name for name in (entry.prefix, *entry.momentum, *entry.dropped, *spelled) if name)


def _prefixes_before_marks(names: Iterable[str]) -> list[str]:
    """Return what stands before the marks of any format, up to a dot, in the order of the file."""
    marks = tuple(mark for name in FORMATS.names() for mark in FORMATS.get(name).marks)
    found: dict[str, None] = {}  # a set's order would differ from process to process
    for name in names:
        place = name.find(".") + 1
        while place:
            if name.startswith(marks, place):
                found[name[:place]] = None
            place = name.find(".", place) + 1
    return list(found)


def _set(container: Container, bare: dict[str, str], prefix: str) -> WeightSet:
    inner = {key: name[len(prefix) :] for key, name in bare.items() if name.startswith(prefix)}
    names = list(inner.values())
    entry = detect(names)
    whole = entry is not None and _has_landmark(entry, names)
    role, why = role_of(container, prefix)
    return WeightSet(container.place, prefix, container.tensors, inner, entry, role, why, whole)


def _has_landmark(entry: Format, names: list[str]) -> bool:
    prefixes = (None, *entry.momentum)
    return any(entry.fate(name, prefix)[0] == LANDMARK for name in names for prefix in prefixes)


def role_of(container: Container, prefix: str) -> tuple[Role, str]:
    """Return the role of the network behind a prefix, and where it came from."""
    role, why = role_in_words((*container.place, *prefix.split(".")))
    if not role and AVERAGED in container.tensors:
        return "momentum", f"torch's counter {AVERAGED} beside it"
    return role, why


def role_in_words(segments: Iterable[str]) -> tuple[Role, str]:
    """Return the role that the words of a path imply, and which word did."""
    words = {word.lower() for segment in segments for word in WORD.findall(segment)}
    for role, known in (("momentum", MOMENTUM_WORDS), ("online", ONLINE_WORDS)):
        if said := sorted(words & known):
            return role, f"'{said[0]}' in its name"  # type: ignore[return-value]
    return "", ""


def with_swapped_roles(sets: list[WeightSet]) -> list[WeightSet]:
    """Give mmengine's averages their true roles.

    mmengine's EMAHook keeps the average as `module.*` with a counter `steps`, and swaps the values of the two
    when it saves, so that `state_dict` holds the average. Source: mmengine/hooks/ema_hook.py,
    `_swap_ema_state_dict`.
    """
    swapped = {one.place[:-1] for one in sets if one.place[-1:] == ("ema_state_dict",) and _is_mmengines(one)}
    roles: dict[str, tuple[Role, str]] = {
        "ema_state_dict": ("online", "mmengine's EMAHook swaps the two when it saves"),
        "state_dict": ("momentum", "mmengine's EMAHook saves the average under this name"),
    }
    result = []
    for one in sets:
        if one.place[:-1] in swapped and one.place[-1:] and one.place[-1] in roles:
            role, why = roles[one.place[-1]]
            one = replace(one, role=role, why=why)
        result.append(one)
    return result


def _is_mmengines(one: WeightSet) -> bool:
    return STEPS in one.tensors and all(key == STEPS or key.startswith("module.") for key in one.tensors)
