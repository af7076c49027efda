"""The images that a detection run really trains on, and whether they have what the detector learns."""

from __future__ import annotations

from detectron2.data.build import (
    filter_images_with_few_keypoints,
    filter_images_with_only_crowd_annotations,
)

from mmbench.data.annotated.mirrored_keypoints import mirrors_of
from mmbench.data.annotated.types import AnnotatedData
from mmbench.errors import UserError
from mmbench.file_names import counted, listed
from mmbench.transfer.dense.common.splits import DenseSplits
from mmbench.transfer.dense.detection.catalog import Item, dataset_dicts
from mmbench.transfer.dense.detection.settings import DetectionSettings

FLIP_KEY = "INPUT.RANDOM_FLIP"  # Detectron2's


def check_parts(splits: DenseSplits, masks: bool, keypoints: bool) -> None:
    """Check that the training images have what the detector learns.

    Raises:
        UserError: objects without masks, or data without keypoints.
    """
    objects = [instance for image in splits.train.images for instance in image.instances]
    objects = [instance for instance in objects if not instance.crowd]
    without = sum(instance.segmentation is None for instance in objects)
    if masks and without:
        raise UserError(
            f"{without} of {len(objects)} objects of the training images below {splits.train.root} have no "
            "mask; use a protocol without masks, or --set masks=false"
        )
    if keypoints and not splits.data.keypoints:
        raise UserError(
            f"data set '{splits.data.name}' has no keypoints, or no names of them in the file's categories; "
            "use a protocol without them, or data with keypoints"
        )


def check_sigmas(data: AnnotatedData, settings: DetectionSettings) -> None:
    """Check that tolerances are stated for each keypoint, where they are stated.

    Raises:
        UserError: their number is another.
    """
    sigmas, names = settings.keypoint_sigmas, data.keypoints
    if sigmas and len(sigmas) != len(names):
        raise UserError(
            f"keypoint_sigmas has {counted(len(sigmas), 'number')}, and data set '{data.name}' has "
            f"{counted(len(names), 'keypoint')}; state one for each of {listed(names, len(names))}"
        )


def training_dicts(splits: DenseSplits, settings: DetectionSettings) -> tuple[list[Item], list[str]]:
    """Return the training images in Detectron2's format, those that it trains on, and the notes on the rest.

    Raises:
        UserError: none shows an object, or none has keypoints to train on.
    """
    dicts = dataset_dicts(splits.train, len(splits.data.keypoints))
    total, notes = len(dicts), []
    showing = filter_images_with_only_crowd_annotations(dicts)
    if settings.library.get("DATALOADER.FILTER_EMPTY_ANNOTATIONS", True):
        dicts = showing
    if not dicts:
        raise UserError(
            f"none of the {total} training images below {splits.train.root} shows an object; "
            "fix the annotations"
        )
    if empty := total - len(dicts):
        notes.append(f"{empty} of {total} training images show no object and are not trained on")
    if settings.keypoints:
        fewest = int(settings.library.get("MODEL.ROI_KEYPOINT_HEAD.MIN_KEYPOINTS_PER_IMAGE", 1))
        before = len(dicts)
        dicts = filter_images_with_few_keypoints(dicts, fewest)
        if not dicts:
            needed = "a labelled keypoint" if fewest < 2 else f"{fewest} labelled keypoints"
            raise UserError(
                f"{len(showing)} of the {total} training images below {splits.train.root} show objects, but "
                f"none has {needed} (visibility 1 or 2); label some, or use --set detector=fpn"
            )
        if few := before - len(dicts):
            notes.append(f"{few} training images have fewer than {fewest} keypoints and are not trained on")
    return dicts, notes


def mirror_note(data: AnnotatedData, settings: DetectionSettings) -> str | None:
    """Return why training mirrors no images, None if it does or if the settings say whether it does.

    A mirrored image shows a left eye where a right one was: their names must change places, so they must be
    known. Boxes and masks have no sides.
    """
    if not settings.keypoints or FLIP_KEY in settings.library or mirrors_of(data.keypoints).known:
        return None
    return (
        "training mirrors no images, as the names of the keypoints do not say which of them change places; "
        f"call them such as left_eye and right_eye, or add --set {FLIP_KEY}=horizontal if each keeps its name"
    )


def has_coded_masks(dicts: list[Item]) -> bool:
    """Return whether a mask is a run-length code, which Detectron2's polygons cannot hold."""
    objects = (item for one in dicts for item in one["annotations"] if not item["iscrowd"])
    return any(isinstance(item.get("segmentation"), dict) for item in objects)


def wider_than_tall(dicts: list[Item], grouped: bool) -> list[bool]:
    """Return for each image whether it shares batches with wide ones; all are equal if not `grouped`."""
    return [grouped and item["width"] > item["height"] for item in dicts]
