"""One detection run from a backbone to numbers. Imports Detectron2."""

from __future__ import annotations

from pathlib import Path

from detectron2.config import CfgNode

from mmbench.distributed import process_rank
from mmbench.errors import UserError
from mmbench.transfer.dense.common.divergence import Divergence
from mmbench.transfer.dense.common.quiet import logs_to, seeded
from mmbench.transfer.dense.detection.catalog import Item, dataset_dicts, in_catalog
from mmbench.transfer.dense.detection.config import RunFacts, build_config, write_weights
from mmbench.transfer.dense.detection.detectors.registry import detector_of
from mmbench.transfer.dense.detection.evaluation import (
    DetectionEvaluator,
    Scores,
    Task,
    build_evaluator,
    check_evaluable,
)
from mmbench.transfer.dense.detection.history import LossHistory, Progress
from mmbench.transfer.dense.detection.loader import TestLoader, TrainingLoader
from mmbench.transfer.dense.detection.mapper import ImageMapper
from mmbench.transfer.dense.detection.processes import join_detectron2, own_folder, seed_process
from mmbench.transfer.dense.detection.sampling import BatchStream
from mmbench.transfer.dense.detection.settings import DetectionSettings
from mmbench.transfer.dense.detection.splits import (
    check_parts,
    detection_splits,
    has_coded_masks,
    training_dicts,
    wider_than_tall,
)
from mmbench.transfer.dense.detection.trainer import DetectionTrainer
from mmbench.transfer.dense.detection.weights import check_arrival
from mmbench.transfer.job import Measurement, TransferJob

NOISY = ("detectron2", "fvcore", "iopath", "torch.fx._symbolic_trace")  # loggers
SMALL, TEST_BATCH = 256, 8  # px: images up to this size are evaluated in batches
OTHER_STREAM = 1 << 40  # added to the seed for the batches of PreciseBN


def train_and_evaluate(job: TransferJob, settings: DetectionSettings) -> Measurement:
    """Fine-tune a detector from the job's backbone and measure it on the protocol's split.

    Processes that work together share every batch and the evaluated images.

    Raises:
        UserError: a tensor does not arrive, the data do not fit, or the training diverged.
        KeyboardInterrupt: the run was asked to stop; its state is saved.
    """
    join_detectron2()
    splits, tasks = detection_splits(job, settings.train_images), scored(settings)
    check_parts(splits, settings.masks, settings.keypoints)
    check_evaluable(splits.evaluated, tasks)
    train, left_out = training_dicts(splits, settings)
    length_note, settings = settings.length_note(len(train)), settings.effective(len(train))
    work = own_folder(job.work)
    weights, notes = write_weights(job.backbone, work, settings, job.device)
    notes += [*left_out, *([length_note] if length_note else []), *precision_notes(job)]

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
            workers=job.compute.reading_workers,
            bitmasks=has_coded_masks(train),
            mixed_precision=job.compute.precision != "float32",
        )
        cfg = build_config(job.backbone.card, settings, facts)
        (work / "config.yaml").write_text(cfg.dump(), encoding="utf-8")
        trainer, trained = _train(job, cfg, train, settings)
        evaluator = build_evaluator(
            settings.evaluation,
            splits.evaluated,
            splits.data.classes,
            names[1],
            tasks,
            work / "evaluation",
        )
        scores = _evaluate(job, trainer, test, evaluator, settings)
    sizes: dict[str, int] = {"train": len(train), splits.name: len(test)}
    return Measurement(
        metrics=scores.metrics,
        split_sizes=sizes,
        effective_lr=settings.learning_rate,
        images_seen=settings.batch_size * settings.iterations + len(test),
        notes=(*notes, *trained, *scores.notes, *splits.remarks),
        per_class=scores.per_class,
    )


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
        dicts,
        ImageMapper(cfg, True),
        BatchStream(wide, cfg.SOLVER.IMS_PER_BATCH, seed),
        workers=cfg.DATALOADER.NUM_WORKERS,
        pin_memory=cfg.MODEL.DEVICE.startswith("cuda"),
    )


def _train(
    job: TransferJob, cfg: CfgNode, dicts: list[Item], settings: DetectionSettings
) -> tuple[DetectionTrainer, list[str]]:
    """Train, from the newest state where there is one; return the trainer and the notes."""
    divergence = Divergence("detection", settings.learning_rate)
    loader = training_loader(cfg, dicts, job.seed)
    trainer = DetectionTrainer(cfg, loader, job.compute.precision)
    trainer.load_weights()
    arrived = check_arrival(trainer.detector, Path(cfg.MODEL.WEIGHTS), detector_of(cfg).from_backbone)
    notes = [f"{arrived} backbone tensors loaded by Detectron2 and compared bit for bit"]

    main = process_rank() == 0
    history = LossHistory(Path(cfg.OUTPUT_DIR) / "metrics.json" if main else None)
    progress = Progress(job.report, history, lambda: loader.waited)
    seed_process(job.seed)
    continuation = trainer.keep_going(job.unfinished, progress)
    trainer.start_iter = continuation.restore()
    try:
        trainer.train()
    except FloatingPointError as error:
        raise divergence.error(str(error).splitlines()[0]) from None
    continuation.finish()
    divergence.check_weights(trainer.detector)
    if cfg.TEST.PRECISE_BN.ENABLED:
        others = training_loader(cfg, dicts, (job.seed + OTHER_STREAM) % 2**63)
        trainer.average_statistics(others, cfg.TEST.PRECISE_BN.NUM_ITER)
    return trainer, [*notes, progress.note()]


def _evaluate(
    job: TransferJob,
    trainer: DetectionTrainer,
    dicts: list[Item],
    evaluator: DetectionEvaluator,
    settings: DetectionSettings,
) -> Scores:
    """Return the scores of the evaluated split, the same in all processes."""
    cfg = trainer.cfg
    loader = TestLoader(
        dicts,
        ImageMapper(cfg, False),
        batch_size=TEST_BATCH if cfg.INPUT.MIN_SIZE_TEST <= SMALL else 1,
        workers=cfg.DATALOADER.NUM_WORKERS,
        pin_memory=cfg.MODEL.DEVICE.startswith("cuda"),
    )
    heads = detector_of(cfg).score_heads(trainer.detector)
    with Divergence("detection", settings.learning_rate).watched(*heads):
        scores: Scores = trainer.evaluate(loader, evaluator, job.report)["scores"]
    return scores
