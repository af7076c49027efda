"""The feature bank: every split goes through a backbone once, and all frozen probes read what came out.

An entry is addressed by what it depends on: the weights, the preprocessing, the decoded split, and the dtype
that it is stored in. It is a plain .npy file, written piece by piece and read through a memory map.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from mmbench.checkpoints.backbone import Backbone
from mmbench.data import ImageSplit
from mmbench.errors import UserError
from mmbench.files import require_free_space, write_json
from mmbench.transfer.features import extract, is_pixels

Stored = Literal["float32", "float16"]
LAYOUT = 1  # of what an address is made of
PIECE = 8192  # images that are lost at most when a process is killed

Report = Callable[[int, int], None]


def weights_digest(backbone: Backbone) -> str:
    """Return the SHA-256 of every tensor's name, shape and bytes."""
    digest = hashlib.sha256(backbone.arch.encode())
    for name, tensor in sorted(backbone.state_dict.items()):
        digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


@dataclass
class FeatureBank:
    """Features by address, in a folder; without a folder they are computed whenever they are asked for.

    Attributes:
        root: the folder; entries may be deleted at any time.
        stored: dtype of the features on disk. float16 halves size and loses digits beyond the third.
        computed: images that went through a backbone, since this bank was made.
    """

    root: Path | None = None
    stored: Stored = "float32"
    computed: int = 0

    def address(self, backbone: Backbone, split: ImageSplit) -> str:
        """Return 32 hexadecimal digits that name the features of `split` behind `backbone`."""
        facts = {
            "layout": LAYOUT,
            "weights": weights_digest(backbone),
            "pixels": is_pixels(backbone),
            "preprocessing": backbone.card.preprocessing.model_dump(mode="json"),
            "split": split.fingerprint,
            "dtype": self.stored,
        }
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]

    def features(
        self, backbone: Backbone, split: ImageSplit, device: torch.device, report: Report | None = None
    ) -> Tensor:
        """Return pooled features (N, C) on the CPU, in evaluation mode, centre-cropped; see `extract`.

        From a folder they come as a private memory map: only what is read takes memory.

        Args:
            report: called with (images done, images in all).

        Raises:
            UserError: features that are not finite, or too little disk.
        """
        if self.root is None:
            self.computed += len(split)
            return extract(backbone, split.images, device)
        self.root.mkdir(parents=True, exist_ok=True)
        path = self.root / f"{self.address(backbone, split)}.npy"
        with self._locked(path):
            found = _read(path, len(split))
            if found is None:
                self._write(path, backbone, split, device, report or (lambda done, total: None))
                found = _read(path, len(split))
        if found is None:
            raise UserError(f"{path} cannot be read back after it was written; is the disk sound?")
        return found

    @contextlib.contextmanager
    def _locked(self, path: Path) -> Iterator[None]:
        """Hold an entry, so that of two processes one computes and the other waits for it."""
        with path.with_suffix(".lock").open("w") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            yield

    def _write(
        self, path: Path, backbone: Backbone, split: ImageSplit, device: torch.device, report: Report
    ) -> None:
        """Fill an entry from where an interrupted process left it, and only then give it its name."""
        part, progress = path.with_suffix(".part"), path.with_suffix(".json")
        total = len(split)
        done, width = _progress(progress, part, total, self.stored)
        for start in range(done, total, PIECE):
            features = extract(backbone, split.images[start : start + PIECE], device)
            self.computed += len(features)
            piece = features.numpy().astype(self.stored)
            if not np.isfinite(piece).all():
                raise UserError("these features do not fit into float16; keep the bank in float32")
            if start == 0:
                width = features.shape[1]
                require_free_space(part.parent, total * width * piece.itemsize, "the feature bank")
                np.lib.format.open_memmap(part, "w+", piece.dtype, (total, width)).flush()
            entry = np.lib.format.open_memmap(part, "r+")
            entry[start : start + len(piece)] = piece
            entry.flush()
            report(start + len(piece), total)
            write_json(progress, {"done": start + len(piece), "total": total, "width": width})
        part.replace(path)
        progress.unlink(missing_ok=True)


def _progress(progress: Path, part: Path, total: int, stored: Stored) -> tuple[int, int]:
    """Return (images done, width) of an interrupted entry, (0, 0) where there is none to go on with."""
    try:
        state = json.loads(progress.read_text(encoding="utf-8"))
        entry = np.lib.format.open_memmap(part, "r")
        if state["total"] == total and entry.shape == (total, state["width"]) and entry.dtype == stored:
            return int(state["done"]), int(state["width"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return 0, 0


def _read(path: Path, count: int) -> Tensor | None:
    """Return an entry, None where there is none or it is damaged."""
    try:
        entry = np.lib.format.open_memmap(path, "c")
    except (OSError, ValueError):
        return None
    return torch.from_numpy(entry) if entry.ndim == 2 and len(entry) == count else None
