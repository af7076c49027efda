"""Register our backbones with timm as soon as timm is imported, and not a moment before.

`mmbench --help` must not import torch, yet `import mmbench, timm` must list our models. So the
package waits for timm by means of an import hook that wraps timm's own loader once and steps aside.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

BACKBONES_MODULE = "mmbench.backbones"


class _LoaderThenRegister(importlib.abc.Loader):
    """Runs timm's own loader, then imports the module that registers our backbones."""

    def __init__(self, loader: importlib.abc.Loader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        importlib.import_module(BACKBONES_MODULE)


class _AwaitTimm(importlib.abc.MetaPathFinder):
    """A finder that only ever answers for `timm`, and only once."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != "timm":
            return None
        sys.meta_path.remove(self)
        spec = importlib.machinery.PathFinder.find_spec(fullname, path)
        if spec is not None and spec.loader is not None:
            spec.loader = _LoaderThenRegister(spec.loader)
        return spec


def register_with_timm() -> None:
    """Register the `mixmask_*` models now if timm is loaded, else when it is."""
    if "timm" in sys.modules:
        importlib.import_module(BACKBONES_MODULE)
    elif not any(isinstance(finder, _AwaitTimm) for finder in sys.meta_path):
        sys.meta_path.insert(0, _AwaitTimm())
