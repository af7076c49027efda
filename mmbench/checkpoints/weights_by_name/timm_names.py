"""Weights that timm loads: of its registry, of the model hub, or of a folder in the hub's layout."""

from __future__ import annotations

import dataclasses
import json
import logging
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import timm
from safetensors import safe_open
from timm.models import load_state_dict
from timm.models._pretrained import PretrainedCfg
from torch import nn

from mmbench.checkpoints.beside import USUAL, weights_in
from mmbench.checkpoints.config_file import images_in, read_config
from mmbench.checkpoints.disagreement import classes_in, config_says_otherwise
from mmbench.checkpoints.images.processor import PROCESSOR, read_processor
from mmbench.checkpoints.images.timm_config import fixed_size
from mmbench.checkpoints.networks.architecture import (
    mismatches,
    shapes_of,
    wanted_shapes,
    with_classifier,
)
from mmbench.checkpoints.networks.near import near_words
from mmbench.checkpoints.networks.options import ARCH_OPTIONS
from mmbench.checkpoints.networks.plain import COUNTER, Shapes
from mmbench.checkpoints.weights_by_name.hub import fetch, fetch_url
from mmbench.checkpoints.weights_by_name.named_weights import NamedWeights, headless, unknown
from mmbench.errors import UserError
from mmbench.runs import RunFolder

# Fields of images that timm fills in where a configuration does not state them.
FILLED_IN = ("mean", "std", "input_size", "crop_pct", "interpolation", "crop_mode")


def registered(name: str) -> NamedWeights:
    """Return weights of timm's registry, such as "resnet50.a1_in1k"; without a tag timm's default ones.

    Raises:
        UserError: an unknown name, an architecture without weights, or weights that cannot be had.
    """
    arch, _, tag = name.partition(".")
    pretrained = timm.list_pretrained()
    if not timm.is_model(arch) or (tag and name not in pretrained):
        of_arch = [one for one in pretrained if one.startswith(f"{arch}.")]
        raise unknown("weights of timm", name, of_arch or pretrained, "timm.list_pretrained()")
    cfg = timm.get_pretrained_cfg(name)
    if cfg is None or not cfg.has_weights:
        raise UserError(f"timm has no pretrained weights for {arch}; name a file, or other weights")
    full, spec = f"{arch}.{cfg.tag}" if cfg.tag else arch, f"timm:{name}"
    overlay: dict[str, Any] = {"custom_load": False}
    if cfg.hf_hub_id:
        file = fetch(cfg.hf_hub_id, (cfg.hf_hub_filename,) if cfg.hf_hub_filename else USUAL, spec)
    else:
        file = fetch_url(str(cfg.url), spec)
        overlay["custom_load"] = cfg.custom_load
    if overlay["custom_load"]:
        overlay["file"] = str(file)
    with _one_line(spec, file):
        if not overlay["custom_load"]:
            overlay["state_dict"] = load_state_dict(str(file), weights_only=True)
        model = timm.create_model(full, pretrained=True, pretrained_cfg_overlay=overlay)
    origin = f"timm's configuration of {full}"
    return _named(model, f"timm:{full}", f"timm-{full}", (arch, full), file, origin)


def from_hub(repository: str) -> NamedWeights | Path:
    """Return the weights of a repository "user/name" or "user/name@revision" of the model hub.

    Raises:
        UserError: no such repository, not one of timm, or neither cached nor to be downloaded.
    """
    spec = f"hf-hub:{repository}"
    config = fetch(repository, ("config.json",), spec, beside=(PROCESSOR,))
    settings = _settings(config, spec)
    stated = images_in(settings).get("hf_hub_filename")
    file = fetch(repository, (stated,) if stated else USUAL, spec)
    return _from_files(config.parent, file, settings, spec, spec.replace(":", "-").replace("/", "-"))


def from_folder(folder: Path) -> NamedWeights | Path:
    """Return the weights of a local folder in the hub's layout: config.json and the weights beside it.

    Raises:
        UserError: no such folder, or another layout.
    """
    spec = f"local-dir:{folder}"
    if not folder.is_dir():
        raise UserError(f"{spec}: there is no such folder; check the path")
    if RunFolder(folder).card.is_file():
        return folder
    if not (folder / "config.json").is_file():
        raise UserError(f"{spec}: it has no config.json of timm; leave out local-dir: for other layouts")
    settings = _settings(folder / "config.json", spec)
    return _from_files(folder, weights_in(folder), settings, spec, folder.resolve().name)


def _settings(config: Path, spec: str) -> dict[str, Any]:
    """Return the content of a config.json whose architecture timm has."""
    settings = read_config(config)
    arch = settings["architecture"].partition(".")[0]
    if not timm.is_model(arch):
        raise unknown(f"architecture in {spec}", arch, timm.list_models(), "timm.list_models()")
    return settings


def _from_files(
    folder: Path, file: Path, settings: dict[str, Any], spec: str, arm: str
) -> NamedWeights | Path:
    """Return what timm builds from a folder and loads from a file; the file itself where it holds a card."""
    arch = str(settings["architecture"]).partition(".")[0]
    with _one_line(spec, file):
        if file.suffix == ".safetensors":
            with safe_open(file, framework="pt") as stream:
                if "card" in (stream.metadata() or {}):
                    return file
        # The state goes in as it was read here: whichever file timm would choose, it is this one.
        overlay = {"source": "", "custom_load": False}
        state = load_state_dict(str(file), weights_only=True)
        found = shapes_of(state)
        with tempfile.TemporaryDirectory() as read:
            (Path(read) / "config.json").write_text(
                json.dumps(_for_timm(settings, arch, found)), encoding="utf-8"
            )
            with _loaded_whole(spec, file, arch, found):
                model = timm.create_model(
                    f"local-dir:{read}",
                    pretrained=True,
                    pretrained_cfg_overlay={**overlay, "state_dict": state},
                )
    name = spec if spec.startswith("hf-hub:") else f"local-dir:{arm}"  # a receipt holds no path
    named = _named(model, name, arm, (arch,), file, "config.json", settings)
    images = folder / PROCESSOR
    return dataclasses.replace(
        named,
        said=tuple(config_says_otherwise(settings, arch, found)),
        processor=read_processor(images) if images.is_file() else None,
    )


def _for_timm(settings: Mapping[str, Any], arch: str, found: Shapes) -> dict[str, Any]:
    """Return a configuration as timm takes it: its own fields alone, and what the tensors show.

    Args:
        arch: timm name of the architecture without its tag.
        found: name -> shape of the file's tensors. timm would refuse another number of classes.
    """
    known = {field.name for field in dataclasses.fields(PretrainedCfg)}
    cfg = {name: value for name, value in images_in(settings).items() if name in known}
    cfg.pop("architecture", None)
    cfg["num_classes"] = classes_in(settings, arch, found)
    if fixed_size(arch) is None:  # timm would build it for one size, which most such networks cannot be
        cfg.pop("fixed_input_size", None)
    architecture, arguments = settings["architecture"], settings.get("model_args", {})
    return {"architecture": architecture, "pretrained_cfg": cfg, "model_args": arguments}


def _named(
    model: nn.Module,
    name: str,
    arm: str,
    architectures: tuple[str, ...],
    file: Path,
    origin: str,
    settings: Mapping[str, Any] | None = None,
) -> NamedWeights:
    """Return a loaded model of timm without its classifier.

    Args:
        settings: the content of config.json, where there is one. Those of its arguments that no card holds
            are left to the comparison of features.
    """
    cfg = {key: value for key, value in model.pretrained_cfg.items() if key != "state_dict"}  # type: ignore[operator,union-attr]
    full = model.state_dict()
    model.reset_classifier(0)  # type: ignore[operator]
    arch, tensors, dropped = headless(full, model, architectures, name)
    arguments = {} if settings is None else settings.get("model_args", {})
    kept = {key: value for key, value in arguments.items() if key in (*ARCH_OPTIONS, "high_pass")}
    if settings is not None:  # what timm fills in is not what the file states, and it knows no pooling
        stated = images_in(settings)
        cfg = {key: value for key, value in cfg.items() if key not in FILLED_IN or key in stated}
        unknown_to_timm = ("global_pool", "image_mean", "image_std")
        cfg |= {key: stated[key] for key in unknown_to_timm if key in stated}
    config = {"architecture": arch, "pretrained_cfg": cfg, "model_args": kept}
    if settings is not None:
        apart = ("mean", "std", "image_mean", "image_std") if images_in(settings) is not settings else ()
        config |= {key: settings[key] for key in apart if key in settings}
    return NamedWeights(name, arm, "timm", arch, model.eval(), tensors, config, origin, file, dropped)


@contextmanager
def _loaded_whole(spec: str, file: Path, arch: str, found: Shapes) -> Iterator[None]:
    """Say what is missing, and which architecture is near, where torch cannot load the file's tensors.

    Args:
        found: name -> shape of the file's tensors.
    """
    try:
        yield
    except RuntimeError as error:
        shapes = wanted_shapes(arch).items()  # old files have no counters
        wanted = {key: shape for key, shape in shapes if key in found or not key.endswith(COUNTER)}
        backbone = {key: shape for key, shape in found.items() if key in wanted or key not in _heads(arch)}
        problems = mismatches(wanted, backbone)
        if "loading state_dict" not in str(error) or not problems:
            raise
        raise UserError(
            f"{spec}: {file.name} does not cover {arch}, which config.json names: {'; '.join(problems)}; "
            f"correct architecture there, or get the file again{near_words(arch, found)}"
        ) from None


def _heads(arch: str) -> frozenset[str]:
    return with_classifier(arch) - wanted_shapes(arch).keys()


@contextmanager
def _one_line(spec: str, file: Path) -> Iterator[None]:
    """Turn errors of timm's loading into one line, and keep its warnings of what it adapts to itself."""
    logger = logging.getLogger("timm")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # whatever a file of others makes its readers raise
        line = " ".join(str(error).split())[:200] or type(error).__name__
        raise UserError(
            f"{spec}: timm cannot load {file.name} ({line}); where it is damaged, delete it and get it again"
        ) from None
    finally:
        logger.setLevel(level)
