"""`--dry-run` prepares exactly what a segmentation then starts from; `--precision` is followed and said."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from mmbench.checkpoints.backbone import random_backbone
from mmbench.transfer.dry_run import plan, plan_lines
from mmbench.transfer.measuring import measure
from mmbench.transfer.request import TransferRequest
from mmbench.transfer.resolution import resolve_task

FEW = {
    "iterations": 3,
    "warmup_iterations": 1,
    "batch_size": 2,
    "crop": 32,
    "head_channels": 16,
    "bfloat16": False,
}


def configuration(folder, record) -> dict:
    """The Runner's arguments without what names one run's place."""
    content = json.loads((folder / record.stem / "config.json").read_text())
    assert str(folder) in content.pop("work_dir")
    pretrained = content["model"]["backbone"].pop("init_cfg", None)
    assert pretrained is None or str(folder) in pretrained["checkpoint"]
    return content


@pytest.mark.parametrize("arch", ["mixmask_resnet18", "mixmask_resnet8"])
def test_what_is_prepared_is_what_is_run(rectangles, tmp_path, arch: str) -> None:
    backbone = random_backbone(arch, 0)
    request = TransferRequest(
        (resolve_task("segmentation", "segmentation/patterns@1", FEW),),
        backbone,
        rectangles,
        seeds=(7,),
        out=tmp_path / "results",
        device="cpu",
        work=tmp_path / "dry",
    )
    (planned,) = plan(request)
    assert not planned.recorded and not (tmp_path / "results").exists()
    text = "\n".join(plan_lines(planned, None))
    assert f"{len(backbone.state_dict)} backbone tensors in mmsegmentation compared bit for bit" in text
    assert "3 iterations of 2 of 24 images, learning rate 0.05 after 1 iterations of warm-up" in text
    assert "4 classes, evaluated on 10 images of test" in text
    folder = tmp_path / "dry" / planned.path.stem
    assert (folder / "backbone.pth").exists() == (arch == "mixmask_resnet18")
    assert not (folder / "metrics.json").exists(), "nothing is trained"

    (outcome,) = measure(replace(request, work=tmp_path / "run"))
    assert outcome.path == planned.path and outcome.path.exists()
    assert configuration(tmp_path / "dry", planned.path) == configuration(tmp_path / "run", planned.path)
    (again,) = plan(request)
    assert again.recorded and "(there already, would be reused)" in plan_lines(again, planned)[0]


@pytest.mark.parametrize("arch", ["mixmask_resnet18", "mixmask_resnet8"])
def test_bfloat16_computes_the_training_and_not_the_evaluation(
    rectangles, tmp_path, monkeypatch, arch: str
) -> None:
    from mmseg.models.decode_heads.decode_head import BaseDecodeHead

    seen: dict[bool, set[tuple[torch.dtype, torch.dtype, bool]]] = {True: set(), False: set()}
    classify = BaseDecodeHead.cls_seg

    def watched(head, features: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = classify(head, features)
        in_bfloat16 = torch.is_autocast_enabled("cpu")
        convolved = head.convs[0].conv(features.new_zeros(1, head.convs[0].conv.in_channels, 4, 4))
        seen[head.training].add((convolved.dtype, logits.dtype, in_bfloat16))
        return logits

    monkeypatch.setattr(BaseDecodeHead, "cls_seg", watched)
    request = TransferRequest(
        (resolve_task("segmentation", "segmentation/patterns@1", FEW),),
        random_backbone(arch, 0),
        rectangles,
        out=tmp_path / "results",
        device="cpu",
        work=tmp_path / "work",
        precision="bfloat16",
    )
    (outcome,) = measure(request)
    assert seen[True] == {(torch.bfloat16, torch.float32, True)}
    assert seen[False] == {(torch.float32, torch.float32, False)}
    assert outcome.result.config["precision"] == "bfloat16"
    expected = "trained in bfloat16 by autocast, logits and loss in float32; evaluated in float32"
    assert expected in outcome.result.notes
