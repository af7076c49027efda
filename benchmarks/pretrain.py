"""Images per second of pretraining on Patterns, as ratios in one run, on this machine's cores.

python benchmarks/pretrain.py [--json PATH] [--rounds N]

- over_textbook: mmbench over the textbook loop beside this file, end to end (augmentation included);
- over_lightly: mmbench over lightly's modules and transform in an ordinary loop (`pip install lightly`);
- share_of_bare: mmbench end to end over bare forward, backward and optimiser steps of the same networks;
- mixmask_cost: seconds of a MixMask step over those of a MoCo step (7/4 is inherent);
- augmentation: views per second of processor time, on one thread, over torchvision's per-image transforms on
  PIL images;
- crops SOURCE -> SIZE: time of cropping and flipping 64 images by batched matrices, as a GPU does, over that
  of the compiled kernel; no goal;
- memory: MiB by which the process grew from step 100 to step 1,100.
"""

import argparse
import importlib.util
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import torch
from rows import Rows, report, row
from textbook import TextbookLoop, TwoViews
from torch import Generator
from trainers import BATCH, trainer

from mmbench.data import Dataset, load_dataset
from mmbench.images.crop_rule import CropRule
from mmbench.images.crops import crops_by_matrices, draw_crops, resized_crops
from mmbench.pretrain.trainer import Trainer

# architecture: goals against the textbook loop and against lightly
ARCHITECTURES = {"mixmask_resnet8": (3.0, 2.5), "mixmask_resnet18": (2.0, 1.7)}
SHARE_OF_BARE = 0.95
STEPS = 6
PREFETCHED, REFILL_SECONDS = 4, 3  # two batches for each of two workers
MEMORY_STEPS = 1000
CROPPED, CROPS = 64, ((32, 32), (96, 64), (256, 224))  # images; px of source and crop


def bare(of: Trainer, mixed: bool) -> Callable[[], None]:
    """Return a step of the networks alone: a key pass, one or two query passes, backward, optimiser."""
    framework = of.framework
    images = torch.randn(BATCH, 3, 32, 32).to(memory_format=torch.channels_last)

    def step() -> None:
        with of.accelerator.autocast():  # in the precision of the whole step
            framework.targets(images)
            total = framework.predict(images).sum()
            if mixed:
                total = total + framework.predict(images).sum()
        of.optimiser.zero_grad()
        total.backward()
        of.optimiser.step()
        framework.after_step()

    return step


def seconds(step: Callable[[], object], loader: bool) -> float:
    """Return the seconds of one step, averaged over a few.

    Args:
        loader: the step is fed by worker processes. What they prefetched is used up before the clock starts,
            and they may fill up again after it stops, so that they neither gain nor disturb the next one.
    """
    for _ in range(PREFETCHED if loader else 0):
        step()
    started = time.perf_counter()
    for _ in range(STEPS):
        step()
    taken = (time.perf_counter() - started) / STEPS
    if loader:
        time.sleep(REFILL_SECONDS)
    return taken


def measure_steps(arch: str, dataset: Dataset, rounds: int, cores: int) -> Rows:
    """Time whole steps of every kind, interleaved, so that a noisy minute meets all of them."""
    images = dataset.split("train").images
    steps: dict[str, Callable[[], object]] = {}
    for method in ("moco", "mixmask"):
        mixed = method == "mixmask"
        steps[method] = trainer(method, arch, dataset).step
        steps[f"bare {method}"] = bare(trainer(method, arch, dataset), mixed)
        steps[f"textbook {method}"] = TextbookLoop(images, arch, 32, BATCH, mixed, workers=cores).step
    with_lightly = importlib.util.find_spec("lightly") is not None
    if with_lightly:
        from lightly_loop import LightlyLoop

        steps["lightly moco"] = LightlyLoop(images, arch, 32, BATCH, workers=cores).step
    else:
        print("lightly is not installed: over_lightly is left out")
    for step in steps.values():
        step()  # warm up
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            times[name].append(seconds(step, loader=name.startswith(("textbook", "lightly"))))

    def ratio(over: str, under: str) -> float:
        return statistics.median(a / b for a, b in zip(times[over], times[under], strict=True))

    for name, values in times.items():
        print(f"{arch:18} {name:18} {BATCH / statistics.median(values):7.0f} images/s")
    textbook_goal, lightly_goal = ARCHITECTURES[arch]
    rows: Rows = {}
    for method in ("moco", "mixmask"):
        rows[f"{arch} {method} over_textbook"] = row(ratio(f"textbook {method}", method), textbook_goal)
        rows[f"{arch} {method} share_of_bare"] = row(ratio(f"bare {method}", method), SHARE_OF_BARE)
    if with_lightly:
        rows[f"{arch} moco over_lightly"] = row(ratio("lightly moco", "moco"), lightly_goal)
    rows[f"{arch} mixmask_cost"] = row(ratio("mixmask", "moco"), 1.8, "lower")
    return rows


def measure_augmentation(dataset: Dataset, rounds: int) -> Rows:
    """Time the augmentation alone, on one thread each."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    images = dataset.split("train").images[:BATCH]
    views = trainer("moco", "mixmask_resnet8", dataset).views
    per_image, generator = TwoViews(images, 32), Generator().manual_seed(0)
    ratios = []
    for _ in range(rounds):
        started = time.process_time()
        for index in range(BATCH):
            per_image[index]
        slow = time.process_time() - started
        started = time.process_time()
        for _ in range(STEPS):
            views(images, generator)
        fast = (time.process_time() - started) / STEPS
        ratios.append(slow / fast)
    print(
        f"augmentation       batched {2 * BATCH / fast:.0f} views/s, per image {2 * BATCH / slow:.0f} views/s"
    )
    torch.set_num_threads(threads)
    return {"augmentation": row(statistics.median(ratios), 15)}


def measure_crops(rounds: int) -> Rows:
    """Time both ways of cropping, on one thread each."""
    threads, generator = torch.get_num_threads(), Generator().manual_seed(0)
    torch.set_num_threads(1)
    rows: Rows = {}
    for source, size in CROPS:
        shape = (CROPPED, 3, source, source)
        images = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
        crops = draw_crops(CROPPED, (source, source), CropRule((0.2, 1.0)), generator)
        flipped = torch.rand(CROPPED, generator=generator) < 0.5
        resized_crops(images, crops, size, flipped)  # compiles, or reads what was compiled
        ratios = []
        for _ in range(rounds):
            started = time.process_time()
            for _ in range(STEPS):
                crops_by_matrices(images, crops, size, flipped)
            slow = time.process_time() - started
            for _ in range(STEPS):
                resized_crops(images, crops, size, flipped)
            ratios.append(slow / (time.process_time() - started - slow))
        rows[f"crops {source} -> {size}"] = row(statistics.median(ratios), None)
    torch.set_num_threads(threads)
    return rows


def measure_memory(dataset: Dataset) -> Rows:
    """Measure how the process grows while it trains."""
    long = trainer("mixmask", "mixmask_resnet8", dataset)
    process = psutil.Process()
    for _ in range(100):
        long.step()
    before = process.memory_info().rss
    for _ in range(MEMORY_STEPS):
        long.step()
    growth = (process.memory_info().rss - before) / 2**20
    return {"memory growth over 1000 steps, MiB": row(growth, 16, "lower")}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--data-root", type=Path, default=Path("data"))
    options = parser.parse_args()
    dataset = load_dataset("patterns", options.data_root)
    cores = len(os.sched_getaffinity(0))
    print(f"{cores} cores, {torch.get_num_threads()} torch threads, torch {torch.__version__}, batch {BATCH}")
    rows: Rows = {}
    for arch in ARCHITECTURES:
        rows |= measure_steps(arch, dataset, options.rounds, cores)
    rows |= measure_augmentation(dataset, options.rounds)
    rows |= measure_crops(options.rounds)
    rows |= measure_memory(dataset)
    report(rows, options.json)


if __name__ == "__main__":
    main()
