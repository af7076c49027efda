"""The checks of `mmbench doctor`. They are independent of each other."""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import importlib.util
import io
import os
import platform
import re
import shutil
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mmbench.version import __version__

Status = Literal["ok", "absent", "problem"]

LEAST_PYTHON = (3, 11)
LEAST_FREE_GIB = 1.0
# Distribution -> module, where the names differ.
MODULES = {"PyYAML": "yaml", "Jinja2": "jinja2", "scikit-learn": "sklearn", "pillow": "PIL"}
CHECKED_ALONE = ("torch", "torchvision", "timm")
DETECTION_FIX = "pip install 'mmbench[detection]' && python -m mmbench.tools.install_detectron2"
SEGMENTATION_FIX = "pip install 'mmbench[segmentation]'"
PNG_FIX = "pip install 'mmbench[png]'"
TORCH_FIX = "pip install --upgrade torch torchvision"
# What Python says when torchvision's compiled part does not fit torch.
MISMATCH = re.compile(r"torchvision::\w+ does not exist|torchvision.*undefined symbol")


@dataclass(frozen=True)
class Finding:
    """What one check found.

    Attributes:
        name: what was checked.
        status: "ok"; "absent" for an optional library that is not installed; "problem".
        detail: versions and facts, or what is wrong.
        fix: the command that fixes it, None if there is nothing to fix.
    """

    name: str
    status: Status
    detail: str
    fix: str | None = None


Check = Callable[[], Finding]


def _version(distribution: str) -> str:
    """Return the installed version, "?" if it is unknown."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "?"


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep a library's prints and warnings off the terminal."""
    with (
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        yield


def run_check(name: str, fix: str | None, check: Check) -> Finding:
    """Run one check; whatever it raises becomes a problem that `fix` fixes.

    A torchvision that was built for another torch breaks everything that imports it; the report says so.
    """
    try:
        with _quiet():
            return check()
    except (Exception, SystemExit) as error:
        first = str(error).strip().splitlines() or ["no message"]
        detail = f"{type(error).__name__}: {first[0][:200]}"
    if MISMATCH.search(detail):
        versions = f"torchvision {_version('torchvision')} was not built for torch {_version('torch')}"
        return Finding(name, "problem", f"{versions} ({detail})", TORCH_FIX)
    return Finding(name, "problem", detail, fix)


def check_python() -> Finding:
    """Python is new enough."""
    detail = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    if sys.version_info < LEAST_PYTHON:
        least = ".".join(map(str, LEAST_PYTHON))
        return Finding(
            "python", "problem", f"{detail}; {least} or newer is needed", f"install Python {least}"
        )
    return Finding("python", "ok", detail)


def check_mmbench() -> Finding:
    """Report the version of mmbench, and whether it runs from a checkout."""
    checkout = Path(__file__).resolve().parent.parent / "pyproject.toml"
    return Finding("mmbench", "ok", f"{__version__}, {'a checkout' if checkout.exists() else 'installed'}")


def core_requirements() -> list[str]:
    """Return the requirements of mmbench itself, without extras, such as "pandas>=2.2"."""
    return [line for line in importlib.metadata.requires("mmbench") or [] if "extra ==" not in line]


def check_libraries() -> Finding:
    """Every core library is installed, new enough, and can be imported."""
    name = "core libraries"
    requirement = importlib.import_module("packaging.requirements").Requirement
    found, wrong, wanted = [], [], []
    for line in core_requirements():
        parsed = requirement(line)
        if parsed.name in CHECKED_ALONE:
            continue
        version = _version(parsed.name)
        try:
            if version == "?":
                raise ImportError("not installed")
            if not parsed.specifier.contains(version, prereleases=True):
                raise ImportError(f"{version} does not satisfy {parsed.specifier}")
            importlib.import_module(MODULES.get(parsed.name, parsed.name.replace("-", "_")))
            found.append(f"{parsed.name} {version}")
        except Exception as error:  # a broken library may raise anything
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            wrong.append(f"{parsed.name}: {reason[:120]}")
            wanted.append(f"'{line}'")
    if wrong:
        fix = f"pip install --upgrade --force-reinstall {' '.join(wanted)}"
        return Finding(name, "problem", "; ".join(wrong), fix)
    return Finding(name, "ok", ", ".join(found))


def check_torch() -> Finding:
    """Torch computes, forward and backward."""
    import torch

    weights = torch.ones(3, 2, requires_grad=True)
    (torch.arange(3.0) @ weights).sum().backward()
    if weights.grad is None or weights.grad.tolist() != [[0, 0], [1, 1], [2, 2]]:
        return Finding("torch", "problem", f"{torch.__version__} computes a wrong gradient", TORCH_FIX)
    return Finding("torch", "ok", str(torch.__version__))


def check_processor() -> Finding:
    """Report the CPU's cores, torch's threads, and whether it has bfloat16."""
    import torch

    from mmbench.device import has_bfloat16

    bfloat16 = "bfloat16" if has_bfloat16(torch.device("cpu")) else "no bfloat16, float32 is used instead"
    detail = f"{os.cpu_count()} cores, {torch.get_num_threads()} torch threads, {bfloat16}"
    return Finding("CPU", "ok", detail)


def check_cuda() -> Finding:
    """Every CUDA device computes; report its memory and whether it has bfloat16."""
    import torch

    if not torch.cuda.is_available():
        built = torch.version.cuda
        return Finding(
            "CUDA", "absent", f"no device (torch {'built for ' + built if built else 'CPU build'})"
        )
    devices = []
    for index in range(torch.cuda.device_count()):
        if float(torch.ones(4, device=f"cuda:{index}").sum()) != 4:
            return Finding("CUDA", "problem", f"device {index} computes a wrong sum", TORCH_FIX)
        with torch.cuda.device(index):
            bfloat16 = "bfloat16" if torch.cuda.is_bf16_supported() else "no bfloat16"
        memory = torch.cuda.get_device_properties(index).total_memory / 2**30
        devices.append(f"{index}: {torch.cuda.get_device_name(index)}, {memory:.0f} GiB, {bfloat16}")
    return Finding("CUDA", "ok", "; ".join(devices))


def check_disk() -> Finding:
    """The disk of the working folder has some space left."""
    free = shutil.disk_usage(Path.cwd()).free / 2**30
    if free < LEAST_FREE_GIB:
        detail = f"only {free:.1f} GiB free in the working folder"
        return Finding("disk", "problem", detail, "free some space or change to another disk")
    return Finding("disk", "ok", f"{free:.1f} GiB free in the working folder")


def check_torchvision() -> Finding:
    """torchvision's compiled operators run: non-maximum suppression of two boxes that overlap."""
    import torch
    import torchvision

    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 9], [20, 20, 30, 30]])
    kept = torchvision.ops.nms(boxes, torch.tensor([0.9, 0.8, 0.7]), 0.5).tolist()
    if kept != [0, 2]:
        detail = f"{torchvision.__version__}: nms kept {kept} instead of [0, 2]"
        return Finding("torchvision", "problem", detail, TORCH_FIX)
    return Finding("torchvision", "ok", f"{torchvision.__version__}, nms works")


def check_timm() -> Finding:
    """Timm lists our backbones, and the small one runs."""
    import timm
    import torch

    names = timm.list_models("mixmask_*")
    if "mixmask_resnet8" not in names:
        detail = f"{timm.__version__}: the mixmask backbones are not registered"
        return Finding("timm", "problem", detail, "pip install --upgrade timm")
    model = timm.create_model("mixmask_resnet8").eval()
    with torch.no_grad():
        shape = tuple(model(torch.zeros(1, 3, 32, 32)).shape)
    if shape != (1, 128):
        return Finding("timm", "problem", f"mixmask_resnet8 gives {shape} instead of (1, 128)")
    return Finding("timm", "ok", f"{timm.__version__}, {len(names)} mixmask backbones, forward pass works")
