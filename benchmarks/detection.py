"""What mmbench's detection training costs over Detectron2's own DefaultTrainer, as ratios in one run.

python benchmarks/detection.py [--json PATH] [--rounds N] [--iterations N]

- time: seconds of an iteration over those of Detectron2's DefaultTrainer with the same configuration, images
  and weights: Faster R-CNN on a ResNet-18 C4 and on its FPN. Data, progress and saved losses are included on
  both sides; states, which are saved once a minute, are not. The two take turns, in their own processes.
- processor: the same in seconds of the processor, which other programs disturb less; no goal;
- memory: the largest resident memory of those processes, ours over Detectron2's; on a GPU, the largest memory
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
from rows import Rows, report

SIZE, IMAGES, CLASSES, BATCH = 128, 16, 5, 2
WARM_UP = 3  # iterations before the clock starts
ARCH = "mixmask_resnet18"
# detector -> settings beside those that both share
SETTINGS: dict[str, dict[str, Any]] = {
    "c4": {"detector": "c4", "c4_anchor_sizes": [16, 32, 64], "train_proposals": [100, 8], "roi_batch": 8},
    "fpn": {
        "detector": "fpn",
        "anchor_sizes": [[8], [16], [32], [64], [128]],
        "train_proposals": [100, 32],
        "roi_batch": 32,
    },
}
SHARED = {
    "batch_size": BATCH,
    "train_sizes": [SIZE],
    "test_size": SIZE,
    "optimizer": "sgd",
    "learning_rate": 0.001,
    "decay_at": [],
    "warmup_iterations": 0,
    "rpn_batch": 64,
}
GOAL = 1.05


def write_images(folder: Path) -> None:
    """Write images with three rectangles each, and their boxes."""
    rng = np.random.default_rng(0)
    boxes = []
    for number in range(IMAGES):
        pixels = rng.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
        drawn = []
        for _ in range(3):
            label, left, top = (
                int(value) for value in rng.integers((0, 0, 0), (CLASSES, SIZE - 50, SIZE - 50))
            )
            pixels[top : top + 50, left : left + 50] = 40 * label
            drawn.append((label, left, top, left + 50, top + 50))
        Image.fromarray(pixels).save(folder / f"{number}.png")
        boxes.append(drawn)
    (folder / "boxes.json").write_text(json.dumps(boxes))


def measure_one(side: str, kind: str, folder: Path, iterations: int) -> None:
    """Train in this process and print the seconds of an iteration and the largest memory in bytes."""
    import logging

    import torch
    from detectron2.checkpoint import DetectionCheckpointer
    from detectron2.engine import DefaultTrainer, HookBase
    from detectron2.solver import build_optimizer
    from detectron2.utils.events import JSONWriter

    from mmbench.checkpoints.backbone import random_backbone
    from mmbench.data.annotated.types import AnnotatedData, AnnotatedImage, AnnotatedSplit, Instance
    from mmbench.transfer.dense.common.history import LossHistory, Progress
    from mmbench.transfer.dense.detection.catalog import dataset_dicts, in_catalog
    from mmbench.transfer.dense.detection.config import RunFacts, build_config, write_weights
    from mmbench.transfer.dense.detection.run import training_loader
    from mmbench.transfer.dense.detection.settings import DetectionSettings
    from mmbench.transfer.dense.detection.trainer import DetectionTrainer
    from mmbench.transfer.resume import Unfinished

    class Clock(HookBase):
        """Seconds of the iterations after the warm-up."""

        def after_step(self) -> None:
            """Start the clock after the warm-up."""
            if device.type == "cuda":
                torch.cuda.synchronize()
            now = {"seconds": time.perf_counter(), "processor": time.process_time()}
            if self.trainer.iter + 1 == WARM_UP:
                self.started = now
            elif self.trainer.iter + 1 > WARM_UP:
                self.taken = {name: (end - self.started[name]) / iterations for name, end in now.items()}

    logging.getLogger("detectron2").setLevel(logging.INFO)
    logging.getLogger("detectron2").addHandler(logging.NullHandler())
    logging.getLogger("detectron2").propagate = False
    torch.manual_seed(0)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    values = SHARED | SETTINGS[kind] | {"iterations": WARM_UP + iterations}
    settings = DetectionSettings.variant(values).model_validate(values)
    assert isinstance(settings, DetectionSettings)
    images = tuple(
        AnnotatedImage(
            f"{number}.png",
            str(number),
            SIZE,
            SIZE,
            tuple(
                Instance(label, (left, top, right, bottom), 2500.0)
                for label, left, top, right, bottom in drawn
            ),
        )
        for number, drawn in enumerate(json.loads((folder / "boxes.json").read_text()))
    )
    classes = tuple(f"class {number}" for number in range(CLASSES))
    data = AnnotatedData("synthetic", folder, "made", classes, {})
    dicts = dataset_dicts(AnnotatedSplit(folder, images, ()))
    work = folder / f"{side}-{kind}"
    work.mkdir(exist_ok=True)
    backbone = random_backbone(ARCH, 0)
    weights, _ = write_weights(backbone, work, settings, device)
    with in_catalog(data, [dicts, dicts]) as names:
        facts = RunFacts(len(classes), (names[0], names[1]), weights, work, device, seed=0)
        cfg = build_config(backbone.card, settings, facts)
        clock = Clock()
        if side == "mmbench":
            loader = training_loader(cfg, dicts, 0)
            ours = DetectionTrainer(cfg, loader)
            ours.load_weights()
            history = LossHistory(work / "metrics.json")
            progress = Progress(lambda done, total, message: None, history, lambda: loader.waited)
            ours.keep_going(Unfinished(None, device), progress)
            ours.register_hooks([clock])
            ours.train()
        else:

            class Theirs(DefaultTrainer):
                """Detectron2's trainer; TensorBoard's writer and the evaluation at the end are left out."""

                def build_writers(self) -> list[Any]:
                    """Return the writer of metrics.json."""
                    return [JSONWriter(str(work / "metrics.json"))]

                @classmethod
                def build_optimizer(cls, cfg: Any, model: Any) -> Any:
                    """Return Detectron2's SGD."""
                    return build_optimizer(cfg, model)

                @classmethod
                def test(cls, *given: Any, **named: Any) -> dict[str, float]:
                    """Evaluate nothing."""
                    return {}

            theirs = Theirs(cfg)
            theirs._hooks = [hook for hook in theirs._hooks if type(hook).__name__ != "PeriodicCheckpointer"]
            DetectionCheckpointer(theirs.model).load(cfg.MODEL.WEIGHTS)
            theirs.register_hooks([clock])
            theirs.train()
    if device.type == "cuda":
        memory = torch.cuda.max_memory_allocated()
    else:
        import resource

        memory = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({**clock.taken, "memory": memory}))


def run_one(side: str, kind: str, folder: Path, iterations: int) -> dict[str, float]:
    """Return the seconds and the memory of one training in a process of its own."""
    command = [sys.executable, __file__, "--one", side, kind, str(folder), "--iterations", str(iterations)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(
            f"{side} on {kind} failed: {(done.stderr.strip().splitlines() or ['no output'])[-1]}"
        )
    found: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def measure(kind: str, folder: Path, rounds: int, iterations: int) -> Rows:
    """Return the ratios of one detector, medians over rounds in which the two sides change places."""
    ratios: dict[str, list[float]] = {"seconds": [], "processor": [], "memory": []}
    for number in range(rounds):
        sides = ["mmbench", "detectron2"][:: 1 if number % 2 else -1]
        found = {side: run_one(side, kind, folder, iterations) for side in sides}
        for name, values in ratios.items():
            values.append(found["mmbench"][name] / found["detectron2"][name])
        seconds = ", ".join(f"{side} {one['seconds']:.3f} s" for side, one in sorted(found.items()))
        print(f"  {kind}, round {number + 1}: {seconds} per iteration", flush=True)
    goals = {"time": ("seconds", GOAL), "processor": ("processor", None), "memory": ("memory", GOAL)}
    return {
        f"{kind}_{label}": {"value": statistics.median(ratios[name]), "goal": goal, "better": "lower"}
        for label, (name, goal) in goals.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--iterations", type=int, default=40)
    parser.add_argument("--one", nargs=3, metavar=("SIDE", "DETECTOR", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one is not None:
        side, kind, folder = options.one
        measure_one(side, kind, Path(folder), options.iterations)
        return
    rows: Rows = {}
    print(f"{len(os.sched_getaffinity(0))} cores")
    with tempfile.TemporaryDirectory() as temporary:
        write_images(Path(temporary))
        for kind in SETTINGS:
            try:
                rows |= measure(kind, Path(temporary), options.rounds, options.iterations)
            except (RuntimeError, ValueError, KeyError, OSError) as error:
                print(f"{kind}: not measured ({error})")
    report(rows, options.json, 3)


if __name__ == "__main__":
    main()
