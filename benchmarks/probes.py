"""What many heads, several probes, kNN and the feature bank cost, as ratios in one run.

python benchmarks/probes.py [--json PATH] [--rounds N]

- heads_augmented: a sweep of 24 heads on new crops in every step over the same with one head, end to end;
- heads_cached: the same on features taken once: the pass, 100 epochs and the evaluation;
- heads_arithmetic: SGD steps of 24 heads one after the other over those of 24 heads at once;
- one_bank: kNN grid, linear sweep, logistic regression and few-label probe from one empty bank over the bare
  pass through the backbone and the same four from a full bank;
- pass_each: the four with a pass each over the four from one bank; no goal;
- knn_memory, knn_growth: MiB of its own that a fresh process takes at most for 1,000 queries against 128,000
  x 2,048 in half precision on disk (a tenth of ImageNet); that over the same for 64,000;
- logreg_path: seconds of logreg/lbfgs@4 on 9,000 x 3,072: 45 strengths on 7,500, the last fit on all;
- logreg_over_scikit_learn: the same on 2,000 x 256 over logreg/lbfgs@2, which is scikit-learn's L-BFGS;
- bank_read, bank_sum: GB/s of copying and of adding up a bank's entry, from its address on, over those of a
  tensor in memory.

Images are synthetic; the backbone is the ResNet-18 for small images. On new crops it is fed 32 px, as by
Patterns; where features are taken once 64 px, so that a pass is not over before anything else begins.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from neighbours import measure_neighbours
from rows import Rows, ratio, report, row

import mmbench.backbones  # noqa: F401  (registers)
from mmbench.checkpoints.backbone import Backbone, random_backbone
from mmbench.checkpoints.card import Preprocessing
from mmbench.data import Dataset, ImageSplit
from mmbench.data.types import SPLITS
from mmbench.records.store import ResultStore
from mmbench.transfer.compute import Compute
from mmbench.transfer.controls import pixels_backbone
from mmbench.transfer.execution import execute
from mmbench.transfer.inputs.feature_bank import FeatureBank
from mmbench.transfer.inputs.features import FrozenNetwork, pass_over
from mmbench.transfer.inputs.images import open_images
from mmbench.transfer.job import TransferJob
from mmbench.transfer.metrics import percent_correct
from mmbench.transfer.probes.refit import StrengthProbe
from mmbench.transfer.probes.selection import Search
from mmbench.transfer.resolution import resolve_task
from mmbench.transfer.run import TransferRun
from mmbench.transfer.tasks.linear.heads import LinearHeads, recipes
from mmbench.transfer.tasks.logreg.newton import NewtonProbe
from mmbench.transfer.tasks.logreg.scikit_learn import ScikitLearnProbe
from mmbench.transfer.tasks.logreg.settings import LogregSettings, TorchLogregSettings

CPU = torch.device("cpu")
CLASSES, STORED, FED, LARGER = 10, 40, 32, 64  # LARGER is fed where features are taken once
RATES, DECAYS, NORMS = [0.1, 0.3, 1.0, 3.0, 10.0, 30.0], [0.0, 0.0001], [False, True]
BATCH, WIDTH = 256, 512
PROBES = ("knn/grid@1", "linear/sweep@1", "logreg/lbfgs@1", "lowshot/k@1")


def synthetic(sizes: dict[str, int], stored: int = STORED) -> Dataset:
    """Return images of ten colours under noise."""
    tones = torch.rand((CLASSES, 3, 1, 1), generator=torch.Generator().manual_seed(0))

    def make(split: str) -> ImageSplit:
        generator = torch.Generator().manual_seed(1 + list(sizes).index(split))
        labels = torch.arange(sizes[split]) % CLASSES
        noise = torch.randn((sizes[split], 3, stored, stored), generator=generator)
        images = 128 + 25 * tones[labels] + 40 * noise
        return ImageSplit(images.clamp(0, 255).to(torch.uint8), labels)

    splits = {name: (lambda name=name: make(name)) for name in sizes}
    dataset = Dataset("synthetic", Path("synthetic"), tuple(map(str, range(CLASSES))), splits, FED)
    assert dataset.fingerprint  # made and hashed once, before any clock starts
    return dataset


def resnet(fed: int) -> Backbone:
    return random_backbone("mixmask_resnet18", 0, Preprocessing(image_size=fed))


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def paired(works: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Time several works in turn, so that a noisy minute meets all of them."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            times[name].append(seconds(work))
    return times


def probe(
    protocol: str,
    backbone: Backbone,
    dataset: Dataset,
    bank: FeatureBank | None = None,
    overrides: Mapping[str, object] | None = None,
) -> None:
    """Run one probe, into a folder of its own, so that no record is found there."""
    with tempfile.TemporaryDirectory() as scratch:
        task = resolve_task(None, protocol, overrides)
        run = TransferRun(task, backbone, dataset, 0, Compute(CPU), bank or FeatureBank())
        execute(run, ResultStore(Path(scratch)), Path(scratch) / "work")


def measure_heads(rounds: int) -> Rows:
    """Time sweeps of 24 heads and of one."""
    sizes = {"train": 2048, "val": 256, "test": 256}
    grids: Rows = {
        "24": {"learning_rates": RATES, "weight_decays": DECAYS, "batch_norm": NORMS},
        "1": {"learning_rates": RATES[1:2], "weight_decays": DECAYS[:1], "batch_norm": NORMS[1:]},
    }
    rows: Rows = {}
    sweeps: tuple[tuple[str, str, int, dict[str, object]], ...] = (
        ("augmented", "linear/moco-sweep@1", FED, {"epochs": 2, "decay_epochs": []}),
        ("cached", "linear/sweep@1", LARGER, {}),
    )
    for name, protocol, fed, epochs in sweeps:
        backbone, dataset = resnet(fed), synthetic(sizes, fed * STORED // FED)
        works: dict[str, Callable[[], object]] = {
            heads: partial(probe, protocol, backbone, dataset, None, {**grid, **epochs})
            for heads, grid in grids.items()
        }
        probe(protocol, backbone, dataset, None, {**grids["1"], **epochs, "epochs": 1})  # warm up
        times = paired(works, rounds)
        print(
            f"{name} sweep: {', '.join(f'{k} heads {statistics.median(v):.2f} s' for k, v in times.items())}"
        )
        rows[f"heads_{name}"] = row(ratio(times["24"], times["1"]), 1.2, "lower")
    return rows | measure_arithmetic(rounds)


def measure_arithmetic(rounds: int) -> Rows:
    """Time the SGD of heads on features that are there."""
    generator = torch.Generator().manual_seed(0)
    features = torch.randn((16, BATCH, WIDTH), generator=generator)
    labels = torch.randint(CLASSES, (16, BATCH), generator=generator)
    grid = recipes(RATES, DECAYS, NORMS)

    def heads(*several: object) -> LinearHeads:
        return LinearHeads(several, WIDTH, CLASSES, 0.9, generator, CPU)  # type: ignore[arg-type]

    def train(*trained: LinearHeads) -> None:
        for one in trained:
            for batch, truth in zip(features, labels, strict=True):
                one.step(batch, truth)

    together, alone = heads(*grid), [heads(recipe) for recipe in grid]
    works: dict[str, Callable[[], object]] = {
        "alone": lambda: train(*alone),
        "together": lambda: train(together),
    }
    paired(works, 1)  # warm up
    times = paired(works, 5 * rounds)
    step = {name: 1000 * statistics.median(values) / len(features) for name, values in times.items()}
    print(f"steps of 24 heads: together {step['together']:.2f} ms, one by one {step['alone']:.2f} ms")
    return {"heads_arithmetic": row(ratio(times["alone"], times["together"]), 3, "higher")}


def measure_bank(rounds: int) -> Rows:
    """Time four probes that share a pass, and their parts."""
    backbone = resnet(LARGER)
    dataset = synthetic({"train": 2000, "val": 500, "test": 500}, LARGER)

    def bare() -> None:
        network = FrozenNetwork(backbone, Compute(CPU))
        for name in SPLITS:
            images = open_images(dataset, name, LARGER, workers=0)
            for _ in pass_over(network, images, 0, len(images)):
                pass

    times: dict[str, list[float]] = {}
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as scratch:
            works: dict[str, Callable[[], object]] = {"pass": bare}
            for state in ("empty", "full"):  # a bank that was empty is full afterwards
                bank = FeatureBank(Path(scratch))
                for protocol in PROBES:
                    works[f"{state} {protocol}"] = partial(probe, protocol, backbone, dataset, bank)
            for name, spent in paired(works, 1).items():
                times.setdefault(name, []).extend(spent)
    print(", ".join(f"{name} {statistics.median(spent):.2f} s" for name, spent in times.items()))
    empty, full = ([sum(turn) for turn in zip(*(times[f"{state} {p}"] for p in PROBES), strict=True)]
                   for state in ("empty", "full"))  # fmt: skip
    parts = [a + b for a, b in zip(times["pass"], full, strict=True)]
    each = [4 * a + b for a, b in zip(times["pass"], full, strict=True)]

    def pass_each() -> None:
        for protocol in PROBES:
            probe(protocol, backbone, dataset)

    if rounds > 1:  # once for real, beside the sum
        real = seconds(pass_each)
        print(f"with a pass each {real:.1f} s (sum of the parts {statistics.median(each):.1f} s)")
        each = [real] * rounds
    return {
        "one_bank": row(ratio(empty, parts), 1.15, "lower"),
        "pass_each": row(ratio(each, empty), None, "higher"),
    }


def decaying(count: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return features whose variance falls along their axes, as that of images does, and labels."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(count) % CLASSES
    centres = 0.3 * torch.randn((CLASSES, width), generator=generator)
    deviation = (30 / torch.arange(1, width + 1)).sqrt().clamp_min(0.1)
    return (torch.randn((count, width), generator=generator) + centres[labels]) * deviation, labels


def whole_path(probe: StrengthProbe[Any], features: torch.Tensor, labels: torch.Tensor) -> None:
    """Choose a strength on the last sixth, then fit all."""
    cut = len(features) * 5 // 6
    train, val = probe.prepare(features[:cut], features[cut:])
    found: Search[Any] = Search(probe.strengths, probe.patience)
    while not found.over:
        model = probe.fit(train, labels[:cut], found.value, found.last)
        found.add(model, percent_correct(probe.scores(model, val).argmax(dim=1), labels[cut:]))
    both, _ = probe.prepare(features, features[:1])
    probe.refit(both, labels, found.choice.chosen, found.best)


def measure_logreg(rounds: int) -> Rows:
    """Time the logistic regression on features that are there."""

    def path(protocol: str, *data: torch.Tensor) -> None:
        settings = resolve_task(None, protocol).settings
        assert isinstance(settings, LogregSettings)
        newton = isinstance(settings, TorchLogregSettings)
        probe = NewtonProbe(settings, CLASSES, CPU) if newton else ScikitLearnProbe(settings, CLASSES)
        whole_path(probe, *data)

    large, small = decaying(9000, 3072), decaying(2000, 256)
    spent = seconds(lambda: path("logreg/lbfgs@4", *large))
    names = {"newton": "logreg/lbfgs@4", "scikit_learn": "logreg/lbfgs@2"}
    times = paired({name: partial(path, of, *small) for name, of in names.items()}, rounds)
    print(", ".join(f"logreg of 2,000 x 256, {k} {statistics.median(v):.1f} s" for k, v in times.items()))
    return {
        "logreg_path": row(spent, 60, "lower"),
        "logreg_over_scikit_learn": row(ratio(times["newton"], times["scikit_learn"]), 1, "lower"),
    }


def measure_reading(rounds: int) -> Rows:
    """Compare an entry of the bank, its pages in the cache, with a tensor in memory."""
    dataset = synthetic({"train": 16000, "val": 10, "test": 10})
    with tempfile.TemporaryDirectory() as scratch:
        task = resolve_task(None, "knn/grid@1")
        bank = FeatureBank(Path(scratch))
        run = TransferRun(task, pixels_backbone(FED), dataset, 0, Compute(CPU), bank)
        job = TransferJob(run, Path(scratch))
        inside = job.features("train").clone()
        target = torch.empty_like(inside)
        works: dict[str, Callable[[], object]] = {
            "copy, bank": lambda: target.copy_(job.features("train")),
            "copy, memory": lambda: target.copy_(inside),
            "sum, bank": lambda: job.features("train").sum(),
            "sum, memory": lambda: inside.sum(),
        }
        paired(works, 1)  # warm up
        times = paired(works, 5 * rounds)
        assert torch.equal(target, inside)
    size = inside.numel() * 4 / 1e9
    rates = ", ".join(f"{name} {size / statistics.median(spent):.1f}" for name, spent in times.items())
    print(f"GB/s of {size:.2f} GB: {rates}")
    return {
        "bank_read": row(ratio(times["copy, memory"], times["copy, bank"]), 0.5, "higher"),
        "bank_sum": row(ratio(times["sum, memory"], times["sum, bank"]), None, "higher"),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    cores = len(os.sched_getaffinity(0))
    print(f"{cores} cores, {torch.get_num_threads()} torch threads, torch {torch.__version__}")
    rows: Rows = measure_heads(options.rounds)
    rows |= measure_bank(options.rounds)
    rows |= measure_neighbours()
    rows |= measure_logreg(options.rounds)
    rows |= measure_reading(options.rounds)
    report(rows, options.json)


if __name__ == "__main__":
    main()
