"""The time of a computation: what the system counts for the process and for those that it starts."""

import multiprocessing
import os
import time

import pytest
import torch

from mmbench.compute_meter import ComputeMeter
from mmbench.compute_time import ComputeTime

BURNT = 0.3


def burn(seconds: float = BURNT) -> None:
    start = time.process_time()
    while time.process_time() - start < seconds:
        pass


def burn_then_wait(done: "multiprocessing.synchronize.Event") -> None:
    burn()
    done.set()
    time.sleep(60)


def test_processes_that_run_and_that_have_ended_count() -> None:
    context = multiprocessing.get_context("fork")
    meter, before = ComputeMeter(torch.device("cpu")), os.times()
    ended = context.Process(target=burn)
    ended.start()
    ended.join()
    done = context.Event()
    running = context.Process(target=burn_then_wait, args=(done,))
    running.start()
    done.wait()
    burn()
    found, now = meter.read(), os.times()
    running.kill()
    running.join()
    assert found is not None and found.kind == "cpu"
    counted = sum(now[:4]) - sum(before[:4])  # without the one that still runs
    assert counted + 0.8 * BURNT < found.seconds < counted + BURNT + 1.0


def test_waiting_is_no_processor_time_but_holds_a_gpu() -> None:
    meters = {kind: ComputeMeter(torch.device(kind)) for kind in ("cpu", "meta")}
    time.sleep(0.5)
    meters["meta"].device = torch.device("cpu")  # where its number is added up
    cpu, held = meters["cpu"].read(), meters["meta"].read()
    assert cpu is not None and held is not None
    assert (cpu.kind, held.kind) == ("cpu", "gpu")
    assert cpu.seconds < 0.5 <= held.seconds


@pytest.mark.parametrize(
    ("earlier", "expected"),
    [(ComputeTime(kind="cpu", seconds=100), 100), (ComputeTime(kind="gpu", seconds=100), None), (None, None)],
)
def test_sessions_add_up_where_they_are_known_and_alike(
    earlier: ComputeTime | None, expected: float | None
) -> None:
    meter = ComputeMeter(torch.device("cpu"))
    meter.go_on(None if earlier is None else earlier.model_dump())
    found, stored = meter.read(), meter.stored()
    if expected is None:
        assert found is None and stored is None
    else:
        assert found is not None and stored is not None and stored["kind"] == "cpu"
        assert expected <= found.seconds <= stored["seconds"] < expected + 5
    meter.start_again()
    fresh = meter.read()
    assert fresh is not None and fresh.seconds < 5
