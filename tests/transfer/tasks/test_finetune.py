"""Full finetuning uses every label and trains every layer, each group at its own rate."""

from pathlib import Path
from typing import Any

import pytest
import torch
from running import make_run, run_task

from mmbench.checkpoints.backbone import Backbone
from mmbench.data import Dataset
from mmbench.images.crop_rule import CropRule
from mmbench.records.store import ResultStore
from mmbench.transfer.inputs.augment import augment
from mmbench.transfer.job import TransferJob
from mmbench.transfer.training.finetuning import finetune, predict
from mmbench.transfer.training.settings import FinetuneSettings

CPU = torch.device("cpu")


def make_job(backbone: Backbone, dataset: Dataset, work: Path) -> TransferJob:
    return TransferJob(make_run("finetune", backbone, dataset, protocol_id="finetune/patterns@1"), work)


def settings_of(**changes: Any) -> FinetuneSettings:
    values = {"epochs": 1, "batch_size": 40, "backbone_learning_rate": 0.05, "head_learning_rate": 0.2}
    return FinetuneSettings.model_validate({**values, **changes})


def test_it_learns_and_records(backbone: Backbone, gratings: Dataset, tmp_path: Path) -> None:
    result = run_task(
        "finetune",
        backbone,
        gratings,
        ResultStore(tmp_path / "results"),
        work=tmp_path / "work",
        overrides={"epochs": 20, "batch_size": 30},
    )
    assert result.dataset.split_sizes == {"train": 120, "test": 60}
    assert result.metrics["top1"].value > 60  # chance is 17
    assert result.effective_lr == result.config["backbone_learning_rate"]


def test_every_layer_moves(backbone: Backbone, gratings: Dataset, tmp_path: Path) -> None:
    job = make_job(backbone, gratings, tmp_path)
    model, seen, used = finetune(job, job.images("train"), settings_of(epochs=2))
    assert (seen, used) == (240, 120)
    for name, parameter in model.backbone.named_parameters():
        assert not torch.equal(parameter, backbone.state_dict[name]), name


def test_backbone_and_head_have_their_own_rates(
    backbone: Backbone, gratings: Dataset, tmp_path: Path
) -> None:
    job = make_job(backbone, gratings, tmp_path)
    still = settings_of(backbone_learning_rate=1e-30, weight_decay=0.0)
    model, _, _ = finetune(job, job.images("train"), still)
    for name, parameter in model.backbone.named_parameters():
        torch.testing.assert_close(parameter.detach(), backbone.state_dict[name], rtol=0, atol=1e-20)
    assert model.head.weight.abs().max() > 0


def test_scores_are_those_of_the_model_in_evaluation_mode(
    backbone: Backbone, gratings: Dataset, tmp_path: Path
) -> None:
    job = make_job(backbone, gratings, tmp_path)
    model, _, _ = finetune(job, job.images("train"), settings_of())
    images = gratings.split("test").images
    together = predict(model, job.images("test"), job)
    with torch.no_grad():
        alone = torch.cat([model(image[None, :, 2:18, 2:18]) for image in images])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4)


def test_augmented_images_are_crops_and_mirrors(gratings: Dataset) -> None:
    """A crop of the whole image at its own size is the image or its mirror image."""
    images = gratings.split("train").images[:40]
    generator = torch.Generator().manual_seed(0)
    crops = augment(images, 20, CropRule((1.0, 1.0)), generator, CPU)
    assert crops.shape == (40, 3, 20, 20) and crops.min() >= 0 and crops.max() <= 1
    whole = images.float() / 255
    # At another aspect the crop is cut to the image, so some crops are not the whole one.
    same = [torch.allclose(a, b, atol=1e-5) for a, b in zip(crops, whole, strict=True)]
    mirrored = [torch.allclose(a, b.flip(-1), atol=1e-5) for a, b in zip(crops, whole, strict=True)]
    assert not any(a and b for a, b in zip(same, mirrored, strict=True))
    small = augment(images, 16, CropRule((0.3, 1.0)), generator, CPU)
    assert small.shape == (40, 3, 16, 16)
    again = augment(images, 16, CropRule((0.3, 1.0)), torch.Generator().manual_seed(9), CPU)
    assert torch.equal(
        again, augment(images, 16, CropRule((0.3, 1.0)), torch.Generator().manual_seed(9), CPU)
    )


@pytest.mark.parametrize("count", [39, 41])
def test_few_images_make_one_batch_and_remainders_are_dropped(
    backbone: Backbone, gratings: Dataset, tmp_path: Path, count: int
) -> None:
    job = make_job(backbone, gratings, tmp_path)
    _, seen, used = finetune(job, job.images("train").subset(torch.arange(count)), settings_of())
    assert (seen, used) == ((39, 39) if count == 39 else (40, 40))
