"""What timm says of images: config.json beside the weights, and the defaults of an architecture."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mmbench.checkpoints.card import Preprocessing
from mmbench.checkpoints.config_file import images_in
from mmbench.checkpoints.networks.options import high_pass_in
from mmbench.checkpoints.networks.own_networks import own_image_size
from mmbench.errors import UserError, one_line

DEFAULT_SIZE = 224
LARGEST_SIZE = 8192
CONFIG = "config.json"
RECORDED = "config.json, as mmbench recorded it"
# Fact -> its name in timm's configuration, the only value that is followed here, and what that is in words.
RESIZED = {
    "interpolation": ("interpolation", "bilinear", "bilinear"),
    "crop": ("crop_mode", "center", "the centre"),
}


def default_size(arch: str) -> int:
    """Return the side in pixels of the images that timm states for an architecture."""
    if (own := own_image_size(arch)) is not None:
        return own
    import timm

    cfg = timm.get_pretrained_cfg(arch, allow_unregistered=True)
    return int(cfg.input_size[-1]) if cfg is not None else DEFAULT_SIZE


def fixed_size(arch: str) -> int | None:
    """Return the side in pixels of the only images that an architecture takes; None where it takes any."""
    if own_image_size(arch) is not None:
        return None
    import timm

    cfg = timm.get_pretrained_cfg(arch, allow_unregistered=True)
    return int(cfg.input_size[-1]) if cfg is not None and cfg.fixed_input_size else None


def require_size(arch: str, size: int) -> None:
    """Raise UserError where an architecture takes images of another size alone."""
    if (fixed := fixed_size(arch)) not in (None, size):
        raise UserError(
            f"{arch} takes images of {fixed} px only, not of {size} px; state --image-size {fixed}"
        )


def preprocessing_in(
    config: Mapping[str, Any], weights: Path, origin: str = CONFIG
) -> tuple[dict[str, Any], str]:
    """Return values of a Preprocessing from timm's config.json, and where exactly they are.

    Args:
        origin: what a card calls the configuration.
    """
    ours = config.get("mmbench")
    recorded = ours.get("preprocessing") if isinstance(ours, dict) else None
    if isinstance(recorded, dict):
        return validated(recorded, weights).model_dump(), RECORDED
    cfg = config.get("pretrained_cfg")
    cfg = cfg if isinstance(cfg, dict) else config
    found: dict[str, Any] = {}
    if "mean" in cfg and "std" in cfg:
        found |= {"mean": _of_colours(cfg["mean"]), "std": _of_colours(cfg["std"])}
    size = cfg.get("input_size")
    if isinstance(size, list | tuple) and size:
        found["image_size"] = size[-1]
    crop = cfg.get("crop_pct")
    if isinstance(crop, int | float) and 0 < crop <= 1:
        found["crop_pct"] = float(crop)
    filter_ = high_pass_in(config)
    if filter_ is not None:
        found["high_pass"] = filter_
    return found, origin


def half_in(config: Mapping[str, Any]) -> str:
    """Return a phrase where timm's configuration states a mean or a std alone; empty where it does not."""
    cfg = config.get("pretrained_cfg")
    cfg = cfg if isinstance(cfg, dict) else config
    stated = [name for name in ("mean", "std") if cfg.get(name) is not None]
    return f"config.json states {stated[0]} of its images alone" if len(stated) == 1 else ""


def _of_colours(value: Any) -> Any:
    """Return one number, or a list of one, as a number for each colour; all else as it is."""
    if isinstance(value, list | tuple) and len(value) == 1:
        value = value[0]
    return (value,) * 3 if isinstance(value, int | float) and not isinstance(value, bool) else value


def not_followed(config: Mapping[str, Any], origin: str) -> dict[str, str]:
    """Return fact -> what mmbench does instead, of how timm's configuration resizes and crops images.

    Args:
        origin: what a card calls the configuration; what mmbench recorded is followed.
    """
    found: dict[str, str] = {}
    if origin == RECORDED:
        return found
    cfg = config.get("pretrained_cfg")
    cfg = cfg if isinstance(cfg, dict) else config
    if (interpolation := cfg.get("interpolation") or "bilinear") != "bilinear":
        found["interpolation"] = (
            f"bilinear, as always here; {origin} states {one_line(str(interpolation), 40)}"
        )
    if cfg is not config:
        for name in ("mean", "std"):
            if config.get(name) is not None and _of_colours(config[name]) != _of_colours(cfg.get(name)):
                found[name] = (
                    f"that of pretrained_cfg; {origin} states {one_line(str(config[name]), 60)} at its top"
                )
    crop = cfg.get("crop_pct")
    if isinstance(crop, int | float) and not 0 < crop <= 1:
        found["crop_pct"] = f"left open; {origin} states {crop:g}, which is not above 0 and at most 1"
    if (mode := cfg.get("crop_mode") or "center") != "center":
        found["crop"] = f"the centre, as always here; {origin} states {one_line(str(mode), 40)}"
    return found


def unequal_sides(config: Mapping[str, Any]) -> str:
    """Return the height and width that timm's configuration states, in words; empty where they are equal."""
    size = images_in(config).get("input_size")
    if not isinstance(size, list | tuple) or len(size) != 3 or size[1] == size[2]:
        return ""
    return f"a height of {size[1]} and a width of {size[2]} px"


def validated(values: Mapping[str, Any], weights: Path) -> Preprocessing:
    """Return a Preprocessing of these values.

    Raises:
        UserError: they cannot be one.
    """
    try:
        found = Preprocessing.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise UserError(
            f"{weights}: {where} of its preprocessing is not valid ({first['msg']}); correct config.json, or "
            "state it by --mean, --std and --image-size"
        ) from None
    if not all(abs(value) < 1e6 for value in (*found.mean, *found.std)) or min(found.std) <= 0:
        raise UserError(
            f"{weights}: mean {found.mean} and std {found.std} cannot be those of images; state them by "
            "--mean and --std"
        )
    if not 1 <= found.image_size <= LARGEST_SIZE:
        raise UserError(
            f"{weights}: an image size of {found.image_size} px is not valid; state it by --image-size"
        )
    return found
