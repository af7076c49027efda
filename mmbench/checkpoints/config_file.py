"""timm's config.json, read with every field of its kind: null is as if a field were not there."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mmbench.errors import UserError, shown

Kind = tuple[str, Callable[[Any], bool]]  # in words, and whether a value is of it


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_size(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 3 and all(_is_count(one) and one for one in value)


def _is_name(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, list) and all(isinstance(one, str) for one in value))


SECTION: Kind = ("a section {...}", lambda value: isinstance(value, dict))
COUNT: Kind = ("a whole number", _is_count)
NUMBER: Kind = ("a number", _is_number)
SIZE: Kind = ("[channels, height, width], such as [3, 224, 224]", _is_size)
TEXT: Kind = ("text", lambda value: isinstance(value, str))
NAME: Kind = ("the name of a layer", _is_name)
FLAG: Kind = ("true or false", lambda value: isinstance(value, bool))
# Fields that timm or mmbench follow; what is said of mean and std is read by `timm_config`.
OF_IMAGES: dict[str, Kind] = {
    "input_size": SIZE,
    "fixed_input_size": FLAG,
    "crop_pct": NUMBER,
    "num_classes": COUNT,
    "first_conv": NAME,
    "classifier": NAME,
    "hf_hub_filename": TEXT,
}
AT_THE_TOP: dict[str, Kind] = {
    "pretrained_cfg": SECTION,
    "model_args": SECTION,
    "mmbench": SECTION,
    "num_features": COUNT,
    **OF_IMAGES,
}


def read_config(path: Path) -> dict[str, Any]:
    """Return the content of timm's config.json, without fields that are null.

    Raises:
        UserError: it cannot be read, names no architecture, or a field that is followed is of another kind.
    """
    try:
        config: Any = _without_null(json.loads(path.read_text(encoding="utf-8-sig")))
    except (OSError, ValueError, RecursionError) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0][:100]
        raise UserError(f"{path} is not timm's config.json ({first}); restore it") from None
    found: dict[str, Any] = config if isinstance(config, dict) else {}
    arch = found.get("architecture")
    if not isinstance(arch, str) or not arch.strip():
        raise UserError(f"{path} is not timm's config.json (no architecture in it)")
    _check(found, AT_THE_TOP, path, "")
    _check(found.get("pretrained_cfg", {}), OF_IMAGES, path, "pretrained_cfg.")
    return found


def images_in(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the part of a configuration that is of images; old files do not keep it apart."""
    found: Mapping[str, Any] = config.get("pretrained_cfg", config)
    return found


def _check(values: Mapping[str, Any], kinds: Mapping[str, Kind], path: Path, above: str) -> None:
    for name, (words, fits) in kinds.items():
        if name in values and not fits(values[name]):
            raise UserError(
                f"{path}: {above}{name} = {shown(values[name])}: must be {words}; correct it, or remove it"
            )


def _without_null(value: Any) -> Any:
    """Return a value without the fields of its sections that are null; what mmbench recorded stays whole."""
    if not isinstance(value, dict):
        return value
    return {
        name: one if name == "mmbench" else _without_null(one)
        for name, one in value.items()
        if one is not None
    }
