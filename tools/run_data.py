"""The data that a run learns from: where they are, and whether they still are what they were."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any, NamedTuple

from mmbench.errors import UserError, typed


class RunData(NamedTuple):
    """Data to measure a run on.

    Attributes:
        name: of a data set, or a path.
        root: folder with one folder per data set.
        own: whether this is what the run calls its own data.
        labelled: whether the run opened its data with labels, as its kNN monitor needs them.
    """

    name: str
    root: Path
    own: bool
    labelled: bool

    def require_those_of(self, state: Path, run: Path) -> None:
        """Check that data that are called as the run's own are those that a training state is of.

        A state that cannot be read, or that does not say its data, is left to what measures it.

        Raises:
            UserError: they are others, or cannot be opened.
        """
        learned = fingerprint_of_state(state) if self.own else None
        if learned is None:
            return
        from mmbench.pretrain.sources.opening import fingerprint_of, open_as_trained

        if fingerprint_of(open_as_trained(self.name, self.root, self.labelled)) != learned:
            raise UserError(
                f"data set {typed(self.name)} is not the one that {typed(str(run))} learns from "
                "(its fingerprint differs); restore it, name its folder with --data-root, or another data "
                "set with --data"
            )


def data_for_run(settings: dict[str, Any], data: str | None, root: Path, root_typed: bool) -> RunData:
    """Return what to measure a run on: its own data where none are asked for.

    Args:
        settings: of the run.
        data: what was asked for; None takes the run's own.
        root: folder with one folder per data set; that of the run where neither was asked for.
        root_typed: whether `root` was asked for.
    """
    own, stated = str(settings.get("data")), settings.get("data_root")
    if data is None and not root_typed and isinstance(stated, str):
        root = Path(stated)
    is_own = data is None or Path(data) == Path(own)
    return RunData(own if data is None else data, root, is_own, bool(settings.get("knn_every")))


def fingerprint_of_state(path: Path) -> str | None:
    """Return the fingerprint of the data of a training state; None where it cannot be told."""
    import torch

    try:
        state = torch.load(path, map_location="cpu", mmap=True, weights_only=True)
    except (RuntimeError, EOFError, OSError, ValueError, pickle.UnpicklingError):
        return None
    found = state.get("fingerprint") if isinstance(state, dict) else None
    return found if isinstance(found, str) else None
