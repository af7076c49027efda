"""Losses of mmsegmentation, by the names of metrics.json."""

from __future__ import annotations

import pytest
import torch


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("loss", "total_loss"),
        ("decode.loss_ce", "loss_decode_ce"),
        ("aux_0.loss_dice", "loss_aux_0_dice"),
        ("decode.acc_seg", "decode.acc_seg"),
    ],
)
def test_parts_of_the_loss_begin_with_loss(name: str, expected: str) -> None:
    from mmbench.transfer.dense.segmentation.hooks import loss_name

    assert loss_name(name) == expected


def test_numbers_of_one_process_are_its_own() -> None:
    from mmbench.transfer.dense.segmentation.hooks import mean_over_processes

    given = {"loss": torch.tensor(1.5, dtype=torch.bfloat16), "decode.acc_seg": torch.tensor([40.0, 50.0])}
    assert mean_over_processes(given) == {"loss": 1.5, "decode.acc_seg": 45.0}


def test_float16_scales_gradients_and_bfloat16_does_not() -> None:
    from mmbench.transfer.dense.segmentation.precision import optim_wrapper

    cpu, gpu = torch.device("cpu"), torch.device("cuda:0")
    assert optim_wrapper("float32", gpu) == {"type": "OptimWrapper"}
    assert optim_wrapper("float16", gpu) == {"type": "AmpOptimWrapper", "dtype": "float16"}
    for device in (cpu, gpu):
        found = optim_wrapper("bfloat16", device)
        assert (found["type"], found["device_type"]) == ("AutocastOptimWrapper", device.type)
