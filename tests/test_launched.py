"""What launchers say in the environment counts where they started several processes, and nowhere else."""

from __future__ import annotations

import os
import socket
from datetime import timedelta

import pytest
import torch
from accelerate.state import PartialState

from mmbench import distributed
from mmbench.distributed import join_processes
from mmbench.errors import UserError
from mmbench.launched import (
    launched_here,
    launched_processes,
    launched_rank,
    meeting_place,
    without_foreign_variables,
)

TORCHRUN = {
    "WORLD_SIZE": "4",
    "RANK": "3",
    "LOCAL_RANK": "1",
    "LOCAL_WORLD_SIZE": "2",
    "MASTER_ADDR": "node7",
    "MASTER_PORT": "29511",
}


@pytest.fixture
def variables(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The test's own environment, without variables of launchers."""
    for name in TORCHRUN:
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def given(variables: pytest.MonkeyPatch, values: dict[str, str]) -> None:
    for name, value in values.items():
        variables.setenv(name, value)


def test_what_torchrun_says(variables: pytest.MonkeyPatch) -> None:
    given(variables, TORCHRUN)
    assert (launched_processes(), launched_rank(), launched_here(9)) == (4, 3, 2)
    assert meeting_place() == ("node7", 29511)
    variables.delenv("LOCAL_WORLD_SIZE")
    assert launched_here(9) == 9


@pytest.mark.parametrize(
    "left",
    [
        {},
        {"RANK": "3"},
        {"RANK": "gold", "LOCAL_RANK": "x", "LOCAL_WORLD_SIZE": "y"},
        {"RANK": "3", "WORLD_SIZE": "1"},
        {"PMI_SIZE": "2", "PMI_RANK": "1", "OMPI_COMM_WORLD_SIZE": "2", "MV2_COMM_WORLD_SIZE": "2"},
        {"SLURM_NTASKS": "4", "SLURM_PROCID": "2"},
    ],
)
def test_one_process_has_no_rank(left: dict[str, str], variables: pytest.MonkeyPatch) -> None:
    given(variables, left)
    assert (launched_processes(), launched_rank(), launched_here(7)) == (1, 0, 7)
    assert join_processes(torch.device("cpu")) == torch.device("cpu")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        *(
            ({"WORLD_SIZE": value}, "WORLD_SIZE is .*whole number from 1 to")
            for value in ("", " ", "abc", "0", "-1", "2.0", "1e3", "٣", "9" * 400)
        ),
        *(({"RANK": value}, "RANK is .*from 0 to 3") for value in ("", "4", "-1", "gold")),
        ({"LOCAL_RANK": "gold"}, "LOCAL_RANK is 'gold'"),
        ({"MASTER_PORT": "65536"}, "MASTER_PORT is '65536'.*from 1 to 65535"),
        *(
            ({name: None}, f"WORLD_SIZE is 4, but {name} is not set")
            for name in ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
        ),
        ({"MASTER_ADDR": ""}, "MASTER_ADDR is not set"),
    ],
)
def test_variables_that_cannot_be_are_one_line(
    changes: dict[str, str | None], words: str, variables: pytest.MonkeyPatch
) -> None:
    given(variables, {name: value for name, value in (TORCHRUN | changes).items() if value is not None})
    with pytest.raises(UserError, match=words) as caught:
        join_processes(torch.device("cpu"))
    assert str(caught.value).isprintable() and len(str(caught.value)) < 300
    assert "unset WORLD_SIZE" in str(caught.value)


def test_what_a_process_did_alone_does_not_connect_it(variables: pytest.MonkeyPatch) -> None:
    PartialState(cpu=True)
    given(variables, {name: value for name, value in TORCHRUN.items() if name != "MASTER_ADDR"})
    with pytest.raises(UserError, match="MASTER_ADDR is not set"):
        join_processes(torch.device("cpu"))


def test_foreign_variables_are_hidden_for_a_while(variables: pytest.MonkeyPatch) -> None:
    foreign = {
        "ACCELERATE_ANYTHING": "1",
        "PMI_SIZE": "2",
        "OMPI_COMM_WORLD_RANK": "1",
        "MPI_LOCALRANKID": "0",
    }
    given(variables, {"RANK": "1", "LOCAL_RANK": "1", "HOME_OF_MINE": "here", **foreign})
    before = dict(os.environ)
    with pytest.raises(ZeroDivisionError), without_foreign_variables(ACCELERATE_OURS="yes"):
        seen = dict(os.environ)
        raise ZeroDivisionError
    assert dict(os.environ) == before
    assert seen["ACCELERATE_OURS"] == "yes" and seen["HOME_OF_MINE"] == "here"
    assert seen.keys().isdisjoint({*foreign, "RANK", "LOCAL_RANK"})
    given(variables, TORCHRUN)
    with without_foreign_variables():
        assert TORCHRUN.items() <= os.environ.items() and foreign.keys().isdisjoint(os.environ)


def test_who_waits_alone_says_so_and_gives_up(
    variables: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    left = {
        "WORLD_SIZE": "2",
        "RANK": "0",
        "LOCAL_RANK": "0",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": port,
    }
    given(variables, left)
    variables.setattr(distributed, "LONGEST_MEETING", timedelta(seconds=2))
    variables.setattr(distributed, "FIRST_WORD", 0.1)
    with pytest.raises(UserError, match=f"not all of 2 processes at 127.0.0.1:{port} met"):
        join_processes(torch.device("cpu"))
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and f"process 0 waits for 2 processes at 127.0.0.1:{port}" in said
    assert not torch.distributed.is_initialized()
