"""The run folder: the settings, metrics and checkpoints of a pretraining run.

    run/
      settings.yaml       the resolved configuration
      metrics.jsonl       one JSON object per logged step or epoch
      training/           step-00000123.pth: everything needed to resume (the newest few are kept)
      tensorboard/ views.png curves.png
      config.json         with model.safetensors: timm's `local-dir:` form
      model.safetensors   the backbone without head, with torchvision's names; `checkpoint_path=` loads it
      card.json README.md the ModelCard, and as text

`model.safetensors` and `card.json` appear when the run is finished.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmbench.errors import UserError
from mmbench.files import atomic_path, open_lock, write_text
from mmbench.settings.values import parse_yaml, yaml_text
from mmbench.verification import state_damage

if TYPE_CHECKING:
    import torch

# Locks of this process. A forked data worker inherits their descriptors and may outlive a killed parent by
# seconds; if it kept them, the same command could not resume at once.
_held: set[int] = set()


def _release_locks() -> None:
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_release_locks)


@dataclass(frozen=True)
class RunFolder:
    """The names inside one run folder."""

    root: Path

    @property
    def settings(self) -> Path:
        """The resolved configuration (YAML)."""
        return self.root / "settings.yaml"

    @property
    def metrics(self) -> Path:
        """One JSON object per line."""
        return self.root / "metrics.jsonl"

    @property
    def training(self) -> Path:
        """The folder of resumable training states."""
        return self.root / "training"

    @property
    def tensorboard(self) -> Path:
        """TensorBoard's event files."""
        return self.root / "tensorboard"

    @property
    def weights(self) -> Path:
        """The finished backbone."""
        return self.root / "model.safetensors"

    @property
    def hub_config(self) -> Path:
        """timm's config.json."""
        return self.root / "config.json"

    @property
    def card(self) -> Path:
        """The ModelCard as JSON."""
        return self.root / "card.json"

    @property
    def readme(self) -> Path:
        """The card as text."""
        return self.root / "README.md"

    @property
    def finished(self) -> bool:
        """Whether the run has finished."""
        return self.weights.is_file() and self.card.is_file()

    @property
    def lock(self) -> Path:
        """Held while a process trains in this folder."""
        return self.root / ".lock"

    def open(self, settings: dict[str, Any], *, runtime: Collection[str] = ()) -> bool:
        """Start or resume a run: write its settings, or compare them with those there; see `check`."""
        existed = self.check(settings, runtime=runtime)
        if not existed:
            write_text(self.settings, yaml_text(settings, ascii_only=True))
        return existed

    def check(self, settings: dict[str, Any], *, runtime: Collection[str] = ()) -> bool:
        """Return whether the folder holds a run with these settings; otherwise one may begin in it.

        Args:
            settings: the resolved configuration, plain YAML values.
            runtime: top-level settings that may differ between the sessions of one run.

        Raises:
            UserError: the folder holds something else, or a run with other settings (all are named).
        """
        if self.root.exists() and not self.root.is_dir():
            raise UserError(f"{self.root} is a file; choose a folder for the run with --out")
        if not self.settings.is_file():
            present = sorted(path.name for path in self.root.iterdir()) if self.root.is_dir() else []
            if [name for name in present if name != self.lock.name and not name.startswith(".settings-")]:
                raise UserError(
                    f"{self.root} is not a run folder but holds files ({', '.join(present[:3])}, ...); "
                    "choose a new or empty folder with --out"
                )
            return False
        found = read_settings(self.settings)
        changes = differences(
            {name: value for name, value in found.items() if name not in runtime},
            {name: value for name, value in settings.items() if name not in runtime},
        )
        if changes:
            raise UserError(
                f"{self.root} holds a run with other settings: {'; '.join(changes)}; "
                "repeat its settings to resume it, or choose another folder with --out"
            )
        return True

    def require_idle(self) -> None:
        """Raise UserError if another process trains here; nothing is made."""
        if os.path.lexists(self.lock):
            with self.locked():
                pass

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder's lock; the system releases it when the process ends.

        Raises:
            UserError: another process is training here.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        with open_lock(self.lock) as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise UserError(
                    f"another process is training in {self.root}; wait for it, or choose another folder"
                ) from None
            _held.add(stream.fileno())
            try:
                yield
            finally:
                _held.discard(stream.fileno())

    def state_paths(self) -> list[Path]:
        """Return the existing training states, the newest first."""
        return sorted(self.training.glob("step-*.pth"), reverse=True)

    def save_state(self, state: dict[str, Any], step: int, keep: int = 2) -> Path:
        """Write a training state atomically, then delete all but the newest `keep`; return its path."""
        import torch

        self._check_training()
        path = self.training / f"step-{step:08d}.pth"
        # Not by torch's own stream, which would not say why it fails.
        with atomic_path(path) as temporary, temporary.open("wb") as stream:
            torch.save(state, stream)
        for old in self.state_paths()[keep:]:
            old.unlink()
        return path

    def newest_state(self, say: Callable[[str], None], *, tidy: bool = True) -> Path | None:
        """Return the newest readable training state, or None; `say` gets a line for each that is skipped.

        Args:
            tidy: remove half-written files of a killed process, and rename the states that are skipped.
        """
        self._check_training()
        for leftover in self.training.glob(".step-*.pth") if tidy else ():
            leftover.unlink()
        skipped = 0
        for path in self.state_paths():
            damage = state_damage(path)
            if damage is None:
                return path
            say(f"{path} cannot be read ({damage}); an older state is tried")
            if tidy:
                path.replace(path.with_suffix(".unreadable"))  # it would count as one of the newest
            skipped += 1
        if skipped:
            say(f"no older state in {self.training}; the run starts from the beginning")
        return None

    def _check_training(self) -> None:
        """Check that states are stored inside the run folder.

        Raises:
            UserError: the folder of the states is a link to another place, or a file.
        """
        if self.training.is_symlink() or (self.training.exists() and not self.training.is_dir()):
            raise UserError(
                f"{self.training} is a link or a file, but states are stored in a folder inside the run; "
                "move it away, or choose another folder with --out"
            )

    def load_state(self, path: Path, device: torch.device) -> dict[str, Any]:
        """Return the training state at `path`, its tensors on `device`."""
        import torch

        where = "cpu" if device.type == "cpu" else device  # torch.load does not accept "cpu:0"
        return dict(torch.load(path, map_location=where, weights_only=True))


def read_settings(path: Path) -> dict[str, Any]:
    """Read a run's settings.yaml.

    Raises:
        UserError: it is damaged.
    """
    try:
        found = parse_yaml(path.read_text(encoding="utf-8"))
    except ValueError as error:  # of UnicodeDecodeError too
        reason = "it is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else str(error)
        raise UserError(f"{path} is damaged ({reason}); restore it, or train into another folder") from None
    if not isinstance(found, dict):
        raise UserError(f"{path} is damaged (it holds no settings); restore it, or train into another folder")
    return found


def differences(there: dict[str, Any], now: dict[str, Any], prefix: str = "") -> list[str]:
    """Return one line for each setting that differs: "optimiser.lr: 0.002 there, 0.001 now"."""
    lines = []
    for name in dict.fromkeys([*there, *now]):
        old, new = there.get(name), now.get(name)
        if isinstance(old, dict) and isinstance(new, dict):
            lines += differences(old, new, f"{prefix}{name}.")
        elif old != new:
            lines.append(f"{prefix}{name}: {old} there, {new} now")
    return lines


class MetricsLog:
    """Appends to metrics.jsonl; after a resume, records of later steps are dropped.

    Args:
        path: the file.
        resumed_step: records of later steps are dropped, as they will be measured again.
    """

    def __init__(self, path: Path, resumed_step: int) -> None:
        if path.is_symlink() and not path.exists():
            path.unlink()  # a broken link is never written through; other links are replaced by a copy
        if path.exists():
            kept = [json.dumps(record) for record in read_metrics(path) if record["step"] <= resumed_step]
            write_text(path, "".join(f"{line}\n" for line in kept))
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
        self._stream = path.open("a", encoding="utf-8")

    def write(self, record: dict[str, float | int]) -> None:
        """Append one record, which has a `step`; it is flushed when this returns."""
        self._stream.write(json.dumps(record) + "\n")
        self._stream.flush()

    def close(self) -> None:
        """Close the file."""
        self._stream.close()


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Return the records of a metrics.jsonl up to the first damaged line, such as one cut off by a crash."""
    records = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            break
        if not isinstance(record, dict) or not isinstance(record.get("step"), int):
            break
        records.append(record)
    return records
