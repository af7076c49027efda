"""The same with data workers, in a file of its own: files are run in parallel, and each takes a while."""

from pathlib import Path

from kills import require_equal_after_kills
from torchvision.transforms.functional import to_pil_image

from mmbench.data import Dataset


def test_killed_with_workers_and_resumed_equals_uninterrupted(tiny: Dataset, tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for number, image in enumerate(tiny.split("train").images):
        to_pil_image(image).save(images / f"{number:03d}.png")
    require_equal_after_kills("moco", 5, tmp_path, images)
