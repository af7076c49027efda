"""What a process imports until kNN compares the first images whose features are in the bank."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import save_file

from mmbench.checkpoints.backbone import random_backbone
from mmbench.checkpoints.card import Preprocessing
from mmbench.checkpoints.card_file import write_card
from mmbench.files import sha256_of

HEAVY = ("timm", "torchvision", "torch._dynamo", "torch.distributed.nn", "sympy", "scipy", "sklearn")
HEAVY += ("pandas", "pyarrow", "matplotlib", "accelerate", "huggingface_hub", "tensorboard", "parsl")
REPORT = f"""
import json, os, sys
from mmbench import neighbours
from mmbench.cli.commands import root
def report(*arguments, **settings):
    print(json.dumps([name for name in {HEAVY} if name in sys.modules]), flush=True)
    os._exit(0)
neighbours.knn_grid = report
root.main(sys.argv[1:])
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with `images`, 16 per class and split, and `run`, a folder as pretraining leaves it."""
    root = tmp_path_factory.mktemp("start")
    draws = np.random.default_rng(0)
    for split in ("train", "val", "test"):
        for shade, name in ((40, "dark"), (200, "bright")):
            home = root / "images" / split / name
            home.mkdir(parents=True)
            for number in range(16):
                pixels = draws.integers(shade - 40, shade + 40, (40, 40, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(home / f"{number}.png")
    backbone = random_backbone("mixmask_resnet8", 3, Preprocessing(image_size=32))
    weights = root / "run" / "model.safetensors"
    weights.parent.mkdir()
    save_file(backbone.state_dict, weights)
    card = backbone.card.model_copy(update={"arm": "own", "method": "moco", "source_format": "run"})
    write_card(root / "run" / "card.json", card, sha256_of(weights))
    return root


def imported(folder: Path, *model: str) -> list[str]:
    """Return which heavy libraries are imported when the first images are compared."""
    options = (
        "--task",
        "knn",
        "--data",
        "images",
        "--set",
        "neighbours=3",
        "--bank",
        "bank",
        "--workers",
        "0",
    )
    command = [sys.executable, "-c", REPORT, "transfer", *options, *model]
    answer = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    assert answer.returncode == 0, answer.stderr
    found: list[str] = json.loads(answer.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize(
    "model", [("--checkpoint", "run"), ("--checkpoint", "random", "--arch", "mixmask_resnet8")]
)
def test_a_cached_knn_imports_torch_alone(folder: Path, model: tuple[str, ...]) -> None:
    assert "timm" in imported(folder, *model)  # the features are taken
    assert imported(folder, *model) == []
