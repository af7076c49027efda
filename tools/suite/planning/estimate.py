"""How long the cells of a suite take: from earlier records of this machine, else a rough guess.

The guess counts multiplications and divides by the rate of a known machine: for one core that of our own
pretraining on a processor without fast bfloat16, for a GPU that of MoCo v2 as its authors published it.
"""

from __future__ import annotations

import itertools
import json
import os
import statistics
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

from mmbench.data.names import is_path
from mmbench.environment import processor_name
from mmbench.pretrain.recipes.recipe import Recipe, get_recipe, split_name
from mmbench.pretrain.scale_choice import known_facts, scale_for_images, scale_for_name
from mmbench.records.files import record_files
from mmbench.tools.suite.definition.data_facts import DATA_GB, facts_of
from mmbench.tools.suite.planning.cell import DataWork, PretrainWork, TransferWork, Work
from mmbench.transfer.resolution import ResolvedTask, resolve_task

Kind = Literal["measured", "rough"]
MOST_RECORDS = 2000  # files that are read; of more, evenly spread ones

# Seconds of one of two workers on 2 cores of an AMD EPYC without AVX-512 and bfloat16: medians of the demo.
PATTERNS_SECONDS, FIND_SECONDS = 39.0, 2.0
READ_MB_PER_SECOND = 200.0  # of files that are identified by their contents, once
DEMO_ARCH, DEMO_DATA = "mixmask_resnet8", "patterns"
EPOCH_SECONDS = {"mixmask": 18.0, "moco": 10.5, "erase": 19.0, "mscn": 11.0}
PROTOCOL_SECONDS = {
    "knn/patterns@2": 4.5,
    "linear/patterns@2": 7.5,
    "semisup/patterns-1pct@2": 8.5,
    "semisup/patterns-10pct@2": 17.0,
    "detection/patterns@2": 15.0,
    "dense/patterns@1": 12.5,
    # Optional ones, measured on a machine on which those above took 1.7 times less, and scaled by that.
    "logreg/lbfgs@2": 68.0,
    "lowshot/k@2": 17.0,
    "finetune/patterns@2": 60.0,
    "segmentation/patterns@1": 32.0,
}

# Multiplications per second, in thousands of millions. Core: MoCo takes 2.6 s for four passes of 1,000 images
# through mixmask_resnet8, of 32 px in the demo (a rate of 18) and of 28 px on Fashion-MNIST (a rate of 14).
# GPU: MoCo v2 took 53 h on 8 V100 for 200 epochs of ImageNet (facebookresearch/moco, README), which is four
# passes of 1.28 million images through a ResNet-50.
CORE_RATE, GPU_RATE = 16.0, 2750.0
# Multiplications of one pass of one image, in thousands of millions, at the side in pixels (He et al. 2016).
NETWORKS: dict[str, tuple[float, int]] = {
    DEMO_ARCH: (0.012, 32),
    "resnet18_cifar": (0.56, 32),
    "resnet34_cifar": (1.16, 32),
    "resnet50_cifar": (1.31, 32),
    "resnet101_cifar": (2.52, 32),
    "wide_resnet50_2": (11.4, 224),
    "wide_resnet101_2": (22.8, 224),
    "resnet18": (1.8, 224),
    "resnet34": (3.7, 224),
    "resnet101": (7.8, 224),
    "resnet152": (11.5, 224),
    # No network, but 3 values per pixel where a network leaves a few hundred: kNN takes about as long.
    "pixels": (0.02, 28),
}
USUAL_NETWORK = (4.1, 224)  # ResNet-50, also for what is not listed
FORWARD, TRAINING = 1.0, 3.0  # a backward pass costs two forward ones
# Passes of one image per step: the key's forward pass, and a training pass for each branch of the query.
BRANCHES = {"none": 1, "mscn": 1, "unmix+mixmask": 3}
TWO_SIDED = ("simclr", "byol", "simsiam")
USUAL_IMAGES, USUAL_SIDE = 50_000, 224  # where nothing is known
SCENE_PASSES = 1.5 * TRAINING  # heads of detectors and segmentors cost about half as much again


class Estimates(NamedTuple):
    """Seconds that were measured on this machine.

    Attributes:
        transfers: (protocol, data, length, architecture or "") -> median wall time.
        epochs: (method, data, architecture) -> median time of an epoch of pretraining: of all GPUs together,
            or wall time on the CPU.
        on_gpu: whether cells run on GPUs.
        at_once: see `rough_seconds`.
    """

    transfers: Mapping[tuple[str, str, str, str], float] = {}
    epochs: Mapping[tuple[str, str, str], float] = {}
    on_gpu: bool = False
    at_once: int | None = None

    def of(self, work: Work) -> tuple[float, Kind]:
        """Return the seconds that a piece of work is expected to take, and how that is known."""
        found: float | None = None
        if isinstance(work, PretrainWork):
            recipe = recipe_of(work.method, work.scale, work.data)
            arch, epochs = _arch_of(work, recipe), _epochs(work, recipe)
            epoch = self.epochs.get((recipe.arm, Path(work.data).name, arch))
            # Of one process, or older cards, which do not say. On GPUs their time together tells as much.
            if epoch is not None and (self.on_gpu or work.processes == 1):
                found = epoch * epochs / speed_up(work.processes, self.at_once)
        elif isinstance(work, TransferWork):
            found = self.transfers.get((*_measured_key(*_key_of(work)), _network_of(work) or ""))
        if found is None:
            return rough_seconds(work, on_gpu=self.on_gpu, at_once=self.at_once), "rough"
        return found, "measured"


def estimates(folders: Iterable[Path], *, on_gpu: bool, at_once: int | None = None) -> Estimates:
    """Return what earlier records below some folders, made on this kind of machine, tell of times.

    Args:
        at_once: see `rough_seconds`.
    """
    transfers: dict[tuple[str, str, str, str], list[float]] = {}
    epochs: dict[tuple[str, str, str], list[float]] = {}
    for record in _records(folders):
        try:
            made, card, seconds = record["provenance"], record["model"], float(record["wall_seconds"])
            same = made["processor"] == processor_name() and (made["device"] != "cpu") == on_gpu
            key = (record["protocol"].partition("+")[0], record["dataset"]["name"])
            if not same or any("feature bank" in note for note in record.get("notes", ())):
                continue
            for arch in (card["arch"], ""):
                transfers.setdefault((*key, _length(record["config"]), arch), []).append(seconds)
            if card.get("source_format") == "run" and card.get("pretrain_seconds") and card.get("epochs"):
                trained = (card["method"], card["pretrain_data"], card["arch"])
                compute = card.get("pretrain_compute") or {}
                of_gpus = on_gpu and compute.get("kind") == "gpu"
                spent = compute["seconds"] if of_gpus else card["pretrain_seconds"]
                if not on_gpu and card.get("pretrain_processes", 1) > 1:
                    continue
                epochs.setdefault(trained, []).append(spent / card["epochs"])
        except (KeyError, TypeError, ValueError, AttributeError):  # not a record, or not one of ours
            continue
    return Estimates(_medians(transfers), _medians(epochs), on_gpu, at_once)


def _medians(found: Mapping[Any, list[float]]) -> dict[Any, float]:
    return {key: statistics.median(values) for key, values in found.items()}


def _records(folders: Iterable[Path]) -> Iterator[Any]:
    """Yield the JSON values of records, at most `MOST_RECORDS`."""
    paths = [path for folder in folders for path, problem in record_files(folder) if problem is None]
    for path in paths[:: max(1, len(paths) // MOST_RECORDS)]:
        try:
            yield json.loads(path.read_bytes())
        except (OSError, ValueError, RecursionError):
            continue


def _length(config: Mapping[str, Any]) -> str:
    """Return how long a run is, by its settings."""
    return f"{config.get('epochs')} {config.get('iterations')}"


@cache
def recipe_of(method: str, scale: str | None, data: str) -> Recipe:
    """Return the recipe of a pretraining; without a scale that which fits what is known of the data."""
    if scale is None and split_name(method)[1] is None:
        if (choice := scale_for_name(data)) is not None:
            scale = choice.scale.name
        elif (facts := known_facts(data)) is not None:
            scale = scale_for_images(facts).scale.name
    return get_recipe(method, scale)


def _key_of(work: TransferWork) -> tuple[str, str, str, str]:
    """Return what decides how long a transfer takes, besides its weights: task, protocol, settings, data."""
    settings = json.dumps(work.settings, sort_keys=True) if work.settings else "{}"
    return work.task, work.protocol, settings, work.data


@cache
def _task(name: str, protocol: str, settings: str, data: str) -> ResolvedTask:
    return resolve_task(name, protocol, json.loads(settings), data)


@cache
def _measured_key(name: str, protocol: str, settings: str, data: str) -> tuple[str, str, str]:
    task = _task(name, protocol, settings, data)
    return task.protocol.id, Path(data).name, _length(task.settings.recorded())


def _arch_of(work: PretrainWork, recipe: Recipe) -> str:
    return work.arch or str(recipe.settings["arch"])


def _epochs(work: PretrainWork, recipe: Recipe) -> int:
    return work.epochs or int(recipe.settings["epochs"])


def _network_of(work: TransferWork) -> str | None:
    """Return the architecture that is measured; None where only the file states it."""
    if isinstance(work.weights, PretrainWork):
        return _arch_of(work.weights, recipe_of(work.weights.method, work.weights.scale, work.weights.data))
    return "pixels" if work.weights == "pixels" else work.arch


def _pass(arch: str | None, side: int | None) -> float:
    """Return the multiplications of one pass of one image, in thousands of millions.

    Args:
        side: of the image in pixels; None takes the usual one of the network.
    """
    name = (arch or "").removeprefix("mixmask_").removeprefix("msra_")
    cost, usual = NETWORKS.get(arch or "", NETWORKS.get(name, USUAL_NETWORK))
    return cost * ((side or usual) / usual) ** 2


@cache
def _images(data: str) -> int:
    """Return the number of training images; of a folder of the user's own the number of its files."""
    if (known := facts_of(data).train_images) is not None:
        return known
    files = (name for _, _, names in os.walk(data) for name in names) if is_path(data) else ()
    return sum(1 for _ in itertools.islice(files, USUAL_IMAGES)) or USUAL_IMAGES


def speed_up(processes: int, at_once: int | None) -> int:
    """Return how many times faster a pretraining is in several processes than in one.

    Args:
        at_once: see `rough_seconds`.
    """
    return processes if at_once is None else max(1, min(processes, at_once))


def rough_seconds(work: Work, *, on_gpu: bool = False, at_once: int | None = None) -> float:
    """Return a rough guess of the wall time of a piece of work, on one core or one GPU per process.

    Args:
        at_once: for how many processes of a pretraining there are cores; None means for all.
    """
    if isinstance(work, DataWork):
        found = FIND_SECONDS + DATA_GB.get(work.data, 0) * 1000 / READ_MB_PER_SECOND
        return PATTERNS_SECONDS if work.data == DEMO_DATA else found
    rate = GPU_RATE if on_gpu else CORE_RATE
    if isinstance(work, PretrainWork):
        recipe = recipe_of(work.method, work.scale, work.data)
        arch, epochs = _arch_of(work, recipe), _epochs(work, recipe)
        if arch == DEMO_ARCH and work.data == DEMO_DATA and not on_gpu:
            return EPOCH_SECONDS.get(work.method, 6.0) * epochs / speed_up(work.processes, at_once)
        side = recipe.settings.get("image_size") or facts_of(work.data).image_size
        framework, masking = (recipe.settings[axis]["name"] for axis in ("framework", "masking"))
        passes = FORWARD + TRAINING * BRANCHES.get(masking, 2)
        passes *= 2 if framework in TWO_SIDED else 1
        alone = _images(work.data) * epochs * passes * _pass(arch, side) / rate
        return alone / speed_up(work.processes, at_once)
    return _rough_transfer(*_key_of(work), _network_of(work), on_gpu)


@cache
def _rough_transfer(
    name: str, protocol: str, stated: str, data: str, network: str | None, on_gpu: bool
) -> float:
    task = _task(name, protocol, stated, data)
    rate = GPU_RATE if on_gpu else CORE_RATE
    small = network in (DEMO_ARCH, "pixels") and data == DEMO_DATA and not on_gpu
    if small and task.protocol.id in PROTOCOL_SECONDS:
        return PROTOCOL_SECONDS[task.protocol.id]
    settings = task.settings.recorded()
    if task.entry.dense and not task.entry.frozen:
        sides = settings.get("train_sizes") or settings.get("crop") or USUAL_SIDE
        side = max(sides) if isinstance(sides, list | tuple) else int(sides)
        seen = settings.get("iterations", 1000) * settings.get("batch_size", 16)
        return float(seen * SCENE_PASSES * _pass(network, side) / rate)
    fed = task.protocol.image_size or facts_of(data).image_size
    length = settings.get("epochs", 1) if settings.get("features") == "augmented" else 1
    passes = FORWARD * length
    if not task.entry.frozen:
        passes = TRAINING * settings.get("epochs", 1) * settings.get("fraction", 1.0)
    # Every task sees the evaluated images once; they are about a fifth as many.
    return float(1 + _images(data) * (passes + FORWARD / 5) * _pass(network, fed) / rate)
