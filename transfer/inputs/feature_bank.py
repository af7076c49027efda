"""The feature bank: every split goes through a backbone once, and all frozen probes read the features.

The address of an entry is a digest of what it depends on: the weights, the preprocessing, the split, the
precision of the pass, and the dtype that it is stored in. It is a plain .npy file, written piece by piece,
verified against the digests beside it (see `mmbench.transfer.inputs.bank_entry`) and read by a memory map.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from mmbench.checkpoints.backbone import Backbone
from mmbench.distributed import on_main, process_rank
from mmbench.errors import UserError
from mmbench.files import open_lock, require_free_space
from mmbench.transfer.compute import Compute
from mmbench.transfer.inputs.bank_entry import (
    DamagedEntryError,
    EntryFacts,
    EntryWriter,
    read_entry,
    remove_abandoned,
)
from mmbench.transfer.inputs.features import PooledFeatures, RowSource
from mmbench.transfer.inputs.images import Images

Stored = Literal["float32", "float16"]
LAYOUT = 3  # of what an address is made of; 2 may hold features of damaged PNGs
PIECE = 8192  # most images that are lost when a process is interrupted

Report = Callable[[int, int], None]


@dataclass
class FeatureBank:
    """Features by address, in a folder; without a folder they are computed at every request.

    Attributes:
        root: the folder; entries may be deleted at any time. Several processes need one that all can read.
        stored: dtype of the features on disk. float16 halves the size and keeps three digits.
        computed: images that went through a backbone, since this bank was made.
        notes: what a record must say about damaged entries; see `take_notes`.
    """

    root: Path | None = None
    stored: Stored = "float32"
    computed: int = 0
    notes: list[str] = field(default_factory=list)

    def address(self, backbone: Backbone, images: Images, compute: Compute) -> str:
        """Return 32 hexadecimal digits that name the features of `images` behind `backbone`."""
        return self.address_of(PooledFeatures(backbone, images, compute))

    def address_of(self, source: RowSource) -> str:
        """Return 32 hexadecimal digits that name the rows of `source`."""
        facts = {"layout": LAYOUT, **source.facts(), "dtype": self.stored}
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]

    def features(
        self, backbone: Backbone, images: Images, compute: Compute, report: Report | None = None
    ) -> Tensor:
        """Return pooled features (N, C) on the CPU, in evaluation mode, centre-cropped; see `rows`.

        Raises:
            UserError: features that are not finite, an image that cannot be read, or too little disk.
        """
        return self.rows(PooledFeatures(backbone, images, compute), report)

    def rows(self, source: RowSource, report: Report | None = None) -> Tensor:
        """Return the rows of `source` (N, C) on the CPU.

        From a folder they come as a private memory map, so that only the rows that are read take memory. A
        damaged entry is computed again, and `notes` says so.

        Args:
            report: called with (images done, images in all).

        Raises:
            UserError: features that are not finite, an image that cannot be read, or too little disk.
        """
        report = report or (lambda done, total: None)
        total = len(source)
        if self.root is None:
            source.prepare()
            parts, done = [], 0
            for part in source.rows(0, total):
                parts.append(part)
                done += len(part)
                report(done, total)
            self.computed += total
            return torch.cat(parts)
        path = self.root / f"{self.address_of(source)}.npy"
        with self._locked(path):
            damage = on_main(lambda: self._damage(path, total))
            if damage is not None:
                if damage:
                    self.notes.append(f"features were computed again: {path.name} in the bank {damage}")
                self._write(path, source, report)
                damage = on_main(lambda: self._damage(path, total))
            if damage is not None:
                raise UserError(
                    f"{path} cannot be read back after it was written: it {damage}; check the disk, or "
                    "choose another folder by --bank"
                )
            found = read_entry(path, total, self.stored, verify=False)
        assert found is not None
        return found

    def holds(self, source: RowSource) -> bool:
        """Return whether the rows of `source` are stored, whole or damaged."""
        root = self.root
        return root is not None and on_main((root / f"{self.address_of(source)}.npy").is_file)

    def take_notes(self) -> tuple[str, ...]:
        """Return what a record must say about the entries read since the last call."""
        notes, self.notes = tuple(self.notes), []
        return notes

    def _damage(self, path: Path, count: int) -> str | None:
        """Return what is wrong with an entry: None if it is sound, "" if it does not exist."""
        try:
            return "" if read_entry(path, count, self.stored, verify=True) is None else None
        except DamagedEntryError as damage:
            return f"is damaged or outdated ({damage})"

    @contextlib.contextmanager
    def _locked(self, path: Path) -> Iterator[None]:
        """Lock an entry, so that of two runs one computes and the other waits for it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        if process_rank() > 0:  # the first process holds it for all that work together
            yield
            return
        with open_lock(path.with_suffix(".lock")) as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            remove_abandoned(path.parent, path)
            yield

    def _write(self, path: Path, source: RowSource, report: Report) -> None:
        """Complete an entry, from where an interrupted run left it, and then give it its name."""
        total = len(source)
        facts = EntryFacts(path, (total, source.prepare()), self.stored)
        writer = EntryWriter(facts) if process_rank() == 0 else None
        done, fault = on_main(lambda: (writer.done, writer.fault) if writer else (0, None))
        if fault is not None:
            self.notes.append(f"features were computed from the start: {facts.part.name} in the bank {fault}")
        missing = (total - done) * facts.row_bytes
        on_main(lambda: require_free_space(path.parent, missing, "the feature bank"))
        saved = done
        with contextlib.nullcontext() if writer is None else writer.opened():
            for features in source.rows(done, total):
                self.computed += len(features)
                with np.errstate(over="ignore"):  # reported in one line below
                    stored = features.numpy().astype(self.stored)
                if not np.isfinite(stored).all():
                    raise UserError("these features do not fit into float16; keep the bank in float32")
                done += len(stored)
                if writer is not None:
                    writer.append(stored)
                    if done - saved >= PIECE or done == total:
                        writer.save()
                        saved = done
                report(done, total)
        if writer is not None:
            writer.finish()
        on_main(lambda: None)  # no process reads before the entry exists
