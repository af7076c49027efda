"""One detection run from a backbone to numbers. Imports Detectron2."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import cast, get_args

from mmbench.data.types import Split
from mmbench.device import NO_BFLOAT16, has_bfloat16
from mmbench.errors import UserError
from mmbench.finite import OutputWatch, first_not_finite
from mmbench.results import Metric
from mmbench.transfer.dense.detection.catalog import check_annotations, draw_subset, in_catalog
from mmbench.transfer.dense.detection.config import build_config, choose_detector
from mmbench.transfer.dense.detection.quiet import logs_to, seeded
from mmbench.transfer.dense.detection.settings import DetectionSettings
from mmbench.transfer.dense.detection.trainer import DETECTIONS, OBJECTS, DetectionTrainer, ReportProgress
from mmbench.transfer.dense.detection.weights import check_arrival, write_c4_weights, write_timm_weights
from mmbench.transfer.job import Measurement, TransferJob
from mmbench.transfer.protocol import Protocol

# Detectron2's results by task -> prefix of ours.
PREFIXES = {"bbox": "", "segm": "mask_"}
REPORTED = ("AP", "AP50", "AP75")


def train_and_evaluate(job: TransferJob, settings: DetectionSettings) -> Measurement:
    """Fine-tune a detector from the job's backbone and measure it on the protocol's split.

    Raises:
        UserError: the weights do not arrive whole, the data do not fit, or the training diverged.
    """
    scenes = job.dataset.require_scenes()
    split = _known_split(job.protocol)
    trained, evaluated = check_annotations(scenes, "train"), check_annotations(scenes, split)
    train_json = scenes.coco_json("train")
    if settings.train_images is not None and settings.train_images < trained:
        train_json = job.work / "train-subset.json"
        trained = draw_subset(scenes.coco_json("train"), settings.train_images, job.seed, train_json)

    detector = choose_detector(job.backbone.arch, settings, job.backbone.card.arch_options)
    notes = [f"detector: {detector}, {'Mask' if settings.masks else 'Faster'} R-CNN, every layer trained"]
    if detector == "c4":
        weights = write_c4_weights(job.backbone, job.work)
    else:
        weights, placeless = write_timm_weights(job.backbone, job.work, settings.pyramid_finest_stride)
        if placeless:
            notes.append(
                f"{len(placeless)} tensors behind the last feature map are not used ({placeless[0]}, ...)"
            )
        if settings.pyramid_bfloat16 and not has_bfloat16(job.device):
            notes.append(NO_BFLOAT16)
    preprocessing = job.backbone.card.preprocessing
    if preprocessing.high_pass is not None:
        notes.append(
            f"images high-passed as the card says (kernel {preprocessing.high_pass.kernel_size} px, "
            f"sigma {preprocessing.high_pass.sigma:g} px), in training and evaluation"
        )

    files = [(train_json, scenes.images("train")), (scenes.coco_json(split), scenes.images(split))]
    with logs_to(job.work / "log.txt"), seeded(job.seed), in_catalog(files) as names:
        cfg = build_config(
            job.backbone.card,
            settings,
            classes=len(scenes.classes),
            datasets=(names[0], names[1]),
            weights=weights,
            output=job.work,
            device=job.device,
            seed=job.seed,
        )
        (job.work / "config.yaml").write_text(cfg.dump(), encoding="utf-8")
        trainer = DetectionTrainer(cfg)
        trainer.resume_or_load(resume=False)
        arrived = check_arrival(trainer.model, weights)
        notes.append(f"{arrived} backbone tensors loaded by Detectron2 and compared bit for bit")
        trainer.register_hooks([ReportProgress(job.report)])
        try:
            trainer.train()
        except FloatingPointError as error:
            raise UserError(
                f"detection diverged ({str(error).splitlines()[0]}); {_lower_rate(settings)}"
            ) from None
        # The loss is that before each step: what the last step did shows only in the weights.
        if (name := first_not_finite(trainer.model.state_dict())) is not None:
            raise UserError(
                f"detection diverged ({name} is not finite after the last iteration); {_lower_rate(settings)}"
            )
        job.report(settings.iterations, settings.iterations, "evaluating")
        with OutputWatch(
            trainer.model.proposal_generator.rpn_head, trainer.model.roi_heads.box_predictor
        ) as watch:
            results = trainer.test(cfg, trainer.model)
        if watch.met:
            raise UserError(f"detection diverged (its scores are not finite); {_lower_rate(settings)}")
    metrics = {
        prefix + name: Metric(value=value, higher_is_better=True, n=evaluated)
        for kind, prefix in PREFIXES.items()
        if kind in results
        for name, value in average_precisions(results[kind], split).items()
    }
    if results["bbox"].get(DETECTIONS) == 0:
        notes.append(f"nothing was detected on {split}, so every average precision is 0")
    return Measurement(
        metrics=metrics,
        split_sizes={"train": trained, split: evaluated},
        effective_lr=settings.learning_rate,
        images_seen=settings.batch_size * settings.iterations + evaluated,
        notes=tuple(notes),
    )


def average_precisions(results: Mapping[str, float], split: str) -> dict[str, float]:
    """Return the reported average precisions in percent from Detectron2's results of one kind.

    Where nothing was detected COCO's code gives NaN, which is then an average precision of 0.

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
                "annotations, or give a lower rate by --set learning_rate=..."
            )
    return {name: float(results[name]) for name in REPORTED}


def _lower_rate(settings: DetectionSettings) -> str:
    """Return the advice for a training that diverged."""
    rate = settings.learning_rate / 10
    return f"lower learning_rate, such as --set learning_rate={rate:g}, or lengthen warmup_iterations"


def _known_split(protocol: Protocol) -> Split:
    """Return the split that the protocol evaluates.

    Raises:
        UserError: no data set has a split of that name.
    """
    for split in get_args(Split):
        if protocol.split == split:
            return cast(Split, split)
    raise UserError(f"protocol {protocol.id} evaluates the unknown split '{protocol.split}'")
