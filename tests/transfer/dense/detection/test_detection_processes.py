"""Detection in two processes over gloo finds what one process finds."""

from pathlib import Path

import pytest
import small_detectors as small
import two_detectors
from forked import run_in_processes

from mmbench.records.store import Result
from mmbench.transfer.dense.common import history


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run the script once in two processes; tests look at what it left."""
    folder = tmp_path_factory.mktemp("processes")
    small.write_boxes(folder / "boxes", {"train": 12, "test": 5})
    run_in_processes(two_detectors.__file__, folder)
    return folder


@pytest.fixture(scope="module")
def alone(folder: Path) -> dict[str, Result]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(history, "WINDOW", 1)
        return two_detectors.SCRIPT.measure(folder / "alone", small.boxes_at(folder / "boxes"))


@pytest.mark.parametrize("kind", two_detectors.SCRIPT.networks)
def test_two_processes_have_the_losses_of_one(folder: Path, alone: dict[str, Result], kind: str) -> None:
    found, expected = small.losses(folder / "together" / kind), small.losses(folder / "alone" / kind)
    assert len(found) == len(expected) == 5
    assert found == pytest.approx(expected, rel=1e-4)
    assert found[0] != found[-1]


def test_both_processes_have_the_same_record_and_one_is_written(folder: Path) -> None:
    records = []
    for rank in range(2):
        lines = (folder / f"records-{rank}.txt").read_text().splitlines()
        records.append([Result.model_validate_json(line) for line in lines])
    assert records[0] == records[1]
    assert len(list((folder / "together" / "results").rglob("*.json"))) == len(two_detectors.SCRIPT.networks)
    assert all(result.dataset.split_sizes == {"train": 12, "test": 5} for result in records[0])


def test_a_batch_that_cannot_be_shared_is_one_line_in_both(folder: Path) -> None:
    messages = [(folder / f"error-{rank}.txt").read_text() for rank in range(2)]
    assert messages[0] == messages[1]
    assert "a batch of 3 images cannot be shared evenly by 2 processes" in messages[0]
