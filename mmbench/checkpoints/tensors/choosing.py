"""Which of several sets of weights in a file is read."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmbench.checkpoints.files.containers import describe
from mmbench.checkpoints.format import Encoder
from mmbench.checkpoints.tensors.library_sets import TIMM_NAMES, library_sets
from mmbench.checkpoints.tensors.weight_sets import WeightSet, likeliest, role_in_words, weight_sets
from mmbench.errors import UserError, unknown_name
from mmbench.file_names import listed
from mmbench.offered import command_has

# Where scripts put what they train; of several equal sets the first of these names is taken.
USUAL = ("state_dict", "model", "model_state", "model_state_dict", "module", "network", "net", "backbone")


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


def choose(content: Any, path: Path, encoder: Encoder, wanted: str | None, arch: str | None = None) -> Choice:
    """Return the set of weights to read.

    By default the encoder that learns by gradient, except of a teacher and a student the teacher (as DINO
    evaluates it); of equals the one at the most usual name, the highest number (epochs), or the first.

    Args:
        encoder: which role is wanted.
        wanted: name of a set, as `--weights` gives it.
        arch: timm name of the architecture, where it is stated; networks of it are found by its own names.

    Raises:
        UserError: no set of weights, none of that name, or none of that role; or no such architecture.
    """
    try:
        found = weight_sets(content)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    sets, partial = likeliest(found), _named_partial(found)
    if not sets:
        raise UserError(f"{path} holds no tensors of a network; it holds: {describe(content)}")
    if arch is not None:
        sets = library_sets(content, sets, arch)
    if wanted is not None:
        named = _named(sets, wanted)
        if not named and wanted in partial:
            raise UserError(f"{path}: {wanted} lacks layer1.0.conv1, so it is not a whole network")
        if not named:
            raise unknown_name(f"set of weights in {path.name}", wanted, [one.name for one in sets])
        if len(named) == 1:
            return Choice(named[0], tuple(sets), "named by --weights", settled=encoder == named[0].role)
    shortlist, why = _of_role(sets if wanted is None else named, path, encoder)
    taken = min(enumerate(shortlist), key=lambda pair: _preference(pair[1], pair[0]))[1]
    if len(shortlist) > 1:
        number = f"the first choice of {len(shortlist)} sets of equal standing; --weights takes another"
        why = f"{why}; {number}" if why else number
    reasons = [why] if why and len(sets) > 1 else []
    if taken.whole and partial:
        reasons.append(f"left out as incomplete, without layer1.0.conv1: {listed(partial)}")
    return Choice(taken, tuple(sets), "; ".join(reasons), settled=taken.role == encoder)


def _named(sets: list[WeightSet], wanted: str) -> list[WeightSet]:
    """Return the set of this name, else those that lie below it, else the one that it lies in."""
    return (
        [one for one in sets if one.name == wanted]
        or [one for one in sets if one.name.startswith(f"{wanted}.")]
        or [one for one in sets if wanted.startswith(f"{one.name}.")]
    )


def _named_partial(found: list[WeightSet]) -> list[str]:
    """Return the names of sets that a pretraining calls an encoder, and that hold a part of one only."""
    return [one.name for one in found if one.role and one.entry is not None and not one.whole]


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
    if any(_is_part_of_a_method(one) for one in momentum):
        by = (
            "`mmbench convert --encoder momentum`"
            if command_has("encoder") is False
            else "--encoder momentum"
        )
        raise UserError(
            f"{path} is not a ResNet checkpoint with an online encoder: it holds only a moving average "
            f"({momentum[0].name}); {by} takes it"
        )
    return momentum, "the moving average, since there is nothing else"


def _is_part_of_a_method(one: WeightSet) -> bool:
    """Return whether a format's names stand behind a prefix that a pretraining method gives its encoders."""
    return one.entry is not TIMM_NAMES and bool(one.prefix and role_in_words(one.prefix.split("."))[0])


def _preference(one: WeightSet, order: int) -> tuple[int, int, int]:
    """Return what sorts equals: usual names, then the highest number in the name, then the first."""
    usual = next((USUAL.index(word) for word in one.place if word in USUAL), len(USUAL))
    if not one.place:
        usual = -1
    numbers = [int(word) for word in re.findall(r"\d{1,9}", one.name)]
    return usual, -max(numbers, default=-1), order
