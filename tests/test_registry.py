import threading
from pathlib import Path

import pytest

from mmbench.errors import UserError
from mmbench.registry import Registry


def test_collision_raises_and_near_match_is_named() -> None:
    registry: Registry[int] = Registry("thing", "mmbench.checkpoints")
    registry.register("alpha")(1)
    registry.register("alpha")(1)  # the same thing again, as a reloaded module would
    with pytest.raises(ValueError, match="registered twice"):
        registry.register("alpha")(2)
    assert registry.get("alpha") == 1
    with pytest.raises(UserError, match="did you mean 'alpha'"):
        registry.get("alpah")


def test_threads_wait_until_the_registry_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The module that fills it is slow, and looks a name up itself."""
    package = tmp_path / "slow_entries"
    package.mkdir()
    (package / "__init__.py").write_text(
        "from mmbench.registry import Registry\nNUMBERS = Registry('number', 'slow_entries')\n"
    )
    (package / "entry.py").write_text(
        "import time\nfrom slow_entries import NUMBERS\ntime.sleep(0.3)\nNUMBERS.register('one')(1)\n"
        "assert NUMBERS.names() == ['one']\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    from slow_entries import NUMBERS  # type: ignore[import-not-found]

    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.append(NUMBERS.get("one"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [1] * 4
