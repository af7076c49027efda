"""kill -9 in the middle of a run, the same call again: it goes on and ends as if nothing had happened.

Run as a script, this file is the process that gets killed.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import torch
from safetensors.torch import load_file

from mmbench.data import Dataset
from mmbench.pretrain.config import resolve_config
from mmbench.pretrain.engine import pretrain
from mmbench.runs import RunFolder, read_metrics

CONFIG = resolve_config(
    "mixmask",
    epochs=6,
    device="cpu",
    threads=1,
    overrides=["batch_size=32", "framework.queue=100", "log_every=1"],
)


def test_killed_and_resumed_equals_uninterrupted(tiny: Dataset, tmp_path: Path) -> None:
    killed = RunFolder(tmp_path / "killed")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([sys.executable, __file__, str(killed.root)], env=environment)
    deadline = time.monotonic() + 120
    while not killed.state_paths() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert killed.state_paths()
    assert not killed.finished

    said: list[str] = []
    pretrain(CONFIG, killed.root, dataset=tiny, say=said.append)
    assert any("going on" in words for words in said)
    whole = pretrain(CONFIG, tmp_path / "whole", dataset=tiny)
    ours, theirs = load_file(killed.weights), load_file(whole.weights)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert [record["step"] for record in read_metrics(killed.metrics)] == list(range(1, 37))


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    from conftest import make_tiny_dataset

    pretrain(CONFIG, Path(sys.argv[1]), dataset=make_tiny_dataset())
