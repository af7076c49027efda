"""What a checkpoint may hold beside tensors and plain containers: settings and counters, never code.

Real classes appear here only where building one does nothing but keep values. Classes of libraries that need
not be installed, and of which nothing but the fact that they are there matters, get a stand-in.
"""

from __future__ import annotations

import argparse
import pathlib
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from typing import Any

from mmbench.checkpoints.stored_arrays import STAND_INS


def nothing(*_: Any) -> None:
    """Stand in for a function whose result nobody needs; mmengine's buffers look up their own methods."""


STANDS_IN_FOR = (
    # Lightning's hyper-parameters, under the names it has had.
    "lightning_fabric.utilities.data.AttributeDict",
    "lightning.fabric.utilities.data.AttributeDict",
    "pytorch_lightning.utilities.parsing.AttributeDict",
    # OmegaConf's settings, which solo-learn keeps.
    "omegaconf.dictconfig.DictConfig",
    "omegaconf.listconfig.ListConfig",
    "omegaconf.base.ContainerMetadata",
    "omegaconf.base.Metadata",
    "omegaconf.nodes.AnyNode",
    "omegaconf.nodes.StringNode",
    "omegaconf.nodes.IntegerNode",
    "omegaconf.nodes.FloatNode",
    "omegaconf.nodes.BooleanNode",
    "typing.Any",
    # The message hub of mmengine's runner.
    "mmengine.logging.history_buffer.HistoryBuffer",
)
# In the form that torch.serialization.safe_globals takes: an object, or (object, name in the file).
HARMLESS: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
    argparse.Namespace,
    OrderedDict,
    defaultdict,
    dict,
    list,
    int,
    float,
    str,
    bool,
    (nothing, "builtins.getattr"),
    *[(stand_in, name) for name, stand_in in STAND_INS.items()],
    *[(pathlib.PurePosixPath, f"pathlib{inner}.PosixPath") for inner in ("", "._local")],
    # torch fills nothing but its own few containers, so the stand-in for a class is one of them.
    *[(OrderedDict, name) for name in STANDS_IN_FOR],
]
