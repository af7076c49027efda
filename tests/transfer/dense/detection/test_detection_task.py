"""The task as users run it: real Detectron2, real images, a few iterations."""

from __future__ import annotations

import dataclasses
import json
import logging
import re

import numpy as np
import pytest
import small_detectors as small
import torch
from PIL import Image
from running import run_task

from mmbench.checkpoints.backbone import random_backbone
from mmbench.checkpoints.card import HighPass, Preprocessing
from mmbench.errors import UserError
from mmbench.records.store import ResultStore, read_result
from mmbench.transfer.dense.detection import preparation, run, weights
from mmbench.transfer.dense.detection.detectors.pyramid import Pyramid
from mmbench.transfer.dense.detection.settings import DetectionSettings
from mmbench.transfer.protocol import get_protocol
from mmbench.transfer.resolution import parse_settings

FEW = {
    "iterations": 20,
    "decay_at": [],
    "warmup_iterations": 5,
    "batch_size": 4,
    "train_sizes": [64],
    "test_size": 64,
    "train_proposals": [60, 30],
    "test_proposals": [60, 20],
    "rpn_batch": 32,
    "roi_batch": 16,
}


@pytest.fixture
def arrived(monkeypatch):
    """The detector's tensors as they are when Detectron2 has loaded the backbone, before any training."""
    state = {}

    def keep(model, path, places, backbone):
        count = weights.check_arrival(model, path, places, backbone)
        state.update({name: tensor.clone() for name, tensor in model.state_dict().items()})
        return count

    monkeypatch.setattr(run, "check_arrival", keep)
    return state


def test_small_network_trains_evaluates_and_writes_a_record(scenes_dataset, tmp_path, capfd, arrived) -> None:
    preprocessing = Preprocessing(high_pass=HighPass(kernel_size=3, sigma=0.7), image_size=32)
    backbone = random_backbone("mixmask_resnet8", 0, preprocessing)
    weights_before = {name: tensor.clone() for name, tensor in backbone.state_dict.items()}
    loggers_before = logging.getLogger("detectron2").handlers[:]
    reports = []
    result = run_task(
        "detection",
        backbone,
        scenes_dataset,
        ResultStore(tmp_path / "results"),
        work=tmp_path / "work",
        seed=3,
        overrides={**FEW, "iterations": 60},
        report=lambda *report: reports.append(report),
    )
    assert capfd.readouterr() == ("", ""), "the terminal belongs to the progress bar"
    assert logging.getLogger("detectron2").handlers == loggers_before
    assert reports[-1] == (1, 1, "evaluating")
    assert [(done, total) for done, total, _ in reports[:-1]] == [(done, 60) for done in range(1, 61)]
    assert all(
        re.match(r"loss \d+\.\d\d, \d+% of the time waiting", message) for *_, message in reports[9:-1]
    )
    # A detector that learned nothing finds next to nothing; coloured rectangles are easy.
    assert result.metrics["AP50"].value > 20

    assert {"AP", "AP50", "AP75"} <= set(result.metrics)
    assert result.primary_metric == "AP50"
    assert all(metric.n == 8 and 0 <= metric.value <= 100 for metric in result.metrics.values())
    assert result.dataset.split_sizes == {"train": 40, "test": 8}
    assert result.effective_lr == result.config["learning_rate"]
    assert any("high-passed" in note for note in result.notes)
    count = len(weights_before)
    assert f"{count} backbone tensors loaded by Detectron2 and compared bit for bit" in result.notes
    stored = list((tmp_path / "results").rglob("*.json"))
    assert [read_result(path) for path in stored] == [result]

    for name, tensor in weights_before.items():
        assert torch.equal(backbone.state_dict[name], tensor), "the checkpoint is never changed"
        assert torch.equal(arrived[f"backbone.timm_model.{name}"], tensor)


def test_same_seed_same_boxes(scenes_dataset, tmp_path) -> None:
    """In one process, bit for bit, whatever was drawn between the runs."""
    boxes = []
    for name, seed in (("first", 3), ("again", 3), ("other", 4)):
        torch.rand(3)
        run_task(
            "detection",
            random_backbone("mixmask_resnet8", 0),
            scenes_dataset,
            ResultStore(tmp_path / name),
            work=tmp_path / f"{name}-work",
            seed=seed,
            overrides={**FEW, "iterations": 3, "warmup_iterations": 1},
        )
        found = tmp_path / f"{name}-work" / "evaluation" / "coco_instances_results.json"
        boxes.append(json.loads(found.read_text()))
    assert boxes[0] == boxes[1] != boxes[2]
    assert len(boxes[0]) > 0


def detectron2_name(name: str) -> str:
    """torchvision's name of a ResNet tensor -> where it is in a C4 detector (written down by hand)."""
    stage = re.match(r"layer(\d)\.(\d+)\.(.*)", name)
    if stage is None:
        return {"conv1.weight": "backbone.stem.conv1.weight"}.get(
            name, name.replace("bn1.", "backbone.stem.conv1.norm.")
        )
    number, block, rest = int(stage[1]), stage[2], stage[3]
    rest = re.sub(r"^bn(\d)\.", r"conv\1.norm.", rest)
    rest = rest.replace("downsample.0.", "shortcut.").replace("downsample.1.", "shortcut.norm.")
    owner = "roi_heads" if number == 4 else "backbone"
    return f"{owner}.res{number + 1}.{block}.{rest}"


def test_resnet18_c4_with_extra_norm_holds_every_tensor_and_trains(scenes_dataset, tmp_path, arrived) -> None:
    backbone = random_backbone("mixmask_resnet18", 1)
    few = {
        **FEW,
        "iterations": 2,
        "warmup_iterations": 1,
        "batch_size": 2,
        "masks": True,
        "train_proposals": [20, 8],
        "test_proposals": [20, 4],
        "roi_batch": 4,
    }
    result = run_task(
        "detection",
        backbone,
        scenes_dataset,
        ResultStore(tmp_path / "results"),
        work=tmp_path / "work",
        overrides={**few, "train_images": 6},
    )
    assert {"AP", "AP50", "AP75", "mask_AP", "mask_AP50", "mask_AP75"} <= set(result.metrics)
    assert result.dataset.split_sizes == {"train": 6, "test": 8}
    assert "detector: c4, Mask R-CNN, every layer trained" in result.notes
    compared = 0
    for name, tensor in backbone.state_dict.items():
        if not name.endswith("num_batches_tracked"):
            assert torch.equal(arrived[detectron2_name(name)], tensor), name
            compared += 1
    assert compared == 100  # 20 convolutions and 20 batch norms of four tensors
    assert "roi_heads.res5.norm.weight" in arrived
    log = (tmp_path / "work" / "log.txt").read_text()
    assert "Starting training from iteration 0" in log


@pytest.mark.parametrize(
    ("arch", "tensor"),
    [("mixmask_resnet8", "layer2.0.bn1.running_var"), ("mixmask_resnet18", "layer4.1.conv2.weight")],
)
def test_backbone_with_one_tensor_removed_is_refused(arch, tensor, scenes_dataset, tmp_path) -> None:
    whole = random_backbone(arch, 0)
    state = {name: value for name, value in whole.state_dict.items() if name != tensor}
    with pytest.raises(UserError, match=re.escape(tensor)):
        run_task(
            "detection",
            dataclasses.replace(whole, state_dict=state),
            scenes_dataset,
            ResultStore(tmp_path / "results"),
            work=tmp_path / "work",
            overrides=FEW,
        )
    assert not (tmp_path / "results").exists()


def test_tensor_lost_or_changed_on_the_way_is_noticed(tmp_path) -> None:
    backbone = random_backbone("mixmask_resnet8", 0)
    path, unused = weights.write_timm_weights(backbone, tmp_path)
    assert unused == ()
    detector = torch.nn.Module()
    detector.backbone = torch.nn.Module()
    detector.backbone.timm_model = backbone.build()
    detector.backbone.fpn_lateral2 = torch.nn.Conv2d(1, 1, 1)
    floats = [name for name in backbone.state_dict if not name.endswith("num_batches_tracked")]
    assert weights.check_arrival(detector, path, Pyramid().from_backbone) >= len(floats)

    with torch.no_grad():
        detector.backbone.timm_model.conv1.weight[0, 0, 0, 0] += 1e-6
    with pytest.raises(
        UserError, match=r"1 tensors were not loaded \(backbone\.timm_model\.conv1\.weight\), 0 were left"
    ):
        weights.check_arrival(detector, path, Pyramid().from_backbone)
    detector.backbone.timm_model = backbone.build()

    content = torch.load(path, weights_only=True)
    del content["model"]["timm_model.layer3.0.conv2.weight"]
    torch.save(content, path)
    with pytest.raises(
        UserError, match=r"1 were left at random \(backbone\.timm_model\.layer3\.0\.conv2\.weight\)"
    ):
        weights.check_arrival(detector, path, Pyramid().from_backbone)


def test_divergence_is_one_line_with_the_remedy(scenes_dataset, tmp_path) -> None:
    with pytest.raises(UserError, match=r"detection diverged .* lower learning_rate") as caught:
        run_task(
            "detection",
            random_backbone("mixmask_resnet8", 0),
            scenes_dataset,
            ResultStore(tmp_path / "results"),
            work=tmp_path / "work",
            overrides={**FEW, "learning_rate": 1e6, "warmup_iterations": 0},
        )
    assert "\n" not in str(caught.value)


def test_published_recipes_are_mocos() -> None:
    found = {}
    for name in ("patterns@1", "coco-c4-1x@1", "voc-c4-24k@1"):
        protocol = get_protocol(f"detection/{name}")
        found[name] = parse_settings(DetectionSettings, protocol, {})
    coco, voc = found["coco-c4-1x@1"], found["voc-c4-24k@1"]
    assert (coco.batch_size, coco.learning_rate, coco.iterations) == (16, 0.02, 90_000)
    assert (coco.decay_at, coco.masks, coco.detector) == ((60_000, 80_000), True, "c4")
    assert (voc.batch_size, voc.learning_rate, voc.iterations) == (16, 0.02, 24_000)
    assert (voc.decay_at, voc.warmup_iterations, voc.masks) == ((18_000, 22_000), 100, False)


@pytest.mark.parametrize("rate", [1e20, 1e38])
def test_divergence_in_the_last_iteration_leaves_no_record(scenes_dataset, tmp_path, rate: float) -> None:
    """One iteration: its loss, of the weights before the step, is fine."""
    overrides = {**FEW, "iterations": 1, "warmup_iterations": 0, "learning_rate": rate, "optimizer": "sgd"}
    with pytest.raises(UserError, match=r"detection diverged .*--set learning_rate=1e\+") as caught:
        run_task(
            "detection",
            random_backbone("mixmask_resnet8", 0),
            scenes_dataset,
            ResultStore(tmp_path / "results"),
            work=tmp_path / "work",
            overrides=overrides,
        )
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "results").rglob("*.json"))


def test_a_detector_that_finds_nothing_has_0_and_the_record_says_so(
    scenes_dataset, tmp_path, monkeypatch
) -> None:
    """The threshold of the detector is out of reach."""
    build = preparation.build_config

    def deaf(*arguments, **named):
        cfg = build(*arguments, **named)
        cfg.defrost()
        cfg.MODEL.ROI_HEADS.SCORE_THRESH_TEST = 1.1
        return cfg

    monkeypatch.setattr(preparation, "build_config", deaf)
    result = run_task(
        "detection",
        random_backbone("mixmask_resnet8", 0),
        scenes_dataset,
        ResultStore(tmp_path / "results"),
        work=tmp_path / "work",
        overrides={**FEW, "iterations": 2, "warmup_iterations": 0},
    )
    assert [result.metrics[name].value for name in ("AP", "AP50", "AP75")] == [0, 0, 0]
    assert "nothing was detected, so every average precision is 0" in result.notes


def test_images_as_people_have_them_train_in_bfloat16_with_workers(tmp_path) -> None:
    """Grey, transparent, deep and tiny images, phone images, and images that show nothing, in one split."""
    dataset = small.write_boxes(tmp_path / "boxes", {"train": 8, "test": 3})
    assert dataset.scenes is not None
    folder = dataset.scenes.images("train")
    path = dataset.scenes.coco_json("train")
    content = json.loads(path.read_text())
    for index, mode in enumerate(("L", "LA", "P", "CMYK")):
        image = Image.open(folder / f"train00{index + 1}.png").convert("RGB").convert(mode)
        name = f"train00{index + 1}.{'jpg' if mode == 'CMYK' else 'png'}"
        image.save(folder / name)
        content["images"][index]["file_name"] = name
    deep = np.asarray(Image.open(folder / "train005.png").convert("L")).astype(np.uint16) * 257
    Image.fromarray(deep).save(folder / "train005.png")
    Image.new("RGB", (2, 3)).save(folder / "train006.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (80, 64)).save(folder / "train007.jpg", exif=exif)
    content["images"][5] |= {"width": 2, "height": 3}
    content["images"][6] |= {"file_name": "train007.jpg", "width": 80, "height": 64}
    for item in content["annotations"]:
        if item["image_id"] == 6:
            item |= {"bbox": [0, 0, 1, 2], "area": 2, "segmentation": []}
    content["annotations"] = [item for item in content["annotations"] if item["image_id"] != 8]
    path.write_text(json.dumps(content))
    result = run_task(
        "detection",
        random_backbone("mixmask_resnet8", 0),
        dataset,
        ResultStore(tmp_path / "results"),
        work=tmp_path / "work",
        overrides={**small.PYRAMID, "iterations": 4},
        precision="bfloat16",
        workers=2,
    )
    assert result.dataset.split_sizes == {"train": 7, "test": 3}
    assert result.config["precision"] == "bfloat16"
    assert any(note.startswith("trained in bfloat16 by autocast") for note in result.notes)
    assert "1 of 8 training images show no object and are not trained on" in result.notes
    assert any("stored" in note for note in result.notes), "boxes in stored pixels of a phone image are said"
