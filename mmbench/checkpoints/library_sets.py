"""Sets of weights under the names of timm itself, which are known where the architecture is stated."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mmbench.checkpoints.architecture import shapes_of, wanted_shapes
from mmbench.checkpoints.containers import Container, containers, flattened
from mmbench.checkpoints.format import Format, unwrapped
from mmbench.checkpoints.plain import COUNTER, Shapes
from mmbench.checkpoints.weight_sets import WeightSet, role_of, with_swapped_roles

TIMM_NAMES = Format("timm", prefix="")


def library_sets(content: Any, found: list[WeightSet], arch: str) -> list[WeightSet]:
    """Return the sets of weights of a stated architecture.

    Formats know a file by few names, and some of timm's networks have them too: GCViT has Detectron2's
    `stem.conv1`, and HRNet has ResNets inside. So where no network found by a format covers the architecture,
    every prefix before all of timm's own names is a set; of these, those whose shapes are equal as well.

    Args:
        content: of the file.
        found: the sets that the formats found in it; they are returned where one of them covers the
            architecture, or where timm's names do not stand in the file.
        arch: timm name.

    Raises:
        UserError: timm has no such architecture.
    """
    wanted = wanted_shapes(arch)
    if any(_covers(one, wanted) for one in found):
        return found
    own = [one for container in containers(content) for one in _networks(container, wanted)]
    if not own and isinstance(content, dict):
        own = _networks(flattened(content), wanted)
    return with_swapped_roles([one for one in own if _has_shapes(one, wanted)] or own) or found


def _needed(wanted: Shapes) -> list[str]:
    """Return the names that no file may lack; counters of batch norms may be missing."""
    return [name for name in wanted if not name.endswith(COUNTER)]


def _covers(one: WeightSet, wanted: Shapes) -> bool:
    """Return whether a format reads every wanted name from the set, in one of its encoders."""
    entry = one.entry
    if entry is None:
        return False
    for prefix in (entry.prefix, *entry.momentum):
        names = {entry.fate(name, prefix)[0] or name for name in one.inner.values()}
        if names.issuperset(_needed(wanted)):
            return True
    return False


def _networks(container: Container, wanted: Shapes) -> list[WeightSet]:
    """Return the networks of one dictionary: one for each prefix before all of the wanted names."""
    bare = unwrapped(container.tensors)
    prefixes = _prefixes(bare.values(), _needed(wanted))
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


def _prefixes(names: Iterable[str], needed: list[str]) -> list[str]:
    """Return what stands before all needed names, up to a dot or nothing; the shortest first."""
    present = dict.fromkeys(names)  # in the order of the file
    first = needed[0]
    candidates = [name[: -len(first)] for name in present if name == first or name.endswith(f".{first}")]
    return sorted((p for p in candidates if all(p + name in present for name in needed)), key=len)


def _has_shapes(one: WeightSet, wanted: Shapes) -> bool:
    shapes = shapes_of({name: one.tensors[key] for key, name in one.inner.items()})
    return all(shapes[name] == wanted[name] for name in _needed(wanted))
