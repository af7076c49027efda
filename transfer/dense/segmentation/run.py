"""One segmentation run from a backbone to numbers. Imports mmsegmentation."""

from __future__ import annotations

from collections.abc import Sequence

from mmengine.config import ConfigDict

from mmbench.device import NO_BFLOAT16, has_bfloat16
from mmbench.files import write_json
from mmbench.results import Metric
from mmbench.transfer.dense.common.divergence import Divergence
from mmbench.transfer.dense.common.notes import filtered_images, unused_tensors
from mmbench.transfer.dense.common.quiet import logs_to
from mmbench.transfer.dense.common.splits import SceneSplits, scene_splits
from mmbench.transfer.dense.segmentation import models  # noqa: F401  (registers them with mmsegmentation)
from mmbench.transfer.dense.segmentation.config import build_config
from mmbench.transfer.dense.segmentation.containment import contained
from mmbench.transfer.dense.segmentation.runner import ProveArrival, QuietRunner, ReportProgress
from mmbench.transfer.dense.segmentation.scenes import check_scenes
from mmbench.transfer.dense.segmentation.settings import SegmentationSettings
from mmbench.transfer.dense.segmentation.weights import feed_timm_backbone, write_weights
from mmbench.transfer.job import Measurement, TransferJob

REPORTED = ("mIoU", "mAcc", "aAcc")


def train_and_evaluate(job: TransferJob, settings: SegmentationSettings) -> Measurement:
    """Train an FCN from the job's backbone and measure it on the protocol's split.

    Raises:
        UserError: a tensor does not arrive, the data do not fit, or the training diverged.
    """
    splits = scene_splits(job, settings.train_images, check_scenes)
    backbone, evaluated = job.backbone, splits.sizes[splits.evaluated]
    divergence = Divergence("segmentation", settings.learning_rate)
    with logs_to(job.work / "warnings.txt"), contained():
        weights = write_weights(backbone, job.work)
        config = build_config(backbone.card, settings, splits, weights=weights, work=job.work, seed=job.seed)
        write_json(job.work / "config.json", config)
        proof = ProveArrival(backbone)
        hooks = [proof, ReportProgress(job.report, divergence)]
        arguments = ConfigDict(config)  # mmsegmentation reads parts of it as attributes
        runner = QuietRunner(job.device, **arguments, custom_hooks=hooks, experiment_name="segmentation")
        unused = feed_timm_backbone(backbone, runner.model.backbone) if weights is None else ()
        runner.train()
        divergence.check_weights(runner.model)
        with divergence.watched(runner.model.decode_head.conv_seg):
            results = runner.test()
    return Measurement(
        metrics={
            name: Metric(value=float(results[name]), higher_is_better=True, n=evaluated) for name in REPORTED
        },
        split_sizes=splits.sizes,
        effective_lr=settings.learning_rate,
        images_seen=settings.batch_size * settings.iterations + evaluated,
        notes=(*_notes(job, settings, splits, proof.arrived, unused), *_absent(results["absent"], splits)),
    )


def _notes(
    job: TransferJob,
    settings: SegmentationSettings,
    splits: SceneSplits,
    arrived: int,
    unused: tuple[str, ...],
) -> list[str]:
    """Return what a reader of the record must know."""
    notes = [
        f"FCN, every layer trained; the mean is over {len(splits.scenes.classes)} classes and the background",
        f"{arrived} backbone tensors in mmsegmentation compared bit for bit before the first step",
    ]
    if settings.head_factor != 1:
        notes.append(f"heads learn with {settings.head_factor:g} times the learning rate")
    notes += unused_tensors(unused)
    if settings.bfloat16:
        in_bfloat16 = "backbone and head computed in bfloat16, logits and loss in float32"
        notes.append(in_bfloat16 if has_bfloat16(job.device) else NO_BFLOAT16)
    return notes + filtered_images(job.backbone.card.preprocessing, "pictures")


def _absent(absent: Sequence[int], splits: SceneSplits) -> list[str]:
    """Return the note on the classes that no label map of the evaluated split has, if there are any."""
    if not absent:
        return []
    names = ", ".join(("background", *splits.scenes.classes)[index] for index in absent)
    return [
        f"not in {splits.evaluated}: {names}; mAcc leaves them out of its mean, so does mIoU unless they "
        "are predicted"
    ]
