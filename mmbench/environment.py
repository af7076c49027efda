"""Provenance: the code, libraries and machine that produced a result."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from mmbench.records.fields import MOST_ENTRIES, Count, Flag, Name, Text, Words
from mmbench.version import __version__

RECORDED_PACKAGES = (
    "torch",
    "torchvision",
    "timm",
    "numpy",
    "pandas",
    "scikit-learn",
    "detectron2",
    "sal-detectron2",
    "onedl-mmsegmentation",
    "onedl-mmcv",
    "onedl-mmengine",
)


class Provenance(BaseModel):
    """The code, libraries and machine of a computation. `git_sha` is None outside a checkout."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mmbench: Text
    git_sha: str | None = Field(pattern=r"^[0-9a-f]{7,64}$")
    git_dirty: Flag | None
    python: Text
    packages: dict[Name, Text] = Field(max_length=MOST_ENTRIES)
    platform: Words
    processor: Words
    cpu_count: Count
    threads: Count
    device: Text


def package_versions() -> dict[str, str]:
    """Return the version of every recorded package that is installed."""
    versions = {}
    for name in RECORDED_PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


@functools.cache
def software() -> str:
    """Return what this process computes by, in words: mmbench, with its commit in a checkout, and torch."""
    commit = _git("rev-parse", "--short=10", "HEAD")
    ours = f"mmbench {__version__} ({commit})" if commit else f"mmbench {__version__}"
    return f"{ours}, torch {importlib.metadata.version('torch')}"


def _git(*arguments: str) -> str | None:
    """Run git in the checkout that this package runs from; None if there is none."""
    folder = Path(__file__).resolve().parent.parent
    if not (folder / ".git").exists():
        return None
    try:
        answer = subprocess.run(
            ["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()


def processor_name() -> str:
    """Return the processor's name from Linux' /proc/cpuinfo, or else from Python."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


@functools.cache
def provenance(device: str = "cpu") -> Provenance:
    """Return the provenance of this process; `device` is a torch device such as "cpu" or "cuda:0"."""
    import torch

    status = _git("status", "--porcelain", "--untracked-files=no")
    name = torch.cuda.get_device_name(device) if device.startswith("cuda") else "cpu"
    return Provenance(
        mmbench=__version__,
        git_sha=_git("rev-parse", "HEAD"),
        git_dirty=None if status is None else bool(status),
        python=platform.python_version(),
        packages=package_versions(),
        platform=platform.platform(),
        processor=processor_name(),
        cpu_count=os.cpu_count() or 1,
        threads=torch.get_num_threads(),
        device=name,
    )
