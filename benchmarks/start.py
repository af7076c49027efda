"""What starting costs: whole processes, in seconds of the processor and of the clock.

python benchmarks/start.py [--json PATH] [--rounds N] [--data-root FOLDER]

- help_seconds, import_seconds: wall seconds of `mmbench --help` and of `import mmbench`;
- help_over_import_torch: the former over `import torch`;
- first_batch_seconds: processor seconds of `mmbench transfer --task knn` on the Patterns data and random
  weights, whose features are in the bank, until the first images are compared;
- first_batch_over_libraries: that over `import torch, torchvision, timm`;
- knn_seconds: processor seconds of the whole of it, with intervals, plot and record; no goal;
- other commands, in processor seconds; no goal.

Medians of interleaved rounds. The Patterns data are rendered first (about 40 s), unless --data-root has them.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from rows import report, row

PYTHON = sys.executable
MMBENCH = (PYTHON, "-m", "mmbench")
TO_FIRST_BATCH = """
import os, sys
from mmbench import neighbours
from mmbench.cli.commands import root
def leave(*arguments, **settings):
    os._exit(0)
neighbours.knn_grid = leave
root.main(sys.argv[1:])
"""
BARE = "python -c pass"
TORCH, LIBRARIES = "import torch", "import torch, torchvision, timm"


class Seconds(NamedTuple):
    """Of one process: wall time, and user and system time of all its threads and ended children."""

    wall: float
    processor: float


def spent(command: tuple[str, ...], folder: Path) -> Seconds:
    """Return what a process took that runs alone in a folder."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])}
    started = time.perf_counter()
    process = subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    assert process.stderr is not None
    said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{said.decode(errors='replace')}")
    return Seconds(time.perf_counter() - started, usage.ru_utime + usage.ru_stime)


def commands(data_root: Path) -> dict[str, tuple[str, ...]]:
    """Return what is measured, by name; {out} stands for a folder of records that is new in every round."""
    weights = ("--checkpoint", "random", "--arch", "mixmask_resnet8")
    data = ("--data", "patterns", "--data-root", str(data_root))
    knn = ("transfer", "--task", "knn", *weights, *data, "--bank", "bank", "--out")
    return {
        BARE: (PYTHON, "-c", "pass"),
        TORCH: (PYTHON, "-c", TORCH),
        LIBRARIES: (PYTHON, "-c", LIBRARIES),
        "help": (*MMBENCH, "--help"),
        "import": (PYTHON, "-c", "import mmbench"),
        "first_batch": (PYTHON, "-c", TO_FIRST_BATCH, *knn, "unused"),
        "knn": (*MMBENCH, *knn, "{out}"),
        "leaderboard_show": (*MMBENCH, "leaderboard", "show", "records"),
        "suite_plan": (*MMBENCH, "suite", "plan", "demo"),
        "data_list": (*MMBENCH, "data", "list"),
    }


def measured(data_root: Path | None, rounds: int) -> dict[str, Seconds]:
    """Return the medians of all commands."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if data_root is None:
            data_root = folder / "data"
            spent((*MMBENCH, "data", "prepare", "patterns", "--data-root", str(data_root)), folder)
        found = commands(data_root.absolute())
        spent(tuple(word.replace("{out}", "records") for word in found["knn"]), folder)  # fills the bank
        times: dict[str, list[Seconds]] = {name: [] for name in found}
        for number in range(rounds + 1):  # the first one fills the disk cache and is not counted
            for name, command in found.items():  # interleaved, so that noise affects all of them
                out = f"out{number}"
                seconds = spent(tuple(word.replace("{out}", out) for word in command), folder)
                shutil.rmtree(folder / out, ignore_errors=True)
                if number:
                    times[name].append(seconds)
    return {
        name: Seconds(*(statistics.median(part) for part in zip(*values, strict=True)))
        for name, values in times.items()
    }


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--data-root", type=Path)
    arguments = parser.parse_args()
    found = measured(arguments.data_root, arguments.rounds)
    first = found["first_batch"].processor
    rows = {
        "help_seconds": row(found["help"].wall, 0.4, better="lower"),
        "import_seconds": row(found["import"].wall, 0.4, better="lower"),
        "help_over_import_torch": row(found["help"].wall / found[TORCH].wall, 0.2, better="lower"),
        "first_batch_seconds": row(first, 3.5, better="lower"),
        "first_batch_over_libraries": row(first / found[LIBRARIES].processor, 1.0, better="lower"),
        "knn_seconds": row(found["knn"].processor, better="lower"),
        **{f"{name}_seconds": row(found[name].processor, better="lower") for name in list(found)[-3:]},
    }
    for name in (BARE, TORCH, LIBRARIES):
        print(f"{name}: {found[name].wall:.2f} s, {found[name].processor:.2f} s of the processor")
    report(rows, arguments.json, 3)


if __name__ == "__main__":
    main()
