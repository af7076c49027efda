"""A command that is killed with SIGKILL, and started again until it is done."""

from pathlib import Path
from signal import SIGKILL

import small_detectors as small
import two_detectors
from dense_script import ITERATIONS, finished_work, kill_and_continue


def test_a_command_that_is_killed_twice_goes_on_to_the_same_detections(tmp_path: Path) -> None:
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    for folder in (killed, whole):
        small.write_boxes(folder / "boxes", {"train": 10, "test": 4}, most=2)
    kill_and_continue(two_detectors.__file__, killed, whole, {2: SIGKILL, 4: SIGKILL})
    found, expected = finished_work(killed), finished_work(whole)
    assert small.detections(found) == small.detections(expected) != []
    assert small.losses(found) == small.losses(expected)
    assert len(small.losses(found)) == ITERATIONS
