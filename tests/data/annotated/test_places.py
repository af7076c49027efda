"""Published data sets are found where mmbench and Detectron2 expect them."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmbench.data.annotated.places import find_place
from mmbench.errors import UserError


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MMBENCH_DATA", raising=False)
    monkeypatch.delenv("DETECTRON2_DATASETS", raising=False)


def found(root: Path, *names: str) -> Path:
    return find_place(root, names, lambda place: (place / "mark").is_file(), "a mark")


def test_the_first_place_that_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places = [tmp_path / "data" / "set", tmp_path / "own" / "set", tmp_path / "d2" / "set", tmp_path / "d2"]
    for place in places:
        place.mkdir(parents=True, exist_ok=True)
        (place / "mark").touch()
    monkeypatch.setenv("MMBENCH_DATA", str(tmp_path / "own"))
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path / "d2"))
    for place in places:
        assert found(tmp_path / "data" / "set", "set", "") == place
        (place / "mark").unlink()
    with pytest.raises(UserError) as error:
        found(tmp_path / "data" / "set", "set", "")
    assert all(str(place) in str(error.value) for place in places)


def test_what_is_not_set_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        found(tmp_path / "set", "set", "other")
    assert str(error.value) == (
        f"data set 'set' is not there; put a mark into {tmp_path / 'set'} (tried: {tmp_path / 'set'}, "
        f"{tmp_path / 'other'}; not set: MMBENCH_DATA, DETECTRON2_DATASETS)"
    )
