"""Trainer: a pretraining run in memory, and one step of it; `state()` holds all it needs to go on."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator
from torch import Generator, Tensor

from mmbench.batch_norm import arrange_batch_norm
from mmbench.checkpoints.backbone import create_headless, require_takes
from mmbench.distributed import gather, own_rows, process_count, process_rank, with_settled_sums
from mmbench.environment import software
from mmbench.errors import UserError
from mmbench.file_names import counted
from mmbench.narrow_maps import float32_where_narrow
from mmbench.pretrain.framework import FRAMEWORKS, Framework, Views
from mmbench.pretrain.optimiser import learning_rate, make_optimiser, set_learning_rate
from mmbench.pretrain.settings import PretrainConfig
from mmbench.pretrain.sources.base import EpochOrders, ImageSource, Part
from mmbench.pretrain.view_maker import ViewMaker

# Far apart, so that no two generators of a run are seeded alike.
PROCESS_SEEDS, SHUFFLE_SEEDS = 1_000_003, 15_485_863


def build_framework(config: PretrainConfig) -> Framework:
    """Return the configuration's framework on the CPU; its backbone is the random control of the same seed.

    Raises:
        UserError: unknown architecture (near match named).
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        backbone = create_headless(config.arch)
        framework = FRAMEWORKS.get(config.framework["name"])(backbone, config.framework_settings)
    return framework.train()


@dataclass(frozen=True)
class StepReport:
    """What one step did; losses are plain numbers, means over all processes and parts.

    Attributes:
        waited: seconds that this process waited for images.
    """

    step: int
    epoch: float
    loss: float
    terms: dict[str, float]
    lr: float
    waited: float


class Trainer:
    """One run in memory, or one process's share of it.

    Randomness comes from three places: the order of the images is a function of seed and epoch, the order
    in which key encoders see a batch one of seed and step, and views and masks come from a generator, one
    for each process, that is part of the state.

    Args:
        framework: what `build_framework` made of the same configuration; trained in place.

    Attributes:
        framework: the same, with its batch norms as the configuration says.
        steps_per_epoch: whole batches; what remains of an epoch is left out.
        compiled: whether this or an earlier session let torch.compile speed the encoders up.
        precisions: those that the steps of this and of earlier sessions were or will be computed in.

    Raises:
        UserError: a batch that is larger than the data or cannot be shared out evenly; a backbone that does
            not take the images.
    """

    def __init__(
        self, config: PretrainConfig, framework: Framework, source: ImageSource, accelerator: Accelerator
    ) -> None:
        self.config = config
        self.source = source
        self.accelerator = accelerator
        self.device = accelerator.device
        self.part_size = part_size(config, len(source), source.name)
        self.steps_per_epoch = len(source) // config.batch_size
        self.total_steps = self.steps_per_epoch * config.epochs
        # From here on `lr` is that of this batch size.
        self.schedule = config.optimiser.model_copy(update={"lr": config.effective_lr})
        self.views = ViewMaker(config, source.image_size, self.device)
        remedy = "choose another --arch or image_size"
        require_takes(framework.backbone, config.arch, source.image_size, remedy)
        arranged = arrange_batch_norm(framework, config.batch_norm, self.device)
        assert isinstance(arranged, Framework)
        self.framework = arranged.to(self.device)
        float32_where_narrow(self.framework)
        if config.channels_last:
            for module in self.framework.children():
                module.to(memory_format=torch.channels_last)
        self.compiled = config.compile
        if config.compile:
            for module in self.framework.children():
                module.compile()
        self.precision = "fp32" if accelerator.mixed_precision == "no" else config.precision
        self.precisions = {self.precision}
        self.model = with_settled_sums(accelerator.prepare_model(self.framework))
        self.optimiser = accelerator.prepare_optimizer(make_optimiser(self.framework, self.schedule))
        self.orders = EpochOrders(len(source), config.seed)
        seed = config.seed + PROCESS_SEEDS * process_rank()
        self.view_generator = Generator(self.device).manual_seed(seed)
        self.step_number = 0
        self._batches: Iterator[Tensor] | None = None

    def plan(self) -> Iterator[Part]:
        """Yield this process's parts of all batches that are still to come."""
        for step in range(self.step_number, self.total_steps):
            epoch, position = divmod(step, self.steps_per_epoch)
            start = position * self.config.batch_size
            batch = self.orders.of(epoch)[start : start + self.config.batch_size]
            for indices in batch.chunk(self.config.accumulation):
                yield Part(epoch, own_rows(indices))

    def next_images(self) -> Tensor:
        """Return the images of this process's next part, uint8."""
        if self._batches is None:
            self._batches = self.source.batches(self.plan())
        return next(self._batches)

    def key_orders(self) -> list[Tensor | None]:
        """Return for each part of the step the order (W B,) for key encoders, None if any will do."""
        settings, parts = self.config.batch_norm, self.config.accumulation
        if not settings.shuffle or settings.groups == 1:
            return [None] * parts
        generator = Generator().manual_seed(self.config.seed + SHUFFLE_SEEDS * (self.step_number + 1))
        count = self.part_size * process_count()
        return [torch.randperm(count, generator=generator).to(self.device) for _ in range(parts)]

    def step(self) -> StepReport:
        """Take one step.

        Raises:
            FloatingPointError: the loss is not finite; the weights are those before the step.
        """
        lr = learning_rate(self.step_number, self.steps_per_epoch, self.config.epochs, self.schedule)
        set_learning_rate(self.optimiser, lr)
        self.framework.begin_step(self.step_number / self.total_steps)
        waited, losses = 0.0, []
        self.optimiser.zero_grad()
        for number, order in enumerate(self.key_orders(), 1):
            started = time.perf_counter()
            images = self.next_images()
            waited += time.perf_counter() - started
            views = self.views(images, self.view_generator, key_order=order)
            last = number == self.config.accumulation
            with contextlib.nullcontext() if last else self.accelerator.no_sync(self.model):
                losses.append(self._learn(views, lr))
        self.optimiser.step()
        self.framework.after_step()
        self.step_number += 1
        terms = {name: sum(part[name] for part in losses) / len(losses) for name in losses[0]}
        total = terms.pop("total")
        epoch = self.step_number / self.steps_per_epoch
        return StepReport(self.step_number, epoch, total, terms, lr, waited)

    def _learn(self, views: Views, lr: float) -> dict[str, float]:
        """Pass views forward and backward; return the loss, "total", and its terms.

        Raises:
            FloatingPointError: the loss is not finite, in this process or in another.
        """
        loss, terms = self.model(views)
        mean = gather(torch.stack([loss.detach(), *terms.values()]).unsqueeze(0)).mean(0)
        numbers = dict(zip(["total", *terms], mean.tolist(), strict=True))
        if not math.isfinite(numbers["total"]):
            raise FloatingPointError(
                f"the loss is {numbers['total']} at step {self.step_number + 1} (lr {lr:.3g})"
            )
        self.accelerator.backward(loss)
        return numbers

    def state(self) -> dict[str, Any]:
        """Return everything that `load` needs to go on with the very next step; all processes must ask."""
        scaler = self.accelerator.scaler
        return {
            "step": self.step_number,
            "compiled": self.compiled,
            "precisions": sorted(self.precisions),
            "software": software(),
            "framework": self.framework.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "scaler": {} if scaler is None else scaler.state_dict(),
            "preprocessing": self.views.preprocessing.model_dump(mode="json"),  # for who reads its encoders
            "view_generators": gather(self.view_generator.get_state().unsqueeze(0).to(self.device)).cpu(),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take over a state that `state` returned.

        Raises:
            UserError: it was saved by another number of processes.
        """
        generators = state["view_generators"].cpu()
        if len(generators) != process_count():
            raise UserError(
                f"this run was begun with {len(generators)} processes and cannot go on with "
                f"{process_count()}; start as many, or choose another folder by --out"
            )
        self.framework.load_state_dict(state["framework"], strict=True)
        self.optimiser.load_state_dict(state["optimiser"])
        if self.accelerator.scaler is not None and state["scaler"]:
            self.accelerator.scaler.load_state_dict(state["scaler"])
        self.step_number = int(state["step"])
        # States of older versions do not say these.
        self.compiled |= bool(state.get("compiled"))
        if before := set(state.get("precisions", ())):
            self.precisions = before if self.step_number == self.total_steps else before | {self.precision}
        self.view_generator.set_state(generators[process_rank()].clone())
        self._batches = None

    def effective(self) -> dict[str, float | int | str]:
        """Return what the settings come to with these data, on this device, in so many processes."""
        return {
            "images": len(self.source),
            "image_size": self.source.image_size,
            "images_are": str(self.source),
            "batch": self.config.batch_size,
            "processes": process_count(),
            "images_per_pass": self.part_size,
            "steps_per_epoch": self.steps_per_epoch,
            "steps": self.total_steps,
            "lr": self.schedule.lr,
            "device": self.device.type,
            "precision": self.precision,
        }

    def remarks(self) -> tuple[str, ...]:
        """Return a line where an embedding has fewer negatives in accumulated parts than in a whole batch."""
        parts, batch = self.config.accumulation, self.config.batch_size
        if parts == 1 or not self.framework.negatives_in_pass:
            return ()
        return (
            f"each embedding is compared with {2 * batch // parts - 1} others, those of one of {parts} "
            f"accumulated parts, and not with {2 * batch - 1} as in a whole batch of {batch}",
        )

    def state_bytes(self) -> int:
        """Return about how large a saved state is: the framework, and two moments per parameter."""
        tensors: int = sum(tensor.nbytes for tensor in self.framework.state_dict().values())
        moments: int = 2 * sum(p.nbytes for p in self.framework.parameters() if p.requires_grad)
        return tensors + moments


def part_size(config: PretrainConfig, images: int, data: str) -> int:
    """Return how many images a process sees at a time.

    Args:
        images: in the train split.
        data: the data set's name, for messages.

    Raises:
        UserError: the batch is larger than the data, cannot be shared out evenly, or in too small parts; what
            the message advises is accepted.
    """
    shares = process_count() * config.accumulation * config.batch_norm.splits
    split = f"the train split of '{data}' has {counted(images, 'image')}"
    if images < 2:
        raise UserError(f"{split}; a step takes at least two")
    parts = (
        f"{process_count()} processes x {config.accumulation} accumulated parts x "
        f"{config.batch_norm.splits} batch-norm splits of at least two images each"
    )
    if images < 2 * shares:
        raise UserError(f"{split}, too few for {parts}; use fewer of these, or more images")
    if images < config.batch_size:
        fitting = max(2, images // 4 // shares) * shares
        raise UserError(
            f"a batch of {config.batch_size} is larger than the train split of '{data}' ({images} images); "
            f"use --set batch_size={fitting}"
        )
    if config.batch_size % shares or config.batch_size // shares < 2:
        raise UserError(
            f"a batch of {config.batch_size} cannot be shared out among {parts}; "
            f"use --set batch_size={max(2, config.batch_size // shares) * shares}"
        )
    return config.batch_size // (process_count() * config.accumulation)
