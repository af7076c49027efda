"""One detection run from a backbone to numbers. Imports Detectron2."""

from __future__ import annotations

from pathlib import Path

from detectron2.config import CfgNode
from detectron2.data.transforms import ResizeShortestEdge

from mmbench.distributed import process_rank
from mmbench.errors import UserError
from mmbench.transfer.dense.common.divergence import Divergence
from mmbench.transfer.dense.common.history import LossHistory, Progress
from mmbench.transfer.dense.common.processes import seed_process
from mmbench.transfer.dense.common.reading import TestLoader, TrainingLoader
from mmbench.transfer.dense.common.sampling import BatchStream
from mmbench.transfer.dense.detection.catalog import Item
from mmbench.transfer.dense.detection.detectors.registry import detector_of
from mmbench.transfer.dense.detection.evaluation import (
    DETECTIONS_FILE,
    DetectionEvaluator,
    Scores,
    build_evaluator,
)
from mmbench.transfer.dense.detection.figures import draw_figures
from mmbench.transfer.dense.detection.mapper import ImageMapper, reader
from mmbench.transfer.dense.detection.preparation import Prepared, prepared
from mmbench.transfer.dense.detection.settings import DetectionSettings
from mmbench.transfer.dense.detection.splits import wider_than_tall
from mmbench.transfer.dense.detection.trainer import DetectionTrainer
from mmbench.transfer.dense.detection.weights import check_arrival
from mmbench.transfer.intervals import interval_note
from mmbench.transfer.job import Measurement, TransferJob
from mmbench.transfer.precision_intervals import BY_STANDARD_ERROR

SMALL, TEST_BATCH = 256, 8  # px: images up to this size are evaluated in batches
OTHER_STREAM = 1 << 40  # added to the seed for the batches of PreciseBN


def train_and_evaluate(job: TransferJob, settings: DetectionSettings) -> Measurement:
    """Fine-tune a detector from the job's backbone and measure it on the protocol's split.

    Processes that work together share every batch and the evaluated images.

    Raises:
        UserError: a tensor does not arrive, the data do not fit, or the training diverged.
        KeyboardInterrupt: the run was asked to stop; its state is saved.
    """
    with prepared(job, settings) as ready:
        splits, settings = ready.splits, ready.settings
        trainer, trained = _train(job, ready)
        evaluator = build_evaluator(
            settings.evaluation,
            splits.evaluated,
            splits.data.classes,
            ready.cfg.DATASETS.TEST[0],
            ready.tasks,
            ready.work / "evaluation",
            splits.data.keypoints,
            settings.keypoint_sigmas,
        )
        scores = _evaluate(job, trainer, ready, evaluator)
        figures, undrawn = draw_figures(
            splits.evaluated,
            splits.data.classes,
            ready.work / "metrics.json",
            ready.work / "evaluation" / DETECTIONS_FILE,
            f"{job.backbone.card.arm} on {job.dataset.name}, {job.run.protocol_id}, seed {job.seed}",
            ready.work,
        )
    sizes: dict[str, int] = {"train": len(ready.train), splits.name: len(ready.test)}
    said = interval_note(scores.metrics, sizes[splits.name], dict.fromkeys(scores.metrics, BY_STANDARD_ERROR))
    return Measurement(
        metrics=scores.metrics,
        split_sizes=sizes,
        effective_lr=ready.cfg.SOLVER.BASE_LR,
        images_seen=ready.cfg.SOLVER.IMS_PER_BATCH * ready.cfg.SOLVER.MAX_ITER + len(ready.test),
        notes=(*ready.notes, *trained, *scores.notes, said, *undrawn, *splits.remarks),
        per_class=scores.per_class,
        outcomes=scores.outcomes,
        files=figures,
    )


def training_loader(cfg: CfgNode, dicts: list[Item], seed: int) -> TrainingLoader:
    """Return the training batches of a configuration.

    Raises:
        UserError: the configuration names another sampler than Detectron2's TrainingSampler.
    """
    if cfg.DATALOADER.SAMPLER_TRAIN != "TrainingSampler":
        raise UserError(
            f"DATALOADER.SAMPLER_TRAIN {cfg.DATALOADER.SAMPLER_TRAIN} cannot be continued exactly after an "
            "interruption; leave it at TrainingSampler"
        )
    wide = wider_than_tall(dicts, cfg.DATALOADER.ASPECT_RATIO_GROUPING)
    return TrainingLoader(
        reader(dicts, ImageMapper(cfg, True)),
        BatchStream(wide, cfg.SOLVER.IMS_PER_BATCH, seed),
        workers=cfg.DATALOADER.NUM_WORKERS,
        pin_memory=cfg.MODEL.DEVICE.startswith("cuda"),
    )


def evaluation_loader(cfg: CfgNode, dicts: list[Item]) -> TestLoader:
    """Return the batches of the evaluation.

    Small images share a batch where they are fed at one size, so that none is padded for the sake of another:
    Detectron2 evaluates one at a time, and padding changes what is found.
    """
    shorter, longest = cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.MAX_SIZE_TEST
    resized = ResizeShortestEdge.get_output_shape
    return TestLoader(
        reader(dicts, ImageMapper(cfg, False)),
        len(dicts),
        batch_size=TEST_BATCH if shorter <= SMALL else 1,
        workers=cfg.DATALOADER.NUM_WORKERS,
        pin_memory=cfg.MODEL.DEVICE.startswith("cuda"),
        sizes=[resized(item["height"], item["width"], shorter, longest) for item in dicts],
    )


def ready_trainer(job: TransferJob, ready: Prepared) -> tuple[DetectionTrainer, str]:
    """Return the trainer, whose detector has the backbone, and the note that it arrived.

    Raises:
        UserError: a tensor does not arrive, or Detectron2 does not take keys of its own.
    """
    cfg = ready.cfg
    with ready.trying():
        loader = training_loader(cfg, ready.train, job.seed)
        trainer = DetectionTrainer(cfg, loader, job.compute.precision)
    trainer.load_weights()
    places = detector_of(cfg).from_backbone
    arrived = check_arrival(trainer.detector, Path(cfg.MODEL.WEIGHTS), places, job.backbone)
    return trainer, f"{arrived} backbone tensors loaded by Detectron2 and compared bit for bit"


def _train(job: TransferJob, ready: Prepared) -> tuple[DetectionTrainer, list[str]]:
    """Train, from the newest state where there is one; return the trainer and the notes."""
    cfg, divergence = ready.cfg, Divergence("detection", ready.settings.learning_rate)
    trainer, arrived = ready_trainer(job, ready)
    loader = trainer.data_loader

    main = process_rank() == 0
    history = LossHistory(Path(cfg.OUTPUT_DIR) / "metrics.json" if main else None)
    progress = Progress(job.report, history, lambda: loader.waited)
    seed_process(job.seed)
    continuation = trainer.keep_going(job.unfinished, progress)
    trainer.start_iter = continuation.restore()
    with ready.trying(lambda: trainer.iter > trainer.start_iter):
        try:
            trainer.train()
        except FloatingPointError as error:
            raise divergence.error(str(error).splitlines()[0]) from None
    continuation.finish(trainer.max_iter)
    divergence.check_weights(trainer.detector)
    if cfg.TEST.PRECISE_BN.ENABLED:
        others = training_loader(cfg, ready.train, (job.seed + OTHER_STREAM) % 2**63)
        trainer.average_statistics(others, cfg.TEST.PRECISE_BN.NUM_ITER, job.report)
    return trainer, [arrived, progress.note()]


def _evaluate(
    job: TransferJob, trainer: DetectionTrainer, ready: Prepared, evaluator: DetectionEvaluator
) -> Scores:
    """Return the scores of the evaluated split, the same in all processes."""
    batches = list[int]()

    def report(done: int, total: int, message: str) -> None:
        batches.append(done)
        job.report(done, total, message)

    with ready.trying():
        loader = evaluation_loader(trainer.cfg, ready.test)
    heads = detector_of(trainer.cfg).score_heads(trainer.detector)
    divergence = Divergence("detection", ready.settings.learning_rate)
    with ready.trying(lambda: bool(batches)), divergence.watched(*heads):
        scores: Scores = trainer.evaluate(loader, evaluator, report)["scores"]
    return scores
