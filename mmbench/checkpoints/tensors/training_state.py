"""Training states of our own runs (`training/step-*.pth`): their encoders, and what their run says."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mmbench.checkpoints.card import ModelCard, Preprocessing
from mmbench.checkpoints.format import HEAD, PREDICTOR, QUEUE, Format
from mmbench.checkpoints.images.timm_config import default_size
from mmbench.checkpoints.tensors.choosing import Choice
from mmbench.errors import UserError
from mmbench.runs import RunFolder, read_settings

PARTS = {"framework", "optimiser", "step", "view_generators"}  # as `Trainer.state` names them
NAME = "training state"
AVERAGE = "moving average of the backbone"
STATE = Format(
    name=NAME,
    prefix="backbone.",
    momentum=("key_backbone.", "target_backbone."),
    dropped={
        "key_backbone.": AVERAGE,
        "target_backbone.": AVERAGE,
        "head.": HEAD,
        "key_head.": HEAD,
        "projector.": HEAD,
        "target_projector.": HEAD,
        "predictor.": PREDICTOR,
        "queue": QUEUE,
    },
)


def is_training_state(content: Any, choice: Choice) -> bool:
    """Return whether a file is a training state of ours, whose framework is read."""
    return isinstance(content, dict) and content.keys() >= PARTS and choice.taken.place[:1] == ("framework",)


def card_of_state(path: Path, content: Mapping[str, Any], arch: str) -> tuple[ModelCard, list[str]]:
    """Return the card of a training state, and what had to be assumed.

    Args:
        path: the file, in `training/` of its run folder or moved away from there.

    Raises:
        UserError: the run filters its images, and the state does not say how.
    """
    folder = RunFolder(path.resolve().parent.parent)
    in_its_run = path.resolve().parent == folder.training
    settings = read_settings(folder.settings) if in_its_run and folder.settings.is_file() else {}
    step, assumed = int(content["step"]), []
    preprocessing, origin = _preprocessing(content, folder if in_its_run else None)
    masking = _name(settings.get("masking"))
    if preprocessing is None:
        if masking == "mscn":
            raise UserError(
                f"{path} is a state of an MSCN run of an older version, and does not say which high-pass "
                "filter its images had; finish the run, and read its folder"
            )
        size = settings.get("image_size")
        origin = "settings.yaml of the run"
        if not isinstance(size, int):
            size, origin = default_size(arch), "default of the architecture"
            assumed.append("image size: the state of an older version does not say it")
        preprocessing = Preprocessing(image_size=size)
    per_epoch = _number(settings.get("effective"), "steps_per_epoch")
    planned = settings.get("epochs")
    done = f"step {step}" + (f" of {per_epoch * planned}" if per_epoch and isinstance(planned, int) else "")
    origins = {
        "arch": "names and shapes",
        "epochs": f"{done}, of a training state: not a finished run",
        "preprocessing": origin,
    }
    card = ModelCard(
        arm=f"{settings.get('method', 'training-state')}-step-{step}",
        arch=arch,
        method=settings.get("method"),
        framework=_name(settings.get("framework")),
        masking=masking,
        pretrain_data=Path(str(settings["data"])).name if settings.get("data") else None,
        pretrain_fingerprint=_text(content, "fingerprint"),
        epochs=step // per_epoch if per_epoch else None,
        seed=settings.get("seed"),
        recipe_digest=_text(content, "recipe_digest"),  # states of older versions do not say it
        source_format=NAME,
        preprocessing=preprocessing,
        origins=origins,
    )
    return card, assumed


def _preprocessing(content: Mapping[str, Any], folder: RunFolder | None) -> tuple[Preprocessing | None, str]:
    """Return the preprocessing that the state itself says, else that of the finished run's card."""
    try:
        if "preprocessing" in content:
            return Preprocessing.model_validate(content["preprocessing"]), "the training state"
        if folder is not None and folder.card.is_file():
            card = ModelCard.model_validate_json(folder.card.read_text(encoding="utf-8"))
            return card.preprocessing, "card.json of the run"
    except (ValidationError, OSError, ValueError):
        pass
    return None, ""


def _name(settings: Any) -> str | None:
    return settings.get("name") if isinstance(settings, dict) else None


def _text(content: Mapping[str, Any], name: str) -> str | None:
    value = content.get(name)
    return value if isinstance(value, str) else None


def _number(settings: Any, name: str) -> int | None:
    value = settings.get(name) if isinstance(settings, dict) else None
    return value if isinstance(value, int) and value > 0 else None
