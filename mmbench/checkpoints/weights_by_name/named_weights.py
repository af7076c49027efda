"""Weights that a library loaded by their name, and the proof that ours is the same network."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mmbench.checkpoints.backbone import Backbone
from mmbench.checkpoints.images.processor import Processor
from mmbench.checkpoints.networks.architecture import mismatches, shapes_of, wanted_shapes
from mmbench.checkpoints.proof.parity import relative_error
from mmbench.errors import LONGEST_SHOWN, UserError, one_line
from mmbench.images.preprocessing import high_pass

TOLERANCE = 1e-4  # relative, float32
SUPERVISED = re.compile(r"(?<![\w-])supervised\b", re.IGNORECASE)  # but not self-, semi- or weakly supervised
UNSUPERVISED = re.compile(r"\b(self|semi|weakly|un)[- ]?supervised", re.IGNORECASE)


@dataclass(frozen=True)
class NamedWeights:
    """Weights that a library loaded by their name.

    Attributes:
        name: in full, such as "timm:resnet50.a1_in1k".
        arm: the word for a card; safe as a file name.
        library: "timm" or "torchvision".
        arch: timm name of the architecture.
        network: the library's own network with these weights, without classifier, for evaluation.
        tensors: of the headless architecture, by timm's names.
        dropped: name of a tensor beside them -> what it is.
        config: the library's configuration, laid out as timm's config.json.
        config_origin: a phrase that says where the configuration comes from.
        file: the file of the weights.
        processor: transformers' preprocessor_config.json beside it.
        said: what config.json says of the network and the tensors do not, one phrase each.
    """

    name: str
    arm: str
    library: str
    arch: str
    network: nn.Module
    tensors: dict[str, Tensor]
    config: Mapping[str, Any]
    config_origin: str
    file: Path
    dropped: dict[str, str] = field(default_factory=dict)
    said: tuple[str, ...] = ()
    processor: Processor | None = None

    @property
    def origins(self) -> dict[str, str]:
        """Where facts of the card come from that only names have."""
        found = {"source_sha256": f"the file {self.file.name}"}
        if self.supervised:
            found["method"] = self.config_origin
        return found

    @property
    def supervised(self) -> bool:
        """Whether the configuration states that the weights were trained with labels."""
        cfg = self.config["pretrained_cfg"]
        said = " ".join(str(cfg.get(name) or "") for name in ("description", "notes", "paper_name"))
        return bool(SUPERVISED.search(said)) and not UNSUPERVISED.search(said)


def headless(
    full: dict[str, Tensor], network: nn.Module, architectures: Iterable[str], name: str
) -> tuple[str, dict[str, Tensor], dict[str, str]]:
    """Return the first architecture that the tensors cover, its tensors, and what was dropped.

    Args:
        full: the state of the library's network with its classifier.
        network: the same network without classifier.
        architectures: timm names to try.

    Raises:
        UserError: none is covered exactly.
    """
    kept = network.state_dict().keys()
    problems: list[str] = []
    for arch in architectures:
        wanted = wanted_shapes(arch)
        found = {key: tensor for key, tensor in full.items() if key in kept or key in wanted}
        problems = mismatches(wanted, shapes_of(found))
        if not problems:
            return arch, found, {key: "classifier" for key in full if key not in found}
    raise UserError(f"{name} is not the network that timm builds as {arch}: {'; '.join(problems)}")


def require_same_features(named: NamedWeights, backbone: Backbone) -> None:
    """Compare the backbone with the library's own network on a fixed image.

    Raises:
        UserError: the features differ: the library builds another network of the same names and shapes.
    """
    size = backbone.card.preprocessing.image_size
    images = torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(0))
    filter_ = backbone.card.preprocessing.high_pass
    with torch.random.fork_rng(devices=[]), torch.inference_mode():
        theirs = named.network(images)
        ours = backbone.build().eval()(images if filter_ is None else high_pass(images, filter_))
    error = relative_error(ours, theirs) if ours.shape == theirs.shape else float("inf")
    if not error <= TOLERANCE:
        raise UserError(
            f"{named.name}: {named.library}'s network gives other features than timm's {backbone.arch} with "
            f"the same weights (relative error {error:.1e}), so it cannot be measured by this name"
        )


def unknown(kind: str, name: str, known: Iterable[str], listing: str) -> UserError:
    """Return the error for an unknown name of a library: near matches, since most know too many to list.

    Args:
        listing: the call that lists all names.
    """
    names = sorted(known)
    near = difflib.get_close_matches(name[:LONGEST_SHOWN], names, n=3, cutoff=0.5)
    near = near or (names if len(names) <= 8 else [])
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    return UserError(f"unknown {kind} '{one_line(name, LONGEST_SHOWN)}'{hint} ({listing} lists all)")
