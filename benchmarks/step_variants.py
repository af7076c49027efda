"""Other ways of taking a pretraining step that were tried, over the way it is taken, in one run.

python benchmarks/step_variants.py [--json PATH] [--rounds N] [--data-root FOLDER] [--compile]

All with MixMask, in seconds of the processor over those of mmbench's own step; without goals, as what is
clearly below 1 would have been taken:

- nchw: the usual memory format instead of channels_last;
- inference_keys: the key encoder in inference mode, its keys copied out of it, instead of without gradient;
- foreach_optimiser: torch's foreach optimiser instead of the fused one;
- one_query_pass: both query views in one pass of twice the batch. Batch norms then see other statistics, so
  this is another method; of the networks alone, over two passes;
- large_allocations_kept: glibc keeps large blocks instead of giving them back (MALLOC_TRIM_THRESHOLD_ and
  MALLOC_MMAP_THRESHOLD_), in processes of their own;
- compiled: torch.compile, after it has compiled; with --compile only, as this takes minutes.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from rows import Rows, report
from torch import Tensor
from trainers import BATCH, trainer

from mmbench.data import Dataset, load_dataset
from mmbench.pretrain.frameworks.moco import Moco
from mmbench.pretrain.optimiser import make_optimiser
from mmbench.pretrain.trainer import Trainer

ARCHITECTURES = ("mixmask_resnet8", "mixmask_resnet18")
STEPS, WARM_UP = 4, 2
KEPT = {"MALLOC_TRIM_THRESHOLD_": str(2**28), "MALLOC_MMAP_THRESHOLD_": str(2**28)}
Step = Callable[[], object]


def with_inference_keys(arch: str, dataset: Dataset) -> Step:
    """Return a step whose keys are computed in inference mode; a copy of them may take part in a backward."""
    made: Trainer = trainer("mixmask", arch, dataset)
    framework = made.framework
    assert isinstance(framework, Moco)

    def embed_keys(images: Tensor) -> Tensor:
        with torch.inference_mode():
            keys = framework.key_head(framework.key_backbone(images))
        return torch.nn.functional.normalize(keys.clone().float())

    framework.__dict__["embed_keys"] = embed_keys
    return made.step


def with_foreach(arch: str, dataset: Dataset) -> Step:
    """Return a step with torch's foreach optimiser."""
    made: Trainer = trainer("mixmask", arch, dataset)
    made.optimiser = made.accelerator.prepare_optimizer(make_optimiser(made.framework, made.schedule))
    for settings in (made.optimiser.defaults, *made.optimiser.param_groups):
        settings.update(fused=None, foreach=True)
    return made.step


def query_passes(arch: str, dataset: Dataset, passes: int) -> Step:
    """Return forward and backward of two query views, in one pass or in two."""
    made: Trainer = trainer("mixmask", arch, dataset)
    images = torch.randn(2 * BATCH, 3, 32, 32).to(memory_format=torch.channels_last)

    def step() -> None:
        with made.accelerator.autocast():
            total = torch.stack([made.framework.predict(part).sum() for part in images.chunk(passes)]).sum()
        made.optimiser.zero_grad()
        total.backward()

    return step


def seconds(step: Step) -> float:
    """Return the processor seconds of one step, averaged over a few."""
    started = time.process_time()
    for _ in range(STEPS):
        step()
    return (time.process_time() - started) / STEPS


def in_a_process(arch: str, data_root: Path, variables: dict[str, str]) -> float:
    """Return the processor seconds of one step in a fresh process with other environment variables."""
    command = [sys.executable, __file__, "--alone", arch, "--data-root", str(data_root)]
    ended = subprocess.run(
        command, env={**os.environ, **variables}, check=True, capture_output=True, text=True
    )
    return float(ended.stdout.split()[-1])


def alone(arch: str, dataset: Dataset) -> None:
    """Print the processor seconds of one step, the median of a few."""
    step = trainer("mixmask", arch, dataset).step
    for _ in range(WARM_UP):
        step()
    print(statistics.median(seconds(step) for _ in range(3)))


def measure(arch: str, data_root: Path, rounds: int, with_compile: bool) -> Rows:
    """Time all ways in turn, so that a noisy minute meets all of them."""
    dataset = load_dataset("patterns", data_root)
    steps: dict[str, Step] = {
        "own": trainer("mixmask", arch, dataset).step,
        "nchw": trainer("mixmask", arch, dataset, "channels_last=false").step,
        "inference_keys": with_inference_keys(arch, dataset),
        "foreach_optimiser": with_foreach(arch, dataset),
        "two passes": query_passes(arch, dataset, 2),
        "one pass": query_passes(arch, dataset, 1),
    }
    if with_compile:
        steps["compiled"] = trainer("mixmask", arch, dataset, "compile=true").step
    for step in steps.values():
        for _ in range(WARM_UP):
            step()
    times: dict[str, list[float]] = {name: [] for name in (*steps, "fresh process", "kept")}
    for _ in range(rounds):
        for name, step in steps.items():
            times[name].append(seconds(step))
        times["fresh process"].append(in_a_process(arch, data_root, {}))
        times["kept"].append(in_a_process(arch, data_root, KEPT))

    def row(over: str, under: str) -> dict[str, object]:
        value = statistics.median(a / b for a, b in zip(times[over], times[under], strict=True))
        return {"value": value, "goal": None, "better": "lower"}

    ratios = {name: row(name, "own") for name in steps if name != "own" and "pass" not in name}
    ratios["one_query_pass"] = row("one pass", "two passes")
    ratios["large_allocations_kept"] = row("kept", "fresh process")
    return {f"{arch} {name}": found for name, found in ratios.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--data-root", type=Path, default=Path("data"))
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--alone", choices=ARCHITECTURES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    if options.alone is not None:
        alone(options.alone, load_dataset("patterns", options.data_root))
        return
    print(f"{len(os.sched_getaffinity(0))} cores, 1 torch thread, torch {torch.__version__}, batch {BATCH}")
    rows: Rows = {}
    for arch in ARCHITECTURES:
        rows |= measure(arch, options.data_root, options.rounds, options.compile)
    report(rows, options.json)


if __name__ == "__main__":
    main()
