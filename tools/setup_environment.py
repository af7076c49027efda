"""Set up `.venv` for the two commands of the README: `python3 tools/setup_environment.py FOLDER`.

Needs nothing but the standard library. Every step says what it does; the stamp file is written last, so an
interrupted set-up is simply done again.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent.parent
NEEDED_BYTES = 9 * 2**30  # torch with its CUDA libraries takes 6 GB, unpacking needs room beside it
OLDEST_PYTHON = (3, 11)


def say(words: str) -> None:
    """Print one line of progress at once, also when the output is a pipe."""
    print(f"==> {words}", flush=True)


def stop(words: str) -> NoReturn:
    """End with one line and exit code 2."""
    print(f"setup: error: {words}", file=sys.stderr)
    raise SystemExit(2)


def run(*command: str | Path, show: bool = False) -> None:
    """Run a command; its failure ends the set-up with the command's own words above ours.

    Args:
        show: let its words through as they come; otherwise they are seen only if it fails.
    """
    words = [str(part) for part in command]
    done = subprocess.run(words, cwd=ROOT, capture_output=not show, text=True)
    if done.returncode != 0:
        if not show:
            print(done.stdout, done.stderr, sep="\n", file=sys.stderr)
        stop(f"`{' '.join(words)}` failed (see above); mend that and run make again")


def create_venv(folder: Path) -> None:
    """Create the virtual environment unless it works; on Debian, `venv` may be a package of its own."""
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


def mend_opencv(python: Path) -> None:
    """Where a server has no graphics libraries, replace OpenCV by its headless build."""
    if subprocess.run([str(python), "-c", "import cv2"], capture_output=True).returncode == 0:
        return
    say("OpenCV's ordinary build needs graphics libraries that are not here: taking its headless build")
    run(python, "-m", "pip", "uninstall", "--quiet", "--yes", "opencv-python")
    run(
        python,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "-c",
        "constraints.txt",
        "opencv-python-headless",
    )


def set_up(folder: Path) -> None:
    """Create the environment in `folder`, install everything pinned, and leave the stamp `folder/.ready`."""
    if sys.version_info < OLDEST_PYTHON:
        stop(f"Python 3.11 or newer is needed, this is {sys.version.split()[0]}; run: make PYTHON=python3.11")
    if shutil.disk_usage(ROOT).free < NEEDED_BYTES:
        stop(
            f"{NEEDED_BYTES / 2**30:.0f} GiB of free disk are needed below {ROOT}; make room, then make again"
        )
    started = time.monotonic()
    python = folder / "bin" / "python"
    create_venv(folder)
    install = (python, "-m", "pip", "install", "--quiet", "-c", "constraints.txt")
    run(*install, "pip", "setuptools", "wheel")
    say("installing torch and torchvision, pinned (1 to 4 minutes, 6 GB)")
    run(*install, "torch", "torchvision")
    say("installing mmbench with timm, mmsegmentation and the rest, pinned (about a minute)")
    # Built apart from torch: beside it, mmcv compiles operators against torch for minutes, often in vain,
    # and no head that is used here needs one.
    run(*install, "--no-deps", "onedl-mmcv")
    run(*install, "--no-build-isolation", "-e", ".[all]")
    mend_opencv(python)
    say("installing Detectron2")
    run(python, "tools/install_detectron2.py", show=True)
    (folder / ".ready").touch()
    say(f"ready after {time.monotonic() - started:.0f} s; the next call starts at once")


if __name__ == "__main__":
    set_up(Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / ".venv").absolute())
