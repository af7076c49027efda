"""What is stated for another detector than the one that an architecture gets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmbench.checkpoints.card import ModelCard
from mmbench.settings.effects import without_effect
from mmbench.transfer.dense.detection.config import choose_detector
from mmbench.transfer.dense.detection.settings import DetectionSettings


def notes_on_detector(
    card: ModelCard, settings: DetectionSettings, stated: Mapping[str, Any], protocol: Mapping[str, Any]
) -> list[str]:
    """Return the note on stated settings and keys that the detector taken does not have, if there are any.

    They are not refused: one call may measure weights of several architectures, and state settings for each.

    Args:
        stated: settings and keys in place of the protocol's. Those that leave a value as it is say nothing,
            as those of a record that is made again.
        protocol: the protocol's own settings.

    Raises:
        UserError: the protocol demands a detector that does not take the architecture.
    """
    taken = choose_detector(card.arch, settings, card.arch_options)
    if taken == settings.detector:
        return []
    values = {**settings.library, **dict(settings)}
    usual = {
        name: field.get_default(call_default_factory=True, validated_data={})
        for name, field in type(settings).model_fields.items()
    }
    changed = [
        name for name in stated if _plain(values.get(name)) != _plain(protocol.get(name, usual.get(name)))
    ]
    without = without_effect({**values, "detector": taken}, type(settings).effects(), changed)
    if not without:
        return []
    return [
        f"no effect on the detector {taken}, which {settings.detector} takes for {card.arch}: "
        f"{', '.join(without)}"
    ]


def _plain(value: Any) -> Any:
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value
