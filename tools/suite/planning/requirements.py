"""What a suite needs of this machine, what of it is missing, and the command that fixes it."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from rich.filesize import decimal

from mmbench.checkpoints.places import source_of
from mmbench.data.names import exists
from mmbench.errors import UserError
from mmbench.tools.doctor_checks import DETECTION_FIX, SEGMENTATION_FIX, Finding
from mmbench.tools.suite.definition.data_facts import DATA_GB, facts_of
from mmbench.tools.suite.execution.configuration import gpus
from mmbench.tools.suite.folder import SuiteFolder
from mmbench.tools.suite.planning.cell import Cell, PretrainWork, TransferWork
from mmbench.tools.suite.planning.data_requirements import data_findings, located
from mmbench.tools.suite.planning.estimate import recipe_of
from mmbench.tools.suite.planning.plan import Plan
from mmbench.transfer.arms import CONTROLS

# Module -> library, per task.
EXTRAS = {
    "detection": (("detectron2", "Detectron2"), ("pycocotools", "pycocotools")),
    "segmentation": (("mmengine", "mmengine"), ("mmcv", "mmcv"), ("mmseg", "mmsegmentation")),
}
FIXES = {"detection": DETECTION_FIX, "segmentation": SEGMENTATION_FIX}
# Parameters in millions (He et al. 2016); ResNet-50's for what is not listed.
PARAMETERS = {"resnet8": 0.3, "resnet18": 11.2, "resnet34": 21.3, "resnet50": 23.5, "resnet101": 42.5}
# Of a training state: both encoders, and momentum and update of the optimiser; float32.
STATE_COPIES, STATES_KEPT = 4, 2
RECORD_BYTES = 500_000  # a record with outcomes and plots
CELL_BYTES, SCENES_BYTES = 10**9, 2.5 * 10**9  # memory of a worker with its libraries
LARGEST_SIDE_IN_MEMORY = 64  # pixels; larger images are read as files
GB = 10**9


def requirements(plan: Plan, folder: SuiteFolder, workers: int, done: Collection[str] = ()) -> list[Finding]:
    """Return a finding for everything that the plan needs, fulfilled or not, without opening anything large.

    Args:
        folder: of the suite, which need not exist.
        workers: cells at a time.
        done: ids of cells that are not run again: their weights and libraries are not needed any more.
    """
    root = plan.suite.data_root or folder.data
    cells = plan.cells
    left = [cell for cell in cells if cell.id not in done]
    return [
        *data_findings(cells, root),
        *_checkpoints(left),
        *_libraries(left),
        *_gpu(plan),
        *_engine(plan),
        _disk(cells, folder, root),
        _memory(cells, workers),
    ]


def missing(findings: Iterable[Finding]) -> list[Finding]:
    """Return what is not fulfilled."""
    return [finding for finding in findings if finding.status != "ok"]


def _checkpoints(cells: Iterable[Cell]) -> Iterator[Finding]:
    """Yield a finding for each file or folder of weights; a library fetches those that are named."""
    specs = {
        work.weights: work.arm
        for work in (cell.work for cell in cells)
        if isinstance(work, TransferWork) and isinstance(work.weights, str) and work.weights not in CONTROLS
    }
    for spec, arm in specs.items():
        source, name = source_of(spec) or ("", spec)
        if source not in ("", "local-dir"):
            continue
        path = Path(name)
        what = f"weights of {arm}"
        if exists(path):
            yield Finding(what, "ok", f"found in {path}")
        else:
            fix = f"put the file there, or name another in the suite (arm {arm})"
            yield Finding(what, "problem", f"{path} is not there", fix)


def _libraries(cells: Iterable[Cell]) -> Iterator[Finding]:
    for task in dict.fromkeys(cell.work.task for cell in cells if isinstance(cell.work, TransferWork)):
        for module, library in EXTRAS.get(task, ()):
            if importlib.util.find_spec(module) is None:
                yield Finding(library, "problem", f"not installed; task {task} needs it", FIXES[task])
            else:
                yield Finding(library, "ok", f"installed; task {task} needs it")


def _gpu(plan: Plan) -> Iterator[Finding]:
    run = plan.suite.run
    if run.executor != "local" or not run.gpus_per_cell:
        return
    found = len(gpus())
    if found >= run.gpus_per_cell:
        yield Finding("GPU", "ok", f"{found} found, {run.gpus_per_cell} for each cell")
    elif "gpus_per_cell" in run.model_fields_set:
        wanted = f"{found or 'none'} found, and each cell asks for {run.gpus_per_cell}"
        fix = "run it on a machine that has them, or with run: {executor: slurm}; or set gpus_per_cell: 0"
        yield Finding("GPU", "problem", wanted, fix)


def _engine(plan: Plan) -> Iterator[Finding]:
    executor = plan.suite.run.executor
    if importlib.util.find_spec("parsl") is None:
        yield Finding("Parsl", "problem", "not installed; every run needs it", "pip install parsl")
    if executor == "slurm":
        if shutil.which("sbatch") is None:
            yield Finding("Slurm", "problem", "there is no sbatch on the PATH", "run it on a login node")
        else:
            yield Finding("Slurm", "ok", "sbatch is on the PATH")
    elif executor != "local":
        if Path(executor).is_file():
            yield Finding("executor", "ok", f"found in {executor}")
        else:
            yield Finding("executor", "problem", f"{executor} is not there", "name another file of Parsl")


def state_bytes(work: PretrainWork) -> float:
    """Return the size of what a pretraining leaves: training states and weights, in bytes."""
    recipe = recipe_of(work.method, work.scale, work.data)
    name = (work.arch or str(recipe.settings["arch"])).removeprefix("mixmask_").removesuffix("_cifar")
    parameters = 1e6 * PARAMETERS.get(name, PARAMETERS["resnet50"])
    framework = recipe.settings["framework"]
    queue = framework.get("queue", 0) * framework.get("dim", 128)
    return 4.0 * float(STATES_KEPT * (STATE_COPIES * parameters + queue) + parameters)


def disk_bytes(cells: Iterable[Cell], root: Path | None) -> tuple[float, float]:
    """Return the bytes that the suite's folder and the data sets that are not there yet need.

    Args:
        root: the folder with one folder per data set; None counts all data sets.
    """
    works = [cell.work for cell in cells]
    left = sum(state_bytes(work) for work in works if isinstance(work, PretrainWork))
    left += RECORD_BYTES * sum(isinstance(work, TransferWork) for work in works)
    names = [work.data for work in works if work.kind == "data"]
    absent = [name for name in names if root is None or located(name, root).missing]
    return left, GB * sum(DATA_GB.get(name, 0) for name in absent)


def _free(folder: Path) -> tuple[int, int]:
    """Return (device, free bytes) of the disk that holds a folder, which need not exist."""
    existing = folder.absolute()
    while not exists(existing):
        existing = existing.parent
    return existing.stat().st_dev, shutil.disk_usage(existing).free


def _disk(cells: Iterable[Cell], folder: SuiteFolder, root: Path) -> Finding:
    left, data = disk_bytes(cells, root)
    (device, free), (data_device, data_free) = _free(folder.root), _free(root)
    wanted = [(folder.root, left + data, free)]
    if device != data_device:
        wanted = [(folder.root, left, free), (root, data, data_free)]
    words = f"{decimal(round(left))} for runs and records, {decimal(round(data))} for data that are not there"
    for place, need, there in wanted:
        if need > there:
            fix = "free some space, or choose another folder with --out or data_root"
            return Finding("disk space", "problem", f"{words}; {decimal(there)} free at {place}", fix)
    return Finding("disk space", "ok", f"{words}; {decimal(free)} free")


def memory_bytes(cells: Iterable[Cell]) -> float:
    """Return the memory that the largest cell needs."""
    largest = float(CELL_BYTES)
    for work in {cell.work.data: cell.work for cell in cells}.values():
        facts = facts_of(work.data)
        if facts.train_images and facts.image_size and facts.image_size <= LARGEST_SIDE_IN_MEMORY:
            decoded = 3 * facts.train_images * (1.25 * facts.image_size) ** 2
            largest = max(largest, CELL_BYTES + 2 * decoded)
    if any(isinstance(cell.work, TransferWork) and cell.work.task in EXTRAS for cell in cells):
        largest = max(largest, SCENES_BYTES)
    return largest


def _memory(cells: Iterable[Cell], workers: int) -> Finding:
    need = workers * memory_bytes(tuple(cells))
    try:
        there = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return Finding("memory", "ok", f"about {decimal(round(need))} needed")
    words = f"about {decimal(round(need))} needed by {workers} worker{'s' if workers > 1 else ''}"
    if need > there:
        fix = f"run fewer cells at a time: run: {{workers: {max(1, int(workers * there / need))}}}"
        return Finding("memory", "problem", f"{words}, {decimal(there)} there", fix)
    return Finding("memory", "ok", f"{words}, {decimal(there)} there")


def require(findings: Iterable[Finding]) -> None:
    """Refuse to run where something is missing that no cell can do without; disk and memory may suffice.

    Raises:
        UserError: what is missing, in one line with the first command that fixes it.
    """
    lacking = [finding for finding in missing(findings) if finding.name not in ("memory", "GPU")]
    if lacking:
        first, *others = lacking
        more = f" ({len(others)} more: {', '.join(one.name for one in others)})" if others else ""
        raise UserError(f"{first.name}: {first.detail}; {first.fix}{more}")
