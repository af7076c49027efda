"""The files that the weights of a transfer are read from; this module is light, as plans need it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from mmbench.checkpoints.beside import USUAL, weights_in
from mmbench.checkpoints.places import source_of
from mmbench.errors import UserError
from mmbench.files import sha256_of
from mmbench.home import home_path
from mmbench.runs import RunFolder
from mmbench.tools.suite.planning.cell import PretrainWork
from mmbench.transfer.arms import CONTROLS


class WeightsFiles(NamedTuple):
    """What is read of a file, a folder or a run; None for what is not there, or what a library fetches.

    Attributes:
        weights: the tensors.
        card: what describes the weights of a folder: our card.json, else timm's config.json.
    """

    weights: Path | None
    card: Path | None


def files_of(weights: PretrainWork | str, runs: Path) -> WeightsFiles:
    """Return the files that weights are read from, by the rules of `mmbench.checkpoints.reading`.

    Args:
        weights: of a transfer's work.
        runs: run folders of the suite's pretrainings.
    """
    if isinstance(weights, PretrainWork):
        place = runs / weights.folder
    else:
        source, name = source_of(weights) or ("", weights)
        if weights in CONTROLS or source not in ("", "local-dir"):
            return WeightsFiles(None, None)
        place = home_path(name)
    file: Path | None = place
    if place.is_dir():
        try:
            file = weights_in(place)
        except UserError:  # which the cell reports
            file = None
    folder = place if place.is_dir() else place.parent
    described = place.is_dir() or place.name in USUAL
    run = RunFolder(folder)
    card = next((path for path in (run.card, run.hub_config) if described and path.is_file()), None)
    return WeightsFiles(file if file is not None and file.is_file() else None, card)


def card_digest(weights: PretrainWork | str, runs: Path) -> str:
    """Return the SHA-256 of the file that describes weights; "" where there is none. See `files_of`."""
    card = files_of(weights, runs).card
    return "" if card is None else sha256_of(card)
