"""What the settings of an OpenMMLab configuration say of images: the places that the libraries run, alone.

A configuration often holds the same fact in several places, of which the libraries run one. A variable that
is left over from a file that it inherits from does not count; places that do and disagree are not decided.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

MAX_DEPTH = 40
LOADERS = ("train_dataloader", "val_dataloader", "test_dataloader")
Triple = tuple[float, float, float]


@dataclass(frozen=True)
class Normalisation:
    """Mean and std of an image of 0 to 255, in the order of `to_rgb`.

    Attributes:
        to_rgb: whether the order of the colours is turned before, which makes RGB of the BGR that the
            libraries load from files; None where it is unclear. See `openmmlab_data` for other images.
        place: where it is said.
        of_pillow: whether it is torchvision's, of Pillow's images in [0, 1], which are RGB and never turned.
    """

    mean: Triple
    std: Triple | None
    to_rgb: bool | None
    place: str
    of_pillow: bool = False

    def equals(self, other: Normalisation) -> bool:
        """Return whether both make the same images."""
        if self.to_rgb != other.to_rgb or (self.std is None) != (other.std is None):
            return False
        ours, theirs = self.mean + (self.std or ()), other.mean + (other.std or ())
        return all(math.isclose(one, two, rel_tol=1e-6) for one, two in zip(ours, theirs, strict=True))

    @property
    def words(self) -> str:
        """Place and values, short."""
        return f"{self.place} (mean {_short(self.mean)}, std {_short(self.std or ())}, to_rgb={self.to_rgb})"


def normalisation_in(settings: Mapping[str, Any]) -> Normalisation | str | None:
    """Return how the libraries normalise images; a phrase where places that count disagree; None for nothing.

    mmengine normalises in the model's `data_preprocessor`, for which a variable of that name stands in only
    where the model has none. It keeps BGR unless `bgr_to_rgb` or (in mmpretrain) `to_rgb` is true. mmcv 1.x
    has a step of type Normalize in the pipelines of `data`, where `to_rgb` is true unless said otherwise;
    variables such as `test_pipeline` and `img_norm_cfg` count where `data` holds no step. Sources:
    mmengine/runner/runner.py (`Runner.__init__`), mmengine/model/base_model; mmcv/image/photometric.py.
    """
    preprocessors = _preprocessors(settings)
    running = [
        place for name in (*LOADERS, "data") if name in settings for place in _steps(settings[name], name)
    ]
    if preprocessors:
        again = [place for place in running if place.place.partition(".")[0] in LOADERS]
        if again:
            return (
                f"its configuration normalises images in {preprocessors[0].words} and again in "
                f"{again[0].words}"
            )
        return _agreed(preprocessors)
    if running:
        return _agreed(running)
    loose = [place for name, part in settings.items() for place in _steps(part, name)]
    return _agreed(loose or list(_variables(settings)))


def _agreed(places: list[Normalisation]) -> Normalisation | str | None:
    """Return the first of places that are all equal, a phrase for two that differ, None for none."""
    for place in places[1:]:
        if not place.equals(places[0]):
            return f"its configuration says two things of images: {places[0].words} and {place.words}"
    return places[0] if places else None


def _preprocessors(settings: Mapping[str, Any]) -> list[Normalisation]:
    """Return what the `data_preprocessor` of the model says; it may hold others, of its branches."""
    model, name = settings.get("model"), "data_preprocessor"
    if isinstance(model, dict) and name in model:
        found, start = [(f"model.{name}", model[name])], True
    elif isinstance(model, dict) and isinstance(settings.get(name), dict):
        found, start = [(name, settings[name])], True
    else:
        found = [(path, value) for path, value in dicts(settings) if path.endswith(name)]
        start = False
    places = []
    for path, value in found:
        for inner, preprocessor in dicts(value, path) if start else [(path, value)]:
            mean = triple(preprocessor.get("mean"))
            if mean is not None:
                std = triple(preprocessor.get("std"))
                places.append(Normalisation(mean, std, _becomes_rgb(preprocessor), inner))
    return places


def _becomes_rgb(preprocessor: Mapping[str, Any]) -> bool | None:
    """Return whether a `data_preprocessor` turns BGR into RGB; None where its images cannot be BGR."""
    to_rgb = preprocessor.get("bgr_to_rgb", preprocessor.get("to_rgb", False))
    return to_rgb if isinstance(to_rgb, bool) and not preprocessor.get("rgb_to_bgr") else None


def _steps(value: Any, path: str) -> Iterator[Normalisation]:
    """Yield what every step of type Normalize in pipelines says."""
    for inner, step in dicts(value, path):
        if str(step.get("type", "")).rpartition(".")[2] == "Normalize":
            yield from _of_step(step, f"{inner} (Normalize)")


def _variables(settings: Mapping[str, Any]) -> Iterator[Normalisation]:
    """Yield what every `img_norm_cfg` says."""
    for path, step in dicts(settings):
        if path.endswith("img_norm_cfg"):
            yield from _of_step(step, path)


def _of_step(step: Mapping[str, Any], place: str) -> Iterator[Normalisation]:
    """Yield what mmcv's arguments of a normalisation say, if they are numbers."""
    if (mean := triple(step.get("mean"))) is not None:
        to_rgb = step.get("to_rgb", True)
        yield Normalisation(
            mean,
            triple(step.get("std")),
            to_rgb if isinstance(to_rgb, bool) else None,
            place,
            of_pillow="to_rgb" not in step and max(mean) <= 1,
        )


def dicts(value: Any, path: str = "", depth: int = 0) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (dotted path, dictionary) of every dictionary in nested settings, the outermost first."""
    if depth > MAX_DEPTH:
        return
    if isinstance(value, dict):
        yield path, value
        parts = [(f"{path}.{name}".removeprefix("."), part) for name, part in value.items()]
    else:
        parts = [(path, part) for part in value] if isinstance(value, list | tuple) else []
    for name, part in parts:
        yield from dicts(part, name, depth + 1)


def triple(value: Any) -> Triple | None:
    """Return three finite numbers, None for anything else."""
    if not isinstance(value, list | tuple) or len(value) != 3:
        return None
    if not all(isinstance(part, int | float) and math.isfinite(part) for part in value):
        return None
    return float(value[0]), float(value[1]), float(value[2])


def _short(values: tuple[float, ...]) -> str:
    return ",".join(f"{value:g}" for value in values) or "none"
