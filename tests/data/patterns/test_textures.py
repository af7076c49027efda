import hashlib
import subprocess
import sys

import numpy as np
import pytest
import torch

from mmbench.data.patterns.images import CHUNK, STORED_SIZE, Look, colour, coverage, reduce_area, render_class
from mmbench.data.patterns.textures import CLASSES, FAMILIES, draw_field

COUNT = 40  # two chunks


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    """(10, COUNT, 40, 40, 3): the first val images of every class."""
    return np.stack([render_class(0, "val", index, COUNT) for index in range(len(CLASSES))])


def test_ten_families_draw_coverage_between_nothing_and_all():
    assert len(CLASSES) == 10 == len(set(CLASSES))
    for index, name in enumerate(CLASSES):
        rng = np.random.default_rng(index)
        field = draw_field(3, 80, np.array([10.0, 13.0, 16.0]), 0.1, rng)
        covered = FAMILIES[name](field)
        assert covered.shape == (3, 80, 80), name
        assert covered.dtype == np.float64, name
        assert 0 <= covered.min() < 0.05 and 0.95 < covered.max() <= 1, name
        assert 0.05 < covered.mean() < 0.95, name


def test_stripes_repeat_after_their_period_across_and_never_end_along():
    field = draw_field(1, 80, np.array([16.0]), 0.0, np.random.default_rng(3))
    u, v = np.meshgrid(np.arange(80.0), np.arange(80.0), indexing="xy")
    straight = type(field)(u[None], v[None], field.period, np.random.default_rng(0))
    covered = FAMILIES["stripes"](straight)[0]
    assert np.allclose(covered[:, :-16], covered[:, 16:])
    assert np.allclose(covered, covered[:1])
    assert not np.allclose(covered[:, :-8], covered[:, 8:])


def test_without_warp_coordinates_are_a_rotation_and_a_shift():
    field = draw_field(4, 30, np.full(4, 12.0), 0.0, np.random.default_rng(1))
    across, down = np.diff(field.u, axis=2), np.diff(field.u, axis=1)
    assert np.allclose(across[:, :-1] ** 2 + down[:, :, :-1] ** 2, 1)  # px for px
    assert np.allclose(np.diff(field.v, axis=1)[:, :, :-1], across[:, :-1])


def test_warp_bends_coordinates_by_no_more_than_two_waves_of_its_amplitude():
    period, warp = np.full(4, 12.0), 0.2
    straight = draw_field(4, 30, period, 0.0, np.random.default_rng(1))
    bent = draw_field(4, 30, period, warp, np.random.default_rng(1))
    for one, other in ((straight.u, bent.u), (straight.v, bent.v)):
        moved = np.abs(one - other)
        assert 0.5 < moved.max() <= 2 * warp * 12.0 + 1e-9


def test_area_reduction_is_the_mean_of_blocks():
    images = np.random.default_rng(0).random((2, 6, 4))
    expected = [
        [[images[n, 2 * y : 2 * y + 2, 2 * x : 2 * x + 2].mean() for x in range(2)] for y in range(3)]
        for n in range(2)
    ]
    assert np.allclose(reduce_area(images, 2), expected)


def test_any_part_can_be_rendered_alone(images):
    assert np.array_equal(render_class(0, "val", 4, 3), images[4, :3])
    assert np.array_equal(render_class(0, "val", 4, CHUNK + 1), images[4, : CHUNK + 1])


def test_seed_split_and_position_each_give_other_images(images):
    assert not np.array_equal(render_class(1, "val", 2, 4), images[2, :4])
    assert not np.array_equal(render_class(0, "train", 2, 4), images[2, :4])
    every = {image.tobytes() for image in images.reshape(-1, STORED_SIZE, STORED_SIZE, 3)}
    assert len(every) == COUNT * len(CLASSES)


def test_another_process_with_other_threads_renders_the_same_bytes(images):
    code = (
        "import hashlib; from mmbench.data.patterns.images import render_class; "
        "parts = [render_class(0, 'val', index, 2).tobytes() for index in range(10)]; "
        "print(hashlib.sha256(b''.join(parts)).hexdigest())"
    )
    environment = {"OMP_NUM_THREADS": "2", "PYTHONHASHSEED": "12345", "LC_ALL": "C"}
    answer = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    mine = hashlib.sha256(b"".join(images[index, :2].tobytes() for index in range(10))).hexdigest()
    assert answer.stdout.strip() == mine, answer.stderr


def test_normalised_coverage_leaves_no_class_brighter_or_stronger():
    """Before light and noise, mean and deviation of the tone depend on the draw of contrast alone."""
    look = Look(contrast=(0.9, 0.9), colour_noise=0.0, light=0.0, pixel_noise=0.0)
    means, deviations = [], []
    for index in range(len(CLASSES)):
        rng = np.random.default_rng(index)
        grey = colour(coverage(index, 20, STORED_SIZE, look, rng), look, rng).mean(axis=-1)
        means.append(grey.mean())
        deviations.append(grey.std(axis=(1, 2)).mean())
    assert max(means) - min(means) < 4  # of 255; ink and paper are 150 apart
    assert max(deviations) / min(deviations) < 1.1


def test_brightness_is_no_cue_to_the_class():
    """Mean and deviation of R, G and B: nearest neighbours on them stay near the chance of 10%."""
    train = np.stack([render_class(0, "train", index, 100) for index in range(10)])
    val = np.stack([render_class(0, "val", index, 60) for index in range(10)])

    def statistics(images):
        images = images[..., 4:36, 4:36, :].reshape(-1, 32 * 32, 3).astype(np.float64)
        return torch.from_numpy(np.concatenate([images.mean(axis=1), images.std(axis=1)], axis=1))

    known, asked = statistics(train), statistics(val)
    mean, deviation = known.mean(0), known.std(0)
    nearest = (
        torch.cdist((asked - mean) / deviation, (known - mean) / deviation).topk(20, largest=False).indices
    )
    guessed = (nearest // 100).mode(dim=1).values
    accuracy = (guessed == torch.arange(10).repeat_interleave(60)).double().mean().item()
    assert accuracy < 0.20, accuracy
