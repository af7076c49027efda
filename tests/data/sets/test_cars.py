"""Stanford Cars in its layout: MATLAB structures of box, class and file name, and no download."""

from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from mmbench.data import download_dataset, load_dataset
from mmbench.errors import UserError

MODELS = ("AM General Hummer SUV 2000", "Acura RL Sedan 2012", "smart fortwo Convertible 2012")
OFFICIAL = {"train": 60, "test": 3}
FIELDS = [(name, "O") for name in ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2", "class", "fname")]


def write_cars(folder: Path, image, first_label: int = 1) -> Path:
    """Write 20 train images and one test image of three models, whose numbers begin with 1."""
    (folder / "devkit").mkdir(parents=True)
    for part, per_class, path in (
        ("cars_train", 20, folder / "devkit" / "cars_train_annos.mat"),
        ("cars_test", 1, folder / "cars_test_annos_withlabels.mat"),
    ):
        rows = []
        for number in range(3 * per_class):
            name = f"{number + 1:05d}.jpg"
            image(folder / part / name)
            rows.append((1, 1, 9, 9, number % 3 + first_label, name))
        savemat(path, {"annotations": np.array([rows], dtype=FIELDS)})
    savemat(folder / "devkit" / "cars_meta.mat", {"class_names": np.array([MODELS], dtype=object)})
    return folder


def test_models_and_splits(tmp_path: Path, image, stand_in) -> None:
    write_cars(tmp_path / "cars" / "stanford_cars", image)
    stand_in("cars", classes=3, official=OFFICIAL, images={"train": 54, "val": 6, "test": 3})
    dataset = load_dataset("cars", tmp_path)
    assert (dataset.classes, dataset.metric) == (MODELS, "top1")
    assert [dataset.labels(split).bincount().tolist() for split in ("train", "val", "test")] == [
        [18] * 3,
        [2] * 3,
        [1] * 3,
    ]
    for split in ("train", "val"):
        files = dataset.files[split]()
        assert [(int(Path(path).stem) - 1) % 3 for path in files.paths] == files.labels.tolist()
    assert dataset.files["test"]().paths == [f"cars_test/0000{number}.jpg" for number in (1, 2, 3)]


def test_what_to_put_where(tmp_path: Path, image, stand_in) -> None:
    stand_in("cars", classes=3, official=OFFICIAL)
    for call in (load_dataset, download_dataset):
        with pytest.raises(UserError, match=r"cars_test_annos_withlabels\.mat into") as error:
            call("cars", tmp_path)
        assert "stanford_cars/cars_train/" in str(error.value) and "\n" not in str(error.value)
        assert "prepare cars" not in str(error.value)
    folder = write_cars(tmp_path / "cars" / "stanford_cars", image)
    (folder / "cars_test_annos_withlabels.mat").unlink()
    dataset = load_dataset("cars", tmp_path)
    assert len(dataset.labels("train")) == 54
    with pytest.raises(UserError, match=r"cars_test_annos_withlabels\.mat is missing; put"):
        dataset.labels("test")


def test_labels_that_begin_with_nought_are_refused(tmp_path: Path, image, stand_in) -> None:
    write_cars(tmp_path / "cars" / "stanford_cars", image, first_label=0)
    stand_in("cars", classes=3, official=OFFICIAL)
    dataset = load_dataset("cars", tmp_path)
    with pytest.raises(
        UserError, match=r"label -?\d+ in the test split of 'cars' is not one of its 3 classes"
    ):
        dataset.labels("test")


def test_a_damaged_annotation_file(tmp_path: Path, image, stand_in) -> None:
    folder = write_cars(tmp_path / "cars" / "stanford_cars", image)
    stand_in("cars", classes=3, official=OFFICIAL)
    path = folder / "cars_test_annos_withlabels.mat"
    for content in (path.read_bytes()[:200], b"", b"<html>404</html>" * 20):
        load_dataset.cache_clear()
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"cars in .* cannot be read"):
            load_dataset("cars", tmp_path).labels("test")
