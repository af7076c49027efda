"""transformers' preprocessor_config.json: what images a network expects, as its image processors write it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmbench.errors import UserError, shown

PROCESSOR = "preprocessor_config.json"
WHITE = 255.0
# PIL.Image.Resampling, which `resample` holds.
RESAMPLING = ("nearest", "lanczos", "bilinear", "bicubic", "box", "hamming")
SQUASHED_FROM = 384  # px; ConvNextImageProcessor crops smaller images alone
# Steps that are followed here; every other `do_...` is named. Images are always RGB here.
STEPS = ("do_resize", "do_center_crop", "do_rescale", "do_normalize", "do_convert_rgb")
FLIPPED = "do_flip_channel_order"


@dataclass(frozen=True)
class Processor:
    """What an image processor states.

    Attributes:
        values: of a Preprocessing: mean and std of images in [0, 1], image_size, crop_pct; those it states.
        otherwise: fact -> what mmbench does instead.
        unused: what is in it and cannot be used, one phrase each.
        half: the name of a mean or a std that is stated alone; empty for none.
        flipped: whether images are BGR.
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    otherwise: Mapping[str, str] = field(default_factory=dict)
    unused: tuple[str, ...] = ()
    half: str = ""
    flipped: bool = False


def of_colours(value: Any) -> Any:
    """Return one number, or a list of one, as a number for each colour; all else as it is."""
    if isinstance(value, list | tuple) and len(value) == 1:
        value = value[0]
    return (value,) * 3 if _is_number(value) else value


def read_processor(path: Path) -> Processor:
    """Return what a preprocessor_config.json states.

    Raises:
        UserError: it cannot be read, or its numbers cannot be those of images.
    """
    try:
        found: Any = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0][:100]
        raise UserError(
            f"{path} is not a configuration of images ({first}); restore it, or remove it"
        ) from None
    if not isinstance(found, dict):
        raise UserError(f"{path} is not a configuration of images (no fields in it); restore or remove it")
    stated = {name: value for name, value in found.items() if value is not None}
    values, half = _normalisation(stated, path)
    otherwise: dict[str, str] = {}
    unused = [f"{name}=true of {PROCESSOR} is not followed" for name in _other_steps(stated)]
    sized = _sizes(stated, otherwise)
    if sized is None:
        unused.append(f"size={shown(stated.get('size'), 60)} of {PROCESSOR} is not used (--image-size)")
    resample = stated.get("resample", 2)
    if resample != 2:
        known = isinstance(resample, int) and 0 <= resample < len(RESAMPLING)
        name = RESAMPLING[resample] if known else f"resample={shown(resample, 40)}"
        otherwise["interpolation"] = f"bilinear, as always here; {PROCESSOR} states {name}"
    flipped = stated.get(FLIPPED) is True
    return Processor({**values, **(sized or {})}, otherwise, tuple(unused), half, flipped)


def _normalisation(stated: Mapping[str, Any], path: Path) -> tuple[dict[str, Any], str]:
    """Return mean and std of images in [0, 1], and the name of one that is alone."""
    if stated.get("do_normalize") is False:
        means, stds = (0.0,) * 3, (1.0,) * 3
    else:
        names = [name for name in ("image_mean", "image_std") if name in stated]
        if len(names) < 2:
            return {}, "".join(names)
        means, stds = (_three(stated[name], name, path) for name in names)
    offset = 0.0
    if stated.get("do_rescale") is False:  # the numbers show whether images are of 0 to 255 or were scaled
        scale = WHITE if max(*means, *stds) > 1 or (max(means) == 0 and max(stds) == 1) else 1.0
    else:
        factor = stated.get("rescale_factor", 1 / WHITE)
        if not _is_number(factor) or not factor > 0:
            raise _wrong(path, "rescale_factor", factor, "a number above 0")
        scale = factor * WHITE  # of a white pixel before it is normalised
        scale = 1.0 if math.isclose(scale, 1, rel_tol=1e-5) else scale
        offset = 1.0 if stated.get("rescale_offset") is True else 0.0
    return {
        "mean": tuple((value + offset) / scale for value in means),
        "std": tuple(value / scale for value in stds),
    }, ""


def _sizes(stated: Mapping[str, Any], otherwise: dict[str, str]) -> dict[str, Any] | None:
    """Return image_size and crop_pct, {} where nothing is resized or cropped, None where it is not clear.

    Args:
        otherwise: gets what mmbench does instead.
    """
    resized = None if stated.get("do_resize") is False else stated.get("size")
    cropped = None if stated.get("do_center_crop") is False else stated.get("crop_size")
    if resized is None and cropped is None:
        return {}
    short = _side(resized, "shortest_edge")
    if cropped is not None:
        side = _side(cropped, "shortest_edge") or _square(cropped)
        if side is None or (resized is not None and short is None and _square(resized) is None):
            return None
        edge = short or _square(resized)
        if edge and side > edge:
            otherwise["crop_pct"] = f"left open; {PROCESSOR} crops {side} px of {edge} px"
        return {"image_size": side} | ({"crop_pct": side / edge} if edge and side <= edge else {})
    share = stated.get("crop_pct")
    if short is not None and share is not None and _is_number(share) and 0 < share <= 1:
        if short < SQUASHED_FROM:
            return {"image_size": short, "crop_pct": float(share)}
        side = short
    elif short is not None and isinstance(resized, dict):
        otherwise["crop"] = f"the centre square, as always here; {PROCESSOR} crops nothing"
        return {"image_size": short, "crop_pct": 1.0}
    else:
        square = _square(resized)
        if square is None:
            return None
        side = square
    otherwise["crop"] = f"the centre square, as always here; {PROCESSOR} makes whole images square"
    return {"image_size": side, "crop_pct": 1.0}


def _side(value: Any, name: str) -> int | None:
    """Return a side that a number or a section of this one name states."""
    if isinstance(value, dict):
        value = value.get(name) if value.keys() == {name} else None
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _square(value: Any) -> int | None:
    """Return the side of a square that a number, a pair or {"height", "width"} states."""
    if isinstance(value, dict) and value.keys() == {"height", "width"}:
        value = [value["height"], value["width"]]
    if isinstance(value, list) and len(value) == 2 and value[0] == value[1]:
        value = value[0]
    return _side(value, "") if not isinstance(value, dict) else None


def _other_steps(stated: Mapping[str, Any]) -> list[str]:
    known = (*STEPS, FLIPPED)
    steps = [name for name, value in stated.items() if name.startswith("do_") and value is True]
    named = [name for name in ("include_top",) if stated.get(name) is True]
    return [name for name in steps if name not in known] + named


def _three(value: Any, name: str, path: Path) -> tuple[float, float, float]:
    three = of_colours(value)
    if not isinstance(three, list | tuple) or len(three) != 3 or not all(map(_is_number, three)):
        raise _wrong(path, name, value, "three numbers, or one for all colours")
    return float(three[0]), float(three[1]), float(three[2])


def _wrong(path: Path, name: str, value: Any, words: str) -> UserError:
    return UserError(f"{path}: {name} = {shown(value)}: must be {words}; correct it, or remove it")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
