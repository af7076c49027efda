"""The classifier of positions: its loss, its schedule, and a training that equals a plain loop."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from running import make_run
from torch import nn

from mmbench.checkpoints.backbone import Backbone
from mmbench.data import Dataset
from mmbench.errors import UserError
from mmbench.transfer.dense.common.sampling import BatchStream
from mmbench.transfer.dense.probes.head import pixel_loss, rate_at
from mmbench.transfer.dense.probes.linear_settings import LinearProbeSettings
from mmbench.transfer.dense.probes.preparation import prepared
from mmbench.transfer.dense.probes.training import train
from mmbench.transfer.job import TransferJob
from mmbench.transfer.resolution import resolve_task

PLAIN_LOOP = {
    "optimizer": "sgd",
    "learning_rate": 0.1,
    "momentum": 0.9,
    "weight_decay": 1e-4,
    "batch_norm": False,
    "epochs": 3,
    "batch_size": 4,
    "schedule": "step",
    "decay_epochs": [2],
    "scored_size": 20,
}


def settings(**changes: object) -> LinearProbeSettings:
    found = resolve_task("dense", "dense/patterns@1", changes).settings
    assert isinstance(found, LinearProbeSettings)
    return found


def test_the_loss_averages_over_counted_pixels_of_interpolated_scores() -> None:
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(2, 3, 2, 3, generator=generator)
    labels = torch.randint(3, (2, 5, 7), generator=generator)
    labels[0, :2] = labels[1, 3, 4] = 255
    total, count = 0.0, 0
    for image in range(2):
        for row in range(5):
            for column in range(7):
                if labels[image, row, column] == 255:
                    continue
                # Bilinear interpolation by hand: centres of pixels, clamped at the border.
                y = min(max((row + 0.5) * 2 / 5 - 0.5, 0), 1)
                x = min(max((column + 0.5) * 3 / 7 - 0.5, 0), 2)
                top, left = int(y), int(x)
                bottom, right = min(top + 1, 1), min(left + 1, 2)
                above = scores[image, :, top, left] * (1 - x + left) + scores[image, :, top, right] * (
                    x - left
                )
                below = scores[image, :, bottom, left] * (1 - x + left)
                below = below + scores[image, :, bottom, right] * (x - left)
                value = (above * (1 - y + top) + below * (y - top)).tolist()
                exponentials = [math.exp(number) for number in value]
                total -= math.log(exponentials[int(labels[image, row, column])] / sum(exponentials))
                count += 1
    assert float(pixel_loss(scores, labels)) == pytest.approx(total / count, abs=1e-5)


def test_a_batch_without_counted_pixels_changes_nothing() -> None:
    scores = torch.randn(1, 3, 2, 2, requires_grad=True)
    loss = pixel_loss(scores, torch.full((1, 4, 4), 255))
    loss.backward()
    assert loss.item() == 0 and scores.grad is not None and not scores.grad.any()


def test_the_classifier_may_run_before_the_interpolation() -> None:
    maps, conv = torch.randn(2, 5, 3, 4), nn.Conv2d(5, 3, 1)
    labels = torch.randint(3, (2, 9, 10))
    features = nn.functional.interpolate(maps, size=(9, 10), mode="bilinear", align_corners=False)
    expected = nn.functional.cross_entropy(conv(features), labels)
    assert torch.allclose(pixel_loss(conv(maps), labels), expected, atol=1e-6)


def test_images_of_several_sizes_count_by_their_pixels() -> None:
    scores = torch.randn(3, 4, 2, 3, requires_grad=True)
    labels = [torch.randint(4, size) for size in ((5, 7), (9, 4), (5, 7))]
    labels[1][:3] = 255
    single = [pixel_loss(scores[place : place + 1], one[None]) for place, one in enumerate(labels)]
    pixels = [35, 24, 35]
    expected = sum(loss * count for loss, count in zip(single, pixels, strict=True)) / 94
    found = pixel_loss(scores, labels)
    assert torch.allclose(found, expected, atol=1e-6)
    (gradient,), (wanted,) = (torch.autograd.grad(loss, scores) for loss in (found, expected))
    assert torch.allclose(gradient, wanted, atol=1e-6)


def test_the_schedules() -> None:
    step = settings(schedule="step", decay_epochs=[20], epochs=25)
    assert [rate_at(at, 250, 10, step) for at in (0, 199, 200, 249)] == pytest.approx([1, 1, 0.1, 0.1])
    cycle = settings(
        schedule="one-cycle", iterations=1000, epochs=None, warmup_iterations=100, warmup_start=1e-6
    )
    assert rate_at(0, 1000, 1, cycle) == pytest.approx(1e-6)
    assert rate_at(50, 1000, 1, cycle) == pytest.approx((1 - 0.5 * (1 - 1e-6)) * (1 - 50 / 1000))
    assert rate_at(100, 1000, 1, cycle) == pytest.approx((1 + math.cos(math.pi * 101 / 1000)) / 2)
    assert rate_at(999, 1000, 1, cycle) == pytest.approx(0, abs=1e-9)
    assert rate_at(7, 10, 1, settings(schedule="constant")) == 1


def test_training_equals_a_plain_loop(small: Backbone, scenes: Dataset, tmp_path: Path) -> None:
    """The same batches give the same weights, in a loop that interpolates features and reads files itself."""
    run = make_run(
        "dense",
        small,
        scenes,
        protocol_id="dense/patterns@1",
        overrides=PLAIN_LOOP | {"test_size": 24, "test_mode": "squash"},
    )
    job = TransferJob(run, tmp_path)
    chosen = run.task.settings
    assert isinstance(chosen, LinearProbeSettings)
    head, _ = train(job, prepared(job, chosen), chosen)

    network = small.build().eval()
    mean, std = (
        torch.tensor(values).view(3, 1, 1)
        for values in (small.card.preprocessing.mean, small.card.preprocessing.std)
    )
    features, truths = [], []
    for path in sorted((scenes.root / "images" / "train").glob("*.png")):
        image = Image.open(path).convert("RGB").resize((24, 24), Image.Resampling.BILINEAR)
        pixels = torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1).float() / 255
        labels = Image.open(scenes.root / "segmentation" / "train" / path.name)
        labels = labels.resize((24, 24), Image.Resampling.NEAREST)
        rows = [math.floor(row * 24 / 20) for row in range(20)]
        truths.append(torch.from_numpy(np.asarray(labels)[np.ix_(rows, rows)].astype(np.int64)))
        with torch.no_grad():
            found = network.forward_features(((pixels - mean) / std)[None])  # type: ignore[operator]
        features.append(nn.functional.interpolate(found, size=(20, 20), mode="bilinear")[0])
    torch.manual_seed(0)
    classifier = nn.Conv2d(128, 3, 1)
    optimiser = torch.optim.SGD(classifier.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
    stream = BatchStream([False] * 12, 4, 0).batches()
    for step in range(9):
        optimiser.param_groups[0]["lr"] = 0.1 if step < 6 else 0.01
        indices = [draw.image for draw in next(stream)]
        inputs, labels_ = (torch.stack([each[index] for index in indices]) for each in (features, truths))
        loss = nn.functional.cross_entropy(classifier(inputs), labels_, ignore_index=255)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    (trained,) = [module for module in head.modules() if isinstance(module, nn.Conv2d)]
    assert trained.bias is not None and classifier.bias is not None
    assert torch.allclose(trained.weight, classifier.weight, atol=1e-5)
    assert torch.allclose(trained.bias, classifier.bias, atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"iterations": 5}, "the length is epochs or iterations"),
        ({"test_mode": "squash"}, "test_mode=squash needs a size"),
        ({"augmentation": "scaled-crop"}, "needs the size of a crop; set crop"),
        ({"test_mode": "slide", "test_size": 32, "test_stride": 40}, "windows would leave gaps"),
        ({"test_mode": "slide", "test_size": 32}, "needs a step between windows"),
        ({"test_mode": "slide", "test_size": 32, "test_stride": 16}, "trains on maps of whole images"),
        ({"schedule": "step", "epochs": None, "iterations": 9}, "schedule=step counts in epochs"),
        ({"learning_rate": -1}, "learning_rate"),
        ({"prob": "linear"}, "did you mean 'probe'"),
        ({"warmup_iterations": 10, "iterations": 5, "epochs": None}, "must not be longer than the run"),
    ],
)
def test_settings_that_mean_nothing_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        settings(**changes)
