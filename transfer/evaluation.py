"""`mmbench.evaluate`: measure a model in Python."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from torch import nn

from mmbench.checkpoints.backbone import Backbone
from mmbench.checkpoints.card import Preprocessing
from mmbench.checkpoints.stated import NOTHING_STATED, Stated
from mmbench.data import Dataset
from mmbench.device import device_name
from mmbench.errors import UserError, shown
from mmbench.home import home_path, path_text
from mmbench.one_call import one_call
from mmbench.own_state import own_state
from mmbench.records.store import Result
from mmbench.settings.python_values import (
    flag,
    optional_number,
    require_callables,
    require_one_of,
    require_texts,
    seeds_of,
    settings_of,
)
from mmbench.settings.types import LARGEST_IMAGE, MOST_WORKERS, SMALLEST_IMAGE
from mmbench.tasks import Option
from mmbench.transfer.beside_records import require_stated_effects, version_remarks
from mmbench.transfer.compute import PRECISIONS, Precision
from mmbench.transfer.encoder import Encoder, check_encoder
from mmbench.transfer.execution import Report, silent
from mmbench.transfer.inputs.feature_bank import FeatureBank
from mmbench.transfer.measuring import measure
from mmbench.transfer.module_encoder import model_of_module
from mmbench.transfer.request import Model, TransferRequest, check_options
from mmbench.transfer.resolution import resolve_task
from mmbench.writable import require_writable


@own_state()
@one_call()
def evaluate(
    model: Model,
    task: str | Sequence[str],
    data: str | Path | Dataset,
    *,
    protocol: str | Path | None = None,
    seeds: Sequence[int] | None = (0,),
    data_root: str | Path = "data",
    layout: str | None = None,
    out: str | Path = "results",
    overrides: Mapping[str, Any] | None = None,
    arch: str | None = None,
    image_size: int | None = None,
    stated: Stated = NOTHING_STATED,
    name: str | None = None,
    arm: str | None = None,
    preprocessing: Preprocessing | None = None,
    device: str = "auto",
    precision: Precision = "float32",
    workers: int | None = None,
    bank: str | Path | None = None,
    labels_file: str | Path | None = None,
    plot: bool = False,
    report: Report = silent,
    say: Callable[[str], None] = lambda line: None,
) -> list[Result]:
    """Measure how a model transfers, and return one record per task and seed.

    Records are written to `out`, as `mmbench transfer` writes them; one that is there already is returned
    as it is. Data given by name or path are looked at anew by each call, a `Dataset` is used as it is.
    Neither the caller's state of torch nor its seeds change the numbers, and both are left as they were. In
    one process one call at a time computes; calls in other threads wait.

    Args:
        model: run folder, checkpoint file, name of weights ("timm:resnet50.a1_in1k") or control ("random",
            with `arch`); or an `nn.Module`, a `Backbone` or an `Encoder`. Tasks on frozen features (knn,
            linear, logreg, lowshot) take any of them, and dense any that gives feature maps; the others need
            a backbone that timm can build. A module gives features (images, numbers), or maps, which are
            averaged over their positions; one in half or double precision is used in float32.
        task: name of a task, or several.
        data: name of a data set, path of a folder of images, or a `Dataset`.
        protocol: id, or path of a protocol file, of a single task; default: each task's own.
        seeds: seeds of the transfer, and of random weights; None runs the trials of each task's protocol,
            such as five.
        data_root: folder with one folder per data set.
        layout: of a folder: "coco", "voc", "yolo", "mmseg", "masks" or "folder" (class folders); recognised
            by default.
        out: folder of the records.
        overrides: settings in place of the protocol's, such as {"epochs": 10}, of a single task.
        arch: timm name, for random weights and files that do not state it.
        image_size: side in pixels that the backbone is fed.
        stated: facts about a checkpoint file that it does not state itself.
        arm: row of the leaderboard that the records are filed under, instead of the one on the card.
        name, preprocessing: of an `nn.Module`: its row on the leaderboard, and what its images need.
        device: "auto", "cpu", "cuda" or "cuda:N".
        precision: of the backbone, by autocast: "float32", "bfloat16" or "float16".
        workers: processes that read images; default: one per core.
        bank: folder that stores frozen features between calls.
        labels_file: official list of the labelled images of a semi-supervised run.
        plot: draw features (t-SNE) and nearest neighbours beside each record.
        report: called with (done, total, message).
        say: called with each line about the data that a person should know.

    Raises:
        UserError: an unknown name, data or weights that the task cannot use, an option that no task uses, an
            argument of another kind.

    Examples:
        >>> import timm, mmbench
        >>> model = timm.create_model("vit_tiny_patch16_224", pretrained=True)
        >>> knn, linear = mmbench.evaluate(model, ["knn", "linear"], "path/to/images")
        >>> knn.metrics["top1"].value
    """
    names = _names(task)
    overrides = settings_of(overrides, "overrides", '"epochs": 10')
    if len(names) != 1 and (protocol is not None or overrides):
        raise UserError("protocol and overrides are for a single task; call evaluate once per task")
    require_one_of(precision, "precision", tuple(PRECISIONS))
    _check_objects(model, data, stated, preprocessing)
    require_texts(arch=arch, layout=layout, name=name, arm=arm)
    require_callables(report=report, say=say)
    plot, device = flag(plot, "plot"), device_name(device)
    results, root = home_path(out, "out"), home_path(data_root, "data_root")
    features = None if bank is None else home_path(bank, "bank")
    labels = None if labels_file is None else home_path(labels_file, "labels_file")
    chosen_seeds = seeds_of(seeds)
    image_size = optional_number(image_size, "image_size", SMALLEST_IMAGE, LARGEST_IMAGE)
    workers = optional_number(workers, "workers", 0, MOST_WORKERS)
    model = path_text(model, "model") if isinstance(model, str | PathLike) else model
    data = path_text(data, "data") if isinstance(data, str | PathLike) else data
    data_name = data.name if isinstance(data, Dataset) else data
    protocol = None if protocol is None else path_text(protocol, "protocol")
    tasks = tuple(resolve_task(each, protocol, overrides, data_name) for each in names)
    require_stated_effects(tasks, results)
    stated_options: dict[Option, bool] = {
        "bank": features is not None,
        "labels_file": labels is not None,
        "plot": plot,
        "precision": precision != "float32",
        "workers": workers is not None,
    }
    lines = check_options(tasks, {option: option for option, given in stated_options.items() if given})
    require_writable(results, "out")
    if features is not None:
        require_writable(features, "bank")
    for line in (*lines, *version_remarks(tasks, results)):
        say(line)
    if isinstance(model, nn.Module) and not isinstance(model, Encoder):
        model = model_of_module(model, name, preprocessing)
    elif name is not None or preprocessing is not None:
        raise UserError("name and preprocessing are for an nn.Module; other models have their own")
    request = TransferRequest(
        tasks,
        model,
        data,
        chosen_seeds,
        root,
        arch,
        image_size,
        stated,
        results,
        device,
        precision,
        workers,
        FeatureBank(features),
        labels,
        plot,
        layout=layout,
        arm=arm,
    )
    outcomes = measure(request, report=report, say=say)
    return [outcome.result for outcome in outcomes]


def _names(task: str | Sequence[str]) -> list[str]:
    """Return the names of the tasks.

    Raises:
        UserError: not names.
    """
    try:
        several = [task] if isinstance(task, str | bytes) else list(task)
    except TypeError:
        several = [task]  # type: ignore[list-item]  # a number, or anything else from Python
    if not several:
        raise UserError(f"task = {shown(task)}: name at least one, such as 'knn'")
    for name in several:
        if not isinstance(name, str):
            raise UserError(f"task = {shown(name)}: must be the name of a task, such as 'knn', or several")
    return several


def _check_objects(model: Any, data: Any, stated: Any, preprocessing: Any) -> None:
    """Check the kinds of model, data and what is stated of them.

    Raises:
        UserError: they are of no kind that can be measured, or an encoder states its facts wrongly.
    """
    if not isinstance(data, str | PathLike | Dataset):
        raise UserError(
            f"data = {shown(data)}: must be the name of a data set, the path of a folder, or a Dataset"
        )
    if not isinstance(model, str | PathLike | Backbone | nn.Module | Encoder):
        raise UserError(
            f"model = {shown(model)}: must be a path, a name, an nn.Module, a Backbone, or an Encoder, which "
            "has name, identity, preprocessing and encode"
        )
    if not isinstance(stated, Stated):
        raise UserError(f"stated = {shown(stated)}: must be mmbench.checkpoints.stated.Stated(...)")
    if not isinstance(preprocessing, Preprocessing | None):
        raise UserError(
            f"preprocessing = {shown(preprocessing)}: must be mmbench.Preprocessing(mean=..., std=..., "
            "image_size=...)"
        )
    if isinstance(model, Encoder) and not isinstance(model, Backbone):
        check_encoder(model)
