"""Reading and converting a ResNet-50 checkpoint, over a bare torch.load and torch.save of the same file.

python benchmarks/convert.py [--json PATH] [--rounds N]

- time_*: seconds of reading and converting (receipt and checksums included, comparison of features not);
- memory_*: largest growth of a fresh process's resident memory, over the size of the file;
- with_proof: the same with the comparison at every stage in timm's own model; no goal.

Two files: a bare torchvision state dict, and MoCo's with both encoders, queue and optimiser.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
import torchvision
from rows import Rows, report

import mmbench.backbones  # noqa: F401  (registers)
from mmbench.checkpoints.reading import read_checkpoint
from mmbench.checkpoints.writing import convert

TIME_GOAL, MEMORY_GOAL = 1.5, 2.2
OUT = {"timm": "folder", "torchvision": "out.pth", "detectron2": "out.pkl"}
MEMORY = """
import re, sys
from pathlib import Path
import torch
import mmbench.backbones
from mmbench.checkpoints.reading import read_checkpoint
from mmbench.checkpoints.target import TARGETS
from mmbench.checkpoints.writing import convert
TARGETS.names()
def status(kind):
    return 1024 * int(re.search(kind + r":\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
Path("/proc/self/clear_refs").write_text("5")  # the peak starts again
before = status("VmRSS")
read = read_checkpoint(Path(sys.argv[1]))
convert(read.backbone, Path(sys.argv[2]), sys.argv[3], verify=False, reading=read.reading)
print(status("VmHWM") - before)
"""


def write_files(folder: Path) -> dict[str, Path]:
    """Write the two checkpoints and return them by name."""
    torch.manual_seed(0)
    model = torchvision.models.resnet50()
    state = model.state_dict()
    torch.save(state, folder / "plain.pth")
    sgd = torch.optim.SGD(model.parameters(), lr=0.03, momentum=0.9)
    (0 * model(torch.randn(2, 3, 32, 32)).sum()).backward()  # a real step would make weights that overflow
    sgd.step()
    both = {
        f"module.encoder_{side}.{n}": t.clone() for side in "qk" for n, t in state.items() if n[:3] != "fc."
    }
    both["module.queue"] = torch.randn(128, 65536)
    torch.save({"epoch": 200, "state_dict": both, "optimizer": sgd.state_dict()}, folder / "moco.pth.tar")
    return {"plain": folder / "plain.pth", "moco": folder / "moco.pth.tar"}


def bare(source: Path, out: Path) -> None:
    torch.save(torch.load(source, map_location="cpu", weights_only=True), out)


def full(source: Path, out: Path, to: str, verify: bool = False) -> None:
    read = read_checkpoint(source)
    convert(read.backbone, out, to, verify=verify, reading=read.reading)


def seconds(work: Callable[[], None], out: Path) -> float:
    """Return the seconds of a work that writes `out`, which is not there before."""
    shutil.rmtree(out) if out.is_dir() else out.unlink(missing_ok=True)
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def measure(source: Path, name: str, folder: Path, rounds: int) -> Rows:
    """Return the rows of one file; rounds are interleaved, so that a noisy minute meets all of them."""
    works: dict[str, Callable[[], None]] = {"bare": lambda: bare(source, folder / "bare.pth")}
    works |= {to: partial(full, source, folder / OUT[to], to) for to in OUT}
    works["proof"] = lambda: full(source, folder / "proof", "timm", verify=True)
    outs = {to: folder / name for to, name in OUT.items()}
    outs |= {"bare": folder / "bare.pth", "proof": folder / "proof"}
    times: dict[str, list[float]] = {work: [] for work in works}
    for turn in range(rounds + 1):
        for work, call in works.items():
            spent = seconds(call, outs[work])
            if turn:  # the first warms the disk cache and builds what is built once
                times[work].append(spent)
    medians = {work: statistics.median(spent) for work, spent in times.items()}
    rows: Rows = {}
    for to in OUT:
        value = medians[to] / medians["bare"]
        rows[f"time_{name}_to_{to}"] = {"value": value, "goal": TIME_GOAL, "better": "lower"}
        command = [sys.executable, "-W", "ignore", "-c", MEMORY, str(source), str(folder / OUT[to]), to]
        grown = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])
        value = grown / source.stat().st_size
        rows[f"memory_{name}_to_{to}"] = {"value": value, "goal": MEMORY_GOAL, "better": "lower"}
    rows[f"with_proof_{name}"] = {
        "value": medians["proof"] / medians["bare"],
        "goal": None,
        "better": "lower",
    }
    print(f"{name}: {source.stat().st_size / 2**20:.0f} MiB, bare {medians['bare']:.3f} s")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    print(f"{len(os.sched_getaffinity(0))} cores, torch {torch.__version__}")
    rows: Rows = {}
    with tempfile.TemporaryDirectory() as scratch:
        for name, source in write_files(Path(scratch)).items():
            rows |= measure(source, name, Path(scratch), options.rounds)
    report(rows, options.json)


if __name__ == "__main__":
    main()
