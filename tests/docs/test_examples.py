"""The example package in docs/examples works: every entry is found and runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

TOP = Path(__file__).resolve().parents[2]
EXAMPLES = TOP / "docs" / "examples"


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return the environment of a process in which the package of examples is installed."""
    site = tmp_path_factory.mktemp("site")
    info = site / "mmbench_extras-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mmbench-extras\nVersion: 0.1.0\n")
    (info / "entry_points.txt").write_text("[mmbench.plugins]\nmmbench_extras = mmbench_extras.plugin\n")
    path = os.pathsep.join(str(folder) for folder in (site, EXAMPLES, TOP))
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}


def write_arrays(folder: Path) -> None:
    """Write two classes that differ in the bright half of the image."""
    folder.mkdir(parents=True)
    generator = np.random.default_rng(0)
    for name, count in (("train", 160), ("val", 16), ("test", 16)):
        labels = np.arange(count) % 2
        images = generator.integers(0, 60, (count, 40, 40, 3), dtype=np.uint8)
        images[labels == 0, :, :20] += 150
        images[labels == 1, :, 20:] += 150
        np.savez(folder / f"{name}.npz", images=images, labels=labels)


RUN = """
import sys
from mmbench.cli.commands import main

for line in sys.stdin.read().splitlines():
    try:
        main(line.split())
    except SystemExit as end:
        assert not end.code, (line, end.code)
"""

COMMANDS = """
pretrain --method moco --framework uniformity --masking cutout --data arrays --epochs 1 --out run
transfer --help
transfer --task retrieval --checkpoint pixels --data arrays --no-bank
transfer --task retrieval --checkpoint run --data arrays --no-bank
inspect student.pth
leaderboard build results --out board
"""


def test_every_entry_of_the_package_runs_and_reaches_the_board(
    environment: dict[str, str], tmp_path: Path
) -> None:
    write_arrays(tmp_path / "data" / "arrays")
    checkpoint = (
        "import timm, torch, mmbench\n"
        "weights = timm.create_model('mixmask_resnet8', num_classes=0).state_dict()\n"
        "torch.save({f'student.net.{name}': value for name, value in weights.items()}, 'student.pth')\n"
    )
    commands = [line for line in COMMANDS.splitlines() if line]
    done = subprocess.run(
        [sys.executable, "-c", checkpoint + RUN],
        input="\n".join(commands),
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "student" in done.stdout and "retrieval" in done.stdout

    records = [json.loads(path.read_text()) for path in (tmp_path / "results").rglob("*.json")]
    assert {record["protocol"] for record in records} == {"retrieval/nearest@1"}
    by_arm = {record["model"]["arm"]: record["metrics"]["precision"]["value"] for record in records}
    assert all(record["outcomes"]["images"] == record["metrics"]["precision"]["n"] for record in records)
    assert by_arm["pixels"] == 100  # the nearest images are bright on the same side
    assert "uniformity+cutout" in by_arm
    assert "Retrieval" in (tmp_path / "board" / "leaderboard.md").read_text()


def test_the_example_of_the_python_api_runs(environment: dict[str, str], tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    for split, count in (("train", 12), ("val", 4), ("test", 4)):
        for position, name in enumerate(("dark", "bright")):
            folder = tmp_path / "images" / split / name
            folder.mkdir(parents=True)
            for index in range(count):
                pixels = generator.integers(0, 100, (32, 32, 3), dtype=np.uint8) + 150 * position
                Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{index}.png")
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "evaluate_vit.py"), "images"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split(":")[0] for line in lines] == ["knn", "linear"]
    assert all(line.endswith(", 8 images") for line in lines)
    assert len(list((tmp_path / "results").rglob("*.json"))) == 2
