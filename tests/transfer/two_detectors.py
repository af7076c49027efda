"""Detection as scripts run it; test_detection_processes.py and test_detection_killed.py compare."""

from typing import Any

import small_detectors as small
from dense_script import DenseScript

# Everything is taken and nothing sampled: all anchors, all proposals, and as many of them for each image.
# SGD, since AdamW's first steps turn the sign of a vanishing gradient into a step; a low rate, since networks
# at random with batch norm over four images amplify the rounding of each step.
WHOLE: dict[str, Any] = {
    "iterations": 5,
    "optimizer": "sgd",
    "learning_rate": 0.0005,
    "batch_size": 4,
    "rpn_batch": 2100,
    "roi_batch": 1000,
    "roi_positive_share": 1.0,
    "train_proposals": [60, 4],
    "test_proposals": [60, 4],
}
SCRIPT = DenseScript(
    "detection",
    "boxes",
    small.boxes_at,
    {"c4": (small.ARCHS["c4"], small.C4 | WHOLE), "fpn": (small.ARCHS["fpn"], small.FPN | WHOLE)},
    small.PYRAMID,
)


if __name__ == "__main__":
    SCRIPT.run()
