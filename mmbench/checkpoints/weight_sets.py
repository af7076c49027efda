"""Sets of weights in a file: one network each, its role beside the others, and which one is taken."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from mmbench.checkpoints.containers import Container, Place, containers, describe, flattened
from mmbench.checkpoints.format import FORMATS, Encoder, Format, detect, unwrapped
from mmbench.checkpoints.plain import COUNTER
from mmbench.errors import UserError, unknown_name

Role = Literal["online", "momentum", ""]
WHOLE_FILE = "."
# Where scripts put what they train; of several equal sets the first of these names is taken.
USUAL = ("state_dict", "model", "model_state", "model_state_dict", "module", "network", "net", "backbone")
MOMENTUM_WORDS = {"ema", "teacher", "momentum", "target", "average", "averaged", "avg", "swa", "key", "k"}
ONLINE_WORDS = {"student", "online", "query", "q"}
# What a network of ours cannot do without: the first convolution of the first block.
LANDMARK = "layer1.0.conv1.weight"
STEPS, AVERAGED = "steps", "n_averaged"  # counters of mmengine's and of torch's averaged models
WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")


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


@dataclass(frozen=True)
class Choice:
    """The set that is read.

    Attributes:
        taken: it.
        sets: all sets that could have been taken, it among them.
        why: a phrase that says why this one; "" where there was no choice.
        settled: whether its role is already the wanted one, so that no other encoder is looked for inside it.
    """

    taken: WeightSet
    sets: tuple[WeightSet, ...]
    why: str = ""
    settled: bool = False


def weight_sets(content: Any) -> list[WeightSet]:
    """Return every set of weights in a file, the likeliest kind only: networks of a known format if any.

    Raises:
        UserError: a stored array whose shape and bytes do not fit together.
    """
    found = [one for container in containers(content) for one in _networks(container)]
    if isinstance(content, dict) and not any(one.whole for one in found):
        found += [one for one in _networks(flattened(content)) if one.whole]
    for kind in (
        [one for one in found if one.whole],
        [one for one in found if one.entry is not None],
        [one for one in found if one.looks_like_a_network],
    ):
        if kind:
            return _with_swapped_roles(kind)
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


def _prefixes_before_marks(names: Iterable[str]) -> set[str]:
    """Return what stands before the marks of any format, up to a dot."""
    marks = tuple(mark for name in FORMATS.names() for mark in FORMATS.get(name).marks)
    found: set[str] = set()
    for name in names:
        place = name.find(".") + 1
        while place:
            if name.startswith(marks, place):
                found.add(name[:place])
            place = name.find(".", place) + 1
    return found


def _set(container: Container, bare: dict[str, str], prefix: str) -> WeightSet:
    inner = {key: name[len(prefix) :] for key, name in bare.items() if name.startswith(prefix)}
    names = list(inner.values())
    entry = detect(names)
    whole = entry is not None and _has_landmark(entry, names)
    role, why = _role((*container.place, *prefix.split(".")))
    if not role and AVERAGED in container.tensors:
        role, why = "momentum", f"torch's counter {AVERAGED} beside it"
    return WeightSet(container.place, prefix, container.tensors, inner, entry, role, why, whole)


def _has_landmark(entry: Format, names: list[str]) -> bool:
    prefixes = (None, *entry.momentum)
    return any(entry.fate(name, prefix)[0] == LANDMARK for name in names for prefix in prefixes)


def without_prefix(inner: dict[str, str], wanted: list[str]) -> dict[str, str]:
    """Return the names of a network that no format knows without what stands before all of `wanted`.

    Args:
        inner: stored name -> name without wrappers.
        wanted: the network's own names.
    """
    names = set(inner.values())
    ending = "." + wanted[0]
    for prefix in sorted((name[: -len(wanted[0])] for name in names if name.endswith(ending)), key=len):
        if all(prefix + name in names for name in wanted if not name.endswith(COUNTER)):
            return {key: name[len(prefix) :] for key, name in inner.items() if name.startswith(prefix)}
    return inner


def _role(segments: tuple[str, ...]) -> tuple[Role, str]:
    """Return the role that the words of a path imply."""
    words = {word.lower() for segment in segments for word in WORD.findall(segment)}
    for role, known in (("momentum", MOMENTUM_WORDS), ("online", ONLINE_WORDS)):
        if said := sorted(words & known):
            return role, f"'{said[0]}' in its name"  # type: ignore[return-value]
    return "", ""


def _with_swapped_roles(sets: list[WeightSet]) -> list[WeightSet]:
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


def choose(content: Any, path: Path, encoder: Encoder, wanted: str | None) -> Choice:
    """Return the set of weights to read.

    By default the encoder that learns by gradient, except of a teacher and a student the teacher (as DINO
    evaluates it); of equals the one at the most usual name, the highest number (epochs), or the first.

    Args:
        encoder: which role is wanted.
        wanted: name of a set, as `--weights` gives it.

    Raises:
        UserError: no set of weights, none of that name, or none of that role.
    """
    try:
        sets = weight_sets(content)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    if not sets:
        raise UserError(f"{path} holds no tensors of a network; it holds: {describe(content)}")
    if wanted is not None:
        named = _named(sets, wanted)
        if not named:
            raise unknown_name(f"set of weights in {path.name}", wanted, [one.name for one in sets])
        if len(named) == 1:
            return Choice(named[0], tuple(sets), "named by --weights", settled=encoder == named[0].role)
    shortlist, why = _of_role(sets if wanted is None else named, path, encoder)
    taken = min(enumerate(shortlist), key=lambda pair: _preference(pair[1], pair[0]))[1]
    if len(shortlist) > 1:
        number = f"the first choice of {len(shortlist)} sets of equal standing; --weights takes another"
        why = f"{why}; {number}" if why else number
    return Choice(taken, tuple(sets), why if len(sets) > 1 else "", settled=taken.role == encoder)


def _named(sets: list[WeightSet], wanted: str) -> list[WeightSet]:
    """Return the set of this name, else those that lie below it, else the one that it lies in."""
    return (
        [one for one in sets if one.name == wanted]
        or [one for one in sets if one.name.startswith(f"{wanted}.")]
        or [one for one in sets if wanted.startswith(f"{one.name}.")]
    )


def _of_role(sets: list[WeightSet], path: Path, encoder: Encoder) -> tuple[list[WeightSet], str]:
    """Return the sets of the wanted role, and why that role."""
    momentum = [one for one in sets if one.role == "momentum"]
    online = [one for one in sets if one.role == "online"]
    alone = [one for one in sets if one.role == ""]
    if encoder == "momentum":
        return (momentum, "asked for by --encoder momentum") if momentum else (alone or online, "")
    if encoder == "online":
        if not (online or alone):
            raise UserError(f"{path} holds only a moving average ({momentum[0].name}); leave out --encoder")
        return online or alone, "asked for by --encoder online"
    teachers = [one for one in momentum if "teacher" in one.name.lower()]
    if teachers and any("student" in one.name.lower() for one in online):
        return teachers, "of a teacher and a student the teacher; --encoder online takes the student"
    if alone or online:
        words = "the online encoder; --encoder momentum takes the moving average" if momentum else ""
        return alone + online, words
    if any(one.prefix and _role(tuple(one.prefix.split(".")))[0] for one in momentum):
        raise UserError(
            f"{path} is not a ResNet checkpoint with an online encoder: it holds only a moving average "
            f"({momentum[0].name}); --encoder momentum takes it"
        )
    return momentum, "the moving average, since there is nothing else"


def _preference(one: WeightSet, order: int) -> tuple[int, int, int]:
    """Return what sorts equals: usual names, then the highest number in the name, then the first."""
    usual = next((USUAL.index(word) for word in one.place if word in USUAL), len(USUAL))
    if not one.place:
        usual = -1
    numbers = [int(word) for word in re.findall(r"\d{1,9}", one.name)]
    return usual, -max(numbers, default=-1), order
