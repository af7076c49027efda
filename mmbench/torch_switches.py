"""Switches of torch that choose how numbers are computed, such as TF32: those of a new process, for a while.

Most are the process's. Each has a getter and a setter in `torch._C`; one that this version of torch lacks is
left out. The engine of quantised layers stays as it is: a caller's packed weights belong to it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from torch.backends import opt_einsum

# A switch's name in torch._C, behind _get_ and _set_, and its value in a new process.
SWITCHES: dict[str, Any] = {
    "mkldnn_enabled": True,
    "mkldnn_deterministic": False,
    "nnpack_enabled": True,
    "cpu_allow_fp16_reduced_precision_reduction": False,
    "cudnn_enabled": True,
    "cudnn_benchmark": False,
    "cudnn_deterministic": False,
    "cudnn_depthwise_kernel": "auto",
    "cublas_allow_fp16_accumulation": False,
    "cublas_allow_fp16_reduced_precision_reduction": (True, True),
    "cublas_allow_bf16_reduced_precision_reduction": (True, True),
    "cublaslt_prefer_grouped_gemm": False,
    "math_sdp_allow_fp16_bf16_reduction": False,
    "deterministic_fill_uninitialized_memory": True,
    "sdp_priority_order": [1, 2, 0, 3, 4],
}
# Kernels of attention: _get_NAME_sdp_enabled and _set_sdp_use_NAME.
ATTENTION = {
    "flash": True,
    "mem_efficient": True,
    "math": True,
    "cudnn": True,
    "overrideable": True,
    "fa3": False,
    "fa4": False,
}
# Libraries of linear algebra that a caller may prefer, and the types that name them.
LIBRARIES = {"blas_preferred_backend": "_BlasBackend", "linalg_preferred_backend": "_LinalgBackend"}
# Precision of float32 in matrix products and convolutions, for everything, a library, and a library's
# operation. "none" takes the value of the level above, so that each is asked with "none" above it.
EVERYTHING = ("generic", "all")
PRECISIONS = {
    EVERYTHING: "none",
    ("cuda", "all"): "none",
    ("mkldnn", "all"): "none",
    ("cuda", "conv"): "tf32",
    ("cuda", "rnn"): "tf32",
    ("cuda", "matmul"): "none",
    ("mkldnn", "conv"): "none",
    ("mkldnn", "rnn"): "none",
    ("mkldnn", "matmul"): "none",
}


@contextmanager
def usual_switches() -> Iterator[None]:
    """Compute with every switch as a new process has it, and with the caller's again afterwards."""
    with ExitStack() as undone:
        for name, usual in SWITCHES.items():
            _turn(undone, f"_get_{name}", f"_set_{name}", usual)
        for name, usual in ATTENTION.items():
            _turn(undone, f"_get_{name}_sdp_enabled", f"_set_sdp_use_{name}", usual)
        for name, kind in LIBRARIES.items():
            if hasattr(torch._C, kind):
                _turn(undone, f"_get_{name}", f"_set_{name}", getattr(torch._C, kind).Default)
        _leave_precisions(undone)
        _leave_deterministic(undone)
        _leave_einsum(undone)
        _leave_fast_attention(undone)
        _leave_flushing(undone)
        undone.enter_context(torch.autograd.set_detect_anomaly(False))
        undone.enter_context(np.errstate(divide="warn", over="warn", under="ignore", invalid="warn"))
        yield


def _turn(undone: ExitStack, getter: str, setter: str, usual: Any) -> None:
    """Set a switch to its usual value; nothing, where this version of torch has none of that form."""
    get, put = getattr(torch._C, getter, None), getattr(torch._C, setter, None)
    if get is None or put is None:
        return
    before = get()
    several = isinstance(usual, tuple)
    if type(before) is not type(usual) or (several and len(before) != len(usual)):
        return

    def turn(value: Any) -> None:
        if get() != value:  # some setters warn
            put(*(value if several else (value,)))

    undone.callback(turn, before)
    turn(usual)


def _leave_precisions(undone: ExitStack) -> None:
    """Leave `set_float32_matmul_precision`, `allow_tf32` and `fp32_precision`.

    The first two are torch's older words for the third. They are kept beside it, and reading them is an
    error where the two say different things: they are asked with the precisions of a new process.
    """
    get: Callable[..., str] | None = getattr(torch._C, "_get_fp32_precision_getter", None)
    if get is None:
        return
    put = torch._C._set_fp32_precision_setter
    before = {}
    for place, usual in PRECISIONS.items():
        before[place] = get(*place)
        put(*place, "none" if place[1] == "all" else usual)
    undone.callback(_put_precisions, before)
    undone.callback(torch.set_float32_matmul_precision, torch.get_float32_matmul_precision())
    undone.callback(torch._C._set_cudnn_allow_tf32, _cudnn_allows_tf32())
    torch.set_float32_matmul_precision("highest")
    torch._C._set_cudnn_allow_tf32(True)
    _put_precisions(PRECISIONS)


def _put_precisions(precisions: dict[tuple[str, str], str]) -> None:
    for place, precision in precisions.items():
        torch._C._set_fp32_precision_setter(*place, precision)


def _cudnn_allows_tf32() -> bool:
    try:
        return torch._C._get_cudnn_allow_tf32()
    except RuntimeError:  # it says no, and the precisions say yes
        return False


def _leave_deterministic(undone: ExitStack) -> None:
    before, only_warns = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    undone.callback(lambda: torch.use_deterministic_algorithms(before, warn_only=only_warns))
    torch.use_deterministic_algorithms(False)


def _leave_einsum(undone: ExitStack) -> None:
    """Leave another order of products in `torch.einsum`; a strategy can be set while it is enabled only."""
    if not opt_einsum.is_available():
        return
    enabled, strategy = opt_einsum.set_flags()
    undone.callback(opt_einsum.set_flags, enabled)
    opt_einsum.set_flags(True)
    undone.callback(opt_einsum.set_flags, None, strategy)
    opt_einsum.set_flags(None, "auto")


def _leave_fast_attention(undone: ExitStack) -> None:
    undone.callback(torch.backends.mha.set_fastpath_enabled, torch.backends.mha.get_fastpath_enabled())
    torch.backends.mha.set_fastpath_enabled(True)


def _leave_flushing(undone: ExitStack) -> None:
    """Leave `torch.set_flush_denormal`, which belongs to a thread and can only be seen by its effect."""
    smallest = sys.float_info.min
    undone.callback(torch.set_flush_denormal, smallest / 2 == 0)
    torch.set_flush_denormal(False)
