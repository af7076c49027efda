"""Names to things. One new file with one decorator adds an entry; unknown names get a near match."""

from __future__ import annotations

import importlib
import pkgutil
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from mmbench.errors import unknown_name
from mmbench.plugins import load_plugins

Entry = TypeVar("Entry")

# One for all registries, as the modules and plugins of one enter themselves in others.
_filling = threading.RLock()


class Registry(Generic[Entry]):
    """A registry that fills itself: the first look-up imports the modules of `packages` and all plugins.

    Args:
        kind: what an entry is called in messages, such as "task".
        packages: dotted names of the packages whose modules register entries.
    """

    def __init__(self, kind: str, *packages: str) -> None:
        self.kind = kind
        self.packages = packages
        self._entries: dict[str, Entry] = {}
        self._discovered = False
        self._filled = False

    def register(self, name: str) -> Callable[[Entry], Entry]:
        """Return a decorator that files its argument under `name`.

        Raises:
            ValueError: the name is taken by something else.
        """

        def decorate(entry: Entry) -> Entry:
            known = self._entries.get(name)
            if known is not None and known is not entry:
                raise ValueError(f"{self.kind} '{name}' is registered twice")
            self._entries[name] = entry
            return entry

        return decorate

    def get(self, name: str) -> Entry:
        """Return the entry called `name`.

        Raises:
            UserError: there is none; the message suggests the nearest name.
        """
        self._discover()
        if name not in self._entries:
            raise unknown_name(self.kind, name, self._entries)
        return self._entries[name]

    def names(self) -> list[str]:
        """Return every registered name, sorted."""
        self._discover()
        return sorted(self._entries)

    def _discover(self) -> None:
        """Fill the registry once; other threads wait until it is full."""
        if self._filled:
            return
        with _filling:
            if self._discovered:
                return
            self._discovered = True  # before the imports, which may look names up themselves
            try:
                self._import_all()
            except BaseException:
                self._discovered = False
                raise
            self._filled = True

    def _import_all(self) -> None:
        for name in self.packages:
            package = importlib.import_module(name)
            for module in pkgutil.iter_modules(package.__path__, prefix=f"{name}."):
                importlib.import_module(module.name)
        load_plugins()
