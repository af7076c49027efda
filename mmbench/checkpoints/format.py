"""What a checkpoint format is: anchored rules that name the backbone's tensors and what is dropped."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

from mmbench.checkpoints.card import Preprocessing
from mmbench.checkpoints.networks.plain import Shapes
from mmbench.checkpoints.stated import Channels
from mmbench.checkpoints.tensors.companions import Companions
from mmbench.checkpoints.tensors.renaming import Renaming
from mmbench.errors import UserError
from mmbench.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor

Encoder = Literal["default", "online", "momentum"]
# Segments of a key that a training library puts around modules; they say nothing about the weights.
WRAPPERS = ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
AVERAGE_COUNTERS = ("n_averaged", "steps")  # of torch's AveragedModel and of mmengine's
HEAD = "projection head of pretraining"
PREDICTOR = "predictor of pretraining"
QUEUE = "queue of negative keys"
CLASSIFIER = "classifier"
SEGMENTATION = "head of segmentation"


Completion: TypeAlias = "Callable[[dict[str, Tensor]], tuple[dict[str, Tensor], list[str]]]"


@dataclass(frozen=True)
class Format:
    """One way of naming a backbone's tensors. Rules are prefixes, anchored at the start of a key.

    Attributes:
        name: the format's name, which a ModelCard records.
        prefix: what stands before torchvision's names.
        momentum: what may stand there instead in the moving average of the encoder.
        renaming: the names after the prefix, where they are not torchvision's.
        dropped: prefix of keys that are not the backbone's -> why they are dropped; longest match first.
        beside: endings of keys that lie beside those of the backbone, of the optimiser -> what they are.
        marks: prefixes of which one must occur for the format to be recognised.
        companions: what lies beside the backbone in the files of one library; the first that are there make
            the name exact.
        method: the pretraining method that the keys imply.
        architectures: timm names, as a pattern, among which names and shapes decide.
        preprocessing: what RGB images need before such a backbone, where the format says so.
        preprocessing_of: patterns of the timm names that need it; of all others it is not known.
        otherwise: what images of these others may need, in words.
        arch_options: how the network is built, where the names show it and its shapes do not.
        channels: order of the colours that its first convolution expects.
        completed: turns the renamed tensors into torchvision's where values differ too, and says what it did.
    """

    name: str
    prefix: str
    momentum: tuple[str, ...] = ()
    renaming: Renaming | None = None
    dropped: Mapping[str, str] = field(default_factory=dict)
    beside: Mapping[str, str] = field(default_factory=dict)
    marks: tuple[str, ...] = ()
    companions: tuple[Companions, ...] = ()
    method: str | None = None
    architectures: str = "mixmask_*"
    preprocessing: Preprocessing | None = None
    preprocessing_of: tuple[str, ...] = ("*",)
    otherwise: str = ""
    arch_options: Mapping[str, bool | int] = field(default_factory=dict)
    channels: Channels = "rgb"
    completed: Completion | None = None

    def likeness(self, keys: Iterable[str]) -> int:
        """Return the length of the longest mark that a file with these keys bears, 0 for none."""
        names = list(keys)
        return max((len(mark) for mark in self.marks if any(n.startswith(mark) for n in names)), default=0)

    def companions_in(self, shapes: Shapes) -> Companions | None:
        """Return the companions of the backbone in a file of these (unwrapped) names and shapes.

        None where they tell no library.
        """
        found = {name: shape for name, shape in shapes.items() if name not in AVERAGE_COUNTERS}
        return next((one for one in self.companions if one.lie_in(found)), None)

    def prefix_of(self, encoder: Encoder, keys: Iterable[str]) -> str:
        """Return what stands before the names of the wanted encoder in a file with these keys.

        Raises:
            UserError: the file holds no moving average.
        """
        if encoder != "momentum":
            return self.prefix
        names = list(keys)
        for prefix in self.momentum:
            if any(name.startswith(prefix) for name in names):
                return prefix
        raise UserError(f"this file of the {self.name} format holds no momentum encoder; leave out --encoder")

    def fate(self, key: str, prefix: str | None = None) -> tuple[str | None, str]:
        """Return (name under torchvision's naming, "") or (None, why the key is dropped).

        Args:
            prefix: of the wanted encoder; the online one by default.
        """
        if key in AVERAGE_COUNTERS:
            return None, "counter of a moving average"
        if ending := next((ending for ending in self.beside if key.endswith(ending)), None):
            return None, self.beside[ending]
        prefix = self.prefix if prefix is None else prefix
        rules = sorted(self.dropped, key=len, reverse=True)
        if key.startswith(prefix):
            name = key[len(prefix) :]
            for rule in rules:  # what lies inside the online encoder lies inside the other one too
                inside = rule.removeprefix(self.prefix)
                if rule.startswith(self.prefix) and inside and name.startswith(inside):
                    return None, self.dropped[rule]
            if self.renaming is None:
                return name, ""
            renamed = self.renaming.to_torchvision(name)
            if renamed is not None:
                return renamed, ""
        for rule in rules:
            if key.startswith(rule):
                return None, self.dropped[rule]
        if not key.startswith(prefix) and key.startswith(self.prefix):
            return None, "online encoder, while the momentum encoder was asked for"
        return None, "not part of the backbone"

    def has_place_of(self, key: str, prefix: str) -> bool:
        """Return whether a key is inside the backbone by the format's table of names.

        Args:
            prefix: of the wanted encoder.
        """
        inside = key.startswith(prefix) and not key.endswith(tuple(self.beside))
        return inside and self.renaming is not None and self.renaming.has_place_of(key[len(prefix) :])

    def stored_name(self, canonical: str) -> str:
        """Return how the format stores the tensor that torchvision calls `canonical`: `fate` backwards.

        Raises:
            KeyError: the format has no place for it.
        """
        name = canonical if self.renaming is None else self.renaming.from_torchvision(canonical)
        if name is None:
            raise KeyError(canonical)
        return self.prefix + name


def unwrapped(keys: Iterable[str]) -> dict[str, str]:
    """Return key -> key without the wrappers of torch.compile, FSDP, DistributedDataParallel and averages."""
    inner = {key: ".".join(part for part in key.split(".") if part not in WRAPPERS) for key in keys}
    while (rest := [key for key in inner.values() if key not in AVERAGE_COUNTERS]) and all(
        key.startswith("module.") for key in rest
    ):
        inner = {key: name.removeprefix("module.") for key, name in inner.items()}
    return inner


FORMATS: Registry[Format] = Registry("checkpoint format", "mmbench.checkpoints.formats")


def detect(keys: Iterable[str]) -> Format | None:
    """Return the format of a file with these (unwrapped) keys, or None; the longest mark wins."""
    names = list(keys)
    likeness = {name: FORMATS.get(name).likeness(names) for name in FORMATS.names()}
    best = max(likeness, key=likeness.__getitem__)
    return FORMATS.get(best) if likeness[best] else None
