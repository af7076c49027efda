"""How long the cells of a suite take: measured where records of this machine tell, else a rough guess."""

from __future__ import annotations

from mmbench.tools.suite.cell import DataWork, PretrainWork, Work

# Seconds on one core of a 2-core machine, at the sizes of the demo.
PATTERNS_SECONDS = 25.0
EPOCH_SECONDS = {"mixmask": 7.0, "moco": 4.5, "erase": 7.0, "mscn": 5.0}
PROTOCOL_SECONDS = {
    "knn/patterns@2": 3.0,
    "linear/patterns@2": 4.0,
    "semisup/patterns-1pct@2": 5.0,
    "semisup/patterns-10pct@2": 12.0,
    "logreg/lbfgs@2": 40.0,
    "lowshot/k@2": 10.0,
    "finetune/patterns@2": 35.0,
    "detection/patterns@2": 8.0,
    "dense/patterns@1": 7.0,
    "segmentation/patterns@1": 19.0,
}


def rough_seconds(work: Work) -> float:
    """Return a rough guess of the wall time of a piece of work."""
    if isinstance(work, DataWork):
        return PATTERNS_SECONDS
    if isinstance(work, PretrainWork):
        return EPOCH_SECONDS.get(work.method, 6.0) * (work.epochs or 8)
    return PROTOCOL_SECONDS.get(work.protocol, 10.0)
