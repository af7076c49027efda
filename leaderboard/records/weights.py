"""Identity of weights: by the SHA-256 of their tensors, or else of their file, never by their card."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

from mmbench.checkpoints.card import ModelCard
from mmbench.records.store import Result

# Facts of a card that say nothing about its tensors.
NOT_OF_THE_WEIGHTS = ("arm", "origins", "pretrain_seconds", "pretrain_compute")


def identities(results: Sequence[Result]) -> list[str]:
    """Return the identity of the weights of each record.

    It is the digest of their tensors; of older records without it the digest of their file, and of older
    controls, which have no file, that of what determines them. Where one record has two of these, older
    records with one of them get the same identity.
    """
    links: dict[str, set[str]] = {}
    without_file = any(
        result.weights_sha256 is None and result.model.source_sha256 is None for result in results
    )
    stated: list[str] = []
    for result in results:
        name = result.model.source_sha256
        if name is None:
            name = _facts(result.model) if without_file or result.weights_sha256 is None else ""
        stated.append(name)
        if result.weights_sha256 is not None:
            links.setdefault(name, set()).add(result.weights_sha256)
    return [
        result.weights_sha256 or _only(links.get(name, set())) or name
        for result, name in zip(results, stated, strict=True)
    ]


def _only(found: set[str]) -> str | None:
    return next(iter(found)) if len(found) == 1 else None


def _facts(card: ModelCard) -> str:
    """Return a digest of what a card says about its weights."""
    facts = card.model_dump(mode="json")
    kept = {name: value for name, value in facts.items() if name not in NOT_OF_THE_WEIGHTS}
    return f"card {hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:12]}"
