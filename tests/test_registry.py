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
