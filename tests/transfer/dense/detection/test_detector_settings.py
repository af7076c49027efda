"""Settings of detection: the linear rule, lengths by the data, Detectron2's own keys, what records hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmbench.checkpoints.card import ModelCard
from mmbench.errors import UserError
from mmbench.transfer.dense.common.scaling import by_linear_rule
from mmbench.transfer.dense.detection.config import RunFacts, build_config
from mmbench.transfer.dense.detection.settings import DetectionSettings
from mmbench.transfer.resolution import resolve_task, resolve_tasks


def settings_of(protocol: str, **overrides: Any) -> DetectionSettings:
    found = resolve_task("detection", f"detection/{protocol}", overrides).settings
    assert isinstance(found, DetectionSettings)
    return found


def built(settings: DetectionSettings, tmp_path: Path, arch: str = "resnet18") -> Any:
    facts = RunFacts(3, ("a", "b"), tmp_path / "none.pkl", tmp_path, torch.device("cpu"), 0)
    return build_config(ModelCard(arm="any", arch=arch), settings, facts)


# The linear rule.


def test_a_quarter_of_the_batch_takes_four_times_as_long_at_a_quarter_of_the_rate(tmp_path: Path) -> None:
    settings = settings_of("coco-fpn-1x-plain@1", batch_size=4)
    assert (settings.learning_rate, settings.iterations) == (0.005, 360_000)
    assert (settings.decay_at, settings.warmup_iterations) == ((240_000, 320_000), 4_000)
    solver = built(settings, tmp_path).SOLVER
    assert (solver.BASE_LR, solver.MAX_ITER, solver.IMS_PER_BATCH) == (0.005, 360_000, 4)
    assert (solver.STEPS, solver.WARMUP_ITERS) == ((240_000, 320_000), 4_000)
    (remark,) = settings.remarks()
    assert "batch_size 4 and not 16" in remark and "learning_rate 0.005" in remark and "360000" in remark
    recorded = settings.recorded()
    assert (recorded["learning_rate"], recorded["iterations"]) == (0.005, 360_000)
    assert (recorded["batch_size"], recorded["reference_batch_size"]) == (4, 16)


def test_what_is_stated_is_not_scaled() -> None:
    settings = settings_of("voc-c4-24k@2", batch_size=8, learning_rate=0.02, decay_at=[30_000])
    assert (settings.learning_rate, settings.decay_at) == (0.02, (30_000,))
    assert (settings.iterations, settings.warmup_iterations) == (48_000, 200)
    with pytest.raises(UserError, match=r"decay_at.*less than iterations \(48000\)"):
        settings_of("voc-c4-24k@2", batch_size=8, decay_at=[48_000])


def test_the_same_values_stated_or_scaled_are_one_configuration() -> None:
    scaled = settings_of("voc-fpn-frozen@1", batch_size=16)
    stated = settings_of(
        "voc-fpn-frozen@1",
        batch_size=16,
        learning_rate=0.02,
        iterations=18_000,
        decay_at=[12_000, 16_000],
        warmup_iterations=12,
    )
    assert scaled.recorded() == stated.recorded()


def test_without_a_reference_or_with_its_batch_nothing_changes() -> None:
    patterns = settings_of("patterns@1", batch_size=2)
    assert (patterns.learning_rate, patterns.iterations, patterns.remarks()) == (0.004, 140, ())
    usual = settings_of("coco-c4-2x@1", batch_size=16)
    assert (usual.learning_rate, usual.iterations, usual.remarks()) == (0.02, 180_000, ())


@given(
    batch=st.integers(1, 512),
    reference=st.sampled_from([2, 8, 16]),
    rate=st.floats(1e-5, 1),
    iterations=st.integers(1000, 200_000),
)
def test_a_scaled_run_sees_as_many_images_and_the_same_rate_per_image(
    batch: int, reference: int, rate: float, iterations: int
) -> None:
    values = {
        "batch_size": batch,
        "reference_batch_size": reference,
        "learning_rate": rate,
        "iterations": iterations,
        "decay_at": [iterations // 2, iterations - 1],
        "warmup_iterations": 0,
    }
    found = by_linear_rule(values, set())
    assert found["learning_rate"] / batch == pytest.approx(rate / reference)
    assert abs(found["iterations"] * batch - iterations * reference) <= max(batch / 2, batch)
    assert found["warmup_iterations"] == 0 and len(found["decay_at"]) == 2
    assert by_linear_rule(values, set(values)) == values


@pytest.mark.parametrize("batch", ["many", None, 0, -4, [4], True, float("nan")])
def test_a_batch_that_is_not_a_number_is_refused_by_its_name(batch: Any) -> None:
    with pytest.raises(UserError, match="setting 'batch_size' of detection/coco-c4-2x@1"):
        settings_of("coco-c4-2x@1", batch_size=batch)


# own@1: a length by the data.


@pytest.mark.parametrize(
    ("images", "batch", "iterations"),
    [
        (1, 16, 1500),  # few images: the lower bound
        (500, 16, 1500),  # 36 x 500 / 16 = 1125
        (1000, 16, 2250),
        (10_000, 16, 22_500),
        (118_287, 16, 90_000),  # COCO: the upper bound, its 1x
        (1000, 4, 9000),
        (500, 4, 6000),  # bounds count images
    ],
)
def test_the_length_of_own_is_36_passes_within_its_bounds(images: int, batch: int, iterations: int) -> None:
    settings = settings_of("own@1", batch_size=batch)
    used = settings.effective(images)
    assert used.iterations == iterations and used.epochs is None
    assert used.learning_rate == pytest.approx(0.02 * batch / 16)
    assert used.decay_at == pytest.approx((iterations * 2 / 3, iterations * 8 / 9), abs=1)
    assert used.warmup_iterations <= iterations // 10
    note = settings.length_note(images)
    assert note is not None and f"{iterations} iterations of {batch} images" in note
    assert settings.recorded()["epochs"] == 36  # the data set says the rest


def test_stated_iterations_replace_the_passes_and_the_schedule_keeps_its_shape() -> None:
    settings = settings_of("own@1", iterations=900)
    assert (settings.epochs, settings.iterations, settings.decay_at) == (None, 900, (600, 800))
    assert settings.warmup_iterations == 90
    assert settings.effective(5000) is settings and settings.length_note(5000) is None
    short = settings_of("own@1", iterations=3, batch_size=2)
    assert (short.iterations, short.decay_at, short.warmup_iterations) == (3, (2,), 0)
    assert settings_of("own@1", epochs=1).effective(100_000).iterations == 6250


def test_published_protocols_have_a_length_of_their_own() -> None:
    settings = settings_of("coco-fpn-1x-plain@1")
    assert settings.effective(5) is settings and settings.length_note(5) is None


# Settings of one detector.


@pytest.mark.parametrize(
    ("protocol", "overrides", "message"),
    [
        ("voc-c4-24k@2", {"box_convs": 4}, "unknown setting of detection/voc-c4-24k@2 'box_convs'"),
        ("coco-fpn-1x-plain@1", {"box_conv": 4}, "did you mean 'box_convs'"),
        ("coco-fpn-1x-plain@1", {"box_fcs": 0}, "the box head needs a layer"),
        ("coco-fpn-1x-plain@1", {"anchor_sizes": [[32], [64]]}, "anchor_sizes"),
        ("coco-fpn-1x-plain@1", {"anchor_sizes": [[32, 64], [64], [128], [256], [512]]}, "same number"),
        ("coco-retinanet-1x@1", {"masks": True}, "retinanet makes no masks"),
        ("coco-retinanet-1x@1", {"iou_thresholds": [0.5, 0.4]}, "the smaller one first"),
        ("coco-retinanet-1x@1", {"rpn_batch": 4}, "unknown setting"),
        ("coco-fpn-1x-plain@1", {"freeze_at": 6}, "from 0 to 5"),
        ("coco-fpn-1x-plain@1", {"evaluation": "voc2012"}, "evaluation"),
        ("coco-fpn-1x-plain@1", {"detector": "yolo"}, "detector"),
    ],
)
def test_a_setting_of_another_detector_or_out_of_range_is_one_line(
    protocol: str, overrides: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError) as caught:
        settings_of(protocol, **overrides)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_another_detector_on_a_protocol_takes_what_both_have(tmp_path: Path) -> None:
    settings = settings_of("patterns@1", detector="fpn")
    assert (settings.optimizer, settings.iterations) == ("adamw", 140)
    cfg = built(settings, tmp_path)
    assert cfg.MODEL.BACKBONE.NAME == "build_resnet_fpn_backbone" and cfg.MODEL.RPN.BATCH_SIZE_PER_IMAGE == 32


def test_records_of_earlier_protocols_hold_no_later_settings() -> None:
    for name in ("patterns@1", "voc-c4-24k@1", "coco-c4-1x@1"):
        recorded = settings_of(name).recorded()
        assert not {"freeze_at", "evaluation", "library", "epochs", "backbone_norm"} & recorded.keys()
    assert settings_of("patterns@1", freeze_at=5).recorded()["freeze_at"] == 5
    assert settings_of("voc-c4-24k@2").recorded()["evaluation"] == "voc2007"


# Detectron2's own keys.


def test_detectron2s_own_keys_are_applied_last_and_recorded(tmp_path: Path) -> None:
    keys = {
        "MODEL.RPN.NMS_THRESH": 0.6,
        "SOLVER.WEIGHT_DECAY_NORM": "1e-3",
        "SOLVER.MOMENTUM": 0,
        "MODEL.ANCHOR_GENERATOR.ASPECT_RATIOS": [[1.0, 2.0]],
        "INPUT.CROP.ENABLED": True,
        "MODEL.ROI_BOX_HEAD.BBOX_REG_WEIGHTS": [1, 1, 1, 1],
    }
    settings = settings_of("voc-c4-24k@2", **keys)
    cfg = built(settings, tmp_path)
    assert cfg.MODEL.RPN.NMS_THRESH == 0.6 and cfg.SOLVER.WEIGHT_DECAY_NORM == 0.001
    assert isinstance(cfg.SOLVER.MOMENTUM, float) and cfg.SOLVER.MOMENTUM == 0
    assert cfg.INPUT.CROP.ENABLED and cfg.MODEL.ROI_BOX_HEAD.BBOX_REG_WEIGHTS == (1, 1, 1, 1)
    assert cfg.MODEL.ANCHOR_GENERATOR.ASPECT_RATIOS == [[1.0, 2.0]]
    assert settings.recorded()["library"] == keys and settings.customised
    assert any("MODEL.RPN.NMS_THRESH=0.6" in remark for remark in settings.remarks())
    assert "library" not in settings_of("voc-c4-24k@2").recorded()


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("MODEL.RPN.NMS_TRESH", 0.6, "did you mean MODEL.RPN.NMS_THRESH?"),
        ("MODEL.NOTHING.OF.THE_KIND", 1, "unknown key of Detectron2"),
        ("MODEL.RPN", 1, "is a section"),
        ("MODEL.RPN.NMS_THRESH", "high", "must be a number, such as 0.7"),
        ("MODEL.RPN.NMS_THRESH", True, "must be a number"),
        ("INPUT.CROP.ENABLED", 1, "must be true or false"),
        ("TEST.DETECTIONS_PER_IMAGE", 2.5, "must be a whole number"),
        ("MODEL.RPN.CONV_DIMS", 5, "must be a list"),
        ("MODEL.RPN.HEAD_NAME", 5, "must be text"),
    ],
)
def test_keys_that_detectron2_does_not_have_are_one_line(
    key: str, value: Any, message: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError) as caught:
        built(settings_of("voc-c4-24k@2", **{key: value}), tmp_path)
    assert message in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "key",
    [
        "MODEL.WEIGHTS",
        "OUTPUT_DIR",
        "DATASETS.TRAIN",
        "DATASETS.PROPOSAL_FILES_TEST",
        "MODEL.DEVICE",
        "SEED",
        "DATALOADER.NUM_WORKERS",
        "MODEL.META_ARCHITECTURE",
        "MODEL.TIMM.ARCH",
        "MODEL.HIGH_PASS.ENABLED",
        "MODEL.ROI_HEADS.NUM_CLASSES",
        "MODEL.RETINANET.NUM_CLASSES",
        "MODEL.KEYPOINT_ON",
        "MODEL.SEM_SEG_HEAD.NUM_CLASSES",
        "SOLVER.AMP.ENABLED",
        "TEST.AUG.ENABLED",
        "TEST.EVAL_PERIOD",
        "INPUT.FORMAT",
        "MODEL.PIXEL_MEAN",
    ],
)
def test_keys_of_the_run_are_refused_when_they_are_read(key: str) -> None:
    with pytest.raises(UserError, match=f"{key} belongs to the run"):
        settings_of("voc-c4-24k@2", **{key: "x"})


def test_keys_reach_one_task_of_several_and_no_other() -> None:
    tasks = resolve_tasks(["detection", "knn"], [], {"detection.MODEL.RPN.NMS_THRESH": 0.6})
    assert tasks[0].settings.model_dump()["library"] == {"MODEL.RPN.NMS_THRESH": 0.6}
    tasks = resolve_tasks(["detection", "knn"], [], {"MODEL.RPN.NMS_THRESH": 0.6})
    assert tasks[0].settings.customised and not tasks[1].settings.customised
    with pytest.raises(UserError, match="unknown setting"):
        resolve_task("knn", None, {"MODEL.RPN.NMS_THRESH": 0.6})


def test_one_class_and_no_samples_by_default_build_a_detector(tmp_path: Path) -> None:
    from detectron2.modeling import build_model

    settings = settings_of("own@1", box_width=32, fpn_channels=32)
    facts = RunFacts(1, ("a", "b"), tmp_path / "none.pkl", tmp_path, torch.device("cpu"), 0)
    model = build_model(build_config(ModelCard(arm="any", arch="resnet18"), settings, facts))
    assert model.roi_heads.box_predictor.cls_score.out_features == 2
