"""Label maps: data sets by name are looked for below the given root alone."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def no_other_places(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MMBENCH_DATA", raising=False)
    monkeypatch.delenv("DETECTRON2_DATASETS", raising=False)
