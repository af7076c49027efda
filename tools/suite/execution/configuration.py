"""Parsl's configuration: workers on this machine, in pilot jobs of Slurm, or as a user's own file says."""

from __future__ import annotations

import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmbench.errors import UserError, one_line
from mmbench.processes import cores
from mmbench.tools.suite.definition.suite import RunSettings, Slurm
from mmbench.tools.suite.execution.drivers import VARIABLE, Driver
from mmbench.tools.suite.execution.guard import INTERCHANGE, POOL

BEAT_SECONDS = 2
# Between looks of waiting threads whether they are to end; messages wake them at once. Parsl's 10 ms cost 3%
# of a core while nothing happens.
POLL_MILLISECONDS = 500
# A pool that is silent for longer counts as lost. A machine may be busy, a node of a cluster may be gone.
LOCAL_SILENCE, CLUSTER_SILENCE = 30, 8
IDLE_SECONDS = 30.0  # until pilot jobs without a cell are given back
JOBS = "jobs"  # label of the executor whose cells are jobs of their own


def configuration(settings: RunSettings, driver: Driver) -> Any:
    """Return the `parsl.config.Config` that settings ask for; all that it starts ends with the driver.

    Raises:
        UserError: it cannot be used on this machine.
    """
    if settings.executor == "local":
        config = _local(settings)
    elif settings.executor == "slurm":
        config = _slurm(settings, driver)
    else:
        config = _own(Path(settings.executor))
    for executor in config.executors:
        _guard(executor)
        if getattr(executor.provider, "label", None) == "slurm":
            _record_jobs(executor.provider, driver)
    return config


def gpus() -> list[str]:
    """Return the GPUs that this process may use, as CUDA_VISIBLE_DEVICES takes them."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [name for name in visible.split(",") if name.strip() and name.strip() != "-1"]
    if shutil.which("nvidia-smi") is None:
        return []
    answer = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False, timeout=60)
    whole = re.findall(r"^GPU .*\(UUID: (GPU-[^)]+)\)", answer.stdout, re.MULTILINE)
    parts = re.findall(r"^\s+MIG .*\(UUID: +(MIG-[^)]+)\)", answer.stdout, re.MULTILINE)
    return parts or whole


def pinned(settings: RunSettings, found: list[str]) -> list[str]:
    """Return what each worker is pinned to: a GPU, or several joined by commas.

    Workers share GPUs where more are asked for than there are.

    Raises:
        UserError: fewer GPUs than one cell is to have.
    """
    each = settings.gpus_per_cell
    if not found or not each:
        return []
    if len(found) < each:
        raise UserError(
            f"run.gpus_per_cell is {each}, and this machine has {len(found)} GPU"
            f"{'s' if len(found) != 1 else ''}; lower it"
        )
    groups = [",".join(found[first : first + each]) for first in range(0, len(found) - each + 1, each)]
    if settings.workers == "auto":
        return groups
    return [groups[number % len(groups)] for number in range(settings.workers)]


def environment(settings: RunSettings, driver: Driver) -> dict[str, str]:
    """Return what the processes of the engine have in their environment."""
    threads = str(settings.threads)
    scripts = str(Path(sys.executable).parent)  # of a virtual environment that is not activated
    path = os.environ.get("PATH", "")
    return {
        VARIABLE: str(driver.path),
        "SPT_NOENV": "1",  # keeps the environment readable where Parsl renames a process
        "OMP_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
        "PATH": path if scripts in path.split(os.pathsep) else f"{scripts}{os.pathsep}{path}",
    }


def job_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what a job script sets itself, as a cluster may not pass it on."""
    wanted = (VARIABLE, "SPT_NOENV", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "PATH", "PYTHONPATH")
    return {name: environment[name] for name in wanted if name in environment}


def _local(settings: RunSettings) -> Any:
    from parsl.config import Config
    from parsl.executors import HighThroughputExecutor
    from parsl.providers import LocalProvider

    accelerators = pinned(settings, gpus())
    if settings.workers == "auto":
        workers = len(accelerators) or max(1, cores() // settings.threads)
    else:
        workers = settings.workers
    executor = HighThroughputExecutor(
        label="local",
        address="127.0.0.1",
        max_workers_per_node=workers,
        cores_per_worker=1e-3,  # as many workers as are asked for, whatever the number of cores
        available_accelerators=accelerators,
        heartbeat_period=BEAT_SECONDS,
        poll_period=POLL_MILLISECONDS,
        heartbeat_threshold=LOCAL_SILENCE,
        provider=LocalProvider(init_blocks=1, max_blocks=1),
    )
    # The first period is over before the workers are started.
    return Config(executors=[executor], strategy="none", strategy_period=0.2)


def _slurm(settings: RunSettings, driver: Driver) -> Any:
    from parsl.config import Config
    from parsl.executors import HighThroughputExecutor
    from parsl.launchers import SingleNodeLauncher, SrunLauncher
    from parsl.providers import SlurmProvider

    if shutil.which("sbatch") is None:
        raise UserError("Slurm's sbatch is not on this machine; run the suite where jobs are submitted")

    class Provider(SlurmProvider):  # type: ignore[misc]
        """Asks for the state of jobs twice a minute, so that a job that fails is soon reported."""

        @property
        def status_polling_interval(self) -> int:
            return 30

    asked: Slurm = settings.slurm
    options = "".join(f"#SBATCH {option}\n" for option in ("--requeue", *asked.options))
    variables = job_variables({**os.environ, **environment(settings, driver)})
    exports = [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
    each = settings.gpus_per_cell
    accelerators = [
        ",".join(str(gpu) for gpu in range(first, first + each))
        for first in range(0, asked.workers_per_node * each, each or 1)
    ]
    executor = HighThroughputExecutor(
        label="slurm",
        max_workers_per_node=asked.workers_per_node,
        cores_per_worker=1e-3,
        available_accelerators=accelerators if asked.workers_per_node > 1 else [],
        heartbeat_period=BEAT_SECONDS,
        poll_period=POLL_MILLISECONDS,
        heartbeat_threshold=CLUSTER_SILENCE,
        provider=Provider(
            partition=asked.partition,
            account=asked.account,
            walltime=asked.time,
            nodes_per_block=asked.nodes,
            init_blocks=0 if settings.pretraining.nodes > 1 else 1,  # those jobs may need all nodes first
            max_blocks=asked.jobs,
            cores_per_node=asked.workers_per_node * settings.threads,
            scheduler_options=options,
            worker_init="\n".join([*exports, *asked.prepare]),
            exclusive=False,
            cmd_timeout=60,
            launcher=SingleNodeLauncher() if asked.nodes == 1 else SrunLauncher(),
        ),
    )
    executors = [executor]
    if settings.pretraining.nodes > 1:
        executors.append(_watching_jobs(settings))
    return Config(executors=executors, strategy="simple", strategy_period=1, max_idletime=IDLE_SECONDS)


def _watching_jobs(settings: RunSettings) -> Any:
    """Return workers on this host for cells that are jobs of their own, and only wait for them."""
    from parsl.executors import HighThroughputExecutor
    from parsl.providers import LocalProvider

    return HighThroughputExecutor(
        label=JOBS,
        address="127.0.0.1",
        max_workers_per_node=settings.slurm.jobs,
        cores_per_worker=1e-3,
        heartbeat_period=BEAT_SECONDS,
        poll_period=POLL_MILLISECONDS,
        heartbeat_threshold=LOCAL_SILENCE,
        provider=LocalProvider(init_blocks=1, min_blocks=1, max_blocks=1),
    )


def _own(path: Path) -> Any:
    """Return the configuration of a user's own Parsl file, which runs as Python.

    Raises:
        UserError: no such file, it ends in an error, or it defines no configuration with processes.
    """
    from parsl.config import Config

    if not path.is_file():
        raise UserError(
            f"run.executor: no Parsl file at {path}; it is local, slurm, or the path of such a file"
        )
    try:
        config = runpy.run_path(str(path)).get("config")
    except BaseException as error:
        raise UserError(f"{path} ends with {one_line(f'{type(error).__name__}: {error}', 300)}") from None
    if not isinstance(config, Config):
        raise UserError(f"{path} does not define `config`, a parsl.config.Config")
    for executor in config.executors:
        if not hasattr(executor, "launch_cmd") or executor.provider is None:
            raise UserError(
                f"{path}: executor {executor.label} is a {type(executor).__name__}, and cells need processes "
                "of their own; use a HighThroughputExecutor"
            )
        if problem := _problem(executor, config.strategy):
            raise UserError(f"{path}: executor {executor.label}: {problem}")
    return config


def _problem(executor: Any, strategy: str | None) -> str | None:
    """Return why no cell would ever run in an executor of a user's file, None if cells would."""
    provider = executor.provider
    if executor.label == JOBS:
        return "mmbench calls an executor of its own so; choose another label"
    if provider.max_blocks < 1:
        return "its provider starts no workers; set max_blocks to 1 or more"
    if provider.init_blocks < 1 and strategy in (None, "none"):
        return "its provider starts no workers; set init_blocks to 1 or more, or strategy='simple'"
    return None


def _guard(executor: Any) -> None:
    """Let the interchange and the pools of an executor end with the driver."""
    here = f"{shlex.quote(sys.executable)} -m mmbench.tools.suite.execution.guard {POOL}"
    braces = here.replace("{", "{{{{").replace("}", "}}}}")  # Parsl formats the command twice
    executor.launch_cmd = executor.launch_cmd.replace("process_worker_pool.py", braces, 1)
    if list(executor.interchange_launch_cmd) == ["interchange.py"]:
        executor.interchange_launch_cmd = [
            sys.executable,
            "-m",
            "mmbench.tools.suite.execution.guard",
            INTERCHANGE,
        ]


def _record_jobs(provider: Any, driver: Driver) -> None:
    """Record the jobs that a provider submits, so that the next driver cancels them if this one is killed."""
    submit = provider.submit

    def recorded(*arguments: Any, **keywords: Any) -> Any:
        job = submit(*arguments, **keywords)
        driver.add_job(str(job))
        return job

    provider.submit = recorded
