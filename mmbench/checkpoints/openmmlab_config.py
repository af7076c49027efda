"""Read what an OpenMMLab configuration inside a checkpoint says of images and strides, without running it.

`meta` of mmcv 1.x holds the text as `config`, that of mmengine as `cfg`. The text is Python; it is parsed and
never executed, and only literals, `dict(...)` calls and names assigned above are followed.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

MAX_CHARACTERS = 2_000_000
MAX_DEPTH = 40


@dataclass(frozen=True)
class OpenMMLabFacts:
    """What a configuration says; None for what it leaves out.

    Attributes:
        mean, std: of an image of 0 to 255, in the order of `to_rgb`.
        to_rgb: whether images, which the libraries load as BGR, become RGB before.
        backbone: the settings of the backbone.
    """

    mean: tuple[float, float, float] | None
    std: tuple[float, float, float] | None
    to_rgb: bool | None
    backbone: Mapping[str, Any] | None


def facts_in(meta: Any) -> OpenMMLabFacts | None:
    """Return what the configuration in a checkpoint's `meta` says; None where there is none to read."""
    if not isinstance(meta, dict):
        return None
    text = next((meta[name] for name in ("cfg", "config") if meta.get(name)), None)
    settings = settings_in(text) if isinstance(text, str) else text if isinstance(text, dict) else None
    if settings is None:
        return None
    mean, std, to_rgb = _normalisation(settings)
    backbone = next((d["backbone"] for d in _dicts(settings) if isinstance(d.get("backbone"), dict)), None)
    if mean is None and backbone is None:
        return None
    return OpenMMLabFacts(mean, std, to_rgb, backbone)


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


def _dicts(value: Any, depth: int = 0) -> Iterator[dict[str, Any]]:
    """Yield every dictionary in nested settings, the outermost first."""
    if depth > MAX_DEPTH:
        return
    if isinstance(value, dict):
        yield value
    for part in (
        value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    ):
        yield from _dicts(part, depth + 1)


Triple = tuple[float, float, float]


def _normalisation(settings: dict[str, Any]) -> tuple[Triple | None, Triple | None, bool | None]:
    """Return mean, std and whether images become RGB.

    mmcv 1.x normalises in its pipeline (`img_norm_cfg`, or a step of type Normalize), where `to_rgb` is true
    unless said otherwise; mmengine in the `data_preprocessor`, which keeps BGR unless `bgr_to_rgb` or (in
    mmpretrain) `to_rgb` is true. Source: mmcv/image/photometric.py; mmengine/model/base_model.
    """
    for found in _dicts(settings):
        preprocessor = found.get("data_preprocessor")
        if isinstance(preprocessor, dict) and (mean := _triple(preprocessor.get("mean"))):
            to_rgb = bool(preprocessor.get("bgr_to_rgb", preprocessor.get("to_rgb", False)))
            return mean, _triple(preprocessor.get("std")), to_rgb
    for found in _dicts(settings):
        step = found.get("img_norm_cfg")
        step = step if isinstance(step, dict) else found if found.get("type") == "Normalize" else None
        if step is not None and (mean := _triple(step.get("mean"))):
            to_rgb = step.get("to_rgb", True)
            return mean, _triple(step.get("std")), to_rgb if isinstance(to_rgb, bool) else None
    return None, None, None


def _triple(value: Any) -> Triple | None:
    if not isinstance(value, list | tuple) or len(value) != 3:
        return None
    if not all(isinstance(part, int | float) and math.isfinite(part) for part in value):
        return None
    return float(value[0]), float(value[1]), float(value[2])
