"""kill -9 at any moment of a run, the same call again: it goes on and ends as if nothing had happened."""

from pathlib import Path

import pytest
from kills import require_equal_after_kills


@pytest.mark.parametrize("framework", ["moco", "simsiam"])
def test_killed_at_random_moments_and_resumed_equals_uninterrupted(framework: str, tmp_path: Path) -> None:
    require_equal_after_kills(framework, 10, tmp_path)
