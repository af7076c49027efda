"""Read any supported checkpoint into a Backbone: all of it, or an error that says what is missing."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmbench.checkpoints.arguments import require_reading
from mmbench.checkpoints.assumed import COMPARED, require_same_heads, undetermined
from mmbench.checkpoints.backbone import Backbone
from mmbench.checkpoints.beside import USUAL, Beside, look_around, weights_in
from mmbench.checkpoints.disagreement import config_says_otherwise, said_otherwise
from mmbench.checkpoints.file_card import STATED, card_of_file
from mmbench.checkpoints.files.opening import Opened, stored_in, weights_of
from mmbench.checkpoints.format import Encoder
from mmbench.checkpoints.images.evidence import Evidence, evidence_in, frozen_affine
from mmbench.checkpoints.images.preparation import Prepared, prepare
from mmbench.checkpoints.images.timm_config import CONFIG
from mmbench.checkpoints.known import Known
from mmbench.checkpoints.networks.architecture import differences, recognise, shapes_of, wanted_shapes
from mmbench.checkpoints.networks.near import near_words
from mmbench.checkpoints.networks.options import with_network
from mmbench.checkpoints.networks.plain import Shapes
from mmbench.checkpoints.proof.receipt import Reading
from mmbench.checkpoints.stated import NOTHING_STATED, Stated
from mmbench.checkpoints.tensors.choosing import Choice
from mmbench.checkpoints.tensors.companions import Companions, nearest_stated
from mmbench.checkpoints.tensors.naming import Renamed, named_tensors, unchanged_names
from mmbench.checkpoints.tensors.training_state import NAME, card_of_state, is_training_state
from mmbench.checkpoints.tensors.weight_sets import WHOLE_FILE, WeightSet
from mmbench.checkpoints.weights_by_name.named_weights import NamedWeights, require_same_features
from mmbench.checkpoints.weights_by_name.reading import resolve
from mmbench.errors import UserError
from mmbench.files import sha256_of
from mmbench.own_state import own_state


@dataclass(frozen=True)
class ReadCheckpoint:
    """A backbone and how it was read.

    Attributes:
        verified: whether card.json and weights were compared with their digests; False where the card is of
            an older version and has none, None where there is no card.
        opened, known, renamed: the stored tensors, what was known of them, and how they got their names.
        named: what a library loaded, where the weights were given by name.
    """

    backbone: Backbone
    reading: Reading
    facts: dict[str, Any]
    verified: bool | None = None
    opened: Opened | None = None
    known: Known | None = None
    renamed: Renamed | None = None
    named: NamedWeights | None = None


@own_state()
def load_backbone(
    spec: str | Path,
    *,
    arch: str | None = None,
    encoder: Encoder = "default",
    stated: Stated = NOTHING_STATED,
) -> Backbone:
    """Return the backbone that a path or a name stands for, ready to be built.

    Args:
        spec: a run folder, a timm folder or a file of weights; or a name: "timm:resnet50.a1_in1k",
            "hf-hub:user/name", "local-dir:folder" or "torchvision:resnet50.IMAGENET1K_V2".
        arch: timm name of the architecture, where names and shapes of the tensors do not determine it.
        encoder: which of two encoders in a file; see `read_checkpoint`.
        stated: facts that the file does not hold, such as mean and std.

    Returns:
        The weights with their card. `build()` makes the network: images (N, 3, H, W), normalised as
        `card.preprocessing` says, become pooled features (N, C).

    Raises:
        UserError: no such weights, not the whole backbone, weights that are not finite, or an argument of
            another kind.

    Example:
        >>> backbone = load_backbone("timm:resnet50.a1_in1k")  # doctest: +SKIP
        >>> features = backbone.build().eval()(images)  # doctest: +SKIP
    """
    require_reading(spec, arch, encoder, stated)
    return read_checkpoint(spec, arch, encoder, stated).backbone


def read_checkpoint(
    spec: str | Path,
    arch: str | None = None,
    encoder: Encoder = "default",
    stated: Stated = NOTHING_STATED,
) -> ReadCheckpoint:
    """Read a run folder, a timm folder, a file of any known format, or weights by name.

    The format follows from the keys, the architecture from names and shapes unless `arch` names one.

    Args:
        spec: a path, or a name as in `mmbench.checkpoints.weights_by_name.reading`.
        encoder: "momentum" takes the moving average (MoCo's key encoder, DINO's teacher), "online" the
            encoder that learns by gradient. By default the online one, and of DINO the teacher.

    Raises:
        UserError: no such file, not a checkpoint, not the whole backbone, or weights that are not finite.
    """
    found = resolve(spec)
    if isinstance(found, NamedWeights):
        return _read_named(found, arch, encoder, stated)
    path = found
    weights = weights_in(path) if path.is_dir() else path
    with ThreadPoolExecutor(1) as thread:  # hashing leaves the other core to the reading
        digest = thread.submit(sha256_of, weights) if weights.is_file() else None
        stored = stored_in(weights)
    sha256 = digest.result() if digest else ""
    own = path.is_dir() or weights.name in USUAL
    around = look_around(weights, sha256, own, stored.content, stored.metadata)
    if path.is_dir() and around.card is None and not around.config:
        said = f" ({around.said[0]})" if around.said else ""
        raise UserError(
            f"{path} has weights but neither card.json nor config.json{said}; name the file itself"
        )
    named_arch = arch or (around.arch if own or around.card else None)
    opened = weights_of(stored, encoder, stated.weights, named_arch)
    tensors, renamed = named_tensors(opened, weights, named_arch, encoder)
    if named_arch is None:
        named_arch = around.arch if around.arch and _fits(around.arch, tensors) else None
        if around.arch and named_arch is None:
            around = Beside(
                said=(*around.said, f"config.json is of {around.arch}, which does not fit: not used")
            )
    arch_origin = "" if named_arch is None else STATED if arch else "card" if around.card else CONFIG
    found_arch = named_arch or recognise(tensors, f"{weights}", renamed.entry.architectures)
    if problems := differences(found_arch, tensors):
        raise UserError(
            f"{weights} does not cover {found_arch}: {'; '.join(problems)}; check the file and --arch"
            f"{near_words(found_arch, shapes_of(tensors))}"
        )
    require_same_heads(found_arch, opened.choice.taken.name)
    card, assumed = around.card, list(around.said)
    if card is None:
        assumed += nearest_stated(renamed.entry.companions_in(_shapes(opened)), stated.arch_options, weights)
    if any(name.startswith("ema_") and "." not in name for name in opened.tensors):
        assumed.append(
            "weights under their usual names: mmcv 1's EMAHook keeps a second set as ema_*, and which of the "
            "two is the average depends on the priority that the hook had"
        )
    of_training = is_training_state(opened.content, opened.choice)
    if of_training:
        card, more = card_of_state(weights, opened.content, found_arch)
        assumed += more
    frozen = frozen_affine(tensors)
    known = Known(
        weights=weights,
        entry=renamed.entry,
        card=card,
        config=around.config,
        processor=around.processor,
        evidence=evidence_in(opened.tensors, opened.content, frozen) if card is None else Evidence(),
        frozen=frozen,
        arch_origin=arch_origin,
        training_state=of_training,
        verified=around.verified,
        stated=stated,
    )
    if card is None:
        assumed += said_otherwise(opened.content, known.evidence.backbone, found_arch, weights)
        assumed += config_says_otherwise(around.config, found_arch, _shapes(opened))
    prepared = prepare(known, found_arch, tensors)
    return _result(path, sha256, opened, renamed, known, prepared, assumed)


def _read_named(named: NamedWeights, arch: str | None, encoder: Encoder, stated: Stated) -> ReadCheckpoint:
    """Return weights that a library loaded by name, after the proof that ours is the same network."""
    if encoder == "momentum" or stated.weights is not None:
        raise UserError(f"{named.name} stands for one network; leave out --encoder and --weights")
    path, arch = Path(named.name), arch or named.arch
    if problems := differences(arch, named.tensors):
        raise UserError(f"{named.name} does not cover {arch}: {'; '.join(problems)}; leave out --arch")
    taken = WeightSet((), "", named.tensors, {name: name for name in named.tensors})
    opened = Opened(named.tensors, {}, None, Choice(taken, (taken,)))
    tensors, renamed = unchanged_names(named.tensors, named.dropped, named.library, path)
    known = Known(
        weights=path,
        entry=renamed.entry,
        card=None,
        config=named.config,
        processor=named.processor,
        evidence=Evidence(),
        frozen=False,
        arch_origin=named.config_origin if arch == named.arch else STATED,
        stated=stated,
        config_origin=named.config_origin,
    )
    prepared = prepare(known, arch, tensors)
    read = _result(path, sha256_of(named.file), opened, renamed, known, prepared, [])
    card = read.backbone.card
    facts: dict[str, Any] = {"arm": named.arm, "source_format": named.library}
    facts |= {"method": "supervised"} if named.supervised else {}
    origins = named.origins | {k: v for k, v in card.origins.items() if k != "arch"}
    other = "--arch-option" if stated.arch_options else "--channels bgr" if stated.channels == "bgr" else ""
    done = f"features not compared, since {other} builds another network than" if other else COMPARED
    origins["arch"] = f"{known.arch_origin}; {done} {named.library}'s own{'' if other else ' network'}"
    facts |= {"origins": origins}
    backbone = replace(read.backbone, card=card.model_copy(update=facts))
    if not other:
        require_same_features(named, backbone)
    reading = read.reading.model_copy(
        update={
            "source": named.name,
            "format": named.library,
            "assumed": (*named.said, *prepared.assumed),
        }
    )
    return replace(read, backbone=backbone, reading=reading, named=named)


def _result(
    path: Path,
    sha256: str,
    opened: Opened,
    renamed: Renamed,
    known: Known,
    prepared: Prepared,
    assumed: list[str],
) -> ReadCheckpoint:
    """Return backbone, card and how they were read."""
    wanted = wanted_shapes(prepared.arch)
    filled = tuple(name for name in wanted if name not in prepared.tensors)
    tensors = prepared.tensors | {name: torch.zeros((), dtype=torch.int64) for name in filled}
    companions = renamed.entry.companions_in(_shapes(opened))
    format_name = _format_name(path, renamed, known, companions)
    method = renamed.entry.method if companions is None else companions.method
    card = known.card or card_of_file(
        path, prepared.arch, known.arch_origin, format_name, method, opened.facts
    )
    origins = card.origins | prepared.origins
    if known.card is None and opened.choice.why:
        origins["weights"] = opened.choice.why
    card = card.model_copy(
        update={
            "arch": prepared.arch,
            "arch_options": card.arch_options | prepared.arch_options,
            "preprocessing": prepared.preprocessing,
            "source_sha256": sha256,
            "origins": origins,
        }
    )
    card = with_network(card, known.config, known.stated.arch_options)
    choice = opened.choice
    reading = Reading(
        source=path.name,
        sha256=sha256,
        format=format_name,
        arch=prepared.arch,
        tensors=tuple(renamed.fates),
        dropped=renamed.dropped | opened.beside,
        filled=filled,
        changed=(*prepared.changed, *renamed.changed),
        weights="" if choice.taken.name == WHOLE_FILE else choice.taken.name,
        sets=tuple(one.words for one in choice.sets) if len(choice.sets) > 1 else (),
        choice=choice.why,
        assumed=(*assumed, *prepared.assumed, *undetermined(card)),
    )
    ordered = {name: tensors[name] for name in wanted}
    return ReadCheckpoint(
        Backbone(prepared.arch, ordered, card), reading, opened.facts, known.verified, opened, known, renamed
    )


def _format_name(path: Path, renamed: Renamed, known: Known, companions: Companions | None) -> str:
    """Return what the card calls the format."""
    if known.training_state:
        return NAME
    if known.card is not None and (path.is_dir() or path.name in USUAL):
        return "run"
    if known.config or renamed.unknown:
        return "timm"
    return renamed.entry.name if companions is None else companions.library


def _fits(arch: str, tensors: dict[str, Tensor]) -> bool:
    import timm

    return bool(timm.is_model(arch)) and not differences(arch, tensors)


def _shapes(opened: Opened) -> Shapes:
    """Return name as the format knows it -> shape."""
    return {name: tuple(opened.tensors[key].shape) for key, name in opened.choice.taken.inner.items()}
