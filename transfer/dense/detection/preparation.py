"""What a detection run does before its training: images, weights and Detectron2's configuration."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from detectron2.config import CfgNode
from detectron2.utils import comm

from mmbench.distributed import process_count
from mmbench.launched import launched_here
from mmbench.transfer.dense.common.library_errors import of_library
from mmbench.transfer.dense.common.processes import own_folder
from mmbench.transfer.dense.common.quiet import logs_to, seeded
from mmbench.transfer.dense.common.reading import reading_workers
from mmbench.transfer.dense.common.splits import DenseSplits, dense_splits
from mmbench.transfer.dense.detection.catalog import Item, dataset_dicts, in_catalog
from mmbench.transfer.dense.detection.config import RunFacts, build_config, write_weights
from mmbench.transfer.dense.detection.evaluation import Task, check_evaluable
from mmbench.transfer.dense.detection.settings import DetectionSettings
from mmbench.transfer.dense.detection.splits import (
    check_parts,
    check_sigmas,
    has_coded_masks,
    mirror_note,
    training_dicts,
)
from mmbench.transfer.dense.detection.taken import notes_on_detector
from mmbench.transfer.job import TransferJob

NOISY = ("detectron2", "fvcore", "iopath", "torch.fx._symbolic_trace")  # loggers


@dataclass(frozen=True)
class Prepared:
    """A run that is ready to train.

    Attributes:
        train, test: in Detectron2's format the images that are trained on, and those of the evaluated split.
        tasks: what the detections are scored for.
        settings: with the schedule that is effective for the batch size and the number of images.
        cfg: Detectron2's configuration; it is in config.yaml of its OUTPUT_DIR, a folder of this process.
        notes: facts that a reader of the record must know.
    """

    splits: DenseSplits
    train: list[Item]
    test: list[Item]
    tasks: tuple[Task, ...]
    settings: DetectionSettings
    cfg: CfgNode
    notes: tuple[str, ...]

    @property
    def work(self) -> Path:
        """Folder of this process's files."""
        return Path(self.cfg.OUTPUT_DIR)

    def trying(self, proven: Callable[[], bool] = lambda: False) -> contextlib.AbstractContextManager[None]:
        """Report errors within as coming from Detectron2's own keys, if any are stated; see `of_library`."""
        return of_library(self.settings.library, "Detectron2", proven)


@contextlib.contextmanager
def prepared(job: TransferJob, settings: DetectionSettings) -> Iterator[Prepared]:
    """Check the images, write weights and configuration, and seed everything random.

    Within the context the images are in Detectron2's catalogs, and its messages go to log.txt.

    Raises:
        UserError: the images or the backbone do not fit the detector.
    """
    join_detectron2()
    splits, tasks = _splits(job, settings), scored(settings)
    check_parts(splits, settings.masks, settings.keypoints)
    check_sigmas(splits.data, settings)
    check_evaluable(splits.evaluated, tasks)
    train, left_out = training_dicts(splits, settings)
    length_note, settings = settings.length_note(len(train)), settings.effective(len(train))
    work = own_folder(job.work)
    weights, notes = write_weights(job.backbone, work, settings, job.device)
    unmirrored = mirror_note(splits.data, settings)
    task = job.run.task
    notes += notes_on_detector(job.backbone.card, settings, task.overrides, task.protocol.settings)
    notes += [*left_out, *filter(None, (length_note, unmirrored)), *precision_notes(job)]

    keypoints = len(splits.data.keypoints)
    test = dataset_dicts(splits.evaluated, keypoints)
    with logs_to(work / "log.txt", *NOISY), seeded(job.seed), in_catalog(splits.data, [train, test]) as names:
        facts = RunFacts(
            classes=len(splits.data.classes),
            datasets=(names[0], names[1]),
            weights=weights,
            output=work,
            device=job.device,
            seed=job.seed,
            keypoints=keypoints,
            workers=reading_workers(job, settings.batch_size * settings.iterations + len(test)),
            bitmasks=has_coded_masks(train),
            mixed_precision=job.compute.precision != "float32",
            mirrored=unmirrored is None,
        )
        cfg = build_config(job.backbone.card, settings, facts)
        (work / "config.yaml").write_text(cfg.dump(), encoding="utf-8")
        yield Prepared(splits, train, test, tasks, settings, cfg, tuple(notes))


def _splits(job: TransferJob, settings: DetectionSettings) -> DenseSplits:
    data = job.dataset.require_annotated()
    return dense_splits(data, job.protocol.evaluated(), settings.train_images, job.seed)


def scored(settings: DetectionSettings) -> tuple[Task, ...]:
    """Return what the detections are scored for."""
    tasks: list[Task] = ["boxes"]
    tasks += ["masks"] if settings.masks else []
    tasks += ["keypoints"] if settings.keypoints else []
    return tuple(tasks)


def precision_notes(job: TransferJob) -> list[str]:
    """Return the note on the precision of the training, where it is not float32."""
    precision = job.compute.precision
    if precision == "float32":
        return []
    return [f"trained in {precision} by autocast, with regions pooled in float32; evaluated in float32"]


def join_detectron2() -> None:
    """Make Detectron2's group of the processes on this machine, which its `launch` would make."""
    count = process_count()
    if count == 1 or comm._LOCAL_PROCESS_GROUP is not None:
        return
    here = launched_here(count)
    comm.create_local_process_group(here if count % here == 0 else count)
