"""Every switch of torch that a caller may have turned: as in a new process, and the caller's afterwards."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch.backends import cuda, cudnn, mkldnn

from mmbench.torch_switches import usual_switches

# Reads the switches by torch's public names; an error that tells of two words for one switch is a value too.
SEEN = """
import json, sys
import numpy as np, torch
from torch.backends import cuda, cudnn, mha, mkldnn

def seen():
    def asked(get):
        try:
            return get()
        except RuntimeError as error:
            return str(error)[:80]

    tiny = sys.float_info.min
    return {
        "mkldnn": [mkldnn.enabled, mkldnn.deterministic],
        "cudnn": [cudnn.enabled, cudnn.benchmark, cudnn.deterministic],
        "nnpack": torch._C._get_nnpack_enabled(),
        "precisions": [
            torch.backends.fp32_precision, mkldnn.fp32_precision, cudnn.fp32_precision,
            mkldnn.matmul.fp32_precision, mkldnn.conv.fp32_precision, mkldnn.rnn.fp32_precision,
            cuda.matmul.fp32_precision, cudnn.conv.fp32_precision, cudnn.rnn.fp32_precision,
        ],
        "words": [
            asked(torch.get_float32_matmul_precision), asked(lambda: cudnn.allow_tf32),
            asked(lambda: cuda.matmul.allow_tf32),
        ],
        "halves": [
            cuda.matmul.allow_fp16_reduced_precision_reduction, cuda.matmul.allow_fp16_accumulation,
            cuda.matmul.allow_bf16_reduced_precision_reduction, cuda.fp16_bf16_reduction_math_sdp_allowed(),
            torch._C._get_cpu_allow_fp16_reduced_precision_reduction(),
        ],
        "attention": [
            cuda.flash_sdp_enabled(), cuda.math_sdp_enabled(), cuda.mem_efficient_sdp_enabled(),
            cuda.cudnn_sdp_enabled(), mha.get_fastpath_enabled(), list(torch._C._get_sdp_priority_order()),
        ],
        "libraries": [str(cuda.preferred_linalg_library()), str(cuda.preferred_blas_library())],
        "deterministic": [
            torch.are_deterministic_algorithms_enabled(),
            torch.is_deterministic_algorithms_warn_only_enabled(),
            torch.utils.deterministic.fill_uninitialized_memory,
        ],
        "anomaly": torch.is_anomaly_enabled(),
        "numpy": np.geterr(),
        "smallest": tiny / 2 > 0,
    }
"""
read: dict[str, Any] = {}
exec(SEEN, read)
seen: Callable[[], dict[str, Any]] = read["seen"]


def turned(owner: Any, name: str, value: Any) -> Callable[[], None]:
    return lambda: setattr(owner, name, value)


TURNS: dict[str, Callable[[], Any]] = {
    "matrix products, high": lambda: torch.set_float32_matmul_precision("high"),
    "matrix products, medium": lambda: torch.set_float32_matmul_precision("medium"),
    "precision of everything": turned(torch.backends, "fp32_precision", "tf32"),
    "precision of oneDNN": lambda: torch._C._set_fp32_precision_setter("mkldnn", "all", "bf16"),
    "precision of oneDNN's convolutions": turned(mkldnn.conv, "fp32_precision", "bf16"),
    "precision of oneDNN's products": turned(mkldnn.matmul, "fp32_precision", "bf16"),
    "precision of cuDNN's convolutions": turned(cudnn.conv, "fp32_precision", "ieee"),
    "precision of cuDNN": turned(cudnn, "fp32_precision", "ieee"),
    "TF32 of cuBLAS": turned(cuda.matmul, "allow_tf32", True),
    "TF32 of cuDNN": turned(cudnn, "allow_tf32", False),
    "oneDNN": turned(mkldnn, "enabled", False),
    "oneDNN, deterministic": turned(mkldnn, "deterministic", True),
    "cuDNN": turned(cudnn, "enabled", False),
    "cuDNN, benchmark": turned(cudnn, "benchmark", True),
    "cuDNN, deterministic": turned(cudnn, "deterministic", True),
    "sums in float16": turned(cuda.matmul, "allow_fp16_reduced_precision_reduction", False),
    "sums in bfloat16": turned(cuda.matmul, "allow_bf16_reduced_precision_reduction", (False, False)),
    "products in float16": turned(cuda.matmul, "allow_fp16_accumulation", True),
    "flash attention": lambda: cuda.enable_flash_sdp(False),
    "attention by definition": lambda: cuda.enable_math_sdp(False),
    "attention of cuDNN": lambda: cuda.enable_cudnn_sdp(False),
    "efficient attention": lambda: cuda.enable_mem_efficient_sdp(False),
    "order of attention": lambda: torch._C._set_sdp_priority_order([2, 1, 0, 3, 4]),
    "attention in half precision": lambda: cuda.allow_fp16_bf16_reduction_math_sdp(True),
    "fast attention": lambda: torch.backends.mha.set_fastpath_enabled(False),
    "NNPACK": lambda: torch._C._set_nnpack_enabled(False),
    "deterministic": lambda: torch.use_deterministic_algorithms(True),
    "deterministic, warns": lambda: torch.use_deterministic_algorithms(True, warn_only=True),
    "memory that is not filled": turned(torch.utils.deterministic, "fill_uninitialized_memory", False),
    "anomalies": lambda: torch.autograd.set_detect_anomaly(True),
    "NumPy's errors": lambda: np.seterr(all="raise"),
    "smallest numbers": lambda: torch.set_flush_denormal(True),
}


@pytest.fixture(scope="module")
def new_process() -> dict[str, Any]:
    printed = subprocess.run(
        [sys.executable, "-c", SEEN + "print(json.dumps(seen()))"], capture_output=True, text=True, check=True
    )
    found: dict[str, Any] = json.loads(printed.stdout)
    return found


@pytest.fixture
def _as_before() -> Iterator[None]:
    """Turn back what a test turns: this process serves other tests."""
    with usual_switches():
        yield
        torch.set_float32_matmul_precision("highest")
        torch._C._set_cudnn_allow_tf32(True)
        torch.autograd.set_detect_anomaly(False)


@pytest.mark.usefixtures("_as_before")
@pytest.mark.parametrize("name", TURNS)
def test_a_switch_is_as_in_a_new_process_and_turned_back(name: str, new_process: dict[str, Any]) -> None:
    assert seen() == new_process
    try:
        TURNS[name]()
        before = seen()
        assert before != new_process
        with pytest.raises(ZeroDivisionError), usual_switches():
            assert seen() == new_process
            with usual_switches():
                assert seen() == new_process
            print(1 / 0)
        assert seen() == before
    finally:
        torch.utils.deterministic.fill_uninitialized_memory = True
        torch.set_flush_denormal(False)


@pytest.mark.usefixtures("_as_before")
@pytest.mark.parametrize("name", TURNS)
def test_a_switch_that_is_turned_inside_is_turned_back(name: str, new_process: dict[str, Any]) -> None:
    with usual_switches():
        TURNS[name]()
        assert seen() != new_process
    assert seen() == new_process


@pytest.mark.usefixtures("_as_before")
def test_a_precision_that_is_taken_from_above_is_so_again() -> None:
    torch.backends.fp32_precision = "tf32"
    with usual_switches():
        pass
    torch.backends.fp32_precision = "ieee"
    assert mkldnn.matmul.fp32_precision == cuda.matmul.fp32_precision == "ieee"


@pytest.mark.usefixtures("_as_before")
def test_products_are_those_of_float32() -> None:
    images, weights = torch.rand(64, 64), torch.rand(64, 64)
    exact = images.double() @ weights.double()
    torch.set_float32_matmul_precision("medium")
    with usual_switches():
        found = images @ weights
    assert (found - exact).abs().max() < 1e-4
