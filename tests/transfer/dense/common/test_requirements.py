"""A missing library is named with the command that installs it."""

from __future__ import annotations

import pytest

from mmbench.errors import MissingExtraError
from mmbench.transfer.dense.common.requirements import require_installed


def test_the_missing_library_is_named() -> None:
    require_installed("any", "pip install it", json="JSON", torch="PyTorch")
    with pytest.raises(MissingExtraError) as caught:
        require_installed("detection", "pip install 'this[extra]'", json="JSON", no_such_module="Detectron2")
    assert str(caught.value) == (
        "detection needs Detectron2, which is not installed; run: pip install 'this[extra]'"
    )
    assert caught.value.library == "Detectron2"
