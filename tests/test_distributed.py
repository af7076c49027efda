"""Sums of gradients over processes do not depend on where a run was interrupted."""

import pytest
import three_processes
import torch
from forked import run_in_processes
from torch import Tensor

from mmbench.distributed import in_parallel, with_settled_sums

Found = list[tuple[dict[str, Tensor], dict[str, Tensor]]]  # (at one go, in two sessions) of each process


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Found:
    folder = tmp_path_factory.mktemp("processes")
    run_in_processes(three_processes.__file__, folder, 3)
    return [torch.load(folder / f"process-{rank}.pth", weights_only=True) for rank in range(3)]


def test_a_run_of_three_processes_in_two_sessions_is_that_of_one(found: Found) -> None:
    for whole, parts in found:
        assert all(torch.equal(whole[name], parts[name]) for name in whole)
    learnt = [name for name in found[0][0] if "running" not in name]
    assert all(torch.equal(found[0][0][name], found[2][0][name]) for name in learnt)


def test_the_sums_are_those_of_a_loop_over_the_three_parts(found: Found) -> None:
    """The empty pass leaves neither gradients nor another forward pass behind."""
    torch.manual_seed(0)
    network = three_processes.Network()
    for step in range(three_processes.STEPS):
        gradients = {name: torch.zeros_like(p) for name, p in network.named_parameters() if p.requires_grad}
        for rank in range(3):
            images = torch.randn(
                three_processes.BATCH, 3, 8, 8, generator=torch.Generator().manual_seed(100 * step + rank)
            )
            network.zero_grad()
            network(images).square().mean().backward()
            for name, parameter in network.named_parameters():
                if parameter.grad is not None:
                    gradients[name] += parameter.grad / 3
        with torch.no_grad():
            for name, parameter in network.named_parameters():
                if name in gradients:
                    parameter -= 0.1 * gradients[name]
    for name, parameter in network.named_parameters():
        assert found[0][0][name] == pytest.approx(parameter.detach(), abs=1e-6)


def test_a_model_of_one_process_is_itself() -> None:
    network = three_processes.Network()
    assert in_parallel(network, torch.device("cpu")) is network
    assert with_settled_sums(network) is network
    assert "forward" not in vars(network)
