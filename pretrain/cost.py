"""What a run is expected to cost: a few steps on random images, measured on this machine."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch

from mmbench.data import ImageSplit
from mmbench.distributed import any_process, process_count
from mmbench.file_names import printable
from mmbench.pretrain.acceleration import make_accelerator
from mmbench.pretrain.settings import PretrainConfig
from mmbench.pretrain.sources.memory import MemorySource
from mmbench.pretrain.trainer import Trainer, build_framework, part_size

CPU_PIXELS = 128 * 32**2  # of what a process measures on a CPU; a larger batch is measured in part
MOST_STEPS, MOST_SECONDS = 5, 4.0


@dataclass(frozen=True)
class Cost:
    """What a run is expected to cost.

    Attributes:
        images: in the train split.
        steps: of the whole run.
        seconds_per_step: of the encoders and the augmentation; reading files is not in it.
        measured_batch: images per step that were measured, in all processes; the rest follows in proportion.
        state_bytes: of one training state.
        gpu_bytes: peak memory of this process's GPU at the measured batch; None on a CPU.
        device: where it was measured.
    """

    images: int
    steps: int
    seconds_per_step: float
    measured_batch: int
    state_bytes: int
    gpu_bytes: int | None
    device: str

    def lines(self, config: PretrainConfig) -> list[str]:
        """Return the costs as text."""
        part = "" if self.measured_batch == config.batch_size else f", from a batch of {self.measured_batch}"
        found = [
            f"{self.images:,} images, {self.steps:,} steps of {config.batch_size} "
            f"({self.images // config.batch_size:,} per epoch)",
            f"{self.seconds_per_step:.3g} s per step on this {self.device} (measured on random images{part}; "
            f"reading files not counted): {_duration(self.seconds_per_step * self.steps)}",
            f"{config.keep_states} training states of {self.state_bytes / 2**20:,.0f} MiB on disk",
        ]
        if self.gpu_bytes is not None:
            found.append(
                f"{self.gpu_bytes / 2**30:.1f} GiB of GPU memory at a batch of {self.measured_batch}"
            )
        return found


def _duration(seconds: float) -> str:
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"about {seconds / length:.0f} {unit}"
    return f"about {seconds:.0f} seconds"


def expected_cost(config: PretrainConfig, images: int, image_size: int) -> Cost:
    """Measure a few steps of a run; nothing is written.

    Args:
        images: in the train split.
        image_size: side of a view in pixels.

    Raises:
        UserError: a batch that does not fit the data or cannot be shared out; an architecture, a device, a
            compiler or a decoder that cannot be used.
    """
    part_size(config, images, printable(config.data))
    accelerator = make_accelerator(config)
    on_gpu = accelerator.device.type == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats(accelerator.device)
    batch = _measured_batch(config, image_size, on_cpu=accelerator.device.type == "cpu")
    part = config.model_copy(
        update={"batch_size": batch, "epochs": 10 * MOST_STEPS, "image_size": image_size}
    )
    pixels = torch.randint(0, 256, (batch, 3, image_size, image_size), dtype=torch.uint8)
    split = ImageSplit(pixels, torch.zeros(batch, dtype=torch.int64))
    source = MemorySource("random images", split, "", image_size, accelerator.device, [], None)
    trainer = Trainer(part, build_framework(part), source, accelerator)
    trainer.step()
    started, taken = time.perf_counter(), 0
    over = False
    while not over:
        trainer.step()
        taken += 1
        over = taken == MOST_STEPS or time.perf_counter() - started > MOST_SECONDS
        (over,) = any_process([over], accelerator.device)  # a step needs all of them
    seconds = (time.perf_counter() - started) / taken
    return Cost(
        images=images,
        steps=images // config.batch_size * config.epochs,
        seconds_per_step=seconds * config.batch_size / batch,
        measured_batch=batch,
        state_bytes=trainer.state_bytes(),
        gpu_bytes=torch.cuda.max_memory_allocated(accelerator.device) if on_gpu else None,
        device="GPU" if on_gpu else accelerator.device.type.upper(),
    )


def _measured_batch(config: PretrainConfig, image_size: int, *, on_cpu: bool) -> int:
    """Return how many images a measured step has in all processes: on CPUs few, and shared out evenly."""
    if not on_cpu:
        return config.batch_size
    processes = process_count()
    shares = processes * config.accumulation * config.batch_norm.splits
    wanted = processes * max(4, CPU_PIXELS // image_size**2)
    return min(config.batch_size, max(2, round(wanted / shares)) * shares)
