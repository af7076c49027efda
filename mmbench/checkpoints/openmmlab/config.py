"""Read what an OpenMMLab configuration inside a checkpoint says of images and strides, without running it.

`meta` of mmcv 1.x holds the text as `config`, that of mmengine as `cfg`. The text is Python; it is parsed and
never executed, and only literals, `dict(...)` calls and names assigned above are followed.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mmbench.checkpoints.openmmlab.data import fed_order, loaded_order
from mmbench.checkpoints.openmmlab.images import MAX_DEPTH, Triple, dicts, normalisation_in
from mmbench.checkpoints.stated import Channels

MAX_CHARACTERS = 2_000_000


@dataclass(frozen=True)
class OpenMMLabFacts:
    """What a configuration says; None for what it leaves out.

    Attributes:
        mean, std: of an image of 0 to 255, in the order of `channels`.
        to_rgb: whether the order of the colours is turned before; see `Normalisation`.
        backbone: the settings of the backbone.
        place: which part of the configuration says mean and std.
        conflict: a phrase, where parts that count disagree on images; then mean and std are None.
        channels: the order of the colours that the network sees.
        loaded: a phrase on the data set, where that decided the order or left it open.
    """

    mean: Triple | None
    std: Triple | None
    to_rgb: bool | None
    backbone: Mapping[str, Any] | None
    place: str = ""
    conflict: str = ""
    channels: Channels | None = None
    loaded: str = ""


def facts_in(meta: Any) -> OpenMMLabFacts | None:
    """Return what the configuration in a checkpoint's `meta` says; None where there is none to read."""
    if not isinstance(meta, dict):
        return None
    text = next((meta[name] for name in ("cfg", "config") if meta.get(name)), None)
    settings = settings_in(text) if isinstance(text, str) else text if isinstance(text, dict) else None
    if settings is None:
        return None
    images, backbone = normalisation_in(settings), _backbone(settings)
    if images is None and backbone is None:
        return None
    if images is None or isinstance(images, str):
        return OpenMMLabFacts(None, None, None, backbone, conflict=images or "")
    loaded = loaded_order(settings)
    channels = fed_order(images, loaded)
    return OpenMMLabFacts(
        images.mean,
        images.std,
        images.to_rgb,
        backbone,
        images.place,
        channels=channels,
        loaded=loaded.words if channels is None or loaded.order == "rgb" else "",
    )


def _backbone(settings: dict[str, Any]) -> Mapping[str, Any] | None:
    """Return the settings of the model's backbone; None where it has several that differ, or none.

    A variable `backbone` beside a model is none of its own.
    """
    model = settings.get("model")
    if isinstance(model, dict) and isinstance(model.get("backbone"), dict):
        found: Mapping[str, Any] = model["backbone"]
        return found
    whole = model if isinstance(model, dict) else settings
    all_ = [d["backbone"] for _, d in dicts(whole) if isinstance(d.get("backbone"), dict)]
    return all_[0] if all_ and all(one == all_[0] for one in all_) else None


def settings_in(text: str) -> dict[str, Any] | None:
    """Return the literal settings of a configuration's text; None where it is not Python or too large."""
    if len(text) > MAX_CHARACTERS:
        return None
    try:
        module = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    settings: dict[str, Any] = {}
    for statement in module.body:
        if isinstance(statement, ast.Assign):
            for target in statement.targets:
                if isinstance(target, ast.Name):
                    settings[target.id] = _value(statement.value, settings)
    return settings


def _value(node: ast.AST, names: Mapping[str, Any], depth: int = 0) -> Any:
    """Return the value of a literal expression, None for everything else."""
    if depth > MAX_DEPTH:
        return None

    def inner(part: ast.AST) -> Any:
        return _value(part, names, depth + 1)

    match node:
        case ast.Constant():
            return node.value
        case ast.Name():
            return names.get(node.id)
        case ast.List() | ast.Tuple():
            return [inner(part) for part in node.elts]
        case ast.UnaryOp(op=ast.USub()):
            number = inner(node.operand)
            return -number if isinstance(number, int | float) else None
        case ast.BinOp():
            return _arithmetic(node, inner(node.left), inner(node.right))
        case ast.Dict():
            pairs = zip(node.keys, node.values, strict=True)
            merged: dict[str, Any] = {}
            for key, value in pairs:
                found = inner(value)
                merged |= {str(inner(key)): found} if key else found if isinstance(found, dict) else {}
            return merged
        case ast.Call(func=ast.Name(id="dict")):
            merged = {}
            for keyword in node.keywords:
                found = inner(keyword.value)
                merged |= {keyword.arg: found} if keyword.arg else found if isinstance(found, dict) else {}
            return merged
    return None


def _arithmetic(node: ast.BinOp, left: Any, right: Any) -> float | None:
    """Return the result of the sums that configurations hold, such as 0.485 * 255."""
    if not (isinstance(left, int | float) and isinstance(right, int | float)):
        return None
    if isinstance(node.op, ast.Mult):
        return left * right
    if isinstance(node.op, ast.Div) and right:
        return left / right
    return None
