"""Images per second of pretraining on Patterns, as ratios in one run, on this machine's cores.

python benchmarks/pretrain.py [--json PATH] [--rounds N]

- over_textbook: mmbench over the textbook loop beside this file, end to end (augmentation included);
- share_of_bare: mmbench end to end over bare forward, backward and optimiser steps of the same networks;
- mixmask_cost: seconds of a MixMask step over those of a MoCo step (7/4 is inherent).
"""

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from textbook import TextbookLoop

from mmbench.data import Dataset, load_dataset
from mmbench.pretrain.acceleration import make_accelerator
from mmbench.pretrain.config import resolve_config
from mmbench.pretrain.source import open_source
from mmbench.pretrain.trainer import Trainer, build_framework

# name of the architecture, goal against the textbook loop
ARCHITECTURES = {"mixmask_resnet8": 3.0, "mixmask_resnet18": 2.0}
BATCH, STEPS = 128, 6
PREFETCHED, REFILL_SECONDS = 4, 3  # two batches for each of two workers


def trainer(method: str, arch: str, dataset: Dataset) -> Trainer:
    config = resolve_config(method, arch=arch, epochs=50, device="cpu")
    accelerator = make_accelerator(config)
    source = open_source(config, dataset, accelerator.device)
    return Trainer(config, build_framework(config), source, accelerator)


def bare(of: Trainer, mixed: bool) -> Callable[[], None]:
    """Return a step of the networks alone: a key pass, one or two query passes, backward, optimiser."""
    framework = of.framework
    images = torch.randn(BATCH, 3, 32, 32).to(memory_format=torch.channels_last)

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16):
            framework.targets(images)
            total = framework.predict(images).sum()
            if mixed:
                total = total + framework.predict(images).sum()
        of.optimiser.zero_grad()
        total.backward()
        of.optimiser.step()

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


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--data-root", type=Path, default=Path("data"))
    options = parser.parse_args()
    dataset = load_dataset("patterns", options.data_root)
    images = dataset.split("train").images
    cores = len(os.sched_getaffinity(0))
    print(f"{cores} cores, {torch.get_num_threads()} torch threads, torch {torch.__version__}, batch {BATCH}")
    rows: dict[str, dict[str, object]] = {}
    for arch, goal in ARCHITECTURES.items():
        steps: dict[str, Callable[[], object]] = {}
        for method in ("moco", "mixmask"):
            steps[method] = trainer(method, arch, dataset).step
            steps[f"bare {method}"] = bare(trainer(method, arch, dataset), method == "mixmask")
            steps[f"textbook {method}"] = TextbookLoop(
                images, arch, 32, BATCH, method == "mixmask", workers=cores
            ).step
        for step in steps.values():
            step()  # warm up
        times: dict[str, list[float]] = {name: [] for name in steps}
        for _ in range(options.rounds):  # interleaved, so that a noisy minute meets all of them
            for name, step in steps.items():
                times[name].append(seconds(step, loader=name.startswith("textbook")))

        def ratio(over: str, under: str, times: dict[str, list[float]] = times) -> float:
            return statistics.median(a / b for a, b in zip(times[over], times[under], strict=True))

        for name, values in times.items():
            print(f"{arch:18} {name:18} {BATCH / statistics.median(values):7.0f} images/s")
        for method in ("moco", "mixmask"):
            rows[f"{arch} {method} over_textbook"] = {
                "value": ratio(f"textbook {method}", method),
                "goal": goal,
                "better": "higher",
            }
            share = ratio(f"bare {method}", method)
            rows[f"{arch} {method} share_of_bare"] = {"value": share, "goal": 0.9, "better": "higher"}
        cost = ratio("mixmask", "moco")
        rows[f"{arch} mixmask_cost"] = {"value": cost, "goal": 1.8, "better": "lower"}
    for name, row in rows.items():
        bound = "at least" if row["better"] == "higher" else "at most"
        print(f"{name}: {row['value']:.2f} (goal: {bound} {row['goal']})")
    if options.json is not None:
        options.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
