"""A dense task as scripts run it, in processes that work together or as a command that is killed.

python -m torch.distributed.run --nproc-per-node 2 SCRIPT FOLDER
python SCRIPT command FOLDER
"""

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from signal import SIGKILL, Signals
from typing import Any

import torch
from forked import start_script
from running import SMALL, run_task

from mmbench.checkpoints.backbone import random_backbone
from mmbench.data import DATASETS, Dataset
from mmbench.distributed import join_processes, process_count, process_rank
from mmbench.errors import UserError
from mmbench.records.store import Result, ResultStore
from mmbench.transfer import resume
from mmbench.transfer.dense.common import history

ITERATIONS = 12  # of the command


@dataclass(frozen=True)
class DenseScript:
    """What one dense task runs.

    Attributes:
        task: its name.
        data: folder of the images, below the folder of a run.
        dataset_at: returns the data set that lies in a folder.
        networks: for each name an architecture and settings, which are measured together and alone.
        short: settings of the command, and of the batch that cannot be shared.
    """

    task: str
    data: str
    dataset_at: Callable[[Path], Dataset]
    networks: dict[str, tuple[str, dict[str, Any]]]
    short: dict[str, Any]

    def measure(self, folder: Path, dataset: Dataset) -> dict[str, Result]:
        """Return a record for each network; every iteration is a line of metrics.json."""
        history.WINDOW = 1
        return {
            name: run_task(
                self.task,
                random_backbone(arch, 0),
                dataset,
                ResultStore(folder / "results"),
                work=folder / name,
                overrides=settings,
                workers=1,
            )
            for name, (arch, settings) in self.networks.items()
        }

    def together(self, folder: Path) -> None:
        """Measure in processes that work together."""
        torch.set_num_threads(1)
        join_processes(torch.device("cpu"))
        dataset = self.dataset_at(folder / self.data)
        found = self.measure(folder / "together", dataset)
        lines = [result.model_dump_json() for result in found.values()]
        (folder / f"records-{process_rank()}.txt").write_text("\n".join(lines))
        uneven = folder / "uneven"
        try:
            run_task(
                *(self.task, random_backbone("mixmask_resnet8", 0), dataset, ResultStore(uneven)),
                work=uneven,
                overrides={**self.short, "iterations": 1, "batch_size": 3},
            )
        except UserError as error:
            (folder / f"error-{process_rank()}.txt").write_text(str(error))
        assert process_count() == 2

    def command(self, folder: Path) -> None:
        """Run `mmbench transfer` on the data in a folder, saving its state after every iteration."""
        from mmbench.cli import main

        DATASETS.register("shapes")(lambda root: self.dataset_at(folder / self.data))
        resume.SAVE_EVERY_SECONDS = 0.0
        history.WINDOW = 1
        settings = {**self.short, "iterations": ITERATIONS}
        given = [text for name, value in settings.items() for text in ("--set", f"{name}={value}")]
        places = ("--out", str(folder / "results"), "--work", str(folder / "work"))
        weights = ("--checkpoint", "random", "--arch", "mixmask_resnet8")
        main(
            [
                *("transfer", "--task", self.task, *weights, "--data", "shapes", *places),
                *("--protocol", SMALL[self.task], "--threads", "1", "--workers", "1", *given),
            ]
        )

    def run(self) -> None:
        """Do what the arguments of the script ask for."""
        if sys.argv[1] == "command":
            self.command(Path(sys.argv[2]))
        else:
            self.together(Path(sys.argv[1]))


def kill_and_continue(script: str, killed: Path, whole: Path, ends: dict[int, Signals]) -> None:
    """Run the command of a script in two folders, one undisturbed, the other ended by signals.

    Args:
        script: its path.
        killed: where the command is ended, and started again until it is done.
        whole: where it is not.
        ends: for each iteration, the signal that is sent once its state is saved.
    """

    def start(folder: Path) -> BaseProcess:
        return start_script([script, "command", str(folder)], folder / "output.txt")

    def output_of(folder: Path) -> str:
        return (folder / "output.txt").read_text()

    def newest_step() -> int:
        steps = [int(path.stem.partition("-")[2]) for path in killed.rglob("step-*.pth")]
        return max(steps, default=0)

    undisturbed = start(whole)
    for reached, number in ends.items():
        running = start(killed)
        while newest_step() < reached:
            assert running.is_alive(), output_of(killed)[-2000:]
            time.sleep(0.02)
        assert running.pid is not None
        os.kill(running.pid, number)
        running.join()
        assert running.exitcode == (-SIGKILL if number == SIGKILL else 130), output_of(killed)[-3000:]
        assert number == SIGKILL or "Traceback" not in output_of(killed)
        assert 1 <= len(list(killed.rglob("step-*.pth"))) <= 2
        assert not list((killed / "results").rglob("*.json"))
    for run, folder in ((undisturbed, whole), (start(killed), killed)):
        run.join()
        assert run.exitcode == 0, output_of(folder)[-2000:]
    assert not (killed / "results" / ".unfinished").exists()


def finished_work(folder: Path) -> Path:
    """Return the folder with the logs of the one run below `folder`."""
    (found,) = folder.rglob("metrics.json")
    return found.parent
