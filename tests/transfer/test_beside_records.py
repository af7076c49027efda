"""What is said of records of other versions that lie beside those that are asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmbench.transfer.beside_records import version_remarks
from mmbench.transfer.resolution import resolve_task, resolve_tasks


@pytest.mark.parametrize(
    ("folders", "words"),
    [
        ((), ""),
        (("logreg-lbfgs@4", "logreg-lbfgs@4+custom", "knn-grid@1"), ""),
        (
            ("logreg-lbfgs@3",),
            "holds records of logreg/lbfgs@3, and no board shows them beside logreg/lbfgs@4",
        ),
        (("logreg-lbfgs@2+custom", "logreg-lbfgs@3"), "of logreg/lbfgs@2 and logreg/lbfgs@3, and"),
        (("logreg-lbfgs-own@3",), ""),
    ],
)
def test_records_of_other_versions_are_said(folders: tuple[str, ...], words: str, tmp_path: Path) -> None:
    for name in folders:
        place = tmp_path / "data-0123" / name
        place.mkdir(parents=True)
        (place / "record.json").touch()
    found = version_remarks([resolve_task("logreg", "logreg/lbfgs@4")], tmp_path)
    assert len(found) == (1 if words else 0)
    assert not words or words in found[0]


def test_each_protocol_has_its_own_line(tmp_path: Path) -> None:
    for name in ("logreg-lbfgs@3", "knn-grid@9"):
        place = tmp_path / "data-0123" / name
        place.mkdir(parents=True)
        (place / "record.json").touch()
    tasks = resolve_tasks([], ["logreg/lbfgs@4", "knn/grid@1"], {})
    assert [line.partition(" and no")[0].rpartition(" ")[2] for line in version_remarks(tasks, tmp_path)] == [
        "logreg/lbfgs@3,",
        "knn/grid@9,",
    ]
