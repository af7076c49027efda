"""Install Detectron2: `python -m mmbench.tools.install_detectron2 [--official]`.

Detectron2 is not published under its own name. By default this downloads the wheel `sal-detectron2`, whose
Python sources are those of the official commit a59f0563 with three trivial changes, checks its SHA-256,
drops the extension compiled for CPython 3.10 and re-tags the rest for every Python. What the extension
contains (deformable convolution, rotated boxes, a faster COCO evaluation) is not needed here.
`--official` builds the official repository instead, which requires a compiler, torch and GitHub.

Needs only the standard library and pip; Detectron2's own dependencies come with `mmbench[detection]`.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import importlib.util
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

WHEEL = "sal-detectron2==0.7.2"
SHA256 = "491af0c7f79bdb2d178e46f6cb16a97c4ac968d45c41ea3f6b6435d59bbee561"
OFFICIAL = "git+https://github.com/facebookresearch/detectron2.git"
NEEDS = ("torch", "fvcore", "iopath", "yacs", "omegaconf", "hydra", "pycocotools", "cloudpickle")

# A command of this interpreter: arguments after `python`, and an extra PYTHONPATH entry -> None.
Runner = Callable[[Sequence[str], Path | None], None]


class InstallError(Exception):
    """Detectron2 cannot be installed; the message is one line that states why and what to do."""


def say(message: str) -> None:
    """Print one line of progress immediately, also when the output is a pipe."""
    print(f"detectron2: {message}", flush=True)


def installed_version() -> str | None:
    """Return the installed version of Detectron2, "unknown" if it has no metadata, None if it is missing."""
    if importlib.util.find_spec("detectron2") is None:
        return None
    for distribution in ("detectron2", "sal-detectron2"):
        try:
            return importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            continue
    return "unknown"


def run_python(arguments: Sequence[str], extra_path: Path | None = None) -> None:
    """Run this interpreter quietly.

    Raises:
        InstallError: the command failed; the message includes the last error line that it printed.
    """
    environment = dict(os.environ)
    if extra_path is not None:
        environment["PYTHONPATH"] = os.pathsep.join(
            part for part in (str(extra_path), environment.get("PYTHONPATH", "")) if part
        )
    done = subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        env=environment,
        cwd=tempfile.gettempdir(),
    )
    if done.returncode != 0:
        lines = [line.strip() for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        errors = [line for line in lines if "error" in line.lower()] or lines or ["no message"]
        hint = "; is there a network?" if any("onnection" in line for line in lines) else ""
        raise InstallError(f"`python {' '.join(arguments[:3])} ...` failed: {errors[-1][:300]}{hint}")


def require_pip(run: Runner) -> None:
    """Raise InstallError unless this interpreter has pip."""
    if importlib.util.find_spec("pip") is None:
        raise InstallError(f"pip is missing; run: {sys.executable} -m ensurepip")
    run(["-m", "pip", "--version"], None)


def check_hash(path: Path, expected: str) -> None:
    """Raise InstallError unless the file's SHA-256 is `expected`."""
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != expected:
        raise InstallError(
            f"{path.name} has SHA-256 {found}, not {expected}: it is not the file that was checked; "
            "nothing was installed; try again, or use --official"
        )


def only_file(folder: Path, pattern: str) -> Path:
    """Return the only entry of `folder` that matches; raise InstallError if there is not exactly one."""
    found = sorted(folder.glob(pattern))
    if len(found) != 1:
        raise InstallError(f"expected one {pattern}, found {len(found)}; nothing was installed")
    return found[0]


def pure_python_wheel(wheel: Path, folder: Path, run: Runner, tool_path: Path | None = None) -> Path:
    """Return a copy of `wheel` in `folder` without its compiled `_C*.so`, tagged py3-none-any.

    The `wheel` tool checks every file against the wheel's record first and writes a new record afterwards.
    `tool_path` is the folder of that tool if it is not installed.
    """
    unpacked = folder / "unpacked"
    run(["-m", "wheel", "unpack", "--dest", str(unpacked), str(wheel)], tool_path)
    tree = only_file(unpacked, "*")
    for extension in tree.rglob("_C*.so"):
        extension.unlink()
    packed = folder / "packed"
    packed.mkdir()
    run(["-m", "wheel", "pack", "--dest-dir", str(packed), str(tree)], tool_path)
    tags = ["--python-tag", "py3", "--abi-tag", "none", "--platform-tag", "any", "--remove"]
    run(["-m", "wheel", "tags", *tags, str(only_file(packed, "*.whl"))], tool_path)
    return only_file(packed, "*-py3-none-any.whl")


def install_wheel(run: Runner = run_python, expected_sha256: str = SHA256) -> None:
    """Download, check, strip, re-tag and install the wheel; the installation is the last step.

    Raises:
        InstallError: a step failed; nothing was installed.
    """
    with tempfile.TemporaryDirectory(prefix="detectron2-") as name:
        folder = Path(name)
        download = folder / "download"
        target = ["--implementation", "cp", "--abi", "none", "--python-version", "3.10"]
        say(f"downloading {WHEEL}")
        fetch = ["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--retries", "2"]
        run([*fetch, "--no-deps", "--only-binary=:all:", *target, "--dest", str(download), WHEEL], None)
        wheel = only_file(download, "*.whl")
        check_hash(wheel, expected_sha256)
        say("SHA-256 is correct; dropping its extension for CPython 3.10, re-tagging it py3-none-any")
        tool_path = None
        if importlib.util.find_spec("wheel") is None:
            tool_path = folder / "tool"
            run(["-m", "pip", "install", "--quiet", "--target", str(tool_path), "wheel"], None)
        pure = pure_python_wheel(wheel, folder, run, tool_path)
        say("installing")
        run(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", str(pure)], None)


def install_official(run: Runner = run_python) -> None:
    """Build and install the main branch of the official repository.

    Raises:
        InstallError: torch is missing, or the build failed.
    """
    if importlib.util.find_spec("torch") is None:
        raise InstallError("the official build needs torch first; run: pip install torch")
    say(f"building {OFFICIAL} (some minutes; needs git and a C++ compiler)")
    run(["-m", "pip", "install", "--quiet", "--no-build-isolation", OFFICIAL], None)


def install(official: bool = False, run: Runner = run_python) -> None:
    """Install Detectron2 unless it is already installed.

    Raises:
        InstallError: it could not be installed; nothing is half-installed.
    """
    version = installed_version()
    if version is not None:
        say(f"version {version} is already installed")
        return
    require_pip(run)
    if official:
        install_official(run)
    else:
        install_wheel(run)
    importlib.invalidate_caches()
    version = installed_version()
    if version is None:
        raise InstallError("pip reported success but detectron2 cannot be found; is this a user install?")
    say(f"version {version} is installed")
    missing = [name for name in NEEDS if importlib.util.find_spec(name) is None]
    if missing:
        say(f"it also needs {', '.join(missing)}; run: pip install 'mmbench[detection]'")


def main(arguments: Sequence[str] | None = None) -> int:
    """Return the exit code: 0, or 2 after printing one line that states what went wrong."""
    parser = argparse.ArgumentParser(description="Install Detectron2 into this interpreter's environment.")
    parser.add_argument(
        "--official", action="store_true", help="build the official repository instead of the checked wheel"
    )
    try:
        install(official=parser.parse_args(arguments).official)
    except InstallError as error:
        print(f"detectron2: error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
