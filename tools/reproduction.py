"""Run what a record describes again, from the record's own configuration, and compare metric by metric."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast

from mmbench.checkpoints.backbone import Backbone
from mmbench.checkpoints.card import ModelCard
from mmbench.checkpoints.card_file import read_card
from mmbench.checkpoints.format import Encoder
from mmbench.checkpoints.reading import read_checkpoint
from mmbench.checkpoints.stated import Stated
from mmbench.data import Dataset
from mmbench.data.types import Split
from mmbench.environment import Provenance
from mmbench.errors import UserError
from mmbench.files import sha256_of
from mmbench.records.store import CUSTOM, Metric, Result
from mmbench.runs import RunFolder
from mmbench.transfer.controls import pixels_backbone, recalibrated_random_backbone
from mmbench.transfer.inputs.features import weights_digest
from mmbench.transfer.inputs.framing import FramingRule
from mmbench.transfer.resolution import ResolvedTask, resolve_task

Verdict = Literal["equal", "within float noise", "differs"]
# What a record's config holds beside the settings of its task; see `TransferRun.config`.
BESIDE = ("precision", "feature_dtype", "labels_file", "labels_file_sha256", "protocol_file_sha256")
NOISE_SHARE = 1e-3  # of the evaluated images, and of a value that is not a percentage
PER_CLASS = "mean_per_class"  # how the metrics begin that are means over classes of their accuracies
ENCODERS: tuple[Encoder, ...] = ("default", "online", "momentum")  # those that a file may hold


@dataclass(frozen=True)
class MetricPair:
    """A metric as it was recorded and as it was measured again; None where there is none.

    Attributes:
        one_image: percent by which one image can change it; None where every image counts the same.
    """

    name: str
    recorded: Metric | None
    again: Metric | None
    one_image: float | None = None

    @property
    def difference(self) -> float | None:
        """The new value less the recorded one."""
        if self.recorded is None or self.again is None:
            return None
        return self.again.value - self.recorded.value

    @property
    def verdict(self) -> Verdict:
        """Whether both are equal, to the last bit or to what rounding may change.

        Rounding differs between processors, libraries and numbers of threads, and tips images whose best
        two classes are as good as tied: one image, or one in a thousand, counts as noise. In a mean over
        classes one image of a small class counts for more.
        """
        if self.recorded is None or self.again is None or self.recorded.unit != self.again.unit:
            return "differs"
        if self.recorded.value == self.again.value:
            return "equal"
        noise = abs(self.recorded.value) * NOISE_SHARE
        if self.recorded.unit == "percent":
            one_image = 100 / self.recorded.n if self.one_image is None else self.one_image
            noise = max(100 * NOISE_SHARE, one_image)
        return "within float noise" if abs(self.difference or 0.0) <= noise * (1 + 1e-9) else "differs"


def metric_pairs(recorded: Result, again: Result, dataset: Dataset) -> list[MetricPair]:
    """Return every metric of either record, the primary one first.

    Args:
        dataset: what both were measured on.
    """
    names = dict.fromkeys([recorded.primary_metric, *recorded.metrics, *again.metrics])
    in_class = image_in_its_class(dataset, recorded.dataset.evaluated_split)
    return [
        MetricPair(
            name,
            recorded.metrics.get(name),
            again.metrics.get(name),
            in_class if name.startswith(PER_CLASS) else None,
        )
        for name in names
    ]


def image_in_its_class(dataset: Dataset, split: str) -> float | None:
    """Return the most percent by which one image can change the mean of the classes' accuracies.

    It is one of the smallest class. None where images have no class, or several.
    """
    if split not in dataset.splits or dataset.multilabel:
        return None
    counts: list[int] = [count for count in dataset.labels(cast(Split, split)).bincount().tolist() if count]
    return 100 / (len(counts) * min(counts))


def overall(pairs: list[MetricPair]) -> Verdict:
    """Return the worst verdict."""
    found = {pair.verdict for pair in pairs}
    order: tuple[Verdict, ...] = ("differs", "within float noise", "equal")
    return next(verdict for verdict in order if verdict in found)


def changed_facts(recorded: Result, again: Result) -> dict[str, tuple[Any, Any]]:
    """Return what else of two records differs, apart from when and where: fact -> recorded, now."""
    facts = {
        "weights": (recorded.weights_sha256, again.weights_sha256),
        "primary metric": (recorded.primary_metric, again.primary_metric),
        "images": (recorded.dataset.split_sizes, again.dataset.split_sizes),
        "labels": tuple(None if part.labels is None else part.labels.sha256 for part in (recorded, again)),
        "learning rate": (recorded.effective_lr, again.effective_lr),
        "framing": (recorded.framing, again.framing),
        "config": (recorded.config, again.config),
    }
    return {name: (old, new) for name, (old, new) in facts.items() if old is not None and old != new}


def changed_environment(recorded: Provenance, now: Provenance) -> dict[str, tuple[Any, Any]]:
    """Return what of code, libraries and machine differs: name -> recorded, now; None where it is absent."""
    old, new = recorded.model_dump(), now.model_dump()
    libraries = old.pop("packages"), new.pop("packages")
    pairs = {name: (old[name], new[name]) for name in old}
    names = dict.fromkeys([*libraries[0], *libraries[1]])
    pairs |= {name: (libraries[0].get(name), libraries[1].get(name)) for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def task_of(record: Result, protocol_file: Path | None) -> ResolvedTask:
    """Return the task with the protocol and the very settings of a record.

    Args:
        protocol_file: the user's own protocol file that the record followed; None for one of ours.

    Raises:
        UserError: the protocol is not known, is another file, or this version cannot take the settings.
    """
    sha256 = record.config.get("protocol_file_sha256")
    named = record.protocol.removesuffix(CUSTOM)
    if sha256 is None and protocol_file is not None:
        raise UserError(f"the record followed {named}, and no file; omit --protocol")
    if sha256 is not None:
        if protocol_file is None:
            raise UserError(f"the record followed a file of your own ({named}); name it by --protocol")
        if sha256_of(protocol_file) != sha256:
            raise UserError(f"{protocol_file} is not the file that the record followed (SHA-256 {sha256})")
    chosen = named if protocol_file is None else str(protocol_file)
    usual = resolve_task(record.task, chosen)
    wanted = settings_in(record.config, usual)
    plain = usual.settings.recorded()
    changed = {name: value for name, value in wanted.items() if name not in plain or plain[name] != value}
    task = resolve_task(record.task, chosen, changed)
    found = task.settings.recorded()
    if lost := [name for name, value in wanted.items() if found.get(name) != value]:
        raise UserError(
            f"this version of mmbench cannot run {record.protocol} as recorded: "
            f"{lost[0]} would be {found.get(lost[0])!r}, not {wanted[lost[0]]!r}"
        )
    return task


def settings_in(config: Mapping[str, Any], task: ResolvedTask) -> dict[str, Any]:
    """Return the settings of the task in a record's config, without what stands beside them."""
    own = task.settings.recorded()
    return {name: value for name, value in config.items() if name in own or name not in BESIDE}


def weights_of(
    record: Result, checkpoint: str | None, near: list[Path], dataset: Dataset, rule: FramingRule
) -> Backbone:
    """Return the weights of a record, with the record's card.

    Args:
        checkpoint: where they are; None looks for them in run folders near.
        near: folders whose run folders are looked at.
        dataset, rule: see `recalibrated_random_backbone`.

    Raises:
        UserError: they are not found, or are others.
    """
    card = record.model
    size = card.preprocessing.image_size
    if card.control:
        if checkpoint is not None:
            raise UserError(f"{card.arm} is a control, which is made again; omit --checkpoint")
        if card.source_format == "pixels":
            return replace(pixels_backbone(size), card=card)
        high_pass = card.preprocessing.high_pass is not None
        made = recalibrated_random_backbone(card.arch, card.seed or 0, dataset, high_pass, size, rule)
        return replace(made, card=card)
    if card.source_format == "encoder":
        raise UserError(
            "the record is of an encoder in memory, which no file holds; measure it again from Python"
        )
    spec = checkpoint or found_near(card, near)
    if spec is None:
        wanted = f"SHA-256 {card.source_sha256}" if card.source_sha256 else f"arm {card.arm}"
        raise UserError(
            f"no run folder here or beside the record has its weights ({wanted}); name them by --checkpoint"
        )
    return replace(_read(record, spec), card=card)


def _read(record: Result, spec: str) -> Backbone:
    """Return the weights that `spec` names, of the encoder that was measured.

    Raises:
        UserError: they cannot be read, or none of the file's encoders is the record's.
    """
    card = record.model
    stated = Stated(arch_options=card.arch_options)
    for encoder in ENCODERS:
        try:
            backbone = read_checkpoint(spec, card.arch, encoder, stated).backbone
        except UserError:
            if encoder == "default":
                raise
            continue
        same_file = record.weights_sha256 is None and backbone.card.source_sha256 == card.source_sha256
        if same_file or weights_digest(replace(backbone, card=card)) == record.weights_sha256:
            return backbone
    wanted = record.weights_sha256 or card.source_sha256
    raise UserError(f"{spec} holds other weights than the record's (SHA-256 {wanted}); name those")


def found_near(card: ModelCard, folders: list[Path]) -> str | None:
    """Return the run folder, or the training state in one, that the card's weights were read from."""
    if card.source_sha256 is None:
        return None
    for run in _run_folders(folders):
        try:
            if run.card.is_file() and read_card(run.card).weights_sha256 == card.source_sha256:
                return str(run.root)
        except UserError:
            continue  # a damaged card is not what is looked for
        if card.source_format == "training state":
            for state in run.state_paths():
                if sha256_of(state) == card.source_sha256:
                    return str(state)
    return None


def _run_folders(folders: list[Path]) -> Iterator[RunFolder]:
    """Yield the run folders in folders, and in `runs` in them."""
    for folder in folders:
        for parent in (folder, folder / "runs"):
            for settings in sorted(parent.glob("*/settings.yaml")):
                yield RunFolder(settings.parent)
