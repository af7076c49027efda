"""Annotated images in Detectron2's format and catalogs, and the images that are trained on."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.detection_utils import create_keypoint_hflip_indices
from detectron2.structures import BoxMode

from mmbench.data.annotated.types import AnnotatedData, AnnotatedImage, AnnotatedSplit, Instance
from mmbench.errors import UserError
from mmbench.transfer.dense.common.splits import DenseSplits
from mmbench.transfer.dense.detection.catalog import dataset_dicts, in_catalog
from mmbench.transfer.dense.detection.detector_settings import C4OrPyramidSettings, KeypointSettings
from mmbench.transfer.dense.detection.splits import (
    check_parts,
    has_coded_masks,
    mirror_note,
    training_dicts,
    wider_than_tall,
)

POLYGON = [[1.0, 2.0, 9.0, 2.0, 9.0, 12.0]]
CODE = {"size": [40, 60], "counts": "abc"}
PLAIN = {"batch_size": 2, "iterations": 4, "learning_rate": 0.1, "train_sizes": (64,), "test_size": 64}
THING = Instance(1, (1.0, 2.0, 9.0, 12.0), 80.0, segmentation=POLYGON)
IMAGES = (
    AnnotatedImage("a/1.jpg", "17", 60, 40, (THING, dataclasses.replace(THING, label=0, crowd=True))),
    AnnotatedImage("a/2.jpg", "9", 40, 60, (), apply_exif=False),
    AnnotatedImage("a/3.jpg", "4", 40, 40, (dataclasses.replace(THING, crowd=True, segmentation=CODE),)),
    AnnotatedImage("a/4.jpg", "3", 40, 60, (dataclasses.replace(THING, difficult=True),)),
)


def data_of(*keypoints: str) -> AnnotatedData:
    flips = (("left", "right"),) if keypoints else ()
    return AnnotatedData("own", Path("/data"), "COCO", ("cat", "dog"), {}, (), keypoints, flips)


def splits_of(images=IMAGES, data=None) -> DenseSplits:
    split = AnnotatedSplit(Path("/data"), tuple(images), ("train.json",))
    return DenseSplits(data or data_of(), split, split, "test", ())


def test_images_and_objects_in_detectron2s_format() -> None:
    first, second, *_ = dataset_dicts(splits_of().train)
    crowd = {"bbox": [1.0, 2.0, 9.0, 12.0], "bbox_mode": BoxMode.XYXY_ABS, "segmentation": POLYGON}
    assert first == {
        "file_name": "/data/a/1.jpg",
        "image_id": 1,
        "width": 60,
        "height": 40,
        "apply_exif": True,
        "annotations": [
            {**crowd, "category_id": 1, "iscrowd": 0},
            {**crowd, "category_id": 0, "iscrowd": 1},
        ],
    }
    assert (second["image_id"], second["apply_exif"], second["annotations"]) == (2, False, [])


def test_keypoints_move_by_half_a_pixel_and_objects_without_any_get_unlabelled_ones() -> None:
    """COCO counts pixels, Detectron2 measures places; its tensors need as many points in every object."""
    pointed = dataclasses.replace(THING, keypoints=(3.0, 4.0, 2.0, 0.0, 0.0, 0.0))
    image = AnnotatedImage("1.jpg", "1", 60, 40, (pointed, THING))
    found, none = dataset_dicts(AnnotatedSplit(Path("/data"), (image,), ()), 2)[0]["annotations"]
    assert found["keypoints"] == [3.5, 4.5, 2.0, 0.5, 0.5, 0.0]
    assert none["keypoints"][2::3] == [0.0, 0.0] and len(none["keypoints"]) == 6


def test_catalogs_are_as_before_even_after_a_failure() -> None:
    datasets, metadata = set(DatasetCatalog), set(MetadataCatalog)
    data = data_of("nose", "left", "right")
    dicts = dataset_dicts(splits_of().train)
    with pytest.raises(RuntimeError, match="inside"), in_catalog(data, [dicts, dicts[:1]]) as names:
        assert [len(DatasetCatalog.get(name)) for name in names] == [4, 1]
        assert MetadataCatalog.get(names[0]).thing_classes == ["cat", "dog"]
        assert create_keypoint_hflip_indices(names[0]) == [0, 2, 1]
        raise RuntimeError("inside")
    assert (set(DatasetCatalog), set(MetadataCatalog)) == (datasets, metadata)


def test_keypoints_of_one_name_keep_their_places_in_mirrored_images() -> None:
    data = data_of("foot", "left", "right", "foot", "foot")
    with in_catalog(data, [dataset_dicts(splits_of().train)]) as (name,):
        assert create_keypoint_hflip_indices(name) == [0, 2, 1, 3, 4]


def test_images_without_objects_are_left_out_of_the_training_and_the_record_says_so() -> None:
    dicts, notes = training_dicts(splits_of(), C4OrPyramidSettings(**PLAIN))
    assert [item["image_id"] for item in dicts] == [1, 4], "difficult objects are trained on, crowds are not"
    assert notes == ["2 of 4 training images show no object and are not trained on"]
    kept = C4OrPyramidSettings(**PLAIN, library={"DATALOADER.FILTER_EMPTY_ANNOTATIONS": False})
    assert len(training_dicts(splits_of(), kept)[0]) == 4
    with pytest.raises(UserError, match="none of the 1 training images below /data shows an object"):
        training_dicts(splits_of(IMAGES[1:2]), C4OrPyramidSettings(**PLAIN))


def test_images_without_keypoints_are_left_out_of_a_keypoint_training() -> None:
    pointed = dataclasses.replace(THING, keypoints=(3.0, 4.0, 2.0))
    images = (*IMAGES[:1], AnnotatedImage("5.jpg", "5", 60, 40, (pointed,)))
    dicts, notes = training_dicts(splits_of(images, data_of("nose")), KeypointSettings(**PLAIN))
    assert [item["image_id"] for item in dicts] == [2]
    assert notes == ["1 training images have fewer than 1 keypoints and are not trained on"]


@pytest.mark.parametrize(("fewest", "needed"), [(1, "a labelled keypoint"), (3, "3 labelled keypoints")])
def test_objects_without_a_labelled_keypoint_are_no_images_without_objects(fewest: int, needed: str) -> None:
    stated = (3.0, 4.0, 0.0) if fewest == 1 else (3.0, 4.0, 2.0, 9.0, 9.0, 1.0, 0.0, 0.0, 0.0)
    pointed = dataclasses.replace(THING, keypoints=stated)
    images = (IMAGES[1], AnnotatedImage("5.jpg", "5", 60, 40, (pointed,)), IMAGES[3])
    library: dict[str, Any] = {"DATALOADER.FILTER_EMPTY_ANNOTATIONS": fewest == 1}
    library |= {"MODEL.ROI_KEYPOINT_HEAD.MIN_KEYPOINTS_PER_IMAGE": fewest} if fewest > 1 else {}
    with pytest.raises(UserError) as error:
        training_dicts(splits_of(images, data_of("nose")), KeypointSettings(**PLAIN, library=library))
    assert str(error.value) == (
        f"2 of the 3 training images below /data show objects, but none has {needed} (visibility 1 or 2); "
        "label some, or use --set detector=fpn"
    )


def test_nothing_is_mirrored_where_nothing_says_which_keypoints_change_places() -> None:
    numbered = dataclasses.replace(data_of(), keypoints=("kp1", "kp2"))
    said = mirror_note(numbered, KeypointSettings(**PLAIN))
    assert said is not None and "--set INPUT.RANDOM_FLIP=horizontal" in said
    stated = KeypointSettings(**PLAIN, library={"INPUT.RANDOM_FLIP": "horizontal"})
    assert mirror_note(numbered, stated) is None
    assert mirror_note(numbered, C4OrPyramidSettings(**PLAIN)) is None, "boxes have no sides"
    for names in (("nose",), ("nose", "L_eye", "R_eye")):
        assert mirror_note(data_of(*names), KeypointSettings(**PLAIN)) is None
    one_sided = mirror_note(data_of("left_eye", "right_eye", "left_ear"), KeypointSettings(**PLAIN))
    assert one_sided == said


def test_masks_and_keypoints_are_demanded_before_the_training() -> None:
    bare = AnnotatedImage("5.jpg", "5", 60, 40, (dataclasses.replace(THING, segmentation=None),))
    check_parts(splits_of(), masks=True, keypoints=False)
    with pytest.raises(UserError, match=r"1 of 3 objects of the training images below /data have no mask"):
        check_parts(splits_of((*IMAGES, bare)), masks=True, keypoints=False)
    with pytest.raises(UserError, match="data set 'own' has no keypoints"):
        check_parts(splits_of(), masks=False, keypoints=True)


def test_one_coded_mask_makes_bitmaps_of_all_but_crowds_do_not_count() -> None:
    dicts = dataset_dicts(splits_of().train)
    assert not has_coded_masks(dicts)
    coded = AnnotatedImage("5.jpg", "5", 60, 40, (dataclasses.replace(THING, segmentation=CODE),))
    assert has_coded_masks(dataset_dicts(splits_of((*IMAGES, coded)).train))


def test_wide_images_are_told_from_the_others_unless_they_are_not_grouped() -> None:
    dicts = dataset_dicts(splits_of().train)
    assert wider_than_tall(dicts, True) == [True, False, False, False]
    assert not np.any(wider_than_tall(dicts, False))
