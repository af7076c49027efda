"""The configuration decides how a run computes, whatever others left in the environment."""

import os
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState
from accelerate.utils import DistributedType, DynamoBackend
from small_runs import make_trainer, small

import mmbench
from mmbench.data import Dataset
from mmbench.errors import UserError
from mmbench.pretrain.acceleration import make_accelerator

FEW = {"batch_size": 16, "framework.queue": 32}
LEFT = {
    "ACCELERATE_GRADIENT_ACCUMULATION_STEPS": "4",
    "ACCELERATE_DYNAMO_BACKEND": "inductor",
    "ACCELERATE_MIXED_PRECISION": "bf16",
    "ACCELERATE_USE_DEEPSPEED": "true",
    "ACCELERATE_USE_FSDP": "true",
    "ACCELERATE_USE_MEGATRON_LM": "true",
    "ACCELERATE_USE_PARALLELISM_CONFIG": "true",
    "ACCELERATE_TORCH_DEVICE": "meta",
    "ACCELERATE_DEBUG_MODE": "true",
    "RANK": "3",
    "LOCAL_RANK": "0",
    "PMI_SIZE": "2",
    "OMPI_COMM_WORLD_SIZE": "2",
    "MV2_COMM_WORLD_SIZE": "2",
}


def settings(accumulation: int) -> tuple[str, ...]:
    return (
        "precision=fp32",
        "optimiser.name=sgd",
        "optimiser.lr=0.1",
        "optimiser.reference_batch=null",
        f"accumulation={accumulation}",
    )


@pytest.mark.parametrize("accumulation", [1, 2])
def test_variables_of_launchers_change_no_run(
    accumulation: int, tiny: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small("moco", overrides=settings(accumulation))
    clean = make_trainer(config, tiny)
    losses = [clean.step().loss for _ in range(3)]
    for name, value in LEFT.items():
        monkeypatch.setenv(name, value)
    before = dict(os.environ)
    accelerator = make_accelerator(config)
    assert dict(os.environ) == before
    assert accelerator.gradient_accumulation_steps == accumulation
    assert accelerator.distributed_type is DistributedType.NO and accelerator.num_processes == 1
    assert accelerator.state.dynamo_plugin.backend is DynamoBackend.NO
    assert accelerator.mixed_precision == "no" and accelerator.device == torch.device("cpu")
    again = make_trainer(config, tiny)
    assert [again.step().loss for _ in range(3)] == losses
    ours, theirs = again.framework.state_dict(), clean.framework.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def facts(accelerator: Accelerator) -> tuple[object, ...]:
    state = accelerator.gradient_state
    return (
        accelerator.mixed_precision,
        accelerator.device,
        accelerator.num_processes,
        accelerator.gradient_accumulation_steps,
        state.num_steps,
        state.sync_gradients,
    )


@pytest.mark.parametrize("fails", [False, True])
def test_an_accelerator_of_the_caller_is_left_as_it_was(fails: bool, tiny: Dataset, tmp_path: Path) -> None:
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()
    theirs = Accelerator(cpu=True, mixed_precision="bf16", gradient_accumulation_steps=4)
    before = facts(theirs)
    overrides = {**FEW, "device": "cpu"} | ({"precision": "fp16"} if fails else {"accumulation": 2})
    with pytest.raises(UserError, match="fp16") if fails else nullcontext():
        mmbench.run_pretraining(
            "moco", dataset=tiny, out=tmp_path / "run", arch="mixmask_resnet8", epochs=1, overrides=overrides
        )
    assert facts(theirs) == before
    assert facts(Accelerator(cpu=True, mixed_precision="bf16", gradient_accumulation_steps=4)) == before


def test_a_run_leaves_no_accelerator_behind(tiny: Dataset, tmp_path: Path) -> None:
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()
    mmbench.run_pretraining(
        "moco",
        dataset=tiny,
        out=tmp_path / "run",
        arch="mixmask_resnet8",
        epochs=1,
        device="cpu",
        overrides=FEW,
    )
    assert Accelerator(cpu=True, mixed_precision="bf16").mixed_precision == "bf16"
