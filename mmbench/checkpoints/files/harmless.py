"""What a checkpoint may hold beside tensors and plain containers: settings and counters, never code.

Real classes appear here only where building one does nothing but store values. Classes of libraries that need
not be installed, and whose content does not matter, get a stand-in.
"""

from __future__ import annotations

import argparse
import pathlib
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from typing import Any

from mmbench.checkpoints.files.stored_arrays import STAND_INS


def nothing(*_: Any) -> None:
    """Stand in for a function whose result is not needed; mmengine's buffers look up their own methods."""


class StandIn:
    """Takes the place of a class of settings: whatever it is called with, it gives an empty dictionary.

    torch fills nothing but its own few containers, so what a stand-in gives is one of them.
    """

    def __new__(cls, *_: Any, **__: Any) -> Any:
        """Return an empty OrderedDict."""
        return OrderedDict()


# Packages whose classes are settings, logs and counters beside the weights: Lightning (whose files before 1.5
# have classes of callbacks as keys), OmegaConf, mmengine and its predecessors, common holders of settings.
SETTINGS_OF = (
    "pytorch_lightning.",
    "lightning.",
    "lightning_fabric.",
    "lightning_utilities.",
    "omegaconf.",
    "mmengine.",
    "mmcv.",
    "addict.",
    "easydict.",
    "yacs.",
    "fvcore.common.config.",
    "detectron2.config.",
    "ml_collections.",
    "munch.",
    "box.",
    "typing.",
    "enum.",
    "datetime.",
    "types.SimpleNamespace",
)
STANDS_IN_FOR = (
    "pytorch_lightning.utilities.parsing.AttributeDict",
    "pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint",
    "pytorch_lightning.callbacks.early_stopping.EarlyStopping",
    "omegaconf.dictconfig.DictConfig",
    "omegaconf.listconfig.ListConfig",
    "omegaconf.base.ContainerMetadata",
    "omegaconf.base.Metadata",
    "omegaconf.nodes.AnyNode",
    "typing.Any",
)
PATHS = {
    "Path": pathlib.PurePath,
    "PurePath": pathlib.PurePath,
    "PosixPath": pathlib.PurePosixPath,
    "PurePosixPath": pathlib.PurePosixPath,
    "WindowsPath": pathlib.PureWindowsPath,
    "PureWindowsPath": pathlib.PureWindowsPath,
}


def stand_ins(names: list[str]) -> list[tuple[Callable[..., Any], str]]:
    """Return a stand-in for each class name in a file that belongs to a known package of settings."""
    return [
        (type(name.rpartition(".")[2], (StandIn,), {}), name)
        for name in names
        if name.startswith(SETTINGS_OF)
    ]


# In the form that torch.serialization.safe_globals takes: an object, or (object, name in the file).
HARMLESS: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
    argparse.Namespace,
    OrderedDict,
    defaultdict,
    dict,
    list,
    tuple,
    set,
    int,
    float,
    str,
    bool,
    (nothing, "builtins.getattr"),
    *[(stand_in, name) for name, stand_in in STAND_INS.items()],
    *[(path, f"pathlib{inner}.{name}") for name, path in PATHS.items() for inner in ("", "._local")],
]
