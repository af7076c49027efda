"""kill -9 at any moment of a run, the same call again: it goes on and ends as if nothing had happened.

Run as a script, this file is the process that gets killed.
"""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torchvision.transforms.functional import to_pil_image

from mmbench.data import Dataset
from mmbench.pretrain.config import resolve_config
from mmbench.pretrain.engine import pretrain
from mmbench.pretrain.settings import PretrainConfig
from mmbench.runs import RunFolder, read_metrics

EPOCHS, STEPS_PER_EPOCH = 20, 6


def configuration(framework: str, folder: Path | None) -> PretrainConfig:
    """The settings; `folder` holds images that data workers read, else the data are in memory."""
    overrides = [f"framework.name={framework}", "batch_size=32", "log_every=1"]
    if framework == "moco":
        overrides.append("framework.queue=100")  # no multiple of the batch
    data = None
    if folder is not None:
        overrides += ["loading=files", "workers=2"]
        data = str(folder)
    return resolve_config("mixmask", data=data, epochs=EPOCHS, device="cpu", threads=1, overrides=overrides)


def write_images(folder: Path, dataset: Dataset) -> Path:
    """Write the train split as loose PNG files."""
    folder.mkdir()
    for number, image in enumerate(dataset.split("train").images):
        to_pil_image(image).save(folder / f"{number:03d}.png")
    return folder


def run_until_killed(framework: str, out: Path, folder: Path | None, chance: random.Random) -> bool:
    """Run, and kill at a random moment within the next steps; return whether the run ended before."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, __file__, framework, str(out), *([str(folder)] if folder else [])]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for _ in range(chance.randint(1, 2 * STEPS_PER_EPOCH)):
        if not process.stdout.readline():
            break
    time.sleep(chance.uniform(0, 0.1))
    process.send_signal(signal.SIGKILL)
    return process.wait() == 0


@pytest.mark.parametrize(
    ("framework", "workers", "kills"), [("moco", False, 10), ("simsiam", False, 10), ("moco", True, 5)]
)
def test_killed_at_random_moments_and_resumed_equals_uninterrupted(
    framework: str, workers: bool, kills: int, tiny: Dataset, tmp_path: Path
) -> None:
    chance = random.Random(framework)
    killed = RunFolder(tmp_path / "killed")
    folder = write_images(tmp_path / "images", tiny) if workers else None
    ended = [run_until_killed(framework, killed.root, folder, chance) for _ in range(kills)]
    assert sum(not end for end in ended) >= kills - 2  # nearly every kill met a running process
    said: list[str] = []
    config, dataset = configuration(framework, folder), None if workers else tiny
    pretrain(config, killed.root, dataset=dataset, say=said.append)
    assert any("going on" in words or "finished already" in words for words in said)
    whole = pretrain(config, tmp_path / "whole", dataset=dataset)
    ours, theirs = load_file(killed.weights), load_file(whole.weights)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    steps = [record["step"] for record in read_metrics(killed.metrics)]
    assert steps == list(range(1, EPOCHS * STEPS_PER_EPOCH + 1))


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    from conftest import make_tiny_dataset

    def tell(done: int, total: int, words: str) -> None:
        print(done, flush=True)

    images = Path(sys.argv[3]) if len(sys.argv) > 3 else None
    pretrain(
        configuration(sys.argv[1], images),
        Path(sys.argv[2]),
        tell,
        dataset=None if images else make_tiny_dataset(),
    )
