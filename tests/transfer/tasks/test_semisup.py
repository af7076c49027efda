"""The semi-supervised protocols see the labels they say, and no more."""

import hashlib
import math
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from running import run_task
from torch import Tensor

from mmbench.checkpoints.backbone import Backbone
from mmbench.data import Dataset, ImageSplit
from mmbench.errors import UserError
from mmbench.records.store import LabelSubset, Result, ResultStore
from mmbench.transfer.inputs import batches as batch_inputs
from mmbench.transfer.tasks.semisup import measure as semisup
from mmbench.transfer.training.schedule import rate_factor
from mmbench.transfer.training.settings import FinetuneSettings

FRACTION = 0.1  # of 120 images: 2 of each of the 6 classes


def run(backbone: Backbone, dataset: Dataset, folder: Path, seed: int = 0, **overrides: Any) -> Result:
    return run_task(
        "semisup",
        backbone,
        dataset,
        ResultStore(folder / "results"),
        work=folder / "work",
        protocol_id="semisup/patterns-10pct@1",
        seed=seed,
        overrides={"epochs": 2, **overrides},
    )


def seen_images(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Return a list that fills with the bytes of every image that is trained on."""
    seen: list[bytes] = []
    augment = batch_inputs.augment

    def watched(images: Tensor, *rest: Any) -> Tensor:
        seen.extend(image.numpy().tobytes() for image in images)
        return augment(images, *rest)

    monkeypatch.setattr(batch_inputs, "augment", watched)
    return seen


def test_exactly_the_labelled_share_is_trained_on(
    backbone: Backbone, gratings: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = seen_images(monkeypatch)
    result = run(backbone, gratings, tmp_path)
    train = gratings.split("train")
    where = {image.numpy().tobytes(): index for index, image in enumerate(train.images)}
    used = sorted({where[image] for image in seen})  # a KeyError would be an image from elsewhere
    assert len(used) == 12 and len(seen) == 2 * 12
    assert torch.bincount(train.labels[used]).tolist() == [2] * 6
    assert result.dataset.split_sizes == {"train": 12, "test": 60}
    assert result.notes[1].startswith("intervals: 95%, over the 60 evaluated images")
    assert (result.notes[0], *result.notes[2:]) == (
        "12 of 120 labels, class-balanced, drawn with seed 0",
        "semisup/patterns-10pct@1 is written for 32 px; these weights are fed 16 px",
    )
    assert result.labels == LabelSubset(
        used=12,
        available=120,
        source="class-balanced, drawn with seed 0",
        sha256=hashlib.sha256(b"".join(struct.pack("<q", index) for index in used)).hexdigest(),
    )
    assert result.effective_lr == result.config["backbone_learning_rate"]


def test_another_seed_draws_other_labels(
    backbone: Backbone, gratings: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = seen_images(monkeypatch)
    run(backbone, gratings, tmp_path, seed=0)
    first = set(seen)
    seen.clear()
    run(backbone, gratings, tmp_path, seed=1)
    assert set(seen) != first


def test_a_run_that_sees_more_labels_is_a_bug(
    backbone: Backbone, gratings: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(semisup, "class_balanced_subset", lambda labels, *rest: torch.arange(len(labels)))
    # Batches of 46: two of them are complete.
    with pytest.raises(RuntimeError, match=r"92 labels were used where 10% are 12"):
        run(backbone, gratings, tmp_path, epochs=1, batch_size=46)
    assert not list((tmp_path / "results").rglob("*.json"))


def test_one_percent_of_patterns_sized_labels_is_forty() -> None:
    from mmbench.data.subsets import class_balanced_subset
    from mmbench.transfer.protocol import get_protocol
    from mmbench.transfer.resolution import parse_settings
    from mmbench.transfer.tasks.semisup.settings import SemisupSettings

    labels = torch.arange(10).repeat_interleave(400)
    for protocol_id, expected in (("1pct", 40), ("5pct", 200), ("10pct", 400)):
        settings = parse_settings(SemisupSettings, get_protocol(f"semisup/patterns-{protocol_id}@1"), {})
        assert len(class_balanced_subset(labels, settings.fraction, seed=2)) == expected


def test_a_draw_must_be_the_committed_one(
    backbone: Backbone, gratings: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A data set of the manifest's name and size: the draws are compared with the hashes of the manifest."""
    labels = torch.arange(10).repeat_interleave(400)
    noise = torch.randint(0, 256, (4000, 3, 18, 18), generator=torch.Generator().manual_seed(0))
    train = ImageSplit(noise.to(torch.uint8), labels)
    splits = {"train": lambda: train, "test": lambda: ImageSplit(train.images[::100], labels[::100])}
    patterns = replace(gratings, name="patterns", classes=tuple("abcdefghij"), splits=splits)
    result = run(backbone, patterns, tmp_path, epochs=1, fraction=0.01, batch_size=40, seed=4)
    assert result.labels is not None
    assert result.labels.source == "class-balanced, drawn with seed 4, as committed"
    monkeypatch.setattr(semisup, "class_balanced_subset", lambda labels, *rest: torch.arange(0, 4000, 100))
    with pytest.raises(RuntimeError, match="the draw of seed 3 is not the one that the manifest commits"):
        run(backbone, patterns, tmp_path, epochs=1, fraction=0.01, batch_size=40, seed=3)


def test_a_class_without_a_label_is_refused(backbone: Backbone, gratings: Dataset, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is less than one image"):
        run(backbone, gratings, tmp_path, fraction=0.01)


def test_the_same_seed_gives_the_same_numbers(backbone: Backbone, gratings: Dataset, tmp_path: Path) -> None:
    torch.manual_seed(1)
    first = run(backbone, gratings, tmp_path / "a")
    torch.manual_seed(2)
    assert run(backbone, gratings, tmp_path / "b").metrics == first.metrics


def test_the_checkpoint_is_not_changed(backbone: Backbone, gratings: Dataset, tmp_path: Path) -> None:
    before = {name: tensor.clone() for name, tensor in backbone.state_dict.items()}
    run(backbone, gratings, tmp_path)
    assert all(torch.equal(before[name], tensor) for name, tensor in backbone.state_dict.items())


def test_divergence_is_told(backbone: Backbone, gratings: Dataset, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"finetuning diverged at step .* of semisup/patterns-10pct@1"):
        run(backbone, gratings, tmp_path, epochs=30, backbone_learning_rate=1e30, head_learning_rate=1e30)


def test_learning_rates_follow_cosine_or_steps() -> None:
    rates = {"backbone_learning_rate": 0.1, "head_learning_rate": 0.1}
    cosine = FinetuneSettings(epochs=5, batch_size=4, **rates)
    steps = FinetuneSettings(epochs=20, batch_size=4, decay_epochs=(12, 16), decay_factor=0.2, **rates)
    for step in range(15):
        assert rate_factor(step, 3, cosine) == pytest.approx(math.cos(math.pi * step / 30) ** 2)
    found = [rate_factor(epoch * 3 + 2, 3, steps) for epoch in range(20)]
    assert found == pytest.approx([1] * 12 + [0.2] * 4 + [0.04] * 4)
