"""Processes of their own in a tenth of a second: forked from a server that has imported the libraries.

A new interpreter takes ten seconds to import them. A forked process has its own memory, files and signals, so
it is killed, and works with others, as one that a shell started.
"""

import multiprocessing
import os
import runpy
import signal
import socket
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
        "mmbench.transfer.dense.detection.run",
        "mmbench.transfer.dense.segmentation.run",
    ]
)


def _become(words: list[str], output: Path, environment: dict[str, str]) -> None:
    """Run a script as `python WORDS > output 2>&1` would."""
    multiprocessing.set_start_method("fork", force=True)  # of data workers, as in a new interpreter
    signal.signal(signal.SIGINT, signal.default_int_handler)
    stream = os.open(output, os.O_WRONLY | os.O_CREAT)
    os.dup2(stream, 1)
    os.dup2(stream, 2)
    os.environ.update(environment)
    sys.argv = words
    sys.path.insert(0, str(Path(words[0]).parent))
    runpy.run_path(words[0], run_name="__main__")


def start_script(words: list[str], output: Path, **environment: str) -> BaseProcess:
    """Start a script with its arguments; what it prints is in `output`."""
    output.unlink(missing_ok=True)
    process = SERVER.Process(target=_become, args=(words, output, {"OMP_NUM_THREADS": "1", **environment}))
    process.start()
    return process


def run_in_two_processes(script: str, folder: Path) -> None:
    """Run a script with a folder as its argument in two processes, with the variables that torchrun sets."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    outputs = [folder / f"output-{rank}.txt" for rank in range(2)]
    running = [
        start_script(
            [script, str(folder)],
            output,
            RANK=str(rank),
            LOCAL_RANK=str(rank),
            WORLD_SIZE="2",
            LOCAL_WORLD_SIZE="2",
            MASTER_ADDR="127.0.0.1",
            MASTER_PORT=str(port),
        )
        for rank, output in enumerate(outputs)
    ]
    for process in running:
        process.join(600)
    for process, output in zip(running, outputs, strict=True):
        process.kill()
        process.join()
        assert process.exitcode == 0, output.read_text()[-3000:]
