"""Communication between processes that work together; with one process, these functions do nothing.

In pretraining every process holds an equal part of the batch: process r has rows r B ... (r + 1) B - 1 of
the whole. If the whole may not be divisible, `own_share` and `gather_shares` split and join it.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from mmbench.errors import UserError, one_line
from mmbench.launched import (
    ALONE,
    TOGETHER,
    launched_processes,
    launched_rank,
    meeting_place,
    without_foreign_variables,
)

Result = TypeVar("Result")
LONGEST_WAIT = timedelta(days=2)  # the others wait while the first process computes alone
USUAL_WAIT = timedelta(minutes=30)  # as torch waits
LONGEST_MEETING = timedelta(minutes=10)  # until all processes have come
# Seconds after which the first process says that it waits, and the others.
FIRST_WORD, LATER_WORD = 10.0, 60.0


def join_processes(device: torch.device, longest_wait: timedelta = LONGEST_WAIT) -> torch.device:
    """Connect the processes that `torchrun` started; return this one's device.

    Args:
        longest_wait: how long a process waits for what another one computes.

    Raises:
        UserError: they started on another kind of device, not all of them came, or the environment does not
            say where they meet.
    """
    if launched_processes() == 1:
        return device
    from accelerate.state import PartialState

    with without_foreign_variables():
        joined = distributed.is_initialized()
        if not joined:
            PartialState._reset_state()  # of what this process did alone before
        state = PartialState(cpu=device.type == "cpu", **({} if joined else _met(longest_wait)))
    if state.device.type != device.type:
        raise UserError(f"processes that started on {state.device.type} cannot continue on {device.type}")
    return cast(torch.device, state.device)


def _met(longest_wait: timedelta) -> dict[str, object]:
    """Wait until all processes have come; return what connects them, as arguments of torch's process group.

    Torch waits where no Ctrl-C reaches it, so that it does so in a thread.

    Raises:
        UserError: they did not come within `LONGEST_MEETING`, or cannot.
    """
    place, processes = meeting_place(), launched_processes()
    from torch.distributed.rendezvous import rendezvous  # only where torch has it

    found: list[Any] = []
    problem: list[Exception] = []

    def meet() -> None:
        try:
            found.append(next(rendezvous("env://", timeout=LONGEST_MEETING)))
        except Exception as error:
            problem.append(error)

    meeting = threading.Thread(target=meet, daemon=True)
    meeting.start()
    meeting.join(LATER_WORD if launched_rank() else FIRST_WORD)
    where = f"{processes} processes at {place.host}:{place.port}"
    if meeting.is_alive():
        line = f"process {launched_rank()} waits for {where}, as WORLD_SIZE says; {ALONE}"
        print(one_line(line), file=sys.stderr, flush=True)
    while meeting.is_alive():
        meeting.join(1.0)
    if problem:
        reason = str(problem[0]).partition("\n")[0]
        raise UserError(f"not all of {where} met ({reason}); {TOGETHER}, or {ALONE}")
    store, rank, count = found[0]
    store.set_timeout(longest_wait)
    return {"store": store, "rank": rank, "world_size": count, "timeout": longest_wait}


def process_count() -> int:
    """Return how many processes train together."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def process_rank() -> int:
    """Return this process's rank, from 0."""
    return distributed.get_rank() if process_count() > 1 else 0


def in_parallel(model: nn.Module, device: torch.device) -> nn.Module:
    """Return the model whose gradients are averaged over processes; itself where there is one."""
    if process_count() == 1:
        return model
    devices = [device] if device.type == "cuda" else None
    return with_settled_sums(DistributedDataParallel(model, device_ids=devices, broadcast_buffers=False))


def with_settled_sums(model: nn.Module) -> nn.Module:
    """Return the model; where it is a DistributedDataParallel, after an empty pass through its gradients.

    It sums gradients in buckets that it arranges anew after the first backward pass, which changes the order
    of sums over three processes and more. After an empty pass it never does again, so that a run that was
    interrupted sums as one that was not. Source: torch/csrc/distributed/c10d/reducer.cpp,
    `should_rebuild_buckets`. Nothing of the model changes.
    """
    if not isinstance(model, DistributedDataParallel):
        return model
    module, usual = model.module, vars(model.module).get("forward")
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]

    def nothing() -> Tensor:
        zeros = [(parameter * torch.zeros_like(parameter)).sum().float() for parameter in trained]
        return torch.stack(zeros).sum()

    module.forward = nothing
    try:
        with torch.enable_grad():
            model().backward()
    finally:
        del module.forward
        if usual is not None:
            module.forward = usual
    for parameter in trained:
        parameter.grad = None
    return model


def own_rows(everyone: Tensor) -> Tensor:
    """Return this process's rows (B, ...) of the whole batch (W B, ...)."""
    return everyone.chunk(process_count())[process_rank()]


def own_share(count: int) -> slice:
    """Return this process's part of `count` things: consecutive, and the last processes may have fewer."""
    size = -(-count // process_count())
    return slice(min(count, process_rank() * size), min(count, (process_rank() + 1) * size))


@torch.no_grad()
def gather_shares(rows: Tensor, count: int) -> Tensor:
    """Return the rows of all processes (count, ...) from those of `own_share(count)`, without gradient."""
    if process_count() == 1:
        return rows
    size = -(-count // process_count())
    padded = rows.new_zeros((size, *rows.shape[1:]))
    padded[: len(rows)] = rows
    return gather(padded)[:count]


@torch.no_grad()
def gather(rows: Tensor) -> Tensor:
    """Return the rows of all processes, (B, ...) -> (W B, ...), without gradient."""
    if process_count() == 1:
        return rows
    parts = [torch.empty_like(rows) for _ in range(process_count())]
    distributed.all_gather(parts, rows.contiguous())
    return torch.cat(parts)


def gather_with_gradient(rows: Tensor) -> Tensor:
    """Return the rows of all processes, (B, ...) -> (W B, ...).

    The backward pass sums the gradients of all processes' losses for a row. As gradients of parameters are
    averaged over processes, the result is the gradient of the mean loss.
    """
    from torch.distributed.nn import functional as with_gradient

    return rows if process_count() == 1 else torch.cat(with_gradient.all_gather(rows))


def all_sum(values: Tensor) -> Tensor:
    """Return the sum over processes, same shape, with gradient."""
    from torch.distributed.nn import functional as with_gradient

    return values if process_count() == 1 else cast(Tensor, with_gradient.all_reduce(values))


def encode_in_order(encode: Callable[[Tensor], Tensor], rows: Tensor, order: Tensor) -> Tensor:
    """Return encode(rows), (B, ...) -> (B, D), with the whole batch shuffled across processes in between.

    Source: MoCo's shuffling BN (arXiv 1911.05722, section 3.3). Images go through `encode` in other
    groups than before, so that batch norm's statistics do not reveal which images belong together; the
    results are returned in the order of `rows`. No gradient passes.

    Args:
        encode: the network.
        rows: this process's images.
        order: a permutation (W B,) of the whole batch, the same in every process.
    """
    shuffled = own_rows(gather(rows)[order])
    return own_rows(gather(encode(shuffled))[order.argsort()])


def on_main(work: Callable[[], Result]) -> Result:
    """Run `work` in the first process, and return its result, which must be picklable, in every process.

    Raises:
        UserError: `work` raised it; it is raised in every process.
    """
    if process_count() == 1:
        return work()
    outcome: list[Result | UserError | None] = [None]
    if process_rank() == 0:
        try:
            outcome = [work()]
        except UserError as error:
            outcome = [error]
    distributed.broadcast_object_list(outcome)
    if isinstance(outcome[0], UserError):
        outcome[0].told_elsewhere = process_rank() > 0
        raise outcome[0]
    return cast(Result, outcome[0])


def any_process(wishes: Sequence[bool], device: torch.device) -> list[bool]:
    """Return for each flag whether it is set in any process."""
    if process_count() == 1:
        return list(wishes)
    counted = torch.tensor(wishes, dtype=torch.int64, device=device)
    distributed.all_reduce(counted)
    return [bool(count) for count in counted.tolist()]
