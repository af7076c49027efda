"""What a run does before it writes; a dry run does the same, and so refuses the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from mmbench.data import Dataset
from mmbench.data.quick_check import pixel_remarks, size_remarks
from mmbench.distributed import on_main, process_rank
from mmbench.environment import software
from mmbench.errors import UserError
from mmbench.files import require_free_space
from mmbench.pretrain.acceleration import make_accelerator
from mmbench.pretrain.knn_monitor import KnnMonitor
from mmbench.pretrain.settings import RUNTIME_SETTINGS, PretrainConfig, as_earlier
from mmbench.pretrain.sources.opening import (
    fingerprint_of,
    is_there,
    open_as_trained,
    open_source,
    same_place_name,
)
from mmbench.pretrain.trainer import Trainer, build_framework
from mmbench.runs import RunFolder, read_settings

SHOWN = 8
BESIDE_STATES = 2**22  # bytes of metrics, figures and TensorBoard's files


@dataclass(frozen=True)
class Prepared:
    """A run that can begin.

    Attributes:
        trainer: before its first step; what an earlier session saved is not in it yet.
        monitor: measures the backbone periodically, if wanted.
        settings: what the run folder is to hold.
        shown: images to draw views of, uint8 (N, 3, H, W); None where the run goes on, or in other processes
            than the first.
    """

    trainer: Trainer
    dataset: Dataset
    monitor: KnnMonitor | None
    settings: dict[str, object]
    shown: Tensor | None


def prepare(
    config: PretrainConfig, folder: RunFolder | None, dataset: Dataset | None, say: Callable[[str], None]
) -> Prepared | None:
    """Return a run that can begin; None where the run in its folder is finished. Nothing is written.

    Args:
        folder: None where none was chosen yet, which only a dry run allows.
        dataset: used instead of loading `config.data` from `config.data_root`.
        say: called with each line that a user should see, in the first process.

    Raises:
        UserError: bad settings, data, architecture or folder; not enough disk.
    """
    if folder is not None and folder.finished:
        folder.check(_settings(config, folder), runtime=RUNTIME_SETTINGS)
        _require_data_of_finished(config, folder, dataset)
        say(f"{folder.root} is finished already; nothing to do")
        return None
    accelerator = make_accelerator(config, folder)
    if folder is not None:
        on_main(lambda: _require_usable(folder, _settings(config, folder)))
    framework = build_framework(config)
    dataset = dataset or open_as_trained(config.data, config.data_root, bool(config.knn_every))
    is_main = process_rank() == 0
    for line in _data_remarks(dataset) if is_main else ():
        say(line)
    source = open_source(config, dataset, accelerator.device)
    for line in (*source.remarks(), *framework.remarks(len(source))) if is_main else ():
        say(line)
    trainer = Trainer(config, framework, source, accelerator)
    for line in trainer.remarks() if is_main else ():
        say(line)
    monitor = None
    if config.knn_every:
        monitor = KnnMonitor(dataset, trainer.views.preprocessing, accelerator.device)
    settings = _settings(config, folder, source.image_size)
    settings["effective"] = trainer.effective()
    begins = folder is None or not folder.state_paths()
    if folder is not None:
        require_room(config, folder, trainer.state_bytes())
        on_main(lambda: _require_usable(folder, settings))
    return Prepared(
        trainer, dataset, monitor, settings, source.samples(SHOWN) if begins and is_main else None
    )


def require_room(config: PretrainConfig, folder: RunFolder, state_bytes: int) -> None:
    """Check that the disk has room for the training states of a run, and for one that is being written.

    States that are there already have their room, as they go when newer ones are written, and so has what a
    killed process left half-written.

    Raises:
        UserError: it has not.
    """
    kept = folder.state_paths()[: config.keep_states]
    half_written = folder.training.glob(".step-*.pth")  # removed before the run goes on
    there = sum(min(path.stat().st_size, state_bytes) for path in kept)
    there += sum(path.stat().st_size for path in half_written)
    missing = (config.keep_states + 1) * state_bytes - there
    require_free_space(folder.root, max(missing, 0) + BESIDE_STATES, "training states")


def _require_usable(folder: RunFolder, settings: dict[str, object]) -> None:
    """Check that a run with these settings can begin or go on in the folder, and that no process does so.

    Raises:
        UserError: it cannot.
    """
    folder.check(settings, runtime=RUNTIME_SETTINGS)
    folder.require_idle()


def _settings(
    config: PretrainConfig, folder: RunFolder | None, image_size: int | None = None
) -> dict[str, object]:
    """Return the settings to record, with the image size that the data decided where none was asked for.

    Those that a run of an earlier version does not state are left out where they are what it did.

    Args:
        image_size: that of the data; None before they are open: a run in the folder is taken at its word.
    """
    settings: dict[str, object] = config.model_dump(mode="json")
    stated, begun = settings, False
    if folder is not None and folder.settings.is_file():
        stated, begun = read_settings(folder.settings), True
    if same_place_name(str(stated.get("data")), config.data):
        settings["data"] = stated["data"]  # from another folder of work, say; their fingerprint is compared
    settings = as_earlier(settings, stated)
    if config.image_size is None:
        there = stated.get("image_size") if begun else image_size
        # Runs that were begun before sizes were resolved say null, and mean the data's own.
        settings["image_size"] = there if there is None or image_size is None else image_size
    return settings


def _data_remarks(dataset: Dataset) -> list[str]:
    """Return what a person should know about the data before anything trains."""
    lines = list(dataset.remarks)
    if "train" in dataset.files and not dataset.expected:
        lines += size_remarks(dataset, ["train"]) + pixel_remarks(dataset.files["train"](), "train")
    return lines


def _require_data_of_finished(config: PretrainConfig, folder: RunFolder, dataset: Dataset | None) -> None:
    """Check that the data of a finished run, where they are still there, are those that it learned from.

    Raises:
        UserError: they are others.
    """
    try:
        card = json.loads(folder.card.read_text(encoding="utf-8"))
        learned = card.get("pretrain_fingerprint")
        if learned is None or (dataset is None and not is_there(config.data, config.data_root)):
            return
        dataset = dataset or open_as_trained(config.data, config.data_root, bool(config.knn_every))
        now = fingerprint_of(dataset)
    except (OSError, ValueError, AttributeError, UserError):
        return  # data that cannot be opened, which a finished run does not need; or no card any more
    _require_same_data(learned, now, dataset, folder)


def _require_same_data(learned: str, now: str, dataset: Dataset, folder: RunFolder) -> None:
    """Compare the fingerprint of a run's data with that of the data that are there.

    Raises:
        UserError: they differ.
    """
    if learned != now:
        raise UserError(
            f"data set '{dataset.name}' is not the one that {folder.root} was begun with "
            "(its fingerprint changed); restore the data, or choose another folder by --out"
        )


def load_newest(
    ready: Prepared, folder: RunFolder, say: Callable[[str], None], *, tidy: bool = True
) -> dict[str, Any] | None:
    """Let the trainer go on from the newest state in the folder, and return that; None if there is none.

    Args:
        tidy: see `RunFolder.newest_state`.

    Raises:
        UserError: the state is of other data, or of another number of processes.
    """
    path = on_main(lambda: folder.newest_state(say, tidy=tidy))
    if path is None:
        return None
    trainer = ready.trainer
    state = folder.load_state(path, trainer.device)
    _require_same_data(state["fingerprint"], trainer.source.fingerprint, ready.dataset, folder)
    trainer.load(state)
    if process_rank() == 0:
        say(f"going on with {folder.root} at step {trainer.step_number} of {trainer.total_steps}")
        if (before := state.get("software", "an earlier version of mmbench")) != (now := software()):
            say(
                f"earlier steps were computed by {before}, and this session computes by {now}: weights may "
                "differ by rounding from those of one version"
            )
        if len(trainer.precisions) > 1:
            earlier, now = ", ".join(trainer.precisions - {trainer.precision}), trainer.precision
            say(
                f"earlier steps were computed in {earlier}, and this session computes in {now}: the card "
                "will state both, and the run is no seed of runs in one of them"
            )
    return state
