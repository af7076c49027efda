"""What tells a run from others: the data that it learns from, where they are, its seed and its recipe."""

from __future__ import annotations

import contextlib
import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from mmbench.errors import UserError, typed

if TYPE_CHECKING:
    from mmbench.checkpoints.card import ModelCard


class Made(NamedTuple):
    """What tells a run from others of the same name; None where it is not known.

    Attributes:
        seed: of the pretraining.
        fingerprint: of the data that it learns from.
        recipe_digest: of the settings that change its weights.
    """

    seed: int | None
    fingerprint: str | None
    recipe_digest: str | None

    def fits(self, card: ModelCard) -> bool:
        """Return whether weights with this card can be of the run; what is not known decides nothing."""
        theirs = (card.seed, card.pretrain_fingerprint, card.recipe_digest)
        return all(None in pair or pair[0] == pair[1] for pair in zip(self, theirs, strict=True))


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

    def require_those_of(self, made: Made, run: Path) -> None:
        """Check that data that are called as the run's own are those that it learns from, where it says so.

        Raises:
            UserError: they are others, or cannot be opened.
        """
        learned = made.fingerprint if self.own else None
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


def made_by(settings: dict[str, Any], state: Path | None) -> Made:
    """Return what tells a run from others.

    Args:
        settings: of the run.
        state: one of its training states; nothing is known of one that cannot be read.
    """
    content: Any = None
    if state is not None:
        import torch

        with contextlib.suppress(RuntimeError, EOFError, OSError, ValueError, pickle.UnpicklingError):
            content = torch.load(state, map_location="cpu", mmap=True, weights_only=True)
    facts = content if isinstance(content, dict) else {}
    texts = [facts.get(name) for name in ("fingerprint", "recipe_digest")]
    seed = settings.get("seed")
    return Made(
        seed if isinstance(seed, int) else None, *(text if isinstance(text, str) else None for text in texts)
    )
