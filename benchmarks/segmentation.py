"""What mmbench's segmentation training costs over mmengine's own Runner, as ratios in one run.

python benchmarks/segmentation.py [--json PATH] [--iterations N]

- time: seconds of an iteration over those of a plain mmengine Runner with the same configuration, images and
  weights: an FCN of output stride 8 on a ResNet-18. Data, which mmsegmentation's own transforms load there,
  progress and saved losses are included on both sides; states, which are saved once a minute, are not. Both
  trainings live in processes of their own and take turns iteration by iteration, as a shared machine changes
  its speed by a quarter within seconds. Each pair of iterations gives a ratio, and the median is reported;
- processor: the same in seconds of the processor; no goal;
- memory: the largest resident memory of those processes, ours over mmengine's; on a GPU, the largest memory
  that torch allocated.

Images are synthetic, drawn from a fixed seed. Data are read in the training process itself on both sides, so
that the ratio does not depend on how many cores are free.
"""

import argparse
import multiprocessing
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from rows import Rows, report

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


class Turn:
    """Lets a training go on by one iteration whenever the other side has done its own, and takes the time.

    Args:
        connection: where "go" comes from, and where the seconds of each iteration go to.
        wait: waits for the device.
    """

    def __init__(self, connection: Connection, wait: Callable[[], None]) -> None:
        self.connection, self.wait = connection, wait
        self.began: tuple[float, float] | None = None

    def after(self, done: int) -> None:
        """Hand the turn over after an iteration, and wait for the next."""
        if done < WARM_UP:
            return
        self.wait()
        if self.began is not None:
            now = time.perf_counter(), time.process_time()
            self.connection.send({"seconds": now[0] - self.began[0], "processor": now[1] - self.began[1]})
        else:
            self.connection.send({})
        self.connection.recv()
        self.began = time.perf_counter(), time.process_time()


def train_one(side: str, folder: Path, iterations: int, connection: Connection) -> None:
    """Train in this process in turns with the other side; send the largest memory in bytes at the end."""
    with Path(os.devnull).open("w") as nothing, redirect_stdout(nothing), redirect_stderr(nothing):
        try:
            connection.send({"memory": trained(side, folder, iterations, connection)})
        except Exception as error:  # whatever it is, the other process reports it
            connection.send({"error": f"{side} failed: {error}"})


def trained(side: str, folder: Path, iterations: int, connection: Connection) -> int:
    """Train in turns with the other side; return the largest memory in bytes."""
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
    turn = Turn(connection, torch.cuda.synchronize if device.type == "cuda" else lambda: None)

    def report(done: int, total: int, message: str) -> None:
        turn.after(done)

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
            train_plainly(build_config(run.task.settings, facts), folder, turn)  # type: ignore[arg-type]
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated()
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def train_plainly(config: dict[str, Any], folder: Path, turn: Turn) -> None:
    """Train by mmengine's Runner, on mmsegmentation's data set and loading transforms."""
    from mmengine.config import ConfigDict
    from mmengine.hooks import Hook
    from mmengine.runner import Runner

    class TakeTurns(Hook):
        """Hands the turn over after each iteration."""

        priority = "LOWEST"

        def after_train_iter(
            self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None
        ) -> None:
            """Hand the turn over."""
            turn.after(batch_idx + 1)

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
    Runner(**ConfigDict(config), custom_hooks=[TakeTurns()]).train()


def received(connection: Connection) -> dict[str, float]:
    """Return what a side sends; raise RuntimeError if it failed."""
    try:
        found: dict[str, Any] = connection.recv()
    except EOFError as error:
        raise RuntimeError("a training ended early") from error
    if "error" in found:
        raise RuntimeError(found["error"])
    return found


def measure(folder: Path, iterations: int) -> Rows:
    """Return the ratios, medians over pairs of iterations in which the two sides change places."""
    context = multiprocessing.get_context("spawn")
    sides = {}
    for side in ("mmbench", "mmengine"):
        here, there = context.Pipe()
        context.Process(target=train_one, args=(side, folder, iterations, there), daemon=True).start()
        there.close()
        sides[side] = here
    for connection in sides.values():
        received(connection)
    pairs: list[dict[str, dict[str, float]]] = []
    for number in range(iterations):
        pair = {}
        for side in list(sides)[:: 1 if number % 2 else -1]:
            sides[side].send("go")
            pair[side] = received(sides[side])
        pairs.append(pair)
    seconds = {side: statistics.median(pair[side]["seconds"] for pair in pairs) for side in sides}
    print("  " + ", ".join(f"{side} {value:.3f} s per iteration" for side, value in seconds.items()))
    ratios = {
        name: statistics.median(pair["mmbench"][name] / pair["mmengine"][name] for pair in pairs)
        for name in ("seconds", "processor")
    }
    for connection in sides.values():
        connection.send("go to the end")
    memory = {side: received(connection)["memory"] for side, connection in sides.items()}
    ratios["memory"] = memory["mmbench"] / memory["mmengine"]
    goals = {"time": ("seconds", GOAL), "processor": ("processor", None), "memory": ("memory", GOAL)}
    return {
        f"fcn_{label}": {"value": ratios[name], "goal": goal, "better": "lower"}
        for label, (name, goal) in goals.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path)
    parser.add_argument("--iterations", type=int, default=150)
    options = parser.parse_args()
    rows: Rows = {}
    print(f"{len(os.sched_getaffinity(0))} cores")
    with tempfile.TemporaryDirectory() as temporary:
        write_scenes(Path(temporary))
        try:
            rows = measure(Path(temporary), options.iterations)
        except (RuntimeError, ValueError, KeyError, OSError) as error:
            print(f"not measured ({error})")
    report(rows, options.json, 3)


if __name__ == "__main__":
    main()
