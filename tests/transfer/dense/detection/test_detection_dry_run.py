"""`--dry-run` prepares exactly what a detection then starts from; figures lie beside the record."""

from __future__ import annotations

from dataclasses import replace

import pytest
import yaml
from PIL import Image
from running import make_run

from mmbench.checkpoints.backbone import random_backbone
from mmbench.processes import cores
from mmbench.transfer.dense.common.reading import reading_workers
from mmbench.transfer.dense.detection.weights import read_weights
from mmbench.transfer.dry_run import plan, plan_lines
from mmbench.transfer.job import TransferJob
from mmbench.transfer.measuring import measure
from mmbench.transfer.request import TransferRequest
from mmbench.transfer.resolution import resolve_task

FEW = {
    "iterations": 22,
    "decay_at": [20],
    "warmup_iterations": 5,
    "batch_size": 2,
    "train_sizes": [64],
    "test_size": 64,
    "train_proposals": [60, 30],
    "test_proposals": [60, 20],
    "rpn_batch": 32,
    "roi_batch": 16,
    "masks": True,
}


def configuration(folder, record) -> dict:
    """Detectron2's configuration without what names one run's place."""
    content = yaml.safe_load((folder / record.stem / "config.yaml").read_text())
    for parts, name in ((content, "OUTPUT_DIR"), (content["MODEL"], "WEIGHTS")):
        assert str(folder) in parts.pop(name)
    del content["DATASETS"]
    return content


def test_what_is_prepared_is_what_is_run(scenes_dataset, tmp_path) -> None:
    backbone = random_backbone("mixmask_resnet8", 0)
    task = resolve_task("detection", "detection/patterns@1", FEW)
    request = TransferRequest(
        (task,),
        backbone,
        scenes_dataset,
        seeds=(7,),
        out=tmp_path / "results",
        device="cpu",
        work=tmp_path / "dry",
    )
    (planned,) = plan(request)
    assert not planned.recorded and not (tmp_path / "results").exists()
    assert planned.sizes["test"].startswith("8 images, ")
    text = "\n".join(plan_lines(planned, None))
    assert f"seed 7: {planned.path} (would be written)" in text
    assert (
        "22 iterations of 2 of 40 images, learning rate 0.004 after 5 iterations of warm-up, falling at 20"
        in text
    )
    assert "scored for boxes, masks on 8 images of test" in text
    assert "  batch_size: 2\n" in text and "settings (changed: iterations, " in text
    folder = tmp_path / "dry" / planned.path.stem
    written = read_weights(folder / "backbone.pth")
    assert len(written) == len(backbone.state_dict)
    assert not (folder / "metrics.json").exists(), "nothing is trained"

    request = replace(request, work=tmp_path / "run")
    (outcome,) = measure(request)
    assert outcome.path == planned.path and outcome.path.exists()
    assert configuration(tmp_path / "dry", planned.path) == configuration(tmp_path / "run", planned.path)
    for ending in ("losses.png", "predictions.png"):
        with Image.open(outcome.path.with_suffix(f".{ending}")) as figure:
            assert figure.width > 600
    assert outcome.result.per_class is not None and set(outcome.result.per_class) <= {"red", "green", "blue"}
    assert "mask_AP" in outcome.result.metrics

    (again,) = plan(request)
    assert again.recorded and "(there already, would be reused)" in plan_lines(again, planned)[0]


@pytest.mark.parametrize(
    ("stated", "images", "workers"),
    [(None, 3999, 0), (None, 4000, min(8, cores())), (3, 10, 3), (0, 10**6, 0)],
)
def test_short_runs_start_no_workers_unless_they_are_stated(
    scenes_dataset, tmp_path, stated: int | None, images: int, workers: int
) -> None:
    run = make_run("detection", random_backbone("mixmask_resnet8", 0), scenes_dataset, workers=stated)
    assert reading_workers(TransferJob(run, tmp_path), images) == workers
