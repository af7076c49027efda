"""What lies around a file of weights: our card (in the file or beside it) and timm's config.json."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from mmbench.checkpoints.card import ModelCard
from mmbench.checkpoints.card_file import StoredCard, read_card
from mmbench.checkpoints.config_file import read_config
from mmbench.checkpoints.images.processor import PROCESSOR, Processor, read_processor
from mmbench.errors import UserError
from mmbench.files import sha256_of
from mmbench.runs import RunFolder

ENDINGS = (".safetensors", ".bin", ".pth", ".pt", ".ckpt", ".pkl", ".pth.tar", ".tar")
USUAL = ("model.safetensors", "pytorch_model.bin")  # as timm and the model hub name a folder's weights
SHA256 = re.compile(r"[0-9a-f]{64}")
# Whether an architecture fits the tensors of the file.
Fits = Callable[[str], bool]
Content = TypeVar("Content")


@dataclass(frozen=True)
class Beside:
    """What is known of the weights from around them.

    Attributes:
        card: our own card, None where there is none.
        verified: whether card.json and the weights were compared with their digests; None without card.json.
        config: timm's config.json, empty where there is none.
        processor: transformers' preprocessor_config.json, None where there is none.
        said: what lies there and was not used, and why.
    """

    card: ModelCard | None = None
    verified: bool | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    processor: Processor | None = None
    said: tuple[str, ...] = ()

    @property
    def arch(self) -> str | None:
        """The architecture that the card or the configuration names."""
        return self.card.arch if self.card else self.config.get("architecture")


def weights_in(folder: Path) -> Path:
    """Return the file of weights in a folder: the usual name, else the only one.

    Raises:
        UserError: none, or several; of an unfinished run, what to do.
    """
    for name in USUAL:
        if (folder / name).is_file():
            return folder / name
    files = sorted(path for path in folder.iterdir() if path.name.endswith(ENDINGS) and path.is_file())
    if len(files) == 1 and (folder / "config.json").is_file():
        return files[0]
    run = RunFolder(folder)
    if run.settings.is_file():
        states = run.state_paths()
        state = f", or name the state {states[0]} to read its weights as they are" if states else ""
        raise UserError(
            f"{folder} is an unfinished pretraining run: finish it by the same `mmbench pretrain` command"
            f"{state}"
        )
    listing = f"; it holds {', '.join(path.name for path in files[:4])}: name one of them" if files else ""
    raise UserError(
        f"{folder} is a folder, but neither a run folder nor a timm folder (no model.safetensors in it)"
        f"{listing or '; name a checkpoint file'}"
    )


def look_around(weights: Path, sha256: str, own: bool, content: Any, metadata: Mapping[str, Any]) -> Beside:
    """Return the card and the configuration that belong to these weights, before their architecture is known.

    Args:
        own: whether the folder was named, or the file has the usual name of a folder's weights.
        content: what the file holds; OpenMMLab's `meta` and Detectron2's files can hold a card.
        metadata: of a safetensors file.

    Raises:
        UserError: a card or configuration of the folder's own weights is damaged.
    """
    inside = _card_inside(content, metadata)
    said: list[str] = []
    folder = RunFolder(weights.parent)
    card = _card_beside(folder.card, weights, sha256, own, said)
    if card is not None:
        verified = card.check_weights(weights, sha256)
        if inside is None or verified or not _differ(card.card, inside):
            return Beside(card.card, verified=verified, said=tuple(said))
        said.append("card.json differs from the card inside the weights; the one inside is used")
    if inside is not None:
        return Beside(inside, said=tuple(said))
    config = _config_beside(folder.hub_config, weights, sha256, own, said)
    processor = _processor_beside(weights.with_name(PROCESSOR), own, bool(config), said)
    return Beside(config=config, processor=processor, said=tuple(said))


def _card_inside(content: Any, metadata: Mapping[str, Any]) -> ModelCard | None:
    """Return the card in the metadata of safetensors, in OpenMMLab's `meta`, or in Detectron2's file."""
    places: list[Any] = [metadata]
    if isinstance(content, dict):
        places += [content.get("meta"), content]
    for place in places:
        text = place.get("card") if isinstance(place, dict) else None
        if isinstance(text, str):
            try:
                return ModelCard.model_validate_json(text)
            except ValidationError:
                continue  # another program's use of the same key
    return None


def _differ(one: ModelCard, other: ModelCard) -> bool:
    return (one.arch, one.arch_options, one.preprocessing) != (
        other.arch,
        other.arch_options,
        other.preprocessing,
    )


def _card_beside(path: Path, weights: Path, sha256: str, own: bool, said: list[str]) -> StoredCard | None:
    """Return the card.json of these weights, None where there is none or it is of others."""
    if not path.is_file():
        return None
    try:
        stored = read_card(path)
    except UserError:
        if own:
            raise
        said.append(f"{path.name} beside the file cannot be read as a model card")
        return None
    if own:
        return stored
    stated = stored.weights_sha256 or _output_of_receipt(path.with_name("receipt.json"))
    if stated is None:
        return stored if _belongs(path, weights, sha256, stored.card.source_sha256, said) else None
    if stated == sha256:
        return stored
    said.append(f"{path.name} is of other weights (SHA-256 {stated[:12]}), so it was not used")
    return None


def _belongs(path: Path, weights: Path, sha256: str, stated: str | None, said: list[str]) -> bool:
    """Return whether what describes a folder's own weights describes those under another name."""
    usual = next((path.with_name(name) for name in USUAL if path.with_name(name).is_file()), None)
    if usual is not None and usual != weights:
        if sha256_of(usual) == sha256:
            return True
        said.append(f"{path.name} describes {usual.name}, which holds other weights, so it was not used")
        return False
    if stated is not None and SHA256.fullmatch(stated) and stated != sha256:
        said.append(f"{path.name} states other weights (SHA-256 {stated[:12]}), so it was not used")
        return False
    return True


def _output_of_receipt(path: Path) -> str | None:
    """Return the SHA-256 of the weights that a conversion wrote into this folder, None if unknown."""
    try:
        found = json.loads(path.read_text(encoding="utf-8")).get("output_sha256")
    except (OSError, ValueError, AttributeError, RecursionError):
        return None
    return found if isinstance(found, str) and SHA256.fullmatch(found) else None


def _config_beside(path: Path, weights: Path, sha256: str, own: bool, said: list[str]) -> Mapping[str, Any]:
    if not path.is_file():
        return {}
    if (config := _read_beside(read_config, path, own, said)) is None:
        return {}
    for stated in _digests(config):
        if stated != sha256:
            said.append(f"{path.name} states other weights (SHA-256 {stated[:12]}), so it was not used")
            return {}
    if "mmbench" in config and not own and not _belongs(path, weights, sha256, None, said):
        return {}
    return config


def _processor_beside(path: Path, own: bool, described: bool, said: list[str]) -> Processor | None:
    """Return the preprocessor_config.json of these weights, None where there is none or it may be of others.

    Args:
        described: whether config.json is of these weights.
    """
    if not path.is_file():
        return None
    if not own and not described:
        said.append(f"{path.name} lies beside the file and may be of other weights, so it was not used")
        return None
    return _read_beside(read_processor, path, own, said)


def _read_beside(read: Callable[[Path], Content], path: Path, own: bool, said: list[str]) -> Content | None:
    """Return what a file beside weights states; None where it is wrong and may be of others, which is said.

    Raises:
        UserError: it is wrong, and of the folder's own weights.
    """
    try:
        return read(path)
    except UserError as error:
        if own:
            raise
        said.append(f"beside the file, not used: {str(error).replace(f'{path}', path.name, 1)}")
        return None


def _digests(config: Mapping[str, Any]) -> list[str]:
    """Return every SHA-256 that a configuration states of its weights."""
    places = [config, *(config.get(name) for name in ("pretrained_cfg", "mmbench"))]
    return [
        value
        for place in places
        if isinstance(place, dict)
        for name, value in place.items()
        if "sha256" in name and isinstance(value, str) and SHA256.fullmatch(value)
    ]
