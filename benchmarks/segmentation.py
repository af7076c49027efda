"""What mmbench's segmentation training costs over mmengine's own Runner, as ratios in one run.

python benchmarks/segmentation.py [--json PATH] [--rounds N] [--iterations N]

- time: median seconds of an iteration over those of a plain mmengine Runner with the same configuration,
  images and weights: an FCN of output stride 8 on a ResNet-18. Data, which mmsegmentation's own transforms
  load there, progress and saved losses are included on both sides; states, which are saved once a minute,
  are not. The two take turns, in their own processes.
- processor: the same in seconds of the processor, which other programs disturb less; no goal;
- memory: the largest resident memory of those processes, ours over mmengine's; on a GPU, the largest memory
  that torch allocated.

Images are synthetic, drawn from a fixed seed. Data are read in the training process itself on both sides, so
that the ratio does not depend on how many cores are free.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SIZE, IMAGES, CLASSES = 160, 16, ("warm", "cool", "green")
WARM_UP = 3  # iterations before the clock starts
ARCH = "mixmask_resnet18"
SETTINGS: dict[str, Any] = {
    "batch_size": 2,
    "learning_rate": 0.001,
    "warmup_iterations": 0,
    "bfloat16": False,
    "resize": (SIZE, SIZE),
    "scale_range": (0.5, 2.0),
    "crop": 128,
    "largest_share": 0.75,
    "colour_jitter": True,
    "head_channels": 64,
    "auxiliary_weight": 0.4,
    "auxiliary_channels": 32,
}
GOAL = 1.05
Rows = dict[str, dict[str, object]]


def write_scenes(folder: Path) -> None:
    """Write images with three rectangles each, and their label maps."""
    rng = np.random.default_rng(0)
    for split in ("train", "test"):
        for kind in ("images", "segmentation"):
            (folder / kind / split).mkdir(parents=True)
        for number in range(IMAGES):
            pixels = rng.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
            labels = np.zeros((SIZE, SIZE), np.uint8)
            for label in range(1, len(CLASSES) + 1):
                left, top = (int(place) for place in rng.integers(0, SIZE - 60, 2))
                pixels[top : top + 60, left : left + 60] = 60 * label
                labels[top : top + 60, left : left + 60] = label
            Image.fromarray(pixels).save(folder / "images" / split / f"{number}.png")
            Image.fromarray(labels).save(folder / "segmentation" / split / f"{number}.png")


class Clock:
    """Median seconds of the iterations after the warm-up, which other programs disturb less than a mean."""

    def __init__(self, wait: Any) -> None:
        self.wait = wait
        self.times: dict[str, list[float]] = {"seconds": [], "processor": []}

    def after(self, done: int) -> None:
        """Take the time after an iteration."""
        self.wait()
        if done >= WARM_UP:
            self.times["seconds"].append(time.perf_counter())
            self.times["processor"].append(time.process_time())

    @property
    def taken(self) -> dict[str, float]:
        return {name: statistics.median(np.diff(times)) for name, times in self.times.items()}


def measure_one(side: str, folder: Path, iterations: int) -> None:
    """Train in this process and print the seconds of an iteration and the largest memory in bytes."""
    import torch

    from mmbench.checkpoints.backbone import random_backbone
    from mmbench.data import Dataset, Scenes
    from mmbench.transfer.compute import Compute
    from mmbench.transfer.dense.segmentation.config import RunFacts, build_config
    from mmbench.transfer.dense.segmentation.preparation import prepared
    from mmbench.transfer.dense.segmentation.run import Training
    from mmbench.transfer.job import TransferJob
    from mmbench.transfer.resolution import resolve_task
    from mmbench.transfer.run import TransferRun

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    clock = Clock(torch.cuda.synchronize if device.type == "cuda" else lambda: None)

    def report(done: int, total: int, message: str) -> None:
        clock.after(done)

    values = SETTINGS | {"iterations": WARM_UP + iterations}
    run = TransferRun(
        resolve_task("segmentation", "segmentation/patterns@1", values),
        random_backbone(ARCH, 0),
        Dataset("synthetic", folder, CLASSES, {}, 32, Scenes(folder, CLASSES)),
        compute=Compute(device, workers=0),
    )
    work = folder / side
    work.mkdir(exist_ok=True)
    with prepared(TransferJob(run, work, report), run.task.settings) as ready:  # type: ignore[arg-type]
        if side == "mmbench":
            Training(ready).run()
        else:
            facts = RunFacts(run.backbone.card, ("background", *CLASSES), ready.weights, work, 0, device)
            train_plainly(build_config(run.task.settings, facts), folder, clock)  # type: ignore[arg-type]
    if device.type == "cuda":
        memory = torch.cuda.max_memory_allocated()
    else:
        import resource

        memory = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print("\n" + json.dumps({**clock.taken, "memory": memory}))


def train_plainly(config: dict[str, Any], folder: Path, clock: Clock) -> None:
    """Train by mmengine's Runner, on mmsegmentation's data set and loading transforms."""
    from mmengine.config import ConfigDict
    from mmengine.hooks import Hook
    from mmengine.runner import Runner

    class Stop(Hook):
        """Takes the time."""

        priority = "LOWEST"

        def after_train_iter(
            self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None
        ) -> None:
            """Pass the iteration on."""
            clock.after(batch_idx + 1)

    transforms = config.pop("train_pipeline")[1:]
    del config["test_pipeline"]
    config["train_cfg"]["type"] = "IterBasedTrainLoop"
    config["train_dataloader"] = {
        "batch_size": SETTINGS["batch_size"],
        "num_workers": 0,
        "sampler": {"type": "InfiniteSampler", "shuffle": True},
        "dataset": {
            "type": "BaseSegDataset",
            "img_suffix": ".png",
            "metainfo": {"classes": ("background", *CLASSES)},
            "data_prefix": {
                "img_path": str(folder / "images" / "train"),
                "seg_map_path": str(folder / "segmentation" / "train"),
            },
            "pipeline": [{"type": "LoadImageFromFile"}, {"type": "LoadAnnotations"}, *transforms],
        },
    }
    Runner(**ConfigDict(config), custom_hooks=[Stop()]).train()


def run_one(side: str, folder: Path, iterations: int) -> dict[str, float]:
    """Return the seconds and the memory of one training in a process of its own."""
    command = [sys.executable, __file__, "--one", side, str(folder), "--iterations", str(iterations)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{side} failed: {(done.stderr.strip().splitlines() or ['no output'])[-1]}")
    found: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def measure(folder: Path, rounds: int, iterations: int) -> Rows:
    """Return the ratios, medians over rounds in which the two sides change places."""
    ratios: dict[str, list[float]] = {"seconds": [], "processor": [], "memory": []}
    for number in range(rounds):
        sides = ["mmbench", "mmengine"][:: 1 if number % 2 else -1]
        found = {side: run_one(side, folder, iterations) for side in sides}
        for name, values in ratios.items():
            values.append(found["mmbench"][name] / found["mmengine"][name])
        seconds = ", ".join(f"{side} {one['seconds']:.3f} s" for side, one in sorted(found.items()))
        print(f"  round {number + 1}: {seconds} per iteration", flush=True)
    goals = {"time": ("seconds", GOAL), "processor": ("processor", None), "memory": ("memory", GOAL)}
    return {
        f"fcn_{label}": {"value": statistics.median(ratios[name]), "goal": goal, "better": "lower"}
        for label, (name, goal) in goals.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--iterations", type=int, default=60)
    parser.add_argument("--one", nargs=2, metavar=("SIDE", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one is not None:
        side, folder = options.one
        measure_one(side, Path(folder), options.iterations)
        return
    rows: Rows = {}
    print(f"{len(os.sched_getaffinity(0))} cores")
    with tempfile.TemporaryDirectory() as temporary:
        write_scenes(Path(temporary))
        try:
            rows = measure(Path(temporary), options.rounds, options.iterations)
        except (RuntimeError, ValueError, KeyError, OSError) as error:
            print(f"not measured ({error})")
    for name, row in rows.items():
        goal = "no goal" if row["goal"] is None else f"goal: at most {row['goal']}"
        print(f"{name:14} {row['value']:7.3f}   {goal}")
    if options.json is not None:
        options.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
