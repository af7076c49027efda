"""One detection run from a backbone to numbers. Imports Detectron2."""

from __future__ import annotations

import math
from collections.abc import Mapping

from mmbench.errors import UserError
from mmbench.results import Metric
from mmbench.transfer.dense.common.divergence import Divergence
from mmbench.transfer.dense.common.quiet import logs_to, seeded
from mmbench.transfer.dense.common.splits import scene_splits
from mmbench.transfer.dense.detection.catalog import check_annotations, in_catalog, write_subset
from mmbench.transfer.dense.detection.config import RunFacts, build_config, write_weights
from mmbench.transfer.dense.detection.detectors.registry import detector_of
from mmbench.transfer.dense.detection.settings import DetectionSettings
from mmbench.transfer.dense.detection.trainer import DETECTIONS, OBJECTS, DetectionTrainer, ReportProgress
from mmbench.transfer.dense.detection.weights import check_arrival
from mmbench.transfer.job import Measurement, TransferJob

NOISY = ("detectron2", "fvcore", "iopath", "torch.fx._symbolic_trace")  # loggers
# Detectron2's results by task -> prefix of ours.
PREFIXES = {"bbox": "", "segm": "mask_"}
REPORTED = ("AP", "AP50", "AP75")


def train_and_evaluate(job: TransferJob, settings: DetectionSettings) -> Measurement:
    """Fine-tune a detector from the job's backbone and measure it on the protocol's split.

    Raises:
        UserError: a tensor does not arrive, the data do not fit, or the training diverged.
    """
    splits = scene_splits(job, settings.train_images, check_annotations)
    scenes, evaluated = splits.scenes, splits.evaluated
    train_json = scenes.coco_json("train")
    if splits.subset is not None:
        train_json = job.work / "train-subset.json"
        write_subset(scenes.coco_json("train"), splits.subset, train_json)
    weights, notes = write_weights(job.backbone, job.work, settings, job.device)
    divergence = Divergence("detection", settings.learning_rate)

    files = [(train_json, scenes.images("train")), (scenes.coco_json(evaluated), scenes.images(evaluated))]
    with logs_to(job.work / "log.txt", *NOISY), seeded(job.seed), in_catalog(files) as names:
        cfg = build_config(
            job.backbone.card,
            settings,
            RunFacts(
                classes=len(scenes.classes),
                datasets=(names[0], names[1]),
                weights=weights,
                output=job.work,
                device=job.device,
                seed=job.seed,
            ),
        )
        detector = detector_of(cfg)
        (job.work / "config.yaml").write_text(cfg.dump(), encoding="utf-8")
        trainer = DetectionTrainer(cfg)
        trainer.resume_or_load(resume=False)
        arrived = check_arrival(trainer.model, weights, detector.from_backbone)
        notes.append(f"{arrived} backbone tensors loaded by Detectron2 and compared bit for bit")
        trainer.register_hooks([ReportProgress(job.report)])
        try:
            trainer.train()
        except FloatingPointError as error:
            raise divergence.error(str(error).splitlines()[0]) from None
        divergence.check_weights(trainer.model)
        job.report(settings.iterations, settings.iterations, "evaluating")
        model = trainer.model
        with divergence.watched(*detector.score_heads(model)):
            results = trainer.test(cfg, model)
    metrics = {
        prefix + name: Metric(value=value, higher_is_better=True, n=splits.sizes[evaluated])
        for kind, prefix in PREFIXES.items()
        if kind in results
        for name, value in average_precisions(results[kind], evaluated).items()
    }
    if results["bbox"].get(DETECTIONS) == 0:
        notes.append(f"nothing was detected on {evaluated}, so every average precision is 0")
    return Measurement(
        metrics=metrics,
        split_sizes=splits.sizes,
        effective_lr=settings.learning_rate,
        images_seen=settings.batch_size * settings.iterations + splits.sizes[evaluated],
        notes=tuple(notes),
    )


def average_precisions(results: Mapping[str, float], split: str) -> dict[str, float]:
    """Return the reported average precisions in percent from Detectron2's results of one kind.

    Where nothing was detected, COCO's code gives NaN, which here is an average precision of 0.

    Raises:
        UserError: no object of the split counts, or a value is NaN for another reason.
    """
    if results.get(OBJECTS) == 0:
        raise UserError(f"the {split} split has no object that counts (all are crowds); fix its annotations")
    if results.get(DETECTIONS) == 0:
        return dict.fromkeys(REPORTED, 0.0)
    for name in REPORTED:
        if not math.isfinite(results[name]):
            found = results.get(DETECTIONS, "some")
            raise UserError(
                f"{name} on {split} is {results[name]}, although {found} objects were detected; check its "
                "annotations, or lower the rate by --set learning_rate=..."
            )
    return {name: float(results[name]) for name in REPORTED}
