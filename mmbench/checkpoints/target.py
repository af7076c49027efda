"""What a target library is: names for its tensors, a file it reads, and its own model to compare with."""

from __future__ import annotations

import importlib
import importlib.util
import json
import struct
import warnings
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

import torch
from safetensors.torch import save_file
from torch import Tensor

from mmbench.checkpoints.backbone import Backbone
from mmbench.checkpoints.card import ModelCard
from mmbench.checkpoints.networks.architecture import wanted_shapes
from mmbench.checkpoints.networks.plain import COUNTER, Shapes
from mmbench.files import HashedWriter, sha256_of
from mmbench.registry import Registry

HEADER_LENGTH = struct.Struct("<Q")  # of a safetensors file
WITHOUT_COUNTERS = "batch-norm counter: the target keeps none, and no output depends on it"


@dataclass(frozen=True)
class Saved:
    """A file of weights that was written, and the SHA-256 of its bytes."""

    path: Path
    sha256: str


def save_torch(content: object, path: Path) -> Saved:
    """Write `content` by torch.save."""
    with HashedWriter(path) as stream:
        torch.save(content, cast(IO[bytes], stream))
    return Saved(path, stream.digest)


def metadata_of(arch: str, card: ModelCard) -> dict[str, str]:
    """Return the metadata of a safetensors file, so that a file that is moved or renamed keeps its card."""
    return {"format": "pt", "arch": arch, "card": card.model_dump_json()}


def save_safetensors(tensors: dict[str, Tensor], path: Path, metadata: dict[str, str]) -> Saved:
    """Write tensors and metadata by safetensors."""
    write_safetensors(tensors, path, metadata)
    path.chmod(0o644)  # safetensors makes files private
    return Saved(path, sha256_of(path))


def write_safetensors(tensors: dict[str, Tensor], path: Path, metadata: dict[str, str]) -> None:
    """Write tensors and metadata by safetensors.

    It orders metadata by chance; here they are sorted, so that the same content makes the same file.
    """
    save_file(tensors, path, metadata=metadata)
    with path.open("r+b") as stream:
        (length,) = HEADER_LENGTH.unpack(stream.read(HEADER_LENGTH.size))
        header = json.loads(stream.read(length))
        header["__metadata__"] = dict(sorted(metadata.items()))
        content = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
        stream.seek(HEADER_LENGTH.size)
        if len(content) <= length:
            stream.write(content.ljust(length))  # the header ends with blanks


class Target(ABC):
    """One library that can take a backbone.

    Attributes:
        name: as in `--to`.
        library: the module that must import for the comparison.
        ending: what file names must end with for the library to read them; empty where it does not care.
        white: the largest value of an image before the library normalises it.
        states_images: whether the library finds mean and std in what is written.
        keeps_card: whether the card is written too, so that mmbench reads back all that is on it.
    """

    name: str
    library: str
    ending: str = ""
    white: float = 1
    states_images: bool = False
    keeps_card: bool = True

    @property
    def installed(self) -> bool:
        """Whether the library is here to compare with: found, and not broken when imported."""
        if importlib.util.find_spec(self.library.partition(".")[0]) is None:
            return False
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                importlib.import_module(self.library)
        except Exception:  # OpenMMLab's packages assert their neighbours' versions
            return False
        return True

    def names(self, backbone: Backbone) -> dict[str, str]:
        """Return canonical name -> the target's name; what is absent has no place there.

        By default timm's names, which for ResNets are torchvision's.

        Raises:
            UserError: the library has no such network.
        """
        return {name: name for name in backbone.state_dict}

    def manifest(self, backbone: Backbone) -> Shapes:
        """Return name -> shape of every tensor that the library's own model has, found without `names`.

        By default timm's own list.
        """
        return wanted_shapes(backbone.arch)

    @abstractmethod
    def model(self, backbone: Backbone) -> str:
        """Return a phrase that names the model of the library that takes the file."""

    @abstractmethod
    def save(self, tensors: dict[str, Tensor], backbone: Backbone, path: Path) -> Saved:
        """Write the tensors, under the target's names, and return the file that holds them."""

    @abstractmethod
    def features(self, backbone: Backbone, path: Path, images: Tensor) -> list[Tensor]:
        """Load `path` into the library's own model, strictly, and return the maps of its stages."""

    def notes(self, backbone: Backbone) -> list[str]:
        """Return what users of the file must know, one line each, such as how to build the network."""
        return []

    def without_counters(self, backbone: Backbone) -> list[str]:
        """Return the backbone's tensors without the counters of batch norms."""
        return [name for name in backbone.state_dict if not name.endswith(COUNTER)]


TARGETS: Registry[Target] = Registry("target", "mmbench.checkpoints.targets")
