"""The state of torch under which the Python API computes: mmbench's own, whatever the caller's is.

An enclosing `torch.autocast`, `no_grad` or `inference_mode`, another default dtype, default device or
precision of matrix products would change numbers without a trace in the records. One call at a time
computes, as this state and the random generators belong to the whole process.
"""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import numpy as np
import torch
from torch.overrides import TorchFunctionMode, _get_current_function_mode_stack, _pop_mode, _push_mode
from torch.utils import _device

from mmbench.torch_switches import usual_switches

# Device types that torch has an autocast for, whether or not there is such a device.
AUTOCASTING = ("cpu", "cuda", "xpu", "mps", "mtia", "hpu", "xla", "maia", "ipu", "privateuseone")

_one_at_a_time = threading.RLock()


def _free_in_child() -> None:
    """Give a forked process a lock of its own: the thread that may hold the parent's is not there."""
    global _one_at_a_time
    _one_at_a_time = threading.RLock()


os.register_at_fork(after_in_child=_free_in_child)


@contextmanager
def own_state() -> Iterator[None]:
    """Compute as if nothing of torch had been changed, and leave everything as it was; also a decorator.

    Inside, the default dtype is float32, there is no default device, gradients are recorded, and neither
    autocast nor inference mode is on; precisions and other switches are those of a new process
    (`mmbench.torch_switches`). Afterwards these, the number of threads and the global random
    generators of torch (a GPU's where one is in use), NumPy and Python are the caller's again, also after an
    error. Other threads that come here wait; a thread that is inside may come again.
    """
    with _one_at_a_time, ExitStack() as undone:
        undone.callback(_set_threads, torch.get_num_threads())
        undone.callback(torch.set_default_dtype, torch.get_default_dtype())
        torch.set_default_dtype(torch.float32)
        _leave_default_devices(undone)
        _leave_autocast(undone)
        undone.enter_context(torch.inference_mode(False))
        undone.enter_context(torch.enable_grad())
        undone.enter_context(usual_switches())
        _keep_random_states(undone)
        yield


def _set_threads(count: int) -> None:
    if torch.get_num_threads() != count:
        torch.set_num_threads(count)


def _keep_random_states(undone: ExitStack) -> None:
    undone.callback(random.setstate, random.getstate())
    undone.callback(np.random.set_state, np.random.get_state())
    undone.callback(torch.default_generator.set_state, torch.default_generator.get_state())
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        undone.callback(torch.cuda.set_rng_state_all, torch.cuda.get_rng_state_all())


def _leave_default_devices(undone: ExitStack) -> None:
    """Leave `torch.set_default_device` and `with torch.device(...)`.

    Both put a mode on torch's stack of modes, which is taken off; `get_default_device` and compiled code also
    ask what was set. Modes of other kinds stay.
    """
    for owner, name in ((torch._GLOBAL_DEVICE_CONTEXT, "device_context"), (_device, "CURRENT_DEVICE")):
        undone.callback(setattr, owner, name, getattr(owner, name, None))
        setattr(owner, name, None)
    modes = _get_current_function_mode_stack()
    undone.callback(_put_modes, modes)
    _put_modes([mode for mode in modes if not isinstance(mode, _device.DeviceContext)])


def _put_modes(modes: list[TorchFunctionMode]) -> None:
    """Make these torch's stack of modes, the last on top."""
    for _ in _get_current_function_mode_stack():
        _pop_mode()
    for mode in modes:
        _push_mode(mode)


def _leave_autocast(undone: ExitStack) -> None:
    """Disable autocast for all devices, as if none were entered.

    Torch counts the autocasts that are entered, and forgets the weights that it cast when the last one is
    left: inside the caller's, each of ours would keep the weights of the first step.
    """
    for device in AUTOCASTING:
        if torch.is_autocast_enabled(device):
            undone.callback(torch.set_autocast_enabled, device, True)
            torch.set_autocast_enabled(device, False)
    depth = torch.autocast_increment_nesting() - 1
    for _ in range(depth + 1):
        torch.autocast_decrement_nesting()
    torch.clear_autocast_cache()
    undone.callback(_enter_autocast, depth)


def _enter_autocast(depth: int) -> None:
    torch.clear_autocast_cache()
    for _ in range(depth):
        torch.autocast_increment_nesting()
