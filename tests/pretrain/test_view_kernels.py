"""The compiled views, image by image, against torchvision's operations and against batched tensors."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchvision.transforms.v2 import functional as reference

from mmbench.checkpoints.card import Preprocessing
from mmbench.pretrain import augment, view_kernels
from mmbench.pretrain.augment import Augment, blur_kernel_size
from mmbench.pretrain.section_settings import AugmentationSettings

ROOT = Path(__file__).resolve().parents[2]


class BatchedAugment(Augment):
    """The operations on whole batches, which a GPU gets, on the CPU."""

    def _change_one_by_one(self, pixels: Tensor, changes: augment.Changes, views: Tensor) -> None:
        self._change_batch(pixels, changes, views)


def torchvision_view(view: Tensor, changes: augment.Changes, index: int) -> Tensor:
    """Return the view of one crop by torchvision, in [0, 1]."""
    factors = changes.factors[index].tolist()
    for operation in changes.order.tolist():
        if operation == 0:
            view = reference.adjust_brightness(view, 1 + factors[0])
        elif operation == 1:
            view = reference.adjust_contrast(view, 1 + factors[1])
        elif operation == 2:
            view = reference.adjust_saturation(view, 1 + factors[2])
        else:
            view = reference.adjust_hue(view, factors[3])
    view = reference.rgb_to_grayscale(view, 3) if changes.grayscale[index] else view
    sigma = changes.sigmas[index].item()
    kernel = blur_kernel_size(view.shape[-1])
    return reference.gaussian_blur(view, [kernel, kernel], [sigma, sigma]) if sigma else view


@pytest.mark.parametrize("size", [2, 17, 32, 80])
@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (1, 3, 0, 2)])
def test_a_view_is_that_of_torchvision(size: int, order: tuple[int, ...]) -> None:
    random, batch = np.random.default_rng(size), 24
    pixels = torch.from_numpy(random.random((batch, 3, size, size), np.float32))
    pixels[0], pixels[1] = 0.5, 1.0  # colours without a hue
    factors = random.uniform([-0.4, -0.4, -0.4, -0.5], [0.4, 0.4, 0.4, 0.5], (batch, 4))
    drawn = (
        (factors * (random.random((batch, 1)) < 0.8)).astype(np.float32),
        np.array(order),
        random.random(batch) < 0.2,
        (random.uniform(0.1, 2, batch) * (random.random(batch) < 0.5)).astype(np.float32),
    )
    views = np.full((batch, size, size, 3), np.nan, np.float32)
    mean_and_std = np.array([[0.5, 0.4, 0.3], [0.2, 0.3, 0.25]], np.float32)
    view_kernels.change(pixels.clone().numpy(), *drawn, mean_and_std, blur_kernel_size(size), views)
    changes = augment.Changes(*map(torch.from_numpy, drawn))
    for index, crop in enumerate(pixels):
        expected = reference.normalize(torchvision_view(crop, changes, index), *mean_and_std.tolist())
        assert torch.allclose(torch.from_numpy(views[index]).permute(2, 0, 1), expected, atol=2e-4)


@settings(max_examples=60, deadline=None)
@given(
    source=st.tuples(st.integers(2, 70), st.integers(2, 70)),
    size=st.integers(2, 70),
    batch=st.integers(1, 70),
    cropped=st.booleans(),
    seed=st.integers(0, 2**32),
)
def test_compiled_and_batched_views_agree(
    source: tuple[int, int], size: int, batch: int, cropped: bool, seed: int
) -> None:
    random = torch.Generator().manual_seed(seed)
    shape = (batch, 3, size, size) if cropped else (batch, 3, *source)
    images = torch.randint(0, 256, shape, dtype=torch.uint8, generator=random)
    made = [
        kind(AugmentationSettings(), Preprocessing(image_size=size), torch.device("cpu"))(
            images, torch.Generator().manual_seed(seed), cropped=cropped
        )
        for kind in (Augment, BatchedAugment)
    ]
    assert torch.allclose(*made, atol=5e-4)  # normalised: about 1e-4 of a pixel's range


def test_images_in_another_order_of_memory_give_the_same_views() -> None:
    images = torch.randint(0, 256, (5, 3, 24, 24), dtype=torch.uint8)
    maker = Augment(AugmentationSettings(), Preprocessing(image_size=24), torch.device("cpu"))
    expected = maker(images, torch.Generator().manual_seed(1), cropped=True)
    channels_last = images.contiguous(memory_format=torch.channels_last)
    assert torch.equal(maker(channels_last, torch.Generator().manual_seed(1), cropped=True), expected)


SWEEP = """
import torch
from mmbench.checkpoints.card import Preprocessing
from mmbench.pretrain.augment import Augment
from mmbench.pretrain.section_settings import AugmentationSettings

random = torch.Generator().manual_seed(0)
settings, cpu = AugmentationSettings(crop_scale=(0.001, 1.0)), torch.device("cpu")
for _ in range(150):
    size, height, width = (int(torch.randint(2, 40, (), generator=random)) for _ in range(3))
    maker = Augment(settings, Preprocessing(image_size=size), cpu)
    maker(torch.zeros((9, 3, height, width), dtype=torch.uint8), random)
    maker(torch.zeros((9, 3, size, size), dtype=torch.uint8), random, cropped=True)
print("all indices were inside")
"""


def run(code: str, folder: Path, **environment: str) -> str:
    """Return what a new process printed; `folder` is its cache of compiled functions."""
    told = os.environ | {"PYTHONPATH": str(ROOT), "NUMBA_CACHE_DIR": str(folder)} | environment
    done = subprocess.run([sys.executable, "-c", code], env=told, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_no_index_is_outside_its_array(tmp_path: Path) -> None:
    assert run(SWEEP, tmp_path, NUMBA_BOUNDSCHECK="1") == "all indices were inside\n"


def test_numba_is_not_imported_where_no_views_are_made(tmp_path: Path) -> None:
    code = (
        "import sys, mmbench.pretrain.trainer, mmbench.transfer.inputs.batches; print('numba' in sys.modules)"
    )
    assert run(code, tmp_path) == "False\n"
