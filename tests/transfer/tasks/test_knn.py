"""kNN equals a brute-force loop over every query, every bank item and every neighbour."""

import math
import operator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from running import extract, make_run, run_task
from torch import Tensor

from mmbench.checkpoints.backbone import Backbone
from mmbench.data import Dataset
from mmbench.data.types import Split
from mmbench.errors import UserError
from mmbench.neighbours import knn_scores
from mmbench.records.store import ResultStore
from mmbench.transfer.controls import pixels_backbone
from mmbench.transfer.execution import execute
from mmbench.transfer.job import TransferJob
from mmbench.transfer.resolution import resolve_task


def cosines(queries: Tensor, bank: Tensor) -> list[list[float]]:
    """Return the cosine of every query with every item, by loops over plain numbers."""
    rows, items = queries.double().tolist(), bank.double().tolist()
    lengths = [math.sqrt(math.fsum(b * b for b in item)) for item in items]
    found = []
    for query in rows:
        own = math.sqrt(math.fsum(a * a for a in query))
        dots = [sum(map(operator.mul, query, item)) for item in items]
        found.append([dot / own / length for dot, length in zip(dots, lengths, strict=True)])
    return found


def weighted_votes(similar: list[list[float]], labels: Tensor, classes: int, k: int, t: float) -> Tensor:
    """Return the votes (queries, classes) of the k nearest items of each query."""
    votes = torch.zeros(len(similar), classes, dtype=torch.float64)
    for row, of_query in enumerate(similar):
        for cosine, label in sorted(zip(of_query, labels.tolist(), strict=True), reverse=True)[:k]:
            votes[row, label] += math.exp(cosine / t)
    return votes


def brute_force(queries: Tensor, bank: Tensor, labels: Tensor, classes: int, k: int, t: float) -> Tensor:
    return weighted_votes(cosines(queries, bank), labels, classes, k, t)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    bank_size=st.integers(1, 25),
    query_count=st.integers(1, 9),
    width=st.integers(2, 6),
    chunk=st.integers(1, 10),
    temperature=st.sampled_from([0.07, 0.1, 1.0]),
    data=st.data(),
)
def test_knn_equals_a_brute_force_loop(
    seed: int,
    bank_size: int,
    query_count: int,
    width: int,
    chunk: int,
    temperature: float,
    data: st.DataObject,
) -> None:
    generator = torch.Generator().manual_seed(seed)
    bank = torch.randn((bank_size, width), generator=generator)
    queries = torch.randn((query_count, width), generator=generator)
    labels = torch.randint(4, (bank_size,), generator=generator)
    k = data.draw(st.integers(1, bank_size))
    found = knn_scores(queries, bank, labels, 4, neighbours=k, temperature=temperature, chunk=chunk)
    expected = brute_force(queries, bank, labels, 4, k, temperature)
    torch.testing.assert_close(found.double(), expected, rtol=2e-4, atol=1e-4)


def test_more_neighbours_than_images_are_refused() -> None:
    with pytest.raises(UserError, match="k=6 neighbours asked for, but the bank holds 5 images"):
        knn_scores(
            torch.rand(2, 3),
            torch.rand(5, 3),
            torch.zeros(5).long(),
            2,
            neighbours=6,
            temperature=1,
        )


def predicted(bank: Tensor, queries: Tensor, dataset: Dataset, k: int) -> float:
    votes = brute_force(queries, bank, dataset.split("train").labels, len(dataset.classes), k, 0.1)
    return 100 * float((votes.argmax(dim=1) == dataset.split("test").labels).double().mean())


def test_the_task_measures_the_test_split(backbone: Backbone, gratings: Dataset, tmp_path: Path) -> None:
    result = run_task("knn", backbone, gratings, ResultStore(tmp_path), work=tmp_path / "work")
    cpu = torch.device("cpu")
    bank, queries = (extract(backbone, gratings.split(name).images, cpu) for name in ("train", "test"))
    assert result.metrics["top1"].value == pytest.approx(predicted(bank, queries, gratings, k=20), abs=1e-4)
    assert result.metrics["top1"].n == 60
    assert result.dataset.split_sizes == {"train": 120, "test": 60}
    assert result.protocol == "knn/patterns@2" and result.effective_lr is None


def test_of_pixels_the_mean_image_is_removed(gratings: Dataset, tmp_path: Path) -> None:
    pixels = pixels_backbone(16)
    result = run_task("knn", pixels, gratings, ResultStore(tmp_path), work=tmp_path / "work")
    cpu = torch.device("cpu")
    bank, queries = (extract(pixels, gratings.split(name).images, cpu) for name in ("train", "test"))
    mean = bank.mean(dim=0)
    # A loop over 768 pixels for each of 60 x 120 pairs is slow: matrices do for this one.
    bank, queries = (bank - mean).double(), (queries - mean).double()
    cosine = (queries / queries.norm(dim=1, keepdim=True)) @ (bank / bank.norm(dim=1, keepdim=True)).T
    correct = 0
    for row, label in zip(cosine, gratings.split("test").labels.tolist(), strict=True):
        votes = [0.0] * 6
        for index in row.argsort(descending=True)[:20].tolist():
            votes[int(gratings.split("train").labels[index])] += math.exp(float(row[index]) / 0.1)
        correct += votes.index(max(votes)) == label
    assert result.metrics["top1"].value == pytest.approx(100 * correct / 60, abs=1e-4)


def test_the_grid_chooses_on_val_and_measures_every_pair(
    backbone: Backbone, gratings: Dataset, tmp_path: Path
) -> None:
    grid = {"neighbours": [1, 5, 40], "temperatures": [0.05, 1.0]}
    result = run_task(
        *("knn", backbone, gratings, ResultStore(tmp_path)),
        work=tmp_path / "work",
        protocol_id="knn/grid@1",
        overrides=grid,
    )
    cpu = torch.device("cpu")
    splits = {name: gratings.split(name) for name in ("train", "val", "test")}
    features = {name: extract(backbone, split.images, cpu) for name, split in splits.items()}
    found: dict[str, dict[tuple[int, float], float]] = {}
    for name in ("val", "test"):
        found[name] = {}
        similar = cosines(features[name], features["train"])
        for k in (1, 5, 40):
            for t in (0.05, 1.0):
                votes = weighted_votes(similar, splits["train"].labels, 6, k, t)
                hits = votes.argmax(dim=1) == splits[name].labels
                found[name][k, t] = 100 * float(hits.double().mean())
    best = max(found["val"], key=found["val"].__getitem__)  # of equal ones the first
    assert result.notes[0] == f"k {best[0]} and T {best[1]:g} chosen on val among 6 pairs"
    assert (
        result.notes[1].startswith("intervals: 95%, over the 60 evaluated images") and len(result.notes) == 2
    )
    assert result.metrics["top1"].value == pytest.approx(found["test"][best], abs=1e-4)
    for (k, t), value in found["test"].items():
        assert result.metrics[f"top1_k{k}_t{t:g}"].value == pytest.approx(value, abs=1e-4)


@pytest.mark.parametrize("control", [True, False])
def test_val_may_vote_too(control: bool, backbone: Backbone, gratings: Dataset, tmp_path: Path) -> None:
    model = pixels_backbone(8) if control else backbone
    store, asked = ResultStore(tmp_path), {"protocol_id": "knn/fashion-mnist@1"}
    result = run_task("knn", model, gratings, store, work=tmp_path / "work", **asked)
    splits = [gratings.split(name) for name in ("train", "val", "test")]
    train, val, queries = (extract(model, split.images, torch.device("cpu")) for split in splits)
    bank, labels = torch.cat([train, val]), torch.cat([splits[0].labels, splits[1].labels])
    if control:
        queries, bank = queries - bank.mean(dim=0), bank - bank.mean(dim=0)
    votes = brute_force(queries, bank, labels, 6, 20, 0.1)
    expected = 100 * float((votes.argmax(dim=1) == splits[2].labels).double().mean())
    assert result.metrics["top1"].value == pytest.approx(expected, abs=1e-4)
    assert result.dataset.split_sizes == {"train": 120, "val": 60, "test": 60}
    assert result.config["neighbours_from"] == "train and val"


def test_train_alone_is_recorded_as_before() -> None:
    task = resolve_task("knn", "knn/patterns@2")
    assert task.settings.recorded() == {"neighbours": 20, "temperature": 0.1, "chunk": 512}


@pytest.mark.parametrize(
    ("protocol", "evaluated", "least"),
    [
        ("knn/patterns@2", "test", 121),
        ("knn/grid@2", "test", 121),
        ("knn/fashion-mnist@1", "test", 181),
        ("knn/fashion-mnist@1", "val", 121),  # train alone votes
    ],
)
def test_more_neighbours_than_images_are_refused_before_features_are_computed(
    protocol: str,
    evaluated: Split,
    least: int,
    backbone: Backbone,
    gratings: Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def features(job: TransferJob, split: Split) -> Tensor:
        raise LookupError("features are needed")

    monkeypatch.setattr(TransferJob, "features", features)
    for count, error, words in (
        (least, UserError, f"k={least} .* bank holds {least - 1} images"),
        (least - 1, LookupError, "features are needed"),
    ):
        neighbours: object = [1, count] if "grid" in protocol else count
        run = make_run("knn", backbone, gratings, protocol_id=protocol, overrides={"neighbours": neighbours})
        protocol_file = run.task.protocol.model_copy(update={"split": evaluated})
        run = replace(run, task=run.task._replace(protocol=protocol_file))
        with pytest.raises(error, match=words):
            execute(run, ResultStore(tmp_path), tmp_path / "work")
