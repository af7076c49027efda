"""What timm says of images: config.json beside the weights, and the defaults of an architecture."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mmbench.checkpoints.card import Preprocessing
from mmbench.checkpoints.config_file import images_in
from mmbench.checkpoints.images.processor import of_colours
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
    found: dict[str, Any] = dict(_chosen(config)[1])
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
    """Return a phrase where a mean or a std is alone in timm's configuration and no other place has both."""
    stated = [list(values) for _, values in _statements(config)]
    if any(len(names) == 2 for names in stated) or not any(stated):
        return ""
    return f"config.json states {next(filter(None, stated))[0]} of its images alone"


def _statements(config: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Return (where, what is stated of mean and std) of each place, the one that counts first.

    timm calls them mean and std, transformers image_mean and image_std.
    """
    cfg = images_in(config)
    sections = [("pretrained_cfg", cfg), ("its top", config)] if cfg is not config else [("its top", config)]
    return [
        (
            f"{where}{' as image_...' if prefix else ''}",
            {
                fact: of_colours(section[prefix + fact])
                for fact in ("mean", "std")
                if section.get(prefix + fact) is not None
            },
        )
        for where, section in sections
        for prefix in ("", "image_")
    ]


def _chosen(config: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the first place that states both mean and std, and both; empty where none does."""
    return next((one for one in _statements(config) if len(one[1]) == 2), ("", {}))


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
    chosen, values = _chosen(config)
    for where, others in _statements(config) if values else ():
        for name, value in others.items():
            if not _is_equal(value, values[name]) and name not in found:
                place = where.replace("pretrained_cfg", "in pretrained_cfg").replace("its top", "at its top")
                shown = one_line(str(_as_written(value)), 60)
                found[name] = f"that of {chosen}; {origin} states {shown} {place}"
    crop = cfg.get("crop_pct")
    if isinstance(crop, int | float) and not 0 < crop <= 1:
        found["crop_pct"] = f"left open; {origin} states {crop:g}, which is not above 0 and at most 1"
    if (mode := cfg.get("crop_mode") or "center") != "center":
        found["crop"] = f"the centre, as always here; {origin} states {one_line(str(mode), 40)}"
    return found


def _is_equal(one: Any, other: Any) -> bool:
    return list(one) == list(other) if isinstance(one, list | tuple) else bool(one == other)


def _as_written(value: Any) -> Any:
    """Return one number of three that are equal, as it was most likely written."""
    return value[0] if isinstance(value, tuple) and len(set(value)) == 1 else value


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
