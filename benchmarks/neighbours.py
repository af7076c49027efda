"""Memory and time of kNN against a bank on disk; `benchmarks/probes.py` measures them among others."""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from rows import Rows, row

IMAGENET, NUMBERS, QUERIES, VALIDATION = 1_281_167, 2048, 1000, 50_000
NEIGHBOURS = """
import re, sys, threading, time
from pathlib import Path
import numpy as np
import torch
from mmbench.neighbours import nearest
def own():
    return int(re.search(r"RssAnon:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024
bank = torch.from_numpy(np.lib.format.open_memmap(sys.argv[1], "c"))[: int(sys.argv[2])]
queries = torch.randn((int(sys.argv[3]), bank.shape[1]), generator=torch.Generator().manual_seed(0))
before, peak, running = own(), 0.0, True
def watch():
    global peak
    while running:
        peak = max(peak, own())
        time.sleep(0.002)
watcher = threading.Thread(target=watch)
watcher.start()
started = time.perf_counter()
nearest(queries, bank, 200)
seconds = time.perf_counter() - started
running = False
watcher.join()
print(peak - before, seconds)
"""


def measure_neighbours() -> Rows:
    """Measure memory and time of kNN against a memory map, each size in a fresh process."""
    total = IMAGENET // 10 // 1000 * 1000
    found = {}
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "bank.npy"
        entry = np.lib.format.open_memmap(path, "w+", np.float16, (total, NUMBERS))
        for start in range(0, total, 8000):
            entry[start : start + 8000] = torch.randn((8000, NUMBERS)).half().numpy()
        entry.flush()
        for count in (total // 2, total):
            command = [sys.executable, "-W", "ignore", "-c", NEIGHBOURS, str(path), str(count), str(QUERIES)]
            ended = subprocess.run(command, check=True, capture_output=True, text=True)
            found[count] = [float(word) for word in ended.stdout.split()]
    for count, (grown, spent) in found.items():
        print(f"kNN, {QUERIES} queries, bank of {count} x {NUMBERS}: {grown:.0f} MiB, {spent:.1f} s")
    (small, _), (large, spent) = found.values()
    result = VALIDATION * 200 * (4 + 8) / 2**20
    hours = spent * IMAGENET / total * VALIDATION / QUERIES / 3600
    print(
        f"on paper, ImageNet ({VALIDATION} queries, bank of {IMAGENET * NUMBERS * 2 / 1e9:.1f} GB): "
        f"{hours:.1f} h on these cores, {large:.0f} MiB and {2 * result:.0f} MiB of neighbours"
    )
    return {"knn_memory": row(large, 400, "lower"), "knn_growth": row(large / small, 1.1, "lower")}
