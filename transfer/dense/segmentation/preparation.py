"""What a segmentation run does before its training: images, weights and mmengine's configuration."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import ConfigDict
from mmengine.hooks import Hook

from mmbench.data.label_maps.reading import without_background
from mmbench.device import NO_BFLOAT16, has_bfloat16
from mmbench.distributed import process_count
from mmbench.files import write_json
from mmbench.transfer.dense.common.library_errors import of_library
from mmbench.transfer.dense.common.notes import filtered_images, unused_tensors
from mmbench.transfer.dense.common.processes import own_folder
from mmbench.transfer.dense.common.quiet import logs_to
from mmbench.transfer.dense.common.reading import TestLoader, TrainingLoader, reading_workers
from mmbench.transfer.dense.common.sampling import BatchStream
from mmbench.transfer.dense.common.splits import DenseSplits, dense_splits
from mmbench.transfer.dense.segmentation import models, preprocessor  # noqa: F401  (registers them with mmsegmentation)
from mmbench.transfer.dense.segmentation.architecture import network_note
from mmbench.transfer.dense.segmentation.config import RunFacts, build_config
from mmbench.transfer.dense.segmentation.containment import contained
from mmbench.transfer.dense.segmentation.fitting import fitted
from mmbench.transfer.dense.segmentation.images import SceneReader
from mmbench.transfer.dense.segmentation.precision import exact_logits
from mmbench.transfer.dense.segmentation.runner import QuietRunner, SceneBatches
from mmbench.transfer.dense.segmentation.settings import SegmentationSettings
from mmbench.transfer.dense.segmentation.weights import check_arrival, feed_timm_backbone, write_weights
from mmbench.transfer.job import TransferJob

OWNER = "mmsegmentation"  # of the keys in errors: its parts are built from them


@dataclass(frozen=True)
class Prepared:
    """A run that is ready to train.

    Attributes:
        config: the Runner's arguments, without batches; it is in config.json of `work`.
        train_batches, test_batches: this process's parts.
        loader: of the training batches.
        weights: file for mmsegmentation's `ResNet`, if it is the backbone.
        work: folder of this process's files.
        notes: facts that a reader of the record must know.
    """

    job: TransferJob
    settings: SegmentationSettings
    splits: DenseSplits
    config: dict[str, Any]
    loader: TrainingLoader
    train_batches: SceneBatches
    test_batches: SceneBatches
    weights: Path | None
    work: Path
    notes: tuple[str, ...]

    def trying(self, proven: Callable[[], bool] = lambda: False) -> contextlib.AbstractContextManager[None]:
        """Report errors within as coming from mmengine's own keys, if any are stated; see `of_library`."""
        return of_library(self.settings.library, OWNER, proven)

    def build(
        self, before_first_step: Callable[[QuietRunner], None], hooks: list[Hook]
    ) -> tuple[QuietRunner, list[str]]:
        """Return the Runner, and notes on its backbone.

        Raises:
            UserError: the backbone does not fit, or cannot be trained in several processes here.
        """
        arguments = ConfigDict(self.config)  # mmsegmentation reads parts of it as attributes
        with self.trying():
            runner = QuietRunner(
                self.job.device,
                before_first_step,
                **arguments,
                train_dataloader=self.train_batches,
                custom_hooks=hooks,
                experiment_name="segmentation",
            )
        if self.job.compute.precision != "float32":
            exact_logits(runner.segmentor)
        if self.weights is not None:
            return runner, []
        return runner, unused_tensors(feed_timm_backbone(self.job.backbone, runner.segmentor.backbone))

    def prove_arrival(self, runner: QuietRunner) -> str:
        """Compare the backbone with the checkpoint, after mmengine's initialisation; return the note.

        Raises:
            UserError: a tensor did not arrive.
        """
        arrived = check_arrival(self.job.backbone, runner.segmentor.backbone)
        return f"{arrived} backbone tensors in mmsegmentation compared bit for bit before the first step"


@contextlib.contextmanager
def prepared(job: TransferJob, settings: SegmentationSettings) -> Iterator[Prepared]:
    """Check the images, and write weights and configuration.

    Within the context mmengine's messages go to files; afterwards the process is as it was before.

    Raises:
        UserError: the images or the backbone do not fit.
    """
    data = job.dataset.require_label_maps()
    if settings.reduce_zero_label:
        data = without_background(data)
    splits = dense_splits(data, job.protocol.evaluated(), settings.train_images, job.seed)
    settings, by_data = fitted(settings, [(image.width, image.height) for image in splits.train.images])
    if settings.reduce_zero_label:
        by_data.append("pixels of value 0 count neither in the loss nor in a metric (reduce_zero_label)")
    work, sizes = own_folder(job.work), [(image.width, image.height) for image in splits.evaluated.images]
    with logs_to(work / "warnings.txt"), contained():
        weights = write_weights(job.backbone, work)
        facts = RunFacts(
            job.backbone.card, data.classes, weights, work, job.seed, job.device, job.compute.precision
        )
        config = build_config(settings, facts)
        write_json(work / "config.json", config)
        assert data.label_maps is not None  # require_label_maps
        coding, pinned = data.label_maps.coding, job.device.type == "cuda"
        drawn = settings.batch_size * settings.iterations
        workers = reading_workers(job, drawn + len(sizes), settings.workers)
        with of_library(settings.library, OWNER):
            read = SceneReader(splits.train, coding, config.pop("train_pipeline"), train=True)
            read_tested = SceneReader(splits.evaluated, coding, config.pop("test_pipeline"), train=False)
        loader = TrainingLoader(
            read,
            BatchStream((False,) * len(splits.train.images), settings.batch_size, job.seed),
            workers=workers,
            pin_memory=pinned,
        )
        tested = TestLoader(
            read_tested,
            len(sizes),
            batch_size=settings.test_batch,
            workers=workers,
            pin_memory=pinned,
            sizes=sizes,
        )
        yield Prepared(
            job=job,
            settings=settings,
            splits=splits,
            config=config,
            loader=loader,
            train_batches=SceneBatches(loader, data.classes),
            test_batches=SceneBatches(tested, data.classes),
            weights=weights,
            work=work,
            notes=(*_notes(job, settings, splits, len(set(sizes))), *by_data),
        )


def _notes(job: TransferJob, settings: SegmentationSettings, splits: DenseSplits, sizes: int) -> list[str]:
    """Return what a reader of the record must know before anything is trained."""
    data, processes = splits.data, process_count()
    assert data.label_maps is not None
    background = ", background among them" if data.label_maps.background is not None else ""
    norm = f"SyncBN over {processes} processes" if processes > 1 else "BN in one process (SyncBN in several)"
    notes = [
        network_note(job.backbone.card, settings),
        f"every layer trained; the mean is over {len(data.classes)} classes{background}",
        f"batch norm: {norm}",
    ]
    if settings.head_factor != 1:
        notes.append(f"heads learn with {settings.head_factor:g} times the learning rate")
    if sizes > 1 and settings.test_batch > 1:
        notes.append(f"images of {sizes} sizes: only those of equal size are evaluated in one batch")
    if settings.bfloat16:
        in_bfloat16 = "backbone and head computed in bfloat16, logits and loss in float32"
        notes.append(in_bfloat16 if has_bfloat16(job.device) else NO_BFLOAT16)
    if (precision := job.compute.precision) != "float32":
        evaluated = "" if settings.bfloat16 else "; evaluated in float32"
        notes.append(f"trained in {precision} by autocast, logits and loss in float32{evaluated}")
    return notes + filtered_images(job.backbone.card.preprocessing, "pictures")


def dry_run(job: TransferJob, settings: SegmentationSettings) -> list[str]:
    """Prepare a run, build its network and prove that the backbone arrives; return a line for each fact.

    Raises:
        UserError: see `prepared`; a tensor of the backbone does not arrive.
    """
    with prepared(job, settings) as ready:
        runner, unused = ready.build(lambda runner: None, [])
        with ready.trying():
            runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
            runner.param_schedulers = runner.build_param_scheduler(runner.param_schedulers)
            runner._init_model_weights()
        arrived = ready.prove_arrival(runner)
        splits, settings = ready.splits, ready.settings
    drops = f", falling at {', '.join(map(str, settings.decay_at))}" if settings.decay_at else ""
    return [
        *ready.notes,
        *unused,
        arrived,
        f"{settings.iterations} iterations of {settings.batch_size} of {len(splits.train.images)} images, "
        f"learning rate {settings.learning_rate:g} after {settings.warmup_iterations} iterations of warm-up"
        f"{drops}",
        f"{len(splits.data.classes)} classes, evaluated on {len(splits.evaluated.images)} images of "
        f"{splits.name}",
    ]
