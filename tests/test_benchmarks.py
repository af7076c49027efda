"""Every script of benchmarks/ can be started: what it imports is there, and it says how it is called."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PLACE = Path(__file__).resolve().parents[1] / "benchmarks"
SCRIPTS = sorted(path for path in PLACE.glob("*.py") if "argparse" in path.read_text())
# In one process: most of the time is the import of torch.
EACH = """
import runpy, sys
place, *paths = sys.argv[1:]
sys.path[0] = place
for path in paths:
    sys.argv = [path, "--help"]
    try:
        runpy.run_path(path, run_name="__main__")
    except SystemExit as stop:
        assert not stop.code, (path, stop.code)
    else:
        raise AssertionError(f"{path} did not end at its help")
"""


def test_every_benchmark_starts() -> None:
    words = [sys.executable, "-c", EACH, str(PLACE), *map(str, SCRIPTS)]
    answer = subprocess.run(words, capture_output=True, text=True, timeout=600)
    assert answer.returncode == 0, answer.stderr[-3000:]
    assert answer.stdout.count("usage: ") == len(SCRIPTS) >= 10
