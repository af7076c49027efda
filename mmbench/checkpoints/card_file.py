"""card.json: the model card on disk, with a digest of itself and the digest of the weights beside it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from mmbench.checkpoints.card import WEIGHTS, ModelCard
from mmbench.errors import UserError
from mmbench.files import write_json
from mmbench.verification import DIGEST, is_damaged, with_digest


@dataclass(frozen=True)
class StoredCard:
    """A card as it was read.

    Attributes:
        weights_sha256: SHA-256 that the weights' file must have; None in cards of older versions.
        has_digest: whether the card was compared with a digest of its own.
    """

    path: Path
    card: ModelCard
    weights_sha256: str | None
    has_digest: bool

    def check_weights(self, weights: Path, sha256: str) -> bool:
        """Return whether card and weights were both verified; False where the card has no digests.

        Raises:
            UserError: the weights are not those that the card was written for.
        """
        if self.weights_sha256 is not None and sha256 != self.weights_sha256:
            raise UserError(
                f"{weights} is damaged or was replaced: its SHA-256 is not the one in {self.path}; restore "
                f"it, or delete {self.path.name} and state by options what it says"
            )
        return self.has_digest and self.weights_sha256 is not None


def write_card(path: Path, card: ModelCard, weights_sha256: str) -> None:
    """Write `card` atomically, with the digest of the weights' file and one of all of this."""
    write_json(path, with_digest({**json.loads(card.model_dump_json()), WEIGHTS: weights_sha256}))


def read_card(path: Path) -> StoredCard:
    """Read a card and compare it with its digest.

    Raises:
        UserError: it is damaged, or is not a model card.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if is_damaged(values):
            raise UserError(
                f"{path} is damaged or was edited: its digest differs from its content; restore it, or "
                f'remove its field "{DIGEST}" to use it as it is'
            )
        card = ModelCard.model_validate(values)
        return StoredCard(path, card, values.get(WEIGHTS), DIGEST in values)
    except (ValidationError, ValueError, RecursionError) as error:
        first = str(error).splitlines()[0][:120]
        raise UserError(
            f"{path} is not a model card ({first}); restore it, or convert the bare file"
        ) from None
