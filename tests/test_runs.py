"""The run folder: settings, states, metrics, lock."""

import os
from pathlib import Path

import pytest
import torch

from mmbench.errors import UserError
from mmbench.runs import MetricsLog, RunFolder, differences, read_metrics

CPU = torch.device("cpu")


def test_a_new_folder_takes_the_settings_and_an_old_one_compares_them(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    settings = {"epochs": 3, "optimiser": {"lr": 0.1}, "device": "cpu"}
    assert not folder.open(settings)
    assert folder.open(settings)
    assert folder.open({**settings, "device": "cuda"}, runtime=("device",))
    with pytest.raises(UserError) as caught:
        folder.open({"epochs": 4, "optimiser": {"lr": 0.2}, "device": "cpu"})
    assert "epochs: 3 there, 4 now; optimiser.lr: 0.1 there, 0.2 now" in str(caught.value)


def test_differences_name_what_is_on_one_side_only() -> None:
    assert differences({"a": 1}, {"b": {"c": 2}}) == ["a: 1 there, None now", "b: None there, {'c': 2} now"]
    assert differences({"a": {"b": [1]}}, {"a": {"b": [1]}}) == []


def test_a_folder_with_other_files_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(UserError, match=r"not a run folder but holds files \(thesis\.tex"):
        RunFolder(tmp_path).open({"epochs": 1})
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    with pytest.raises(UserError, match="is a file"):
        RunFolder(tmp_path / "thesis.tex").open({})


def test_damaged_settings_are_named(tmp_path: Path) -> None:
    RunFolder(tmp_path).settings.write_text("{")
    with pytest.raises(UserError, match=r"settings\.yaml is damaged"):
        RunFolder(tmp_path).open({})


def test_the_newest_two_states_are_kept(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    for step in (10, 20, 100000):
        folder.save_state({"step": step}, step)
    assert [path.name for path in folder.state_paths()] == ["step-00100000.pth", "step-00000020.pth"]
    newest = folder.newest_state(print)
    assert newest is not None
    state = folder.load_state(newest, CPU)
    assert state == {"step": 100000}


@pytest.mark.parametrize("damage", ["truncated", "empty", "nonsense"])
def test_an_unreadable_state_is_skipped_with_a_word(tmp_path: Path, damage: str) -> None:
    folder = RunFolder(tmp_path)
    folder.save_state({"step": 1, "weights": torch.ones(1000)}, 1)
    newest = folder.save_state({"step": 2, "weights": torch.ones(1000)}, 2)
    whole = newest.read_bytes()
    newest.write_bytes({"truncated": whole[: len(whole) // 2], "empty": b"", "nonsense": b"x" * 99}[damage])
    said: list[str] = []
    newest = folder.newest_state(said.append)
    assert newest is not None
    state = folder.load_state(newest, CPU)
    assert state is not None
    assert state["step"] == 1
    assert len(said) == 1
    assert "step-00000002.pth cannot be read" in said[0]


def test_what_a_killed_process_left_half_written_is_removed(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.training.mkdir()
    leftover = folder.training / ".step-00000001-abc.pth"
    leftover.write_bytes(b"half")
    assert folder.newest_state(print) is None
    assert not leftover.exists()


def test_metrics_past_the_resumed_step_are_dropped(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    log = MetricsLog(path, 0)
    for step in (1, 2, 3):
        log.write({"step": step, "loss": 0.5})
    log.close()
    with path.open("a") as stream:
        stream.write('{"step": 4, "lo')  # killed in the middle of a line
    log = MetricsLog(path, 2)
    log.write({"step": 3, "loss": 0.25})
    log.close()
    assert [(record["step"], record["loss"]) for record in read_metrics(path)] == [
        (1, 0.5),
        (2, 0.5),
        (3, 0.25),
    ]


def test_one_process_at_a_time(tmp_path: Path) -> None:
    with (
        RunFolder(tmp_path).locked(),
        pytest.raises(UserError, match="another process is training"),
        RunFolder(tmp_path).locked(),
    ):
        pass
    with RunFolder(tmp_path).locked():
        pass


def test_a_forked_child_does_not_hold_the_lock(tmp_path: Path) -> None:
    """As a data worker does, the child lives on after the parent has let go."""
    folder = RunFolder(tmp_path / "run")
    until, wake = os.pipe()
    ready, say = os.pipe()
    with folder.locked():
        child = os.fork()
        if child == 0:
            os.write(say, b"x")
            os.read(until, 1)
            os._exit(0)
    os.read(ready, 1)
    try:
        with folder.locked():
            pass
    finally:
        os.write(wake, b"x")
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.parametrize("elsewhere", ["folder", "file"])
def test_states_are_never_written_through_a_link(tmp_path: Path, elsewhere: str) -> None:
    folder, outside = RunFolder(tmp_path / "run"), tmp_path / "outside"
    folder.root.mkdir()
    outside.mkdir() if elsewhere == "folder" else outside.write_text("precious")
    folder.training.symlink_to(outside)
    for act in (lambda: folder.save_state({"step": 1}, 1), lambda: folder.newest_state(print)):
        with pytest.raises(UserError, match="training is a link or a file"):
            act()
    assert outside.read_text() == "precious" if outside.is_file() else not list(outside.iterdir())


def test_a_lock_that_is_a_link_is_refused(tmp_path: Path) -> None:
    folder, outside = RunFolder(tmp_path / "run"), tmp_path / "outside"
    outside.write_text("precious")
    folder.root.mkdir()
    folder.lock.symlink_to(outside)
    with pytest.raises(UserError, match="it is a symbolic link"), folder.locked():
        pass
    assert outside.read_text() == "precious"


@pytest.mark.parametrize("there", [True, False])
def test_metrics_are_never_written_through_a_link(tmp_path: Path, there: bool) -> None:
    outside, path = tmp_path / "outside", tmp_path / "metrics.jsonl"
    if there:
        outside.write_text('{"step": 1}\n')
    path.symlink_to(outside)
    log = MetricsLog(path, 1)
    log.write({"step": 2})
    log.close()
    assert [record["step"] for record in read_metrics(path)] == ([1, 2] if there else [2])
    assert outside.read_text() == '{"step": 1}\n' if there else not outside.exists()
