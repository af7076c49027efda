"""The Python API in every state of torch that a caller may be in: equal numbers, and the state is kept."""

from __future__ import annotations

import json
import os
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch._C import _len_torch_function_stack

import mmbench
from mmbench.data import Dataset, ImageSplit
from mmbench.own_state import own_state

FEW = {"batch_size": 16, "framework.queue": 32}


def coloured(split: str, count: int) -> ImageSplit:
    """Noise of three tints, 20 px."""
    generator = torch.Generator().manual_seed(count)
    labels = torch.arange(count) % 3
    images = torch.randint(0, 200, (count, 3, 20, 20), generator=generator)
    images[torch.arange(count), labels] += 50
    return ImageSplit(images.to(torch.uint8), labels)


def coloured_data() -> Dataset:
    sizes = {"train": 36, "val": 12, "test": 24}
    splits = {name: lambda name=name, count=count: coloured(name, count) for name, count in sizes.items()}
    return Dataset("coloured", Path("coloured"), ("red", "green", "blue"), splits, 16)


def numbers(out: Path) -> dict[str, Any]:
    """Return what two trained and two untrained measurements and a pretraining give, and what they keep."""
    data = coloured_data()
    found: dict[str, Any] = {}
    for task, overrides in (("knn", None), ("linear", None), ("logreg", None), ("finetune", {"epochs": 1})):
        (result,) = mmbench.evaluate(
            "random", task, data, arch="mixmask_resnet8", overrides=overrides, out=out, device="cpu"
        )
        found[task] = {name: metric.value for name, metric in result.metrics.items()}
        found[f"weights of {task}"] = result.weights_sha256
    folder = mmbench.run_pretraining(
        "moco", dataset=data, out=out / "run", arch="mixmask_resnet8", epochs=1, device="cpu", overrides=FEW
    )
    found["pretrained"] = json.loads((folder.root / "card.json").read_text())["weights_sha256"]
    return found


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


@contextmanager
def default_device(device: str) -> Iterator[None]:
    torch.set_default_device(device)
    try:
        yield
    finally:
        torch.set_default_device(None)


@contextmanager
def seeds_of_a_caller() -> Iterator[None]:
    torch.manual_seed(77)
    np.random.seed(5)
    random.seed(4)
    yield


@contextmanager
def matrix_products(precision: str) -> Iterator[None]:
    torch.set_float32_matmul_precision(precision)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision("highest")


STATES: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "float64": lambda: default_dtype(torch.float64),
    "bfloat16": lambda: default_dtype(torch.bfloat16),
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
    "default device": lambda: default_device("meta"),
    "device": lambda: torch.device("meta"),
    "seeds": seeds_of_a_caller,
    "matrix products": lambda: matrix_products("medium"),
    "without oneDNN": lambda: torch.backends.mkldnn.flags(enabled=False, allow_tf32=None),
}


def state() -> dict[str, Any]:
    """Return all that a caller may have changed."""
    nesting = torch.autocast_increment_nesting()
    torch.autocast_decrement_nesting()
    return {
        "dtype": torch.get_default_dtype(),
        "device": str(torch.get_default_device()),
        "made": str(torch.ones(1).device),
        "gradients": torch.is_grad_enabled(),
        "inference": torch.is_inference_mode_enabled(),
        "autocast": torch.is_autocast_enabled("cpu"),
        "nesting": nesting,
        "threads": torch.get_num_threads(),
        "matrix products": torch.get_float32_matmul_precision(),
        "oneDNN": torch.backends.mkldnn.enabled,
        "torch": bytes(torch.default_generator.get_state().numpy()),
        "numpy": np.random.get_state()[1].tobytes(),  # type: ignore[index]
        "python": random.getstate(),
    }


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return numbers(tmp_path_factory.mktemp("usual"))


@pytest.mark.parametrize("name", STATES)
def test_numbers_are_the_same_and_the_state_is_kept(name: str, usual: dict[str, Any], tmp_path: Path) -> None:
    with STATES[name]():
        before = state()
        found = numbers(tmp_path)
        assert state() == before
    assert found == usual


def test_tensors_of_a_backbone_loaded_in_inference_mode_can_be_trained(tmp_path: Path) -> None:
    folder = mmbench.run_pretraining(
        "moco",
        dataset=coloured_data(),
        out=tmp_path / "run",
        arch="mixmask_resnet8",
        epochs=1,
        device="cpu",
        overrides=FEW,
    )
    with torch.inference_mode():
        backbone = mmbench.load_backbone(folder.root)
    network = backbone.build()
    network(torch.ones(2, 3, 16, 16)).sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
    assert not any(tensor.is_inference() for tensor in backbone.state_dict.values())


def test_a_network_made_in_inference_mode_is_measured(tmp_path: Path) -> None:
    class Small(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convolution = nn.Conv2d(3, 8, 3)

        def forward(self, images: Tensor) -> Tensor:
            maps: Tensor = self.convolution(images)
            return maps.relu()

    plain = mmbench.Preprocessing(image_size=16)
    found = []
    contexts: tuple[AbstractContextManager[Any], ...] = (nullcontext(), torch.inference_mode())
    for place, context in enumerate(contexts):
        with context:
            torch.manual_seed(0)
            (result,) = mmbench.evaluate(
                Small(), "knn", coloured_data(), name="small", preprocessing=plain, out=tmp_path / f"{place}"
            )
        found.append((result.metrics["top1"].value, result.weights_sha256))
    assert found[0] == found[1]


@pytest.mark.parametrize("name", STATES)
def test_an_error_leaves_the_callers_state(name: str) -> None:
    before_all = state()["device"], state()["dtype"], state()["nesting"]
    with STATES[name]():
        before = state()
        with pytest.raises(ZeroDivisionError), own_state():
            assert torch.ones(1).sqrt().dtype == torch.float32 and torch.ones(1).device.type == "cpu"
            assert torch.get_default_device().type == "cpu"
            assert (torch.ones(2, 2, requires_grad=True) @ torch.ones(2, 2)).dtype == torch.float32
            assert (torch.ones(1, requires_grad=True) * 2).requires_grad
            assert state()["nesting"] == 1 and not state()["autocast"]
            torch.rand(3), np.random.rand(), random.random()
            torch.set_default_dtype(torch.float16)
            torch.set_num_threads(before["threads"] + 1)
            print(1 / 0)
        assert state() == before
    assert (state()["device"], state()["dtype"], state()["nesting"]) == before_all


def test_a_device_within_a_default_device() -> None:
    with default_device("cpu"):
        with torch.device("meta"):
            with own_state():
                assert torch.ones(1).device.type == "cpu" and not _len_torch_function_stack()
            assert torch.ones(1).is_meta
        assert not torch.ones(1).is_meta and _len_torch_function_stack() == 1
    assert not _len_torch_function_stack()


def test_weights_change_between_steps_of_autocast_within_the_callers() -> None:
    layer = nn.Linear(2, 1, bias=False)
    with torch.autocast("cpu", torch.bfloat16), own_state():
        seen = []
        for _ in range(2):
            with torch.autocast("cpu", torch.bfloat16):
                seen.append(layer(torch.ones(1, 2)).item())
            layer.weight.data += 1
    assert seen[1] == pytest.approx(seen[0] + 2, abs=0.05)


def test_one_thread_at_a_time_is_inside_and_may_come_again() -> None:
    inside, most = 0, []

    @own_state()
    def compute(again: bool) -> None:
        nonlocal inside
        inside += 1
        most.append(inside)
        torch.rand(1000, 1000).sum()
        inside -= 1
        if again:
            compute(False)

    threads = [threading.Thread(target=compute, args=(True,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 8


def test_threads_measure_what_one_after_another_does(tmp_path: Path) -> None:
    def digest(seed: int, out: str) -> str | None:
        (result,) = mmbench.evaluate(
            "random", "knn", coloured_data(), arch="mixmask_resnet8", seeds=[seed], out=tmp_path / out
        )
        return result.weights_sha256

    found: dict[int, str | None] = {}
    threads = [
        threading.Thread(target=lambda seed=seed: found.update({seed: digest(seed, "threads")}))
        for seed in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {seed: digest(seed, "single") for seed in range(4)}


def test_a_process_forked_while_a_thread_is_inside_is_not_stuck() -> None:
    inside, over = threading.Event(), threading.Event()

    def hold() -> None:
        with own_state():
            inside.set()
            over.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    inside.wait()
    child = os.fork()
    if child == 0:
        import signal

        signal.alarm(20)
        with own_state():
            os._exit(7)
    over.set()
    thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
