"""Files that are no whole ResNet checkpoint, each with words that the one line about it must hold."""

import os
import pickle
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
import torchvision
from safetensors.torch import save
from torch import Tensor

State = dict[str, Tensor]
LEGACY = {"_use_new_zipfile_serialization": False}


class Hostile:
    """Unpickling this makes a folder."""

    def __init__(self, victim: Path) -> None:
        self.victim = victim

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.victim),)


def hostile_files(folder: Path, victim: Path) -> Iterator[tuple[str, Path]]:
    """Yield (container, file): every container that is read, with something that would run code in it."""
    harmless = {"conv1.weight": torch.zeros(1)}
    hostile = Hostile(victim)
    run = folder / "run"
    run.mkdir()
    cases: dict[str, tuple[Path, Any, dict[str, Any]]] = {
        "torch": (folder / "a.pth", hostile, {}),
        "torch, beside weights": (folder / "b.pth", {"state_dict": harmless, "args": hostile}, {}),
        "torch, among weights": (folder / "c.pth", {"state_dict": {**harmless, "x": hostile}}, {}),
        "torch before 1.6": (folder / "d.pth", {"state_dict": harmless, "args": hostile}, LEGACY),
        "weights of a run folder": (run / "model.safetensors", hostile, {}),
    }
    for name, (path, content, how) in cases.items():
        torch.save(content, path, **how)
        yield name, run if path.parent == run else path
    arrays = {"conv1.weight": np.zeros(1)}
    for protocol in (2, 4, 5):
        path = folder / f"{protocol}.pkl"
        path.write_bytes(pickle.dumps({"model": arrays, "__author__": hostile}, protocol=protocol))
        yield f"Detectron2, protocol {protocol}", path
    path = folder / "global.pkl"
    path.write_bytes(
        b"\x80\x02cos\nmkdir\nX" + len(str(victim)).to_bytes(4, "little") + str(victim).encode() + b"\x85R."
    )
    yield "Detectron2, by hand", path
    path = folder / "getattr.pkl"
    path.write_bytes(b"\x80\x02cbuiltins\ngetattr\ncbuiltins\ndict\nX\x04\x00\x00\x00keys\x86R.")
    yield "Detectron2, builtins", path
    path = folder / "settings.pth"
    torch.save({"state_dict": harmless, "f": getattr, "m": os.path.join}, path)
    yield "torch, functions", path


def _torch_files() -> Iterator[tuple[str, Any, str]]:
    """Yield (name, content, words) of files in torch's own container."""
    whole = torchvision.models.resnet18().state_dict()
    moco = {f"module.encoder_q.{name}": tensor for name, tensor in whole.items() if name[:3] != "fc."}

    def without(state: State, *names: str) -> State:
        return {name: tensor for name, tensor in state.items() if name not in names}

    nan, infinite = torch.full((64,), torch.nan), torch.full((64,), torch.inf)
    yield "a list", [torch.zeros(1)], "not a dictionary"
    yield "a tensor", torch.zeros(3), "holds a Tensor, not a dictionary"
    yield "a word", "weights", "holds a str"
    yield "nothing", None, "holds a NoneType"
    yield "an empty dictionary", {}, "no tensors"
    yield "an empty state dict", {"state_dict": {}}, "no tensors"
    yield "numbers", {"epoch": 3}, "no tensors"
    yield "an optimiser", {"state": {}, "param_groups": [{"lr": 0.1}]}, "no tensors"
    yield "keys that are numbers", {0: torch.zeros(1), 1: torch.zeros(2)}, "not a ResNet checkpoint"
    yield "an array that stops short", {"state_dict": {"conv1.weight": np.zeros(3)}}, "nearest is"
    yield (
        "a vision transformer",
        timm.create_model("vit_tiny_patch16_224").state_dict(),
        "not a ResNet checkpoint",
    )
    yield "a ConvNeXt", timm.create_model("convnext_atto").state_dict(), "name it by --arch"
    yield "a ResNeXt", timm.create_model("resnext50_32x4d").state_dict(), "misshapen"
    yield "a deep stem", timm.create_model("resnet18d").state_dict(), "nearest is mixmask_resnet18"
    yield "only a head", {"fc.weight": torch.zeros(10, 512)}, "not a ResNet checkpoint"
    yield "only a projector", {"projection_head.0.weight": torch.zeros(4, 4)}, "missing"
    yield "a changed stem", {**whole, "conv1.weight": torch.zeros(64, 3, 5, 5)}, "(64, 3, 5, 5) instead of"
    yield "grey images", {**whole, "conv1.weight": torch.zeros(64, 1, 7, 7)}, "(64, 1, 7, 7) instead of"
    yield "one misshapen", {**whole, "layer2.0.bn1.weight": torch.zeros(3)}, "1 misshapen"
    yield "one flat", {**whole, "layer2.0.conv1.weight": torch.zeros(73728)}, "1 misshapen"
    yield "one scalar", {**whole, "bn1.weight": torch.zeros(())}, "bn1.weight () instead of (64,)"
    yield "one too many", {**whole, "layer9.weight": torch.zeros(3)}, "1 unexpected (layer9.weight)"
    yield "one missing", without(whole, "layer3.1.bn2.running_var"), "1 missing (layer3.1.bn2.running_var)"
    yield "MoCo, one missing", without(moco, "module.encoder_q.conv1.weight"), "1 missing (conv1.weight)"
    yield (
        "MoCo, key encoder only",
        {k.replace("_q", "_k"): t for k, t in moco.items()},
        "not a ResNet checkpoint",
    )
    yield "a lost stage", {k: t for k, t in whole.items() if not k.startswith("layer4")}, "missing"
    yield "NaN", {**whole, "bn1.weight": nan}, "bn1.weight holds NaN"
    yield "NaN in MoCo", {**moco, "module.encoder_q.bn1.bias": nan}, "bn1.bias holds NaN"
    yield "infinity", {**whole, "bn1.bias": infinite}, "bn1.bias holds NaN or infinity"
    yield "too large for half", {**whole, "bn1.bias": infinite.half()}, "bn1.bias holds NaN or infinity"
    yield "complex", {**whole, "bn1.bias": torch.zeros(64, dtype=torch.complex64)}, "bn1.bias is complex64"
    yield "whole numbers", {**whole, "bn1.bias": torch.zeros(64, dtype=torch.int32)}, "bn1.bias is int32"
    yield (
        "8 bits",
        {**whole, "bn1.bias": torch.zeros(64).to(torch.float8_e4m3fn)},
        "bn1.bias is float8_e4m3fn",
    )
    counter = "bn1.num_batches_tracked"
    yield "two counts", {**whole, counter: torch.zeros(2)}, f"counter {counter} holds 2 numbers"
    yield "sparse", {**whole, "bn1.bias": torch.zeros(64).to_sparse()}, "bn1.bias is sparse"
    endless = torch.zeros(1).expand(10**6, 10**6)  # a few bytes in the file
    yield "endless, misshapen", {**whole, "bn1.bias": endless}, "repeats 4 stored bytes"
    yield "endless, unexpected", {**whole, "layer9.weight": endless}, "repeats 4 stored bytes"
    repeated = torch.zeros(1).expand(512, 512, 3, 3)
    yield "repeated", {**whole, "layer4.1.conv2.weight": repeated}, "repeats 4 stored bytes"
    yield "without memory", {**whole, "bn1.bias": torch.zeros(64, device="meta")}, "bn1.bias has no values"


def _raw_files() -> Iterator[tuple[str, bytes, str]]:
    """Yield (name, bytes, words) of everything else."""
    good = save(torchvision.models.resnet18().state_dict())
    legacy_magic = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
    yield "empty", b"", "is empty"
    yield "a web page", b"<!DOCTYPE html><html>404</html>", "web page"
    yield "a web page after blanks", b"\n\n  <html></html>", "web page"
    yield "a web page after a byte-order mark", b"\xef\xbb\xbf<html></html>", "web page"
    yield (
        "a pointer of Git LFS",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
        "Git LFS pointer",
    )
    yield "an error in JSON", b'{"error": "not found"}', "not a checkpoint"
    yield "a letter", b"hello world, this is not a model at all", "not a checkpoint"
    yield "an image", b"\x89PNG\r\n\x1a\n" + bytes(64), "not a checkpoint"
    yield "gzip", b"\x1f\x8b\x08" + bytes(32), "not a checkpoint"
    yield "zeros", bytes(4096), "not a checkpoint"
    yield "safetensors of nothing", (10**9).to_bytes(8, "little") + b"{}", "safetensors"
    yield "safetensors, header cut", (64).to_bytes(8, "little") + b'{"a":', "safetensors"
    yield "safetensors, data cut", good[:1_000_000], "safetensors"
    yield "safetensors, header that lies", good[:8] + good[8:].replace(b'"F32"', b'"F99"', 1), "safetensors"
    yield "the start of an old torch file", legacy_magic, "truncated"
    yield "half a pickle", pickle.dumps({"model": {"stem.conv1.weight": np.zeros(99)}})[:-30], "broken pickle"
    yield "a pickle of numbers", pickle.dumps({"model": {"a": 1}}), "no tensors"
    yield "a pickle of objects", pickle.dumps({"model": {"a": np.array([None])}}), "no tensors"
    yield (
        "a pickle with two arrays",
        pickle.dumps({"model": {"stem.conv1.weight": np.zeros((64, 3, 7, 7))}}),
        "missing",
    )
    forged = pickle.dumps({"model": {"stem.conv1.weight": np.zeros((64, 3, 7, 7), "f4")}}, protocol=4)
    yield (
        "an array that says it is larger",
        forged.replace(b"K@K\x03K\x07K\x07", b"KAK\x03K\x07K\x07"),
        "damaged",
    )


def broken_files(folder: Path) -> dict[str, tuple[Path, str]]:
    """Return name -> (file or folder, words that the one line must hold)."""
    files: dict[str, tuple[Path, str]] = {}
    for number, (name, content, words) in enumerate(_torch_files()):
        torch.save(content, folder / f"{number}.pth")
        files[name] = folder / f"{number}.pth", words
    for number, (name, data, words) in enumerate(_raw_files()):
        (folder / f"{number}.raw").write_bytes(data)
        files[name] = folder / f"{number}.raw", words
    truncated = folder / "truncated.pth"
    torch.save(torchvision.models.resnet18().state_dict(), truncated)
    truncated.write_bytes(truncated.read_bytes()[:20_000_000])
    files["truncated"] = truncated, "truncated"
    with zipfile.ZipFile(folder / "foreign.zip", "w") as archive:
        archive.writestr("letter.txt", "hello")
    files["foreign zip"] = folder / "foreign.zip", "zip file of something else"
    files["missing"] = folder / "not-there.pth", "no checkpoint at"
    (folder / "empty-folder").mkdir()
    files["folder"] = folder / "empty-folder", "neither a run folder nor a timm folder"
    return files
