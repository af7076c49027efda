"""One segmentation run from a backbone to numbers. Imports mmsegmentation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast, get_args

from mmengine.config import ConfigDict

from mmbench.data.types import Split
from mmbench.device import NO_BFLOAT16, has_bfloat16
from mmbench.errors import UserError
from mmbench.files import write_json
from mmbench.finite import OutputWatch, first_not_finite
from mmbench.results import Metric
from mmbench.transfer.dense.segmentation import models  # noqa: F401  (registers them with mmsegmentation)
from mmbench.transfer.dense.segmentation.config import build_config
from mmbench.transfer.dense.segmentation.quiet import contained, warnings_to
from mmbench.transfer.dense.segmentation.runner import ProveArrival, QuietRunner, ReportProgress, lower_rate
from mmbench.transfer.dense.segmentation.scenes import check_scenes, draw_subset
from mmbench.transfer.dense.segmentation.settings import SegmentationSettings
from mmbench.transfer.dense.segmentation.weights import expected_tensors, feed_timm_backbone, write_weights
from mmbench.transfer.job import Measurement, TransferJob

REPORTED = ("mIoU", "mAcc", "aAcc")


def train_and_evaluate(job: TransferJob, settings: SegmentationSettings) -> Measurement:
    """Train an FCN from the job's backbone and measure it on the protocol's split.

    Raises:
        UserError: the weights do not arrive whole, the data do not fit, or the training diverged.
    """
    scenes = job.dataset.require_scenes()
    if job.protocol.split not in get_args(Split):
        raise UserError(f"protocol {job.protocol.id} evaluates the unknown split '{job.protocol.split}'")
    split = cast(Split, job.protocol.split)
    trained, evaluated = check_scenes(scenes, "train"), check_scenes(scenes, split)
    subset = None
    if settings.train_images is not None and settings.train_images < trained:
        subset = draw_subset(trained, settings.train_images, job.seed)
        trained = len(subset)

    backbone = job.backbone
    with warnings_to(job.work / "warnings.txt"), contained():
        weights = write_weights(backbone, job.work)
        config = build_config(
            backbone.card,
            settings,
            scenes=scenes,
            split=split,
            subset=subset,
            weights=weights,
            work=job.work,
            seed=job.seed,
        )
        write_json(job.work / "config.json", config)
        proof = ProveArrival(backbone)
        hooks = [proof, ReportProgress(job.report, settings.learning_rate)]
        arguments = ConfigDict(config)  # mmsegmentation reads parts of it as attributes
        runner = QuietRunner(job.device, **arguments, custom_hooks=hooks, experiment_name="segmentation")
        if weights is None:
            feed_timm_backbone(backbone, runner.model.backbone)
        _, placeless = expected_tensors(backbone, runner.model.backbone)
        runner.train()
        # The loss is that before each step: what the last step did shows only in the weights.
        if (name := first_not_finite(runner.model.state_dict())) is not None:
            raise UserError(
                f"segmentation diverged ({name} is not finite after the last iteration); "
                f"{lower_rate(settings.learning_rate)}"
            )
        with OutputWatch(runner.model.decode_head.conv_seg) as watch:
            results = runner.test()
        if watch.met:
            raise UserError(
                f"segmentation diverged (its scores are not finite); {lower_rate(settings.learning_rate)}"
            )
    return Measurement(
        metrics={
            name: Metric(value=float(results[name]), higher_is_better=True, n=evaluated) for name in REPORTED
        },
        split_sizes={"train": trained, split: evaluated},
        effective_lr=settings.learning_rate,
        images_seen=settings.batch_size * settings.iterations + evaluated,
        notes=(
            *_notes(job, settings, proof.arrived, placeless),
            *_absent(results["absent"], scenes.classes, split),
        ),
    )


def _absent(absent: Sequence[int], classes: tuple[str, ...], split: Split) -> tuple[str, ...]:
    """Return which classes no label map of the evaluated split holds, if there are any."""
    if not absent:
        return ()
    names = ", ".join(("background", *classes)[index] for index in absent)
    return (
        f"not in {split}: {names}; mAcc leaves them out of its mean, so does mIoU unless they are predicted",
    )


def _notes(
    job: TransferJob, settings: SegmentationSettings, arrived: int, placeless: tuple[str, ...]
) -> tuple[str, ...]:
    """Return what a reader of the record must know."""
    notes = [
        f"FCN, every layer trained; the mean is over {len(job.dataset.require_scenes().classes)} classes "
        "and the background",
        f"{arrived} backbone tensors in mmsegmentation compared bit for bit before the first step",
    ]
    if settings.head_factor != 1:
        notes.append(f"heads learn with {settings.head_factor:g} times the learning rate")
    if placeless:
        notes.append(
            f"{len(placeless)} tensors behind the last feature map are not used ({placeless[0]}, ...)"
        )
    if settings.bfloat16:
        in_bfloat16 = "backbone and head computed in bfloat16, logits and loss in float32"
        notes.append(in_bfloat16 if has_bfloat16(job.device) else NO_BFLOAT16)
    high_pass = job.backbone.card.preprocessing.high_pass
    if high_pass is not None:
        notes.append(
            f"pictures high-passed as the card says (kernel {high_pass.kernel_size} px, "
            f"sigma {high_pass.sigma:g} px), in training and evaluation"
        )
    return tuple(notes)
