"""Processes of their own in a tenth of a second: forked from a server that has imported the libraries.

A new interpreter takes ten seconds to import them. A forked process has its own memory, files and signals, so
it is killed, and works with others, as one that a shell started.
"""

import faulthandler
import multiprocessing
import os
import runpy
import signal
import sys
from multiprocessing.process import BaseProcess
from pathlib import Path

SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(
    [
        "mmbench.pretrain.engine",
        "mmbench.pretrain.config",
        "torch.utils.tensorboard",
        "mmbench.cli.commands",
        "mmbench.transfer.execution",
        "mmbench.transfer.tasks.linear.svm",
        "mmbench.transfer.dense.detection.run",
        "mmbench.transfer.dense.segmentation.run",
    ]
)
HANGS = 400  # seconds after which a process prints the stack of every thread and ends


def _write_to(output: Path) -> None:
    """Send what this process prints to a file."""
    stream = os.open(output, os.O_WRONLY | os.O_CREAT)
    os.dup2(stream, 1)
    os.dup2(stream, 2)


def _become(words: list[str]) -> None:
    """Run a script as `python WORDS` would."""
    multiprocessing.set_start_method("fork", force=True)  # of data workers, as in a new interpreter
    signal.signal(signal.SIGINT, signal.default_int_handler)
    faulthandler.dump_traceback_later(HANGS, exit=True, file=2)
    sys.argv = words
    sys.path.insert(0, str(Path(words[0]).parent))
    runpy.run_path(words[0], run_name="__main__")


def _start(words: list[str], output: Path) -> None:
    _write_to(output)
    os.environ["OMP_NUM_THREADS"] = "1"
    _become(words)


def start_script(words: list[str], output: Path) -> BaseProcess:
    """Start a script with its arguments; what it prints is in `output`."""
    output.unlink(missing_ok=True)
    process = SERVER.Process(target=_start, args=(words, output))
    process.start()
    return process


def _torchrun(words: list[str], output: Path, count: int) -> None:
    """Do what `torchrun --standalone --nproc-per-node COUNT WORDS` does, but that it forks them."""
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    _write_to(output)
    os.environ["OMP_NUM_THREADS"] = "1"
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=count,
        run_id="test",
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
        start_method="fork",
    )
    elastic_launch(config, _become)(words)


def run_in_processes(script: str, folder: Path, count: int = 2) -> None:
    """Run a script with a folder as its argument in several processes, which torchrun's own agent starts."""
    output = folder / "output.txt"
    process = SERVER.Process(target=_torchrun, args=([script, str(folder)], output, count))
    process.start()
    process.join(HANGS + 60)
    process.kill()
    process.join()
    assert process.exitcode == 0, output.read_text()[-3000:]
