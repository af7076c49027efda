"""How long `mmbench --help` and `import mmbench` take, compared with `python -c pass` and `import torch`.

python benchmarks/help.py [--json PATH]
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

RUNS = 7
COMMANDS = {
    "help": [sys.executable, "-m", "mmbench", "--help"],
    "import": [sys.executable, "-c", "import mmbench"],
    "bare": [sys.executable, "-c", "pass"],
    "torch": [sys.executable, "-c", "import torch"],
}


def seconds(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    path = parser.parse_args().json
    for command in COMMANDS.values():
        seconds(command)  # warm the disk cache
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(RUNS):  # interleaved, so that noise affects all of them
        for name, command in COMMANDS.items():
            times[name].append(seconds(command))
    medians = {name: statistics.median(values) for name, values in times.items()}
    rows = {
        "help_seconds": {"value": medians["help"], "goal": 0.4, "better": "lower"},
        "import_seconds": {"value": medians["import"], "goal": 0.4, "better": "lower"},
        "help_over_import_torch": {
            "value": medians["help"] / medians["torch"],
            "goal": 0.2,
            "better": "lower",
        },
    }
    print(f"bare interpreter {medians['bare']:.3f} s, import torch {medians['torch']:.3f} s")
    for name, row in rows.items():
        print(f"{name}: {row['value']:.3f} (goal: at most {row['goal']})")
    if path is not None:
        path.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
