"""Broken, foreign and hostile files: one clear line each, nothing executed, nothing left behind."""

import pickle
from pathlib import Path

import pytest
import timm
import torch
import torchvision
from broken import broken_files, hostile_files
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from safetensors.torch import save, save_file

from mmbench.checkpoints.files.opening import open_checkpoint
from mmbench.checkpoints.format import FORMATS
from mmbench.checkpoints.reading import load_backbone
from mmbench.cli.commands import main
from mmbench.errors import UserError


def test_hostile_files_do_nothing_and_are_refused(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    for container, path in hostile_files(tmp_path, victim):
        with pytest.raises(UserError, match=r"refused|damaged safetensors|not a torch checkpoint") as error:
            load_backbone(path)
        assert "\n" not in str(error.value), container
        assert not victim.exists(), container


def test_hostile_files_are_hostile(tmp_path: Path) -> None:
    """The same bytes do run code where nothing guards them."""
    for container, path in hostile_files(tmp_path, tmp_path / "victim"):
        if path.suffix == ".pkl" and "getattr" not in path.name:
            pickle.loads(path.read_bytes())
            (tmp_path / "victim").rmdir()  # fails where nothing was run
            assert container.startswith("Detectron2")


def test_broken_files_end_in_one_clear_line_and_leave_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = broken_files(tmp_path)
    assert len(files) >= 40
    (tmp_path / "out").mkdir()
    for name, (path, words) in files.items():
        with pytest.raises(SystemExit) as stop:
            main(["convert", str(path), str(tmp_path / "out" / "folder"), "--to", "timm"])
        told = capsys.readouterr().err
        assert stop.value.code == 2, name
        assert told.startswith("mmbench: error: ") and told.count("\n") == 1, (name, told)
        assert words in told, (name, told)
        assert not any((tmp_path / "out").iterdir()), name


# Each ends in another exception inside torch's unpickler: struct.error, TypeError, KeyError, EOFError.
@example(garbage=b"X")
@example(garbage=b"}}KJ\x80\x85s")
@example(garbage=b"h(")
@example(garbage=b"")
@given(garbage=st.binary(max_size=300))
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_bytes_end_in_a_traceback(garbage: bytes, tmp_path: Path) -> None:
    for start in (b"", b"PK\x03\x04", b"\x80\x02", bytes(8) + b"{"):
        path = tmp_path / "garbage"
        path.write_bytes(start + garbage)
        with pytest.raises(UserError):
            open_checkpoint(path)


def test_unknown_architecture_gets_a_near_match(tmp_path: Path) -> None:
    save_file(torchvision.models.resnet18().state_dict(), tmp_path / "a.safetensors")
    with pytest.raises(UserError, match="did you mean 'mixmask_resnet18"):
        load_backbone(tmp_path / "a.safetensors", arch="mixmask_resnt18")


def test_other_timm_networks_are_read_by_name(tmp_path: Path) -> None:
    model = timm.create_model("convnext_atto")
    save_file(model.state_dict(), tmp_path / "convnext.safetensors")
    backbone = load_backbone(tmp_path / "convnext.safetensors", arch="convnext_atto")
    assert torch.equal(backbone.build().state_dict()["stem.0.weight"], model.state_dict()["stem.0.weight"])


def test_damaged_cards_are_named(tmp_path: Path) -> None:
    save_file(torchvision.models.resnet18().state_dict(), tmp_path / "model.safetensors")
    (tmp_path / "card.json").write_text("{")
    with pytest.raises(UserError, match=r"card\.json is not a model card"):
        load_backbone(tmp_path)
    (tmp_path / "card.json").unlink()
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(UserError, match=r"not timm's config\.json"):
        load_backbone(tmp_path)


@given(cut=st.floats(0, 1), flips=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=4))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.parametrize("container", ["torch", "legacy", "safetensors", "pickle"])
def test_damaged_bytes_never_end_in_a_traceback(
    container: str, cut: float, flips: list[tuple[float, int]], tmp_path: Path
) -> None:
    path = tmp_path / container
    tensors = {"stem.conv1.weight": torch.ones(64, 3, 1, 1), "res2.0.conv1.weight": torch.ones(4)}
    if container == "safetensors":
        save_file(tensors, path)
    elif container == "pickle":
        path.write_bytes(pickle.dumps({"model": {name: tensor.numpy() for name, tensor in tensors.items()}}))
    else:
        torch.save(tensors, path, _use_new_zipfile_serialization=container == "torch")
    data = bytearray(path.read_bytes())
    for place, value in flips:
        data[int(place * (len(data) - 1))] = value
    path.write_bytes(data[: int(cut * len(data))])
    with pytest.raises(UserError) as error:
        load_backbone(path)
    assert "\n" not in str(error.value)


def test_every_format_says_what_it_drops_and_how_it_is_known() -> None:
    for name in FORMATS.names():
        entry = FORMATS.get(name)
        assert entry.marks and all(entry.dropped.values())


@pytest.mark.parametrize("length", [0x10080, 0x13C20, 0x14B50])
def test_safetensors_are_told_from_what_begins_with_the_same_bytes(length: int, tmp_path: Path) -> None:
    """The file begins with the length of its header, which can look like a pickle, a page or a zip."""
    data = save(torchvision.models.resnet18().state_dict())
    size = int.from_bytes(data[:8], "little")
    header = data[8 : 8 + size].ljust(length)
    (tmp_path / "a").write_bytes(length.to_bytes(8, "little") + header + data[8 + size :])
    assert load_backbone(tmp_path / "a").arch == "mixmask_resnet18"
