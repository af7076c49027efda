"""Whether weights and protocol files that are there are still those of the done cells of a suite."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mmbench.errors import one_line, typed
from mmbench.file_names import counted
from mmbench.files import sha256_of
from mmbench.runs import RunFolder
from mmbench.tools.suite.folder import CellState, SuiteFolder
from mmbench.tools.suite.planning.cell import Cell, PretrainWork, TransferWork
from mmbench.tools.suite.unchanged import finished
from mmbench.tools.suite.weights_files import files_of
from mmbench.transfer.protocol import is_file_name


def changed_files(
    cells: tuple[Cell, ...], states: Mapping[str, CellState], folder: SuiteFolder
) -> tuple[str, ...]:
    """Return a line for each file of weights and protocol file that is not that of the done cells.

    So is each run folder of the suite that is gone although cells were measured on its weights: trained
    again, the run could give others, and its records would stand beside those of the old ones.

    Args:
        states: of the cells that were begun, by id; a done one whose result is gone is not among them.
    """
    return _Comparison(cells, states, folder).lines()


class _Comparison:
    """The done cells of a suite, beside the files that are there."""

    def __init__(self, cells: tuple[Cell, ...], states: Mapping[str, CellState], folder: SuiteFolder) -> None:
        self.cells, self.folder = cells, folder
        self.done = finished(cells, states)
        self.digests: dict[Path, str] = {}  # each file is read once
        self.measured: dict[str, list[CellState]] = {}  # name of a run folder -> cells measured on it
        for cell, state in self.done:
            if isinstance(cell.work, TransferWork) and isinstance(cell.work.weights, PretrainWork):
                self.measured.setdefault(cell.work.weights.folder, []).append(state)

    def lines(self) -> tuple[str, ...]:
        """Return a line for each file or folder, that of the first cell which it differs from."""
        found: dict[Path, str] = {}
        for path, line in (*self._gone(), *self._changed()):
            found.setdefault(path, line)
        return tuple(found.values())

    def _gone(self) -> Iterator[tuple[Path, str]]:
        for work in (cell.work for cell in self.cells):
            if not isinstance(work, PretrainWork) or work.folder not in self.measured:
                continue
            run = RunFolder(self.folder.runs / work.folder)
            if not run.finished:
                number = counted(len(self.measured[work.folder]), "done cell")
                yield (
                    run.root,
                    f"{one_line(str(run.root))} is not there any more as {number} found it; restore it, or "
                    f"remove {self._leavings(work, run)} to train and measure it again",
                )

    def _changed(self) -> Iterator[tuple[Path, str]]:
        """Yield the files that are not those of a done cell; those that are gone are missed elsewhere."""
        for cell, state in self.done:
            work = cell.work
            if isinstance(work, PretrainWork):
                weights = files_of(work, self.folder.runs).weights
                if weights is not None and self._differs(weights, state.fingerprint):
                    yield weights, self._line(weights, f"{state.name} left", self._remedy(work))
            elif isinstance(work, TransferWork):
                yield from self._changed_of(work, state)

    def _changed_of(self, work: TransferWork, state: CellState) -> Iterator[tuple[Path, str]]:
        files = files_of(work.weights, self.folder.runs)
        protocol = Path(work.protocol) if is_file_name(work.protocol) else None
        source, followed, arm = self._recorded(state) if files.weights or protocol else (None, None, None)
        if work.arm == work.weights and arm not in (None, work.arm):  # as earlier versions did
            record = self.folder.root / state.left
            yield (
                record,
                f"{one_line(str(record))} is filed under {typed(str(arm))}, and the suite calls the arm "
                f"{typed(work.arm)}; remove it to measure it again",
            )
        for path, before in ((files.weights, source), (files.card, state.card)):
            if path is not None and self._differs(path, before):
                words = f"{state.name} was measured {'on' if path == files.weights else 'with'}"
                yield path, self._line(path, words, self._remedy(work.weights))
        if protocol is not None and protocol.is_file() and self._differs(protocol, followed):
            remedy = "restore it and write the change to another file"
            yield protocol, self._line(protocol, f"{state.name} was measured by", remedy)

    def _recorded(self, state: CellState) -> tuple[str | None, str | None, str | None]:
        """Return what a record states: the SHA-256 of weights and of the protocol file, and the arm."""
        try:
            record: dict[str, Any] = json.loads((self.folder.root / state.left).read_text(encoding="utf-8"))
            model, config = record.get("model", {}), record.get("config", {})
            return model.get("source_sha256"), config.get("protocol_file_sha256"), model.get("arm")
        except (OSError, ValueError, AttributeError):
            return None, None, None  # not a record any more; the board says so

    def _differs(self, path: Path, before: str | None) -> bool:
        """Return whether a file is not the one whose SHA-256 is known."""
        if not before:
            return False
        if path not in self.digests:
            self.digests[path] = sha256_of(path)
        return self.digests[path] != before

    def _line(self, path: Path, words: str, remedy: str) -> str:
        return (
            f"{one_line(str(path))} is not the file that {words} (its SHA-256 changed); "
            f"{remedy}, or choose another folder with --out"
        )

    def _remedy(self, weights: PretrainWork | str) -> str:
        if isinstance(weights, str):
            return "restore it and add what it is now as another arm"
        run = RunFolder(self.folder.runs / weights.folder)
        return f"restore it, remove {self._leavings(weights, run)} to train and measure it again"

    def _leavings(self, work: PretrainWork, run: RunFolder) -> str:
        """Return what to remove so that a pretraining and what was measured on it begin anew."""
        names = (Path(state.left).name for state in self.measured.get(work.folder, ()))
        # Arm and digest of the card come first; configuration and seed follow.
        patterns = dict.fromkeys(f"{self.folder.results}/*/*/{name.rsplit('-', 2)[0]}-*" for name in names)
        there = [str(run.root)] if run.root.exists() else []
        return " and ".join(one_line(path) for path in (*there, *patterns))
