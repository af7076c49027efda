"""Segmentation in two processes over gloo finds what one process finds."""

from pathlib import Path

import pytest
import small_segmentors as small
import two_segmentors
from forked import run_in_processes

from mmbench.records.store import Result
from mmbench.transfer.dense.common import history


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run the script once in two processes; tests look at what it left."""
    folder = tmp_path_factory.mktemp("processes")
    small.write_scenes(folder / "scenes", {"train": 12, "test": 5})
    run_in_processes(two_segmentors.__file__, folder)
    return folder


@pytest.fixture(scope="module")
def alone(folder: Path) -> dict[str, Result]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(history, "WINDOW", 1)
        return two_segmentors.SCRIPT.measure(folder / "alone", small.scenes_at(folder / "scenes"))


@pytest.mark.parametrize("kind", two_segmentors.SCRIPT.networks)
def test_two_processes_have_the_losses_and_scores_of_one(
    folder: Path, alone: dict[str, Result], kind: str
) -> None:
    found, expected = (small.losses(folder / where / kind) for where in ("together", "alone"))
    assert len(found) == len(expected) == 5
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.keys() == theirs.keys()
        names = [name for name in ours if "loss" in name]
        assert [ours[name] for name in names] == pytest.approx([theirs[name] for name in names], rel=1e-4)
    assert found[0]["total_loss"] != found[-1]["total_loss"]


def test_both_processes_have_the_same_record_and_one_is_written(
    folder: Path, alone: dict[str, Result]
) -> None:
    records = []
    for rank in range(2):
        lines = (folder / f"records-{rank}.txt").read_text().splitlines()
        records.append([Result.model_validate_json(line) for line in lines])
    assert records[0] == records[1]
    assert len(list((folder / "together" / "results").rglob("*.json"))) == len(two_segmentors.SCRIPT.networks)
    for result, single in zip(records[0], alone.values(), strict=True):
        assert result.dataset.split_sizes == {"train": 12, "test": 5}
        assert {name: metric.n for name, metric in result.metrics.items()} == {
            name: metric.n for name, metric in single.metrics.items()
        }
        assert result.metrics["aAcc"].value == pytest.approx(single.metrics["aAcc"].value, abs=0.5)
        assert any(note == "batch norm: SyncBN over 2 processes" for note in result.notes)
        assert any(note.startswith("batch norm: BN in one process") for note in single.notes)


def test_a_batch_that_cannot_be_shared_is_one_line_in_both(folder: Path) -> None:
    messages = [(folder / f"error-{rank}.txt").read_text() for rank in range(2)]
    assert messages[0] == messages[1]
    assert "a batch of 3 images cannot be shared evenly by 2 processes" in messages[0]
