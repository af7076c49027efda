"""What two processes do, run as a script under torchrun; test_two_processes.py looks at what they leave.

python -m torch.distributed.run --nproc-per-node 2 two_processes.py FOLDER
"""

import sys
from dataclasses import replace
from pathlib import Path

import torch
from torch import Generator, Tensor

from mmbench.data import Dataset
from mmbench.distributed import (
    any_process,
    encode_in_order,
    gather,
    gather_with_gradient,
    on_main,
    own_rows,
    process_count,
    process_rank,
)
from mmbench.errors import UserError
from mmbench.pretrain import cost
from mmbench.pretrain.acceleration import make_accelerator
from mmbench.pretrain.config import resolve_config
from mmbench.pretrain.engine import pretrain
from mmbench.pretrain.framework import Views
from mmbench.pretrain.session import Requests
from mmbench.pretrain.settings import PretrainConfig
from mmbench.pretrain.sources.opening import open_source
from mmbench.pretrain.trainer import Trainer, build_framework
from mmbench.pretrain.view_maker import ViewMaker

FRAMEWORKS = ("moco", "simclr", "byol", "simsiam")
STEPS = 4


def configuration(framework: str, *more: str) -> PretrainConfig:
    """MixMask on a framework, without autocast, with SGD."""
    overrides = [
        f"framework.name={framework}",
        "batch_size=16",
        "precision=fp32",
        "optimiser.name=sgd",
        "optimiser.lr=0.05",
        "optimiser.reference_batch=null",
        "optimiser.warmup_epochs=0",
        "log_every=1",
        *(["framework.queue=50"] if framework == "moco" else []),
        *(["framework.constant_predictor=false"] if framework == "simsiam" else []),
        *more,
    ]
    return resolve_config("mixmask", epochs=2, device="cpu", threads=1, overrides=overrides)


class DoubleViews(ViewMaker):
    """The same views in float64, where steps in another order of summation do not drift apart."""

    def __call__(self, images: Tensor, generator: Generator, *, key_order: Tensor | None = None) -> Views:
        views = super().__call__(images, generator, key_order=key_order)
        masked = tuple(replace(one, images=one.images.double(), lam=one.lam.double()) for one in views.masked)
        return replace(views, query=views.query.double(), key=views.key.double(), masked=masked)


def make_trainer(config: PretrainConfig, dataset: Dataset) -> Trainer:
    """A trainer in float64."""
    accelerator = make_accelerator(config)
    source = open_source(config, dataset, accelerator.device)
    trainer = Trainer(config, build_framework(config).double(), source, accelerator)
    trainer.views = DoubleViews(config, source.image_size, accelerator.device)
    return trainer


def trained(config: PretrainConfig, dataset: Dataset) -> dict[str, Tensor]:
    """The state after a few steps, and the losses."""
    trainer = make_trainer(config, dataset)
    losses = [trainer.step().loss for _ in range(STEPS)]
    state = {name: tensor.clone() for name, tensor in trainer.framework.state_dict().items()}
    return {**state, "losses": torch.tensor(losses)}


def exchanges() -> dict[str, Tensor]:
    """What the collective functions do to rows that tell where they come from."""
    rank, count = process_rank(), process_count()
    rows = torch.arange(8.0).view(4, 2) + 100 * rank
    leaf = rows.clone().requires_grad_(True)
    weights = torch.arange(8.0).view(8, 1) + 1 + rank  # each process weighs the rows in its own way
    (gather_with_gradient(leaf) * weights).sum().backward()
    order = torch.randperm(8, generator=torch.Generator().manual_seed(3))
    seen: list[Tensor] = []

    def encode(part: Tensor) -> Tensor:
        seen.append(part)
        return part * 10 + rank  # the last digit tells which process encoded it

    assert leaf.grad is not None
    return {
        "count": torch.tensor(count),
        "gathered": gather(rows),
        "own": own_rows(gather(rows)),
        "gradient": leaf.grad,
        "order": order,
        "encoded": encode_in_order(encode, rows, order),
        "seen": seen[0],
        "wishes": torch.tensor(any_process([rank == 1, False], torch.device("cpu"))),
        "main": torch.tensor(on_main(lambda: 42 + rank)),
    }


def interrupted(folder: Path, dataset: Dataset) -> None:
    """A whole run, and one that the second process asks to stop in the middle of an epoch."""
    config = configuration("moco")
    pretrain(config, folder / "whole", dataset=dataset)
    requests = Requests()

    def stop(done: int, total: int, words: str) -> None:
        requests.stop = done == 8

    try:
        pretrain(config, folder / "parts", stop, dataset=dataset, requests=requests)
    except KeyboardInterrupt:
        pretrain(config, folder / "parts", dataset=dataset)


def measured_batch() -> Tensor:
    """How many images a dry run measures; the second process would stop after its first step."""
    cost.MOST_SECONDS = 0.0 if process_rank() else 600.0
    config = configuration("moco", "batch_size=12000", "accumulation=3", "arch=mixmask_resnet8")
    return torch.tensor(cost.expected_cost(config, 20000, 32).measured_batch)


def main(folder: Path, dataset: Dataset) -> None:
    found: dict[str, dict[str, Tensor]] = {}
    for framework in FRAMEWORKS:
        found[framework] = trained(configuration(framework, "batch_norm.synchronised=true"), dataset)
    found["shuffled"] = trained(configuration("moco"), dataset)
    found["accumulated"] = trained(configuration("simclr", "accumulation=2"), dataset)
    found["exchanges"] = exchanges()
    found["cost"] = {"batch": measured_batch()}
    torch.save(found, folder / f"process-{process_rank()}.pth")
    interrupted(folder, dataset)
    try:
        on_main(lambda: configuration("mocco"))
    except UserError as error:
        (folder / f"error-{process_rank()}.txt").write_text(f"{error} {error.told_elsewhere}")


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    from small_runs import make_tiny_dataset

    main(Path(sys.argv[1]), make_tiny_dataset())
