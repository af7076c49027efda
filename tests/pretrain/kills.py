"""Runs that are killed at random moments and go on: what the tests of each kind share.

Each session is a forked process of its own.
"""

import multiprocessing
import random
import time
from multiprocessing.connection import Connection
from pathlib import Path

import torch
from forked import SERVER
from safetensors.torch import load_file
from small_runs import make_tiny_dataset

from mmbench.pretrain.config import resolve_config
from mmbench.pretrain.engine import pretrain
from mmbench.pretrain.settings import PretrainConfig
from mmbench.runs import RunFolder, read_metrics

EPOCHS, STEPS_PER_EPOCH = 8, 6
STEPS_WAITED = 4  # at most, between a step and a kill


def configuration(framework: str, images: Path | None) -> PretrainConfig:
    """The settings; `images` is a folder that data workers read, else the data are in memory."""
    overrides = [f"framework.name={framework}", "batch_size=16", "log_every=1"]
    if framework == "moco":
        overrides.append("framework.queue=50")  # no multiple of the batch
    data = None
    if images is not None:
        overrides += ["loading=files", "workers=2", "image_size=16"]
        data = str(images)
    return resolve_config("mixmask", data=data, epochs=EPOCHS, device="cpu", threads=1, overrides=overrides)


def session(framework: str, out: Path, images: Path | None, steps: Connection) -> None:
    """Run to the end; send the number of each step that is done."""
    multiprocessing.set_start_method("fork", force=True)  # data workers, as in a session of its own
    pretrain(
        configuration(framework, images),
        out,
        lambda done, total, words: steps.send(done),
        dataset=None if images else make_tiny_dataset(),
    )


def run_until_killed(framework: str, out: Path, images: Path | None, chance: random.Random) -> bool:
    """Run, and kill at a random moment within the next steps; return whether the run ended before."""
    steps, theirs = SERVER.Pipe(duplex=False)
    process = SERVER.Process(target=session, args=(framework, out, images, theirs))
    process.start()
    theirs.close()
    seen = []
    for _ in range(chance.randint(1, 2 * STEPS_PER_EPOCH)):
        try:
            steps.recv()
        except EOFError:
            break
        seen.append(time.monotonic())
    # Within a few steps, however fast they are: a fast machine would end the whole run in a fixed time.
    step = (seen[-1] - seen[0]) / (len(seen) - 1) if len(seen) > 1 else 0.0
    time.sleep(chance.uniform(0, min(0.1, STEPS_WAITED * step)))
    process.kill()
    process.join()
    return process.exitcode == 0


def require_equal_after_kills(framework: str, kills: int, folder: Path, images: Path | None = None) -> None:
    """Kill a run so many times, let it end, and compare it with an uninterrupted one."""
    chance = random.Random(framework)
    killed = RunFolder(folder / "killed")
    ended = [run_until_killed(framework, killed.root, images, chance) for _ in range(kills)]
    assert sum(not end for end in ended) >= kills - 2  # nearly every kill met a running process
    said: list[str] = []
    config, dataset = configuration(framework, images), None if images else make_tiny_dataset()
    pretrain(config, killed.root, dataset=dataset, say=said.append)
    assert any("going on" in words or "finished already" in words for words in said)
    whole = pretrain(config, folder / "whole", dataset=dataset)
    ours, theirs = load_file(killed.weights), load_file(whole.weights)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    steps = [record["step"] for record in read_metrics(killed.metrics)]
    assert steps == list(range(1, EPOCHS * STEPS_PER_EPOCH + 1))
