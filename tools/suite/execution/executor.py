"""The engine: Parsl, from its start to the end of everything that it started."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import re
import shlex
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from mmbench.errors import UserError, one_line, shown
from mmbench.leftovers import scratch_folder
from mmbench.tools.suite.definition.suite import RunSettings
from mmbench.tools.suite.execution.configuration import JOBS, configuration, environment
from mmbench.tools.suite.execution.drivers import Driver, living, stop_processes
from mmbench.tools.suite.execution.guard import POOL
from mmbench.tools.suite.folder import SuiteFolder

COMMAND_SECONDS = 10.0  # that the interchange may take to answer
MANY = 1024  # cells at a time where a user's own file does not tell


class LostEngineError(Exception):
    """The interchange or all pools of workers are gone."""


def is_loss(error: BaseException) -> bool:
    """Return whether a cell ended because its worker, its node or the engine is gone."""
    from parsl.executors.errors import BadStateException
    from parsl.executors.high_throughput.errors import ManagerLost, WorkerLost

    return isinstance(error, LostEngineError | BadStateException | ManagerLost | WorkerLost)


def prune_logs(folder: SuiteFolder) -> None:
    """Remove the engine's logs of earlier runs; those of drivers that live stay."""
    kept = {path.stem for path in living(folder)}
    for path in (folder.logs / "parsl").glob("*"):
        if path.name not in kept:
            shutil.rmtree(path, ignore_errors=True)


class Engine:
    """Parsl, from its start to the end of everything that it started.

    Args:
        settings: where and how the cells run.
        folder: logs are kept below it.
        driver: everything that is started ends with it.

    Raises:
        UserError: it cannot be started as the settings say.
    """

    def __init__(self, settings: RunSettings, folder: SuiteFolder, driver: Driver) -> None:
        import parsl

        self._driver = driver
        self._held = contextlib.ExitStack()
        self.logs = folder.logs.absolute() / "parsl" / driver.path.stem
        self._held.enter_context(_environment(environment(settings, driver)))
        try:
            config = configuration(settings, driver)
            config.run_dir = str(self._plain(self.logs, settings))
            config.initialize_logging = False
            config.retries = 0  # the driver tries again, after a look at what the lost cell left
            config.usage_tracking = 0
            self._executors = list(config.executors)
            self._held.enter_context(_logged(self.logs))
            self._kernel = self._started(parsl.dataflow.dflow.DataFlowKernel, config)
        except BaseException:
            self._held.close()
            raise
        for executor in self._executors:
            if client := getattr(executor, "command_client", None):
                _limit(client)

    def _started(self, kernel: Callable[[Any], Any], config: Any) -> Any:
        """Return Parsl's kernel, which starts the interchanges; of one that does not start nothing is left.

        Raises:
            UserError: Parsl says why, such as two executors of one name, or a machine too busy to answer.
        """
        try:
            return kernel(config)
        except Exception as error:
            stop_processes(self._driver.path)
            reason = one_line(f"{type(error).__name__}: {error}", 300)
            raise UserError(f"the engine cannot be started ({reason}); see {self.logs}") from error

    def _plain(self, logs: Path, settings: RunSettings) -> Path:
        """Return a path of the logs without blanks and such, which Parsl does not quote for the shell."""
        logs.mkdir(parents=True, exist_ok=True)
        if shlex.quote(str(logs)) == str(logs):
            return logs
        if settings.executor != "local":
            raise UserError(
                f"the path of the suite's folder, {shown(str(logs.parents[2]))}, has blanks or other special "
                "characters, which job scripts cannot hold; choose another with --out"
            )
        place = Path(tempfile.gettempdir()) / "mmbench-suite"
        link = self._held.enter_context(scratch_folder(place)) / "parsl"
        link.symlink_to(logs)
        return link

    @property
    def slots(self) -> int:
        """How many cells can run at a time, those aside that are jobs of their own."""
        found = 0.0
        for executor in self._executors:
            if executor.label == JOBS:
                continue
            provider = executor.provider
            found += executor.workers_per_node * provider.nodes_per_block * provider.max_blocks
        return max(1, min(MANY, math.floor(found)))

    def submit(self, function: Callable[..., Any], *arguments: Any, own_job: bool = False) -> Future[Any]:
        """Return the future of a function, importable by its module, in a worker.

        Args:
            own_job: the worker only waits for a job that the function submits.
        """
        labels = [one.label for one in self._executors if (one.label == JOBS) == own_job]
        return self._kernel.submit(  # type: ignore[no-any-return]
            function,
            app_args=arguments,
            executors=labels,
            cache=False,
            ignore_for_cache=None,
            app_kwargs={},
        )

    def problem(self) -> str | None:
        """Return why nothing can be expected from the engine any more, None if all is well."""
        for executor in self._executors:
            process = getattr(executor, "interchange_proc", None)
            if process is not None and process.poll() is not None:
                return "its interchange ended"
            if executor.bad_state_is_set:
                return _in_short(str(executor.executor_exception))
        return None

    def stop(self) -> None:
        """End the engine, its workers and its jobs; cells that still run save and stop."""
        lost = self.problem() is not None
        if lost:
            stop_processes(self._driver.path)
            for executor in self._executors:
                jobs = list(getattr(executor.provider, "resources", {}))
                with contextlib.suppress(Exception):
                    executor.provider.cancel(jobs)
                if not executor.bad_state_is_set:  # otherwise Parsl waits for the interchange without end
                    executor.set_bad_state_and_fail_all(LostEngineError())
        with contextlib.suppress(Exception):
            self._kernel.cleanup()
        stop_processes(self._driver.path)
        self._held.close()


def _in_short(report: str) -> str:
    """Return what Parsl says of pools that ended, with all they printed, in one line."""
    codes = re.findall(r"EXIT CODE: (-?[0-9]+)", report)
    printed = [line.strip() for line in report.partition("STDERR:")[2].splitlines() if line.strip()]
    printed = [line for line in printed if POOL not in line]  # the shell's words on its own command
    words = f"its workers ended with code {codes[-1]}" if codes else one_line(report.strip(), 300)
    return one_line(f"{words}: {printed[-1]}", 400) if printed else words or "its workers ended"


def _limit(client: Any) -> None:
    """Let a question to the interchange end with an error when that is gone; Parsl waits for ever."""
    run = client.run
    client.run = lambda message, max_retries=3, timeout_s=COMMAND_SECONDS: run(message, timeout_s=timeout_s)


@contextlib.contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Change the environment that what is started inherits; this process's own is as before at the end."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _logged(logs: Path) -> Iterator[None]:
    """Write Parsl's warnings to a file instead of the terminal."""
    logger = logging.getLogger("parsl")
    handler = logging.FileHandler(logs / "driver.log", delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(name)s %(levelname)s %(message)s"))
    before = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.WARNING)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        handler.close()
        logger.setLevel(before[0])
        logger.propagate = before[1]
