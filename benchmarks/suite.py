"""How long `mmbench suite plan` takes for a suite of 10,000 cells, start-up included, beside its goal.

Run: python benchmarks/suite.py [--json]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SUITE = """
name: large
data: [patterns]
arch: mixmask_resnet8
arms:
  - {{name: moco, pretrain: {{method: moco, epochs: 2}}}}
  - {{name: mixmask, pretrain: {{method: mixmask, epochs: 2}}}}
  - {{name: random, checkpoint: random}}
seeds: [{seeds}]
tasks: [knn, linear, logreg, lowshot, finetune, dense, segmentation,
        {{task: semisup, draws: 5}}, {{task: detection, draws: 5}}]
"""
SEEDS = 195  # 2 pretrainings and 3 x 17 transfers each, and the data: 10,336 cells
GOAL_SECONDS = 2.0
REPEATS = 3


def plan_seconds(folder: Path) -> tuple[int, float, float]:
    """Return the number of cells of a large suite, and the least wall and processor time of its plan (s)."""
    path = folder / "large.yaml"
    path.write_text(SUITE.format(seeds=", ".join(map(str, range(SEEDS)))))
    command = [sys.executable, "-m", "mmbench", "suite", "plan", str(path), "--json"]
    cells, wall, processor = 0, [], []
    for _ in range(REPEATS):
        before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        answer = subprocess.run(command, capture_output=True, text=True, check=True, cwd=folder)
        wall.append(time.perf_counter() - started)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        processor.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        cells = json.loads(answer.stdout)["cells"]
    return cells, min(wall), min(processor)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory() as folder:
        cells, wall, processor = plan_seconds(Path(folder))
    rows = [
        {
            "what": f"plan of {cells:,} cells",
            "seconds": round(wall, 2),
            "cpu": round(processor, 2),
            "goal": GOAL_SECONDS,
        }
    ]
    if arguments.json:
        print(json.dumps(rows, indent=2))
        return
    for row in rows:
        verdict = "met" if row["seconds"] <= row["goal"] else "missed"
        print(
            f"{row['what']}: {row['seconds']} s (processor {row['cpu']} s), goal {row['goal']} s: {verdict}"
        )


if __name__ == "__main__":
    main()
