"""A small rendering of Patterns: the first images and scenes of the real one, as nothing else changes."""

from pathlib import Path

import pytest

from mmbench.data.patterns.prepare import PatternsConfig, prepare

SMALL = PatternsConfig(train=40, val=20, test=20, scenes_train=8, scenes_val=3, scenes_test=4)


@pytest.fixture(scope="session")
def small_patterns(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the small rendering. Tests that change it must copy it first."""
    root = tmp_path_factory.mktemp("data") / "patterns"
    prepare(root, SMALL)
    return root
