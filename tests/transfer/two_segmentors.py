"""Segmentation as scripts run it; test_segmentation_processes.py and test_segmentation_killed.py compare."""

from pathlib import Path
from typing import Any

import numpy as np
import small_segmentors as small
from dense_script import DenseScript

from mmbench.transfer.dense.common.pixel_outcomes import PixelOutcomes

# Without dropout, whose draws differ between processes; a low rate, since networks at random with batch norm
# over four images amplify the rounding of each step.
TOGETHER: dict[str, Any] = {"iterations": 5, "batch_size": 4, "dropout": 0, "learning_rate": 0.001}


class SegmentationScript(DenseScript):
    """Keeps the predictions of the command beside its record, in predictions.npz."""

    def command(self, folder: Path) -> None:
        """Run `mmbench transfer`, and keep what was predicted."""
        predictions = small.Predictions()
        PixelOutcomes.add = predictions.function()
        try:
            super().command(folder)
        finally:
            np.savez(folder / "predictions.npz", **predictions.taken())


SCRIPT = SegmentationScript(
    "segmentation",
    "scenes",
    small.scenes_at,
    {name: (arch, settings | TOGETHER) for name, (arch, settings) in small.SEGMENTORS.items()},
    small.TIMM,
)


if __name__ == "__main__":
    SCRIPT.run()
