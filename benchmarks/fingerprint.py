"""How long the identity of a data set of files takes: the first time, and later when nothing changed.

Files of 110 KB, ImageNet's mean, in class folders; times are scaled to 100,000 files. The files are in the
system's cache, so the first time is that of hashing; a disk that reads slower than that adds its own.

python benchmarks/fingerprint.py [--files 5000] [--json PATH]
"""

import argparse
import hashlib
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from rows import report

from mmbench.data import ImageFiles
from mmbench.data.file_facts import fact_database, file_cache

BYTES = 110_000
PER = 100_000
CLASSES = 50


def write(folder: Path, count: int) -> list[str]:
    paths = []
    for index in range(count):
        path = folder / f"class{index % CLASSES:03d}" / f"image_{index:08d}.JPEG"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(os.urandom(BYTES))
        paths.append(path.relative_to(folder).as_posix())
    return paths


def timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=5000)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    fact_database.WORTH_KEEPING_SECONDS = -1.0
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        paths = write(folder, arguments.files)
        time.sleep(file_cache.UNSETTLED_SECONDS + 0.5)  # younger files are not kept
        labels = torch.zeros(len(paths), dtype=torch.int64)

        def identify() -> str:
            return ImageFiles(folder, paths, labels).fingerprint

        plain = timed(lambda: [hashlib.sha256((folder / path).read_bytes()).digest() for path in paths])
        first = timed(identify)
        later = min(timed(identify) for _ in range(5))
        sizes = timed(lambda: [(folder / path).stat().st_size for path in paths])
    scale = PER / len(paths)
    rows = {
        "later_seconds_per_100000": {"value": later * scale, "goal": 5.0, "better": "lower"},
        "first_over_plain_hashing": {"value": first / plain, "goal": 1.3, "better": "lower"},
        "later_over_first": {"value": later / first, "goal": 0.1, "better": "lower"},
    }
    print(
        f"{len(paths)} files of {BYTES} bytes; per {PER}: first {first * scale:.1f} s, later "
        f"{later * scale:.2f} s (hashing alone, on one thread, {plain * scale:.1f} s; "
        f"sizes alone {sizes * scale:.2f} s)"
    )
    report(rows, arguments.json, 3)


if __name__ == "__main__":
    main()
