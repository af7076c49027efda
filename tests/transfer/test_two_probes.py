"""Two processes over gloo measure what one does."""

from pathlib import Path

import pytest
import torch
import two_probes
from forked import run_in_processes
from PIL import Image

from mmbench.data import load_dataset
from mmbench.records.store import Result
from mmbench.transfer.inputs import images as image_inputs

Found = dict[str, list[dict[str, Result]]]
TRAINED = ("finetune/patterns@1", "semisup/patterns-10pct@1")


def write_images(folder: Path) -> None:
    """Gratings of two directions under noise, so that accuracies are neither 50 nor 100 percent."""
    generator = torch.Generator().manual_seed(0)
    for split, count in (("train", 45), ("val", 21), ("test", 33)):
        for name in ("across", "down"):
            (folder / split / name).mkdir(parents=True)
            for index in range(count):
                wave = 40 * torch.sin(torch.arange(20) / 1.7 + 6 * torch.rand(1, generator=generator))
                grating = wave[None, :].expand(20, 20) if name == "across" else wave[:, None].expand(20, 20)
                pixels = 128 + grating[..., None] + 60 * torch.randn((20, 20, 3), generator=generator)
                image = Image.fromarray(pixels.clamp(0, 255).to(torch.uint8).numpy())
                image.save(folder / split / name / f"{index}.png")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run the script once; all tests look at what it left."""
    folder = tmp_path_factory.mktemp("processes")
    write_images(folder / "images")
    run_in_processes(two_probes.__file__, folder)
    return folder


@pytest.fixture(scope="module")
def together(folder: Path) -> Found:
    """The records that each of the two processes returned."""
    found: Found = {}
    for kind in ("memory", "files"):
        found[kind] = []
        for rank in range(2):
            lines = (folder / f"{kind}-{rank}.txt").read_text().splitlines()
            results = [Result.model_validate_json(line) for line in lines]
            found[kind].append({result.protocol: result for result in results})
    return found


@pytest.fixture(scope="module")
def alone(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Result]]:
    dataset = load_dataset(str(folder / "images"))
    found = {"memory": two_probes.measure(tmp_path_factory.mktemp("memory"), dataset, "memory")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(image_inputs, "LARGEST_IN_MEMORY", 8)
        found["files"] = two_probes.measure(tmp_path_factory.mktemp("files"), dataset, "files")
    return found


@pytest.mark.parametrize(
    ("kind", "protocol"), [(kind, name) for kind, names in two_probes.KINDS.items() for name in names]
)
def test_two_processes_measure_what_one_does(
    together: Found, alone: dict[str, dict[str, Result]], kind: str, protocol: str
) -> None:
    first, second = (results[protocol] for results in together[kind])
    assert first == second
    expected = alone[kind][protocol]
    assert first.dataset.split_sizes == expected.dataset.split_sizes
    for name, metric in first.metrics.items():
        # Frozen features are the same numbers; finetuning adds up gradients in another order.
        tolerance = 2e-3 if protocol in TRAINED else 1e-5
        if name == "loss":
            assert metric.value == pytest.approx(expected.metrics[name].value, rel=tolerance)
        else:
            one_image = 100 / metric.n if protocol in TRAINED else 0
            assert metric.value == pytest.approx(expected.metrics[name].value, abs=one_image + 1e-6)


def test_one_record_each_is_written(folder: Path) -> None:
    for kind, names in two_probes.KINDS.items():
        assert len(list((folder / kind / "results").rglob("*.json"))) == len(names)
        assert len(list((folder / kind / "features").glob("*.npy"))) == 3  # train, val, test


def test_a_batch_that_cannot_be_shared_is_one_line_in_both(folder: Path) -> None:
    words = [(folder / f"error-{rank}.txt").read_text() for rank in range(2)]
    assert words[0] == words[1] and "45 images cannot be shared evenly by 2 processes" in words[0]
