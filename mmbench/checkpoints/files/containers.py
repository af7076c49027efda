"""Find tensors wherever they lie in the nested plain containers of a file, by content and not by name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from mmbench.checkpoints.files.stored_arrays import StoredArray, as_tensor

MAX_DEPTH = 12
MAX_CONTAINERS = 20_000  # a file from anywhere must not keep the reader busy for ever
MAX_WORDS = 8
Place = tuple[str, ...]


@dataclass(frozen=True)
class Container:
    """A dictionary that holds tensors.

    Attributes:
        place: the keys that lead to it from the top of the file; () is the file itself.
        tensors: stored name -> tensor, without what is not a tensor.
    """

    place: Place
    tensors: dict[str, Tensor]


def is_optimiser(node: dict[Any, Any]) -> bool:
    """Return whether a dictionary is the state of a torch optimiser, whose moments are not weights."""
    return "param_groups" in node and "state" in node


def containers(content: Any) -> list[Container]:
    """Return every dictionary that holds tensors, those nearest the top first.

    Raises:
        UserError: a stored array whose shape and bytes do not fit together.
    """
    found: list[Container] = []
    visited = 0
    level: list[tuple[Place, Any, frozenset[int]]] = [((), content, frozenset())]
    for _ in range(MAX_DEPTH):
        below: list[tuple[Place, Any, frozenset[int]]] = []
        for place, node, above in level:
            visited += 1
            if id(node) in above or visited > MAX_CONTAINERS:
                continue
            if isinstance(node, dict) and not is_optimiser(node):
                tensors = {str(key): tensor for key, tensor in _tensors(node)}
                if tensors:
                    found.append(Container(place, tensors))
            inside = above | {id(node)}
            below += [((*place, key), value, inside) for key, value in _children(node)]
        level = below
    return found


def _tensors(node: dict[Any, Any]) -> Iterator[tuple[Any, Tensor]]:
    for key, value in node.items():
        tensor = as_tensor(value)
        if tensor is not None:
            yield key, tensor


def _children(node: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(node, dict) and not is_optimiser(node):
        pairs = ((str(key), value) for key, value in node.items())
    elif isinstance(node, list | tuple):
        pairs = ((str(index), value) for index, value in enumerate(node[:MAX_CONTAINERS]))
    else:
        return
    yield from ((key, value) for key, value in pairs if isinstance(value, dict | list | tuple))


def flattened(content: Any) -> Container:
    """Return all tensors of nested dictionaries under names joined by dots, as trees of modules keep them."""
    tensors: dict[str, Tensor] = {}
    for container in containers(content):
        tensors |= {".".join((*container.place, name)): t for name, t in container.tensors.items()}
    return Container((), tensors)


def describe(content: Any) -> str:
    """Return a description of the top level of a file, such as "optimizer (dict of 3), epoch 12"."""
    if not isinstance(content, dict):
        return _words(content)
    words = [f"{one_line(key, 40)} {_words(value)}" for key, value in list(content.items())[:MAX_WORDS]]
    rest = len(content) - len(words)
    return ", ".join([*words, *([f"and {rest} more"] if rest else [])]) or "nothing"


def one_line(value: Any, longest: int) -> str:
    """Return a name or a word of a file as one short line of printable characters."""
    try:
        text = str(value)
    except ValueError:  # a number of more digits than Python prints
        return f"a {type(value).__name__}"
    line = "".join(letter if letter.isprintable() else " " for letter in text[: 4 * longest])
    line = " ".join(line.split())
    return line if len(line) <= longest else f"{line[:longest]}..."


def _words(value: Any) -> str:
    if isinstance(value, dict):
        inside = ", ".join(one_line(key, 30) for key in list(value)[:3])
        return f"(dict of {len(value)}{': ' + inside if inside else ''}{', ...' if len(value) > 3 else ''})"
    if isinstance(value, list | tuple):
        return f"({type(value).__name__} of {len(value)})"
    if isinstance(value, Tensor):
        return f"(tensor {tuple(value.shape)})"
    if isinstance(value, StoredArray):
        return f"(array {value.shape})"
    if value is None or isinstance(value, bool | int | float | str):
        return one_line(value, 30)
    return f"({type(value).__name__})"
