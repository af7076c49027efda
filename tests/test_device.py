"""The device, and bfloat16 where it is worth its while."""

import pytest
import torch

from mmbench.device import bfloat16_autocast, has_bfloat16, resolve_device
from mmbench.errors import UserError

CPU = torch.device("cpu")


def test_a_device_that_is_not_there_is_one_line() -> None:
    assert resolve_device("cpu") == CPU
    with pytest.raises(UserError, match=r"device .tpu. cannot be used: .* use --device auto or cpu"):
        resolve_device("tpu")


@pytest.mark.parametrize(
    ("capability", "arm", "expected"),
    [("AVX512", False, True), ("AVX2", False, False), ("DEFAULT", True, True), ("DEFAULT", False, False)],
)
def test_a_cpu_without_wide_vectors_computes_in_float32(
    monkeypatch: pytest.MonkeyPatch, capability: str, arm: bool, expected: bool
) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"bf16": arm}, raising=False)
    assert has_bfloat16(CPU) is expected
    assert has_bfloat16(torch.device("cuda", 0))
    for wanted in (True, False):
        with bfloat16_autocast(CPU, wanted):
            product = torch.ones(2, 2) @ torch.ones(2, 2)
        assert product.dtype == (torch.bfloat16 if wanted and expected else torch.float32)
