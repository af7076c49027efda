"""Set up `.venv` for the two commands of the README: `python3 tools/setup_environment.py FOLDER`.

Needs only the standard library. Every step is announced. The stamp file is written last, so an interrupted
set-up is repeated by the next call.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent.parent
NEEDED_BYTES = 9 * 2**30  # torch with its CUDA libraries takes 6 GB; unpacking needs additional space
OLDEST_PYTHON = (3, 11)


def say(message: str) -> None:
    """Print one line of progress immediately, also when the output is a pipe."""
    print(f"==> {message}", flush=True)


def stop(message: str) -> NoReturn:
    """Print one line and exit with code 2."""
    print(f"setup: error: {message}", file=sys.stderr)
    raise SystemExit(2)


def run(*command: str | Path, show: bool = False) -> None:
    """Run a command. If it fails, print its output and stop.

    Args:
        command: program and arguments.
        show: print the output as it comes; otherwise it is printed only after a failure.
    """
    words = [str(part) for part in command]
    done = subprocess.run(words, cwd=ROOT, capture_output=not show, text=True)
    if done.returncode != 0:
        if not show:
            print(done.stdout, done.stderr, sep="\n", file=sys.stderr)
        stop(f"`{' '.join(words)}` failed (see above); fix that and run make again")


def create_venv(folder: Path) -> None:
    """Create the virtual environment unless a working one exists."""
    python = folder / "bin" / "python"
    if (
        python.exists()
        and subprocess.run([str(python), "-m", "pip", "--version"], capture_output=True).returncode == 0
    ):
        return
    say(f"creating {folder.name} with Python {sys.version.split()[0]}")
    made = subprocess.run(
        [sys.executable, "-m", "venv", "--clear", str(folder)], capture_output=True, text=True
    )
    if made.returncode != 0:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        detail = (made.stdout + made.stderr).strip().splitlines()
        stop(
            f"python3 -m venv failed ({detail[-1] if detail else 'no message'}); "
            f"on Debian run: apt-get install python{version}-venv"
        )


def use_headless_opencv(python: Path) -> None:
    """Replace `opencv-python`, which OpenMMLab's packages depend on, by `opencv-python-headless`.

    Both install the same module, `cv2`, so only one may be present. The ordinary build needs graphics
    libraries that servers lack; nothing here opens a window.
    """
    ordinary = subprocess.run(
        [str(python), "-m", "pip", "show", "--quiet", "opencv-python"], capture_output=True
    )
    if ordinary.returncode == 0:
        run(python, "-m", "pip", "uninstall", "--quiet", "--yes", "opencv-python", "opencv-python-headless")
    headless = (python, "-m", "pip", "install", "--quiet", "--no-deps", "-c", "constraints.txt")
    run(*headless, "opencv-python-headless")


def set_up(folder: Path) -> None:
    """Create the environment in `folder`, install the pinned packages, and write `folder/.ready`."""
    if sys.version_info < OLDEST_PYTHON:
        stop(f"Python 3.11 or newer is needed, this is {sys.version.split()[0]}; run: make PYTHON=python3.11")
    if shutil.disk_usage(ROOT).free < NEEDED_BYTES:
        stop(f"{NEEDED_BYTES / 2**30:.0f} GiB of free disk are needed below {ROOT}; free some, then run make")
    started = time.monotonic()
    python = folder / "bin" / "python"
    create_venv(folder)
    install = (python, "-m", "pip", "install", "--quiet", "-c", "constraints.txt")
    run(*install, "pip", "setuptools", "wheel")
    say("installing torch and torchvision, pinned (1 to 4 minutes, 6 GB)")
    run(*install, "torch", "torchvision")
    say("installing mmbench with timm, mmsegmentation and the rest, pinned (about a minute)")
    # mmcv is built in isolation: next to torch it would compile operators for minutes, often without success,
    # and no head that is used here needs one.
    run(*install, "--no-deps", "onedl-mmcv")
    run(*install, "--no-build-isolation", "-e", ".[all]")
    use_headless_opencv(python)
    say("installing Detectron2")
    run(python, "-m", "mmbench.tools.install_detectron2", show=True)
    (folder / ".ready").touch()
    say(f"ready after {time.monotonic() - started:.0f} s; later calls start at once")


if __name__ == "__main__":
    set_up(Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / ".venv").absolute())
