"""Batch norm over the inputs of two processes, whose sizes differ, against one process with all of them."""

from __future__ import annotations

import socket
from pathlib import Path

import forked  # noqa: F401  (the server that the processes are forked from)
import pytest
import torch
from detectron2.layers import get_norm
from torch import nn
from two_norms import inputs, one_of_two, weighted

from mmbench.errors import UserError
from mmbench.transfer.dense.common.norms import AnyDeviceSyncBatchNorm, fit_device
from mmbench.transfer.dense.detection.detectors.norms import norm_name


def test_two_processes_normalise_as_one_with_all_inputs(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.multiprocessing.start_processes(
        one_of_two, (str(tmp_path), port), nprocs=2, start_method="forkserver"
    )
    found = [torch.load(tmp_path / f"{rank}.pt") for rank in range(2)]

    images = [image.requires_grad_() for image in inputs()]
    everything = torch.cat([image.transpose(0, 1).reshape(3, -1) for image in images], dim=1)  # (C, values)
    norm = nn.BatchNorm1d(3)
    normed = norm(everything.T).T
    parts = normed.split([image.numel() // 3 for image in images], dim=1)
    loss = torch.zeros(())
    for rank, (part, image) in enumerate(zip(parts, images, strict=True)):
        outputs = part.view(3, image.shape[0], *image.shape[2:]).transpose(0, 1)
        torch.testing.assert_close(found[rank]["outputs"], outputs)
        loss = loss + weighted(outputs, rank)
    loss.backward()
    for rank, image in enumerate(images):
        torch.testing.assert_close(found[rank]["gradient"], image.grad, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(found[rank]["mean"], norm.running_mean)
        torch.testing.assert_close(found[rank]["variance"], norm.running_var)
    torch.testing.assert_close(
        found[0]["weight"] + found[1]["weight"], norm.weight.grad, atol=1e-4, rtol=1e-4
    )


def test_without_a_gpu_torchs_own_is_replaced_and_keeps_its_state(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("detectron2.utils.comm.get_world_size", lambda: 2)
    model = nn.Sequential(nn.Conv2d(3, 4, 1), get_norm(norm_name("syncbn"), 4), nn.BatchNorm2d(4))
    assert type(model[1]) is nn.SyncBatchNorm
    nn.init.normal_(model[1].weight)
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    fit_device(model, torch.device("cuda:0"), "")
    assert type(model[1]) is nn.SyncBatchNorm
    fit_device(model, torch.device("cpu"), "")
    assert type(model[1]) is AnyDeviceSyncBatchNorm and type(model[2]) is nn.BatchNorm2d
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())


def test_a_norm_that_holds_an_activation_is_refused_without_a_gpu() -> None:
    from timm.layers import SyncBatchNormAct

    with pytest.raises(UserError, match="cannot be synchronised without GPUs; start one"):
        fit_device(nn.Sequential(SyncBatchNormAct(3)), torch.device("cpu"), "start one process")
