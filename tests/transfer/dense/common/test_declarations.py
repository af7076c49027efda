"""What the two tasks declare, and that a declaration imports no slow library."""

from __future__ import annotations

import subprocess
import sys

import pytest

from mmbench.tasks import TASKS
from mmbench.transfer.protocol import protocols

HEAVY = ("torch", "timm", "numpy", "detectron2", "mmseg", "mmcv", "mmengine")


def test_declarations_import_no_slow_library() -> None:
    code = (
        "import sys, mmbench.transfer.dense.detection, mmbench.transfer.dense.segmentation; "
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "[]\n", "")


@pytest.mark.parametrize(
    ("task", "uses"),
    [("detection", ("work", "precision", "workers")), ("segmentation", ("work", "precision", "workers"))],
)
def test_tasks_declare_what_they_use(task: str, uses: tuple[str, ...]) -> None:
    entry = TASKS.get(task)
    assert entry.dense and not entry.frozen
    assert entry.uses == uses
    assert entry.protocol_on("patterns").startswith(f"{task}/patterns@")
    assert entry.protocol_on("anything else") == entry.protocol_on(None) == entry.default_protocol
    assert {protocols()[name].task for name in entry.by_data.values()} == {task}
    own = [protocol for protocol in protocols().values() if protocol.task == task]
    assert {protocol.metric for protocol in own} <= set(entry.metrics)
    for protocol in own:
        assert entry.settings.variant(protocol.settings).model_validate(
            protocol.settings
        ).model_dump().keys() >= {"iterations"}
