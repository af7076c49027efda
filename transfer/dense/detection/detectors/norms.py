"""Norms: from the names in settings to Detectron2's."""

from __future__ import annotations

from detectron2.utils import comm

from mmbench.transfer.dense.detection.settings import DetectionSettings

NAMES = {"none": "", "bn": "BN", "naive_syncbn": "naiveSyncBN", "frozen_bn": "FrozenBN", "gn": "GN"}


def norm_name(norm: str) -> str:
    """Return Detectron2's name of a norm; SyncBN in one process is batch norm."""
    if norm == "syncbn":
        return "SyncBN" if comm.get_world_size() > 1 else "BN"
    return NAMES[norm]


def norm_note(settings: DetectionSettings) -> str:
    """Return the note on which images share the statistics of the backbone's batch norm."""
    processes = comm.get_world_size()
    if settings.freeze_at == 5 or settings.backbone_norm == "frozen_bn":
        return "batch norm of the backbone: frozen, with the statistics of the checkpoint"
    if settings.backbone_norm == "bn" and processes > 1:
        return f"batch norm of the backbone: each of {processes} processes over its own images"
    if processes == 1:
        which = "BN in one process"
        if settings.backbone_norm != "bn":
            which += f" (the protocol's {settings.backbone_norm} in several)"
        return f"batch norm of the backbone: {which}"
    kind = "SyncBN" if settings.backbone_norm == "syncbn" else "Detectron2's naiveSyncBN"
    return f"batch norm of the backbone: {kind} over {processes} processes"
