"""Trainer: a pretraining run in memory, and one step of it; `state()` holds all it needs to go on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor

from mmbench.checkpoints.backbone import create_headless
from mmbench.data import Dataset
from mmbench.errors import UserError
from mmbench.pretrain.config import OptimiserSettings, PretrainConfig
from mmbench.pretrain.framework import FRAMEWORKS, Framework
from mmbench.pretrain.views import ViewMaker


def learning_rate(step: int, steps_per_epoch: int, epochs: int, settings: OptimiserSettings) -> float:
    """Return the learning rate of step `step` (from 0): linear warm-up, then half a cosine to zero."""
    warmup, total = settings.warmup_epochs * steps_per_epoch, epochs * steps_per_epoch
    if step < warmup:
        return settings.lr * (step + 1) / warmup if warmup > 1 else settings.lr
    progress = (step - warmup) / max(1.0, total - warmup)
    return settings.lr * 0.5 * (1 + math.cos(math.pi * progress))


def make_optimiser(framework: Framework, settings: OptimiserSettings) -> torch.optim.Optimizer:
    """Return the optimiser of all parameters that take a gradient."""
    parameters = [parameter for parameter in framework.parameters() if parameter.requires_grad]
    if settings.name == "adamw":
        return torch.optim.AdamW(parameters, lr=settings.lr, weight_decay=settings.weight_decay, fused=True)
    return torch.optim.SGD(
        parameters,
        lr=settings.lr,
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
        fused=True,
    )


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
    """What one step did; losses are plain numbers."""

    step: int
    epoch: float
    loss: float
    terms: dict[str, float]
    lr: float


class Trainer:
    """One run in memory.

    Randomness comes from two generators (order of the images; views and masks), parts of the state.

    Args:
        framework: what `build_framework` made of the same configuration; trained in place.

    Raises:
        UserError: a batch larger than the data.
    """

    def __init__(
        self, config: PretrainConfig, framework: Framework, dataset: Dataset, device: torch.device
    ) -> None:
        self.config = config
        self.device = device
        images = dataset.split("train").images
        self.steps_per_epoch = len(images) // config.batch_size
        if not self.steps_per_epoch:
            raise UserError(
                f"a batch of {config.batch_size} is larger than the train split of '{dataset.name}' "
                f"({len(images)} images); use --set batch_size={max(2, len(images) // 4)}"
            )
        self.total_steps = self.steps_per_epoch * config.epochs
        # From here on `lr` is that of this batch size.
        self.schedule = config.optimiser.model_copy(update={"lr": config.effective_lr})
        self.images = images.to(device)
        self.views = ViewMaker(config, config.image_size or dataset.image_size, device)
        self.framework = framework.to(device)
        if config.channels_last:
            for module in framework.children():
                module.to(memory_format=torch.channels_last)
        self.optimiser = make_optimiser(self.framework, self.schedule)
        self.order_generator = Generator().manual_seed(config.seed)
        self.view_generator = Generator(device).manual_seed(config.seed)
        self.step_number = 0
        self.order = torch.empty(0, dtype=torch.int64)

    def next_batch(self) -> Tensor:
        """Return the step's uint8 images (B, 3, H, W); a new order is drawn when an epoch begins."""
        position = self.step_number % self.steps_per_epoch
        if position == 0:
            self.order = torch.randperm(len(self.images), generator=self.order_generator)
        start = position * self.config.batch_size
        return self.images[self.order[start : start + self.config.batch_size].to(self.device)]

    def step(self) -> StepReport:
        """Take one step.

        Raises:
            FloatingPointError: the loss is not finite; the weights are those before the step.
        """
        lr = learning_rate(self.step_number, self.steps_per_epoch, self.config.epochs, self.schedule)
        for group in self.optimiser.param_groups:
            group["lr"] = lr
        self.framework.begin_step(self.step_number / self.total_steps)
        views = self.views(self.next_batch(), self.view_generator)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.precision == "bf16"):
            loss, terms = self.framework.loss(views)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise FloatingPointError(f"the loss is {value} at step {self.step_number + 1} (lr {lr:.3g})")
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        self.framework.after_step()
        self.step_number += 1
        numbers = {name: float(term) for name, term in terms.items()}
        return StepReport(self.step_number, self.step_number / self.steps_per_epoch, value, numbers, lr)

    def state(self) -> dict[str, Any]:
        """Return everything that `load` needs to go on with the very next step."""
        return {
            "step": self.step_number,
            "order": self.order,
            "framework": self.framework.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "generators": {
                "order": self.order_generator.get_state(),
                "views": self.view_generator.get_state(),
            },
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take over a state that `state` returned."""
        self.framework.load_state_dict(state["framework"], strict=True)
        self.optimiser.load_state_dict(state["optimiser"])
        self.step_number = int(state["step"])
        self.order = state["order"].cpu()
        self.order_generator.set_state(state["generators"]["order"].cpu())
        self.view_generator.set_state(state["generators"]["views"].cpu())

    def state_bytes(self) -> int:
        """Return about how large a saved state is: the framework, and two moments per parameter."""
        tensors: int = sum(tensor.nbytes for tensor in self.framework.state_dict().values())
        moments: int = 2 * sum(p.nbytes for p in self.framework.parameters() if p.requires_grad)
        return tensors + moments
