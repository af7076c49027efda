"""Sets of weights under the names of timm itself, which are known where the architecture is stated."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mmbench.checkpoints.files.containers import Container, containers, flattened
from mmbench.checkpoints.format import Format, unwrapped
from mmbench.checkpoints.networks.architecture import shapes_of, wanted_shapes
from mmbench.checkpoints.networks.plain import COUNTER, Shapes
from mmbench.checkpoints.tensors.weight_sets import WeightSet, role_of, with_swapped_roles

TIMM_NAMES = Format("timm", prefix="")
MOST_PREFIXES = 100  # before incomplete networks, each of which is counted; a file may hold any number


def library_sets(content: Any, found: list[WeightSet], arch: str) -> list[WeightSet]:
    """Return the sets of weights of a stated architecture.

    Formats know a file by few names, and some of timm's networks have them too: GCViT has Detectron2's
    `stem.conv1`, and HRNet has ResNets inside. So where no network found by a format covers the architecture,
    every prefix before all of timm's own names is a set; of these, those whose shapes are equal as well.

    Args:
        content: of the file.
        found: the sets that the formats found in it; they are returned where one of them covers the
            architecture, or where timm's names do not stand in the file. Where only some of these are
            missing, the sets are returned that lack them, so that the error names what is missing.
        arch: timm name.

    Raises:
        UserError: timm has no such architecture.
    """
    wanted = wanted_shapes(arch)
    needed = _needed(wanted)
    read = max((_read_by_format(one, needed) for one in found), default=0)
    if read == len(needed):
        return found
    for least in (len(needed), max(read, len(needed) // 2) + 1):
        own = [one for container in containers(content) for one in _networks(container, wanted, least)]
        if not own and isinstance(content, dict):
            own = _networks(flattened(content), wanted, least)
        if own:
            return with_swapped_roles([one for one in own if _has_shapes(one, wanted)] or own)
    return found


def _needed(wanted: Shapes) -> list[str]:
    """Return the names that no file may lack; counters of batch norms may be missing."""
    return [name for name in wanted if not name.endswith(COUNTER)]


def _read_by_format(one: WeightSet, needed: list[str]) -> int:
    """Return how many of the needed names a format reads from the set, in the best of its encoders."""
    entry, most = one.entry, 0
    if entry is None:
        return 0
    for prefix in (entry.prefix, *entry.momentum):
        names = {entry.fate(name, prefix)[0] or name for name in one.inner.values()}
        most = max(most, len(names.intersection(needed)))
    return most


def _networks(container: Container, wanted: Shapes, least: int) -> list[WeightSet]:
    """Return the networks of one dictionary: one for each prefix before `least` of the needed names."""
    bare = unwrapped(container.tensors)
    prefixes = _prefixes(bare.values(), _needed(wanted), least)
    networks = []
    for prefix in prefixes:
        within = tuple(other for other in prefixes if other != prefix and other.startswith(prefix))
        inner = {
            key: name[len(prefix) :]
            for key, name in bare.items()
            if name.startswith(prefix) and (name[len(prefix) :] in wanted or not name.startswith(within))
        }
        role, why = role_of(container, prefix)
        networks.append(
            WeightSet(container.place, prefix, container.tensors, inner, TIMM_NAMES, role, why, whole=True)
        )
    return networks


def _prefixes(names: Iterable[str], needed: list[str], least: int) -> list[str]:
    """Return what stands before `least` of the needed names, up to a dot or nothing; the shortest first."""
    present = dict.fromkeys(names)  # in the order of the file
    found: dict[str, None] = {}
    for end in (needed[0], needed[-1]):  # of an incomplete network one of them may be missing
        found |= {name[: -len(end)]: None for name in present if f".{name}".endswith(f".{end}")}
    candidates = sorted(found, key=len)
    if least == len(needed):
        return [prefix for prefix in candidates if all(prefix + name in present for name in needed)]
    few = candidates[:MOST_PREFIXES]
    return [prefix for prefix in few if sum(prefix + name in present for name in needed) >= least]


def _has_shapes(one: WeightSet, wanted: Shapes) -> bool:
    """Return whether every tensor of a wanted name has its shape; some may be missing."""
    shapes = shapes_of({name: one.tensors[key] for key, name in one.inner.items()})
    return all(shapes[name] == wanted[name] for name in _needed(wanted) if name in shapes)
