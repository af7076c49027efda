"""`pretrain`: from a configuration to a finished run folder, through any number of interruptions."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Callable
from pathlib import Path

import torch

from mmbench.checkpoints.options import equal_of_ours
from mmbench.compute_meter import ComputeMeter
from mmbench.data import Dataset
from mmbench.data.quick_check import pixel_remarks, size_remarks
from mmbench.distributed import on_main, process_rank
from mmbench.errors import UserError
from mmbench.files import require_free_space
from mmbench.pretrain.acceleration import (
    check_compiler,
    check_decoder,
    make_accelerator,
    start_trackers,
)
from mmbench.pretrain.export import export
from mmbench.pretrain.figures import draw_curves, draw_views
from mmbench.pretrain.knn_monitor import KnnMonitor
from mmbench.pretrain.session import Report, Requests, Session, list_unreadable
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
logger = logging.getLogger("mmbench.pretrain")


def pretrain(
    config: PretrainConfig,
    out: Path,
    report: Report | None = None,
    *,
    dataset: Dataset | None = None,
    requests: Requests | None = None,
    say: Callable[[str], None] = logger.warning,
) -> RunFolder:
    """Pretrain a backbone in the run folder `out`; called again with the same configuration, go on.

    A finished run is returned as it is, unless the data are there and are others. From a state saved at the
    end of an epoch or on request the result is bit-identical to that of an uninterrupted run, on the CPU with
    the same number of threads. Under `torchrun` or `accelerate launch` the processes share each batch; the
    first one writes the folder.

    Args:
        report: called after each step with (steps done, steps in all, text with loss, rate and images/s).
        dataset: used instead of loading `config.data` from `config.data_root`.
        requests: lets the caller ask for a state or a stop.
        say: called with each line that a user should see, such as one about an unreadable state.

    Raises:
        UserError: bad settings, data, architecture or folder; not enough disk; a loss that is not finite.
        KeyboardInterrupt: `requests.stop` was set; the state is saved.
    """
    requests = requests or Requests()
    requests.idle = True
    folder = RunFolder(out)
    if folder.finished:
        folder.open(_settings(config, folder), runtime=RUNTIME_SETTINGS)
        _require_data_of_finished(config, folder, dataset)
        say(f"{out} is finished already; nothing to do")
        return folder
    accelerator = make_accelerator(config, folder)
    check_compiler(config, accelerator.device)
    check_decoder(config, accelerator.device)
    if config.threads is not None:
        torch.set_num_threads(config.threads)
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
    settings["effective"] = effective = trainer.effective()
    require_free_space(out, (config.keep_states + 1) * trainer.state_bytes() + 2**22, "training states")
    if is_main:
        say(
            f"{effective['images']} images, {effective['steps']} steps of {effective['batch']} "
            f"({effective['images_per_pass']} at a time in {effective['processes']} processes), "
            f"peak learning rate {effective['lr']:.3g}, {effective['device']}, {effective['precision']}"
        )
    with contextlib.ExitStack() as held:
        on_main(lambda: _enter(held, folder, settings))
        meter = ComputeMeter(trainer.device)
        seconds = _resume(trainer, folder, dataset, meter, say)
        if is_main:
            list_unreadable(trainer, folder, 0, say)
        if is_main and not trainer.step_number:
            generator = torch.Generator(trainer.device).manual_seed(config.seed)
            shown = source.samples(SHOWN)
            draw_views(trainer.views, shown, generator, folder.root / "views.png", config.method)
        start_trackers(accelerator, config, trainer.step_number)
        session = Session(
            trainer,
            folder,
            seconds,
            meter,
            report=report if is_main else None,
            requests=requests,
            say=say,
            monitor=monitor,
        )
        try:
            spent = session.run()
        finally:
            for tracker in accelerator.trackers:
                tracker.finish()
        requests.stop_if_asked()
        if is_main:
            for line in source.closing_remarks():
                say(line)
            title, branches = f"{config.method} on {dataset.name}", trainer.views.masking.branches
            if not draw_curves(folder.metrics, folder.root / "curves.png", title, branches):
                say(f"{folder.metrics} holds no records any more, so no curves are drawn")
            card = export(trainer, folder, dataset, spent)
            if card.preprocessing.high_pass is not None and equal_of_ours(card.arch) is None:
                say(
                    f"timm's {card.arch} has no place for the high-pass filter of these weights: mmbench "
                    "applies it, timm alone refuses the folder"
                )
        on_main(lambda: None)  # no process leaves before the folder is complete
    return folder


def _settings(config: PretrainConfig, folder: RunFolder, image_size: int | None = None) -> dict[str, object]:
    """Return the settings to record, with the image size that the data decided where none was asked for.

    Those that a run of an earlier version does not state are left out where they are what it did.

    Args:
        image_size: that of the data; None for a run that is finished, which is taken at its word.
    """
    settings: dict[str, object] = config.model_dump(mode="json")
    begun = folder.settings.is_file()
    stated = read_settings(folder.settings) if begun else settings
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


def _enter(held: contextlib.ExitStack, folder: RunFolder, settings: dict[str, object]) -> None:
    """Lock the folder until `held` ends, and begin or go on with the run in it."""
    held.enter_context(folder.locked())
    folder.open(settings, runtime=RUNTIME_SETTINGS)


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


def _resume(
    trainer: Trainer, folder: RunFolder, dataset: Dataset, meter: ComputeMeter, say: Callable[[str], None]
) -> float:
    """Load the newest state, if any; return the seconds that earlier sessions took, and go on with the meter.

    Raises:
        UserError: the state is of other data, or of another number of processes.
    """
    path = on_main(lambda: folder.newest_state(say))
    if path is None:
        return 0.0
    state = folder.load_state(path, trainer.device)
    _require_same_data(state["fingerprint"], trainer.source.fingerprint, dataset, folder)
    trainer.load(state)
    meter.go_on(state.get("compute"))
    if process_rank() == 0:
        say(f"going on with {folder.root} at step {trainer.step_number} of {trainer.total_steps}")
        if len(trainer.precisions) > 1:
            earlier, now = ", ".join(trainer.precisions - {trainer.precision}), trainer.precision
            say(
                f"earlier steps were computed in {earlier}, and this session computes in {now}: the card "
                "will state both, and the run is no seed of runs in one of them"
            )
    return float(state["seconds"])
