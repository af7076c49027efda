"""Broken, foreign and hostile files: one clear line each, nothing executed, nothing left behind."""

import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
import torchvision
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from mmbench.checkpoints.opening import open_checkpoint
from mmbench.checkpoints.reading import read_backbone
from mmbench.errors import UserError


class Hostile:
    """Unpickling this creates a file."""

    def __init__(self, victim: Path) -> None:
        self.victim = victim

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.victim),)


@pytest.mark.parametrize("container", ["torch", "torch-nested", "legacy-torch", "pickle"])
def test_hostile_files_do_nothing_and_are_refused(container: str, tmp_path: Path) -> None:
    victim, path = tmp_path / "victim", tmp_path / "model.pth"
    hostile = Hostile(victim)
    if container == "pickle":
        path.write_bytes(pickle.dumps({"state_dict": hostile}))
    else:
        content = {"state_dict": {"conv1.weight": torch.zeros(1)}, "args": hostile}
        torch.save(
            content if container == "torch-nested" else hostile,
            path,
            _use_new_zipfile_serialization=container != "legacy-torch",
        )
    with pytest.raises(UserError, match=r"refused|no torch checkpoint"):
        read_backbone(path)
    assert not victim.exists()


def broken_files(folder: Path) -> dict[str, tuple[Path, str]]:
    """Name -> (file, words that the error must hold)."""
    whole = torchvision.models.resnet18().state_dict()
    cases: dict[str, tuple[bytes | object, str]] = {
        "empty": (b"", "is empty"),
        "web page": (b"<!DOCTYPE html><html>404</html>", "web page"),
        "web page with space": (b"\n\n  <html></html>", "web page"),
        "text": (b"hello world, this is no model at all", "no checkpoint"),
        "picture": (b"\x89PNG\r\n\x1a\n" + bytes(64), "no checkpoint"),
        "safetensors of nothing": ((10**9).to_bytes(8, "little") + b"{}", "safetensors"),
        "safetensors cut": ((64).to_bytes(8, "little") + b'{"a":', "safetensors"),
        "a list": ([torch.zeros(1)], "not a dictionary"),
        "numbers": ({"epoch": 3}, "no tensors"),
        "arrays": ({"state_dict": {"conv1.weight": np.zeros(3)}}, ""),
        "vision transformer": (
            timm.create_model("vit_tiny_patch16_224").state_dict(),
            "no ResNet checkpoint",
        ),
        "changed stem": (
            {**whole, "conv1.weight": torch.zeros(64, 3, 5, 5)},
            "conv1.weight (64, 3, 5, 5) instead of",
        ),
        "one misshapen": ({**whole, "layer2.0.bn1.weight": torch.zeros(3)}, "1 misshapen"),
        "one too many": ({**whole, "layer9.weight": torch.zeros(3)}, "1 unexpected (layer9.weight)"),
        "not a number": ({**whole, "bn1.weight": torch.full((64,), torch.nan)}, "bn1.weight holds NaN"),
        "infinite": ({**whole, "bn1.bias": torch.full((64,), torch.inf)}, "bn1.bias holds NaN or infinity"),
        "only a head": ({"fc.weight": torch.zeros(10, 512)}, "no ResNet checkpoint"),
    }
    files = {}
    for number, (name, (content, words)) in enumerate(cases.items()):
        path = folder / f"{number}.pth"
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            torch.save(content, path)
        files[name] = (path, words)
    truncated = folder / "truncated.pth"
    torch.save(whole, truncated)
    truncated.write_bytes(truncated.read_bytes()[:20_000_000])
    files["truncated"] = (truncated, "truncated")
    with zipfile.ZipFile(folder / "foreign.zip", "w") as archive:
        archive.writestr("letter.txt", "hello")
    files["foreign zip"] = (folder / "foreign.zip", "zip file of something else")
    files["missing"] = (folder / "not-there.pth", "no checkpoint at")
    (folder / "empty-folder").mkdir()
    files["folder"] = (folder / "empty-folder", "neither a run folder nor a timm folder")
    return files


def test_broken_files_end_in_one_clear_line(tmp_path: Path) -> None:
    for name, (path, words) in broken_files(tmp_path).items():
        with pytest.raises(UserError) as error:
            read_backbone(path)
        message = str(error.value)
        assert words in message and "\n" not in message, (name, message)


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
        read_backbone(tmp_path / "a.safetensors", arch="mixmask_resnt18")


def test_other_timm_networks_are_read_by_name(tmp_path: Path) -> None:
    model = timm.create_model("convnext_atto")
    save_file(model.state_dict(), tmp_path / "convnext.safetensors")
    backbone = read_backbone(tmp_path / "convnext.safetensors", arch="convnext_atto")
    assert torch.equal(backbone.build().state_dict()["stem.0.weight"], model.state_dict()["stem.0.weight"])


def test_damaged_cards_are_named(tmp_path: Path) -> None:
    save_file(torchvision.models.resnet18().state_dict(), tmp_path / "model.safetensors")
    (tmp_path / "card.json").write_text("{")
    with pytest.raises(UserError, match=r"card\.json is no model card"):
        read_backbone(tmp_path)
    (tmp_path / "card.json").unlink()
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(UserError, match=r"not timm's config\.json"):
        read_backbone(tmp_path)
