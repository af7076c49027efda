"""Where and in what precision a run computes, by Hugging Face Accelerate: devices, processes, trackers."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Iterator
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState, PartialState
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers
from accelerate.utils import DistributedDataParallelKwargs, ProjectConfiguration

from mmbench.data.images.device_jpegs import require_decoder
from mmbench.device import has_bfloat16, resolve_device
from mmbench.distributed import USUAL_WAIT, join_processes
from mmbench.errors import MissingExtraError, UserError, unknown_name
from mmbench.launched import launched_processes, without_foreign_variables
from mmbench.pretrain.settings import PretrainConfig
from mmbench.runs import RunFolder

# Statistics and queue are kept equal by the frameworks themselves, so buffers are not sent at every step.
DDP = DistributedDataParallelKwargs(broadcast_buffers=False, gradient_as_bucket_view=True)


@contextlib.contextmanager
def own_accelerate() -> Iterator[None]:
    """Use Accelerate as if a caller had no `Accelerator`, and leave theirs as they were; also a decorator.

    All accelerators of a process share their state. Processes that work together stay connected.
    """
    alone = launched_processes() == 1
    kinds = (AcceleratorState, GradientState, *((PartialState,) if alone else ()))
    before = [(kind._shared_state, dict(kind._shared_state)) for kind in kinds]
    for shared, _ in before:
        shared.clear()
    try:
        yield
    finally:
        for shared, kept in before:
            shared.clear()
            shared.update(kept)


def make_accelerator(config: PretrainConfig, folder: RunFolder | None = None) -> Accelerator:
    """Return the accelerator of one run; under `torchrun` and `accelerate launch`, one of several.

    Accelerate's own environment variables (ACCELERATE_*) change nothing: the configuration decides. Torch
    takes the number of threads that it states.

    Args:
        folder: the run folder, where local trackers write.

    Raises:
        UserError: a device, a precision, a compiler, a decoder or a tracker that cannot be used here;
            processes that do not meet.
    """
    check_trackers(config.trackers)
    device = resolve_device(config.device)
    if config.precision == "fp16" and device.type == "cpu":
        raise UserError("precision fp16 needs a GPU; use --set precision=bf16 or fp32 on the CPU")
    # Accelerate keeps one state per process; a second run in the same process may want another device.
    AcceleratorState._reset_state(reset_partial_state=launched_processes() == 1)
    device = join_processes(device, USUAL_WAIT)
    check_compiler(config, device)
    check_decoder(config, device)
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    chosen = {"ACCELERATE_TORCH_DEVICE": str(device)} if launched_processes() == 1 else {}
    with without_foreign_variables(**chosen):
        return Accelerator(
            cpu=device.type == "cpu",
            mixed_precision=_mixed_precision(config, device),
            gradient_accumulation_steps=config.accumulation,
            log_with=list(config.trackers) if folder is not None and config.trackers else None,
            project_config=ProjectConfiguration(
                project_dir=None if folder is None else str(folder.root),
                logging_dir=None if folder is None else str(folder.tensorboard),
            ),
            kwargs_handlers=[DDP],
        )


def _mixed_precision(config: PretrainConfig, device: torch.device) -> str:
    """Return Accelerate's word for the precision; float32 where a CPU has no bfloat16."""
    emulated = config.precision == "bf16" and not has_bfloat16(device)
    return "no" if config.precision == "fp32" or emulated else config.precision


def check_compiler(config: PretrainConfig, device: torch.device) -> None:
    """Check that torch.compile finds its C++ compiler on the CPU, where the run asks for it.

    Raises:
        UserError: there is none.
    """
    if not config.compile or device.type != "cpu":
        return
    # As torch._inductor.config.cpp.cxx.
    compiler = os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")
    if shutil.which(compiler) is None:
        raise UserError(
            f"--compile needs a C++ compiler, and there is no {compiler}; install it, or leave it out"
        )


def check_decoder(config: PretrainConfig, device: torch.device) -> None:
    """Check that the device decodes JPEGs, where the run asks for it.

    Raises:
        UserError: it is no GPU, or torchvision cannot decode a JPEG on it.
    """
    if config.decode == "cpu":
        return
    if device.type != "cuda":
        raise UserError(
            f"--set decode=gpu needs a CUDA device, and this run is on '{device.type}'; leave it out, or "
            "choose --device cuda where there is one"
        )
    require_decoder(device)


def start_trackers(accelerator: Accelerator, config: PretrainConfig, resumed_step: int) -> None:
    """Start the run's trackers; TensorBoard's records of steps past `resumed_step` are dropped."""
    only_tensorboard = set(config.trackers) <= {"tensorboard"}  # it would make a folder of the settings
    settings = None if only_tensorboard else _flat(config.model_dump(mode="json"))
    options = {"tensorboard": {"purge_step": resumed_step + 1}}
    accelerator.init_trackers("mmbench", config=settings, init_kwargs=options)


def _flat(settings: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested settings as "optimiser.lr": value."""
    values: dict[str, Any] = {}
    for name, value in settings.items():
        nested = isinstance(value, dict)
        values |= _flat(value, f"{prefix}{name}.") if nested else {f"{prefix}{name}": str(value)}
    return values


def check_trackers(names: tuple[str, ...]) -> None:
    """Check that every tracker is known to Accelerate and installed.

    Raises:
        UserError: unknown (near match named), or not installed.
    """
    for name in names:
        if name not in LOGGER_TYPE_TO_CLASS:
            raise unknown_name("tracker", name, LOGGER_TYPE_TO_CLASS)
        if name not in [str(available) for available in get_available_trackers()]:
            raise MissingExtraError(name, f"--set trackers=[{name}]", f"pip install {name.replace('_', '-')}")
