"""What each node of a pretraining over several processes runs: `torchrun`, for as long as it is wanted.

    python -m mmbench.tools.suite.execution.node PROCESSES_PER_NODE -m mmbench pretrain ...

In a job of Slurm on several nodes, `srun` starts it on each of them. It ends with the process that started it
and with the driver of the suite, and passes on one SIGTERM, so that the training saves once.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from mmbench.tools.suite.execution.drivers import VARIABLE, DriverWatch

LOOK_SECONDS = 0.5
FIRST_PORT, PORTS = 20_000, 12_000  # below the ports that Linux gives to outgoing connections
PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main() -> None:
    """Run `torchrun` with the processes and the command that the command line names; exit with its code."""
    processes, command = int(sys.argv[1]), sys.argv[2:]
    arguments = [*rendezvous(os.environ), "--nproc-per-node", str(processes), *command]
    # What is left of a killed run is found by the driver's path; here it would make for a second SIGTERM.
    inherited = {name: value for name, value in os.environ.items() if name != VARIABLE}
    parent = os.getppid()
    watch = DriverWatch(Path(os.environ[VARIABLE])) if VARIABLE in os.environ else None
    process = subprocess.Popen(
        [sys.executable, "-m", "torch.distributed.run", *arguments],
        env=inherited,
        start_new_session=True,  # Ctrl-C reaches all processes of a terminal
        preexec_fn=_end_with_this_process if sys.platform == "linux" else None,
    )
    asked = False

    def stop(*_: object) -> None:
        nonlocal asked
        if not asked:
            asked = True
            process.terminate()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while process.poll() is None:
        if os.getppid() != parent or (watch is not None and watch.wish() != "go on"):
            stop()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(LOOK_SECONDS)
    sys.exit(process.returncode if process.returncode >= 0 else 128 - process.returncode)


def _end_with_this_process() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def rendezvous(environment: Mapping[str, str]) -> list[str]:
    """Return where the processes of all nodes meet, as arguments of `torchrun`.

    Args:
        environment: Slurm says in it which nodes there are; without Slurm, or on one node, they meet here.
    """
    nodes = int(environment.get("SLURM_STEP_NUM_NODES", "1"))
    if nodes == 1:
        return ["--standalone"]
    job, attempt = environment["SLURM_JOB_ID"], environment.get("SLURM_RESTART_COUNT", "0")
    first = _answer("scontrol", "show", "hostnames", environment["SLURM_STEP_NODELIST"]).split()[0]
    is_first = environment["SLURM_NODEID"] == "0"
    return [
        *("--nnodes", str(nodes)),
        *("--rdzv-backend", "c10d"),
        *("--rdzv-endpoint", f"{_address(first)}:{FIRST_PORT + int(job) % PORTS}"),
        *("--rdzv-id", f"{job}-{attempt}"),
        *("--rdzv-conf", f"is_host={int(is_first)}"),
        *("--local-addr", _address(environment["SLURMD_NODENAME"])),
    ]


def _address(node: str) -> str:
    """Return the address of a node, which need not be its name."""
    words = _answer("scontrol", "show", "node", node, "--oneliner").split()
    found = [word.partition("=")[2] for word in words if word.startswith("NodeAddr=")]
    return found[0] if found else node


def _answer(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


if __name__ == "__main__":
    main()
