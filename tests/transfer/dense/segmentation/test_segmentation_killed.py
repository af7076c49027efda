"""A command that is killed by SIGKILL and stopped by SIGTERM, and started again until it is done."""

from pathlib import Path
from signal import SIGKILL, SIGTERM

import numpy as np
import small_segmentors as small
import two_segmentors
from dense_script import ITERATIONS, finished_work, kill_and_continue


def test_a_command_that_is_killed_and_stopped_goes_on_to_the_same_predictions(tmp_path: Path) -> None:
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    for folder in (killed, whole):
        small.write_scenes(folder / "scenes", {"train": 10, "test": 4})
    kill_and_continue(two_segmentors.__file__, killed, whole, {2: SIGKILL, 4: SIGTERM})
    with np.load(killed / "predictions.npz") as found, np.load(whole / "predictions.npz") as expected:
        assert small.same(dict(found), dict(expected))
    lines = small.losses(finished_work(killed))
    assert lines == small.losses(finished_work(whole)) and len(lines) == ITERATIONS
