"""The feature bank: every split goes through a backbone once, and all frozen probes read what came out.

An entry is addressed by what it depends on: the weights, the preprocessing, the split, the precision of the
pass, and the dtype that it is stored in. It is a plain .npy file, written piece by piece and read through a
memory map.
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
from mmbench.distributed import on_main, process_rank
from mmbench.errors import UserError
from mmbench.files import require_free_space, write_json
from mmbench.transfer.compute import Compute
from mmbench.transfer.features import FrozenNetwork, is_pixels, pass_over
from mmbench.transfer.pictures import Pictures

Stored = Literal["float32", "float16"]
LAYOUT = 2  # of what an address is made of
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
        root: the folder; entries may be deleted at any time. Several processes need one that all can read.
        stored: dtype of the features on disk. float16 halves size and loses digits beyond the third.
        computed: images that went through a backbone, since this bank was made.
    """

    root: Path | None = None
    stored: Stored = "float32"
    computed: int = 0

    def address(self, backbone: Backbone, pictures: Pictures, compute: Compute) -> str:
        """Return 32 hexadecimal digits that name the features of `pictures` behind `backbone`."""
        facts = {
            "layout": LAYOUT,
            "weights": weights_digest(backbone),
            "pixels": is_pixels(backbone),
            "preprocessing": backbone.card.preprocessing.model_dump(mode="json"),
            "split": pictures.fingerprint,
            "precision": compute.precision,
            "device": compute.device.type,  # the last digits differ between kinds of device
            "dtype": self.stored,
        }
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]

    def features(
        self, backbone: Backbone, pictures: Pictures, compute: Compute, report: Report | None = None
    ) -> Tensor:
        """Return pooled features (N, C) on the CPU, in evaluation mode, centre-cropped; see `pass_over`.

        From a folder they come as a private memory map: only what is read takes memory.

        Args:
            report: called with (images done, images in all).

        Raises:
            UserError: features that are not finite, a picture that cannot be read, or too little disk.
        """
        report = report or (lambda done, total: None)
        total = len(pictures)
        if self.root is None:
            network, parts, done = FrozenNetwork(backbone, compute), [], 0
            for part in pass_over(network, pictures, 0, total):
                parts.append(part)
                done += len(part)
                report(done, total)
            self.computed += total
            return torch.cat(parts)
        path = self.root / f"{self.address(backbone, pictures, compute)}.npy"
        with self._locked(path):
            if on_main(lambda: _read(path, total) is None):
                self._write(path, FrozenNetwork(backbone, compute), pictures, report)
            found = _read(path, total)
        if found is None:
            raise UserError(f"{path} cannot be read back after it was written; is the disk sound?")
        return found

    @contextlib.contextmanager
    def _locked(self, path: Path) -> Iterator[None]:
        """Hold an entry, so that of two runs one computes and the other waits for it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        if process_rank() > 0:  # the first process holds it for all that work together
            yield
            return
        with path.with_suffix(".lock").open("w") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            yield

    def _write(self, path: Path, network: FrozenNetwork, pictures: Pictures, report: Report) -> None:
        """Fill an entry from where an interrupted run left it, and only then give it its name."""
        part, progress = path.with_suffix(".part"), path.with_suffix(".json")
        total, width = len(pictures), network.width
        done = on_main(lambda: _progress(progress, part, (total, width), self.stored))
        itemsize = np.dtype(self.stored).itemsize
        on_main(
            lambda: require_free_space(path.parent, (total - done) * width * itemsize, "the feature bank")
        )
        main = process_rank() == 0
        if main and done == 0:
            np.lib.format.open_memmap(part, "w+", self.stored, (total, width)).flush()
        entry = np.lib.format.open_memmap(part, "r+") if main else None
        saved = done
        for features in pass_over(network, pictures, done, total):
            self.computed += len(features)
            with np.errstate(over="ignore"):  # told in one line below
                stored = features.numpy().astype(self.stored)
            if not np.isfinite(stored).all():
                raise UserError("these features do not fit into float16; keep the bank in float32")
            if entry is not None:
                entry[done : done + len(stored)] = stored
            done += len(stored)
            if entry is not None and (done - saved >= PIECE or done == total):
                entry.flush()
                write_json(progress, {"done": done})
                saved = done
            report(done, total)
        if main:
            part.replace(path)
            progress.unlink(missing_ok=True)
        on_main(lambda: None)  # nobody reads before it is there


def _progress(progress: Path, part: Path, shape: tuple[int, int], stored: Stored) -> int:
    """Return how many images an interrupted entry holds, 0 where there is none to go on with."""
    try:
        done = int(json.loads(progress.read_text(encoding="utf-8"))["done"])
        entry = np.lib.format.open_memmap(part, "r")
    except (OSError, ValueError, KeyError, TypeError):
        return 0
    return done if entry.shape == shape and entry.dtype == stored and 0 <= done <= shape[0] else 0


def _read(path: Path, count: int) -> Tensor | None:
    """Return an entry, None where there is none or it is damaged."""
    try:
        entry = np.lib.format.open_memmap(path, "c")
    except (OSError, ValueError):
        return None
    return torch.from_numpy(entry) if entry.ndim == 2 and len(entry) == count else None
