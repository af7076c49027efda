"""A network trained by three processes at one go, and in two sessions; test_distributed.py looks at it."""

import sys
from pathlib import Path

import torch
from torch import Tensor, nn

from mmbench.distributed import in_parallel, join_processes, process_rank

STEPS, BATCH = 6, 4


class Network(nn.Module):
    """Layers of several sizes, in another order of use than of definition, and one that is not trained."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(33, 5)
        self.frozen = nn.Linear(7, 7).requires_grad_(False)
        self.first = nn.Conv2d(3, 33, 3).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.norm = nn.BatchNorm2d(33)

    def forward(self, images: Tensor) -> Tensor:
        found: Tensor = self.last(self.norm(self.first(images)).mean((2, 3)))
        return found


def session(network: Network, steps: range) -> None:
    """Train as a process does that starts at the first of the steps."""
    model = in_parallel(network, torch.device("cpu"))
    optimiser = torch.optim.SGD(network.parameters(), lr=0.1)
    for step in steps:
        generator = torch.Generator().manual_seed(100 * step + process_rank())
        loss = model(torch.randn(BATCH, 3, 8, 8, generator=generator)).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()


def trained(*sessions: range) -> dict[str, Tensor]:
    torch.manual_seed(0)
    network = Network()
    for steps in sessions:
        session(network, steps)
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


if __name__ == "__main__":
    join_processes(torch.device("cpu"))
    whole = trained(range(STEPS))
    parts = trained(range(3), range(3, STEPS))
    torch.save((whole, parts), Path(sys.argv[1]) / f"process-{process_rank()}.pth")
