"""Committed manifests: every hash recomputed, every MD5 torchvision's, every number that of the code."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torchvision.datasets as tv
import yaml
from torchvision.datasets.imagenet import ARCHIVE_META
from torchvision.datasets.voc import DATASET_YEAR_DICT

from mmbench.data import DATASETS, manifest
from mmbench.data.manifest import Manifest, require_manifest
from mmbench.data.patterns import CLASSES, FED_SIZE, PatternsConfig
from mmbench.data.sets import cifar, imagenet, tiny_imagenet
from mmbench.errors import UserError

NAMES = sorted(path.stem for path in manifest.FOLDER.glob("*.yaml"))
SEEDLESS = {split: {"part": "a", "rule": "held_out", "share": 0.1} for split in ("train", "val", "test")}
DRAWN = [name for name in NAMES if require_manifest(name).draws is not None]


def test_every_data_set_for_classification_has_a_manifest() -> None:
    annotated = {"ade20k", "coco", "coco-keypoints", "cityscapes", "voc", "voc12aug", "folder"}
    assert [name for name in DATASETS.names() if name not in annotated] == NAMES
    assert manifest.manifest("folder") is None
    assert manifest.manifest("../manifests/dtd") is None
    assert manifest.expected_counts("folder") == {}


def digest(indices: list[int]) -> str:
    return hashlib.sha256(np.array(sorted(indices), dtype="<i8").tobytes()).hexdigest()


def per_class_draw(
    labels: list[int], fraction: float, seed: int, at_least: int = 0
) -> tuple[list[int], list[int]]:
    """Return (drawn, rest): each class permuted by one generator, the first round(fraction x size) drawn."""
    generator = np.random.default_rng(seed)
    drawn, rest = [], []
    by_class: dict[int, list[int]] = {}
    for index, label in enumerate(labels):
        by_class.setdefault(label, []).append(index)
    for _, members in sorted(by_class.items()):
        order = generator.permutation(np.array(members)).tolist()
        count = max(at_least, round(fraction * len(members)))
        drawn += order[:count]
        rest += order[count:]
    return drawn, sorted(rest)


@pytest.mark.parametrize("name", DRAWN)
def test_hashes_of_draws(name: str) -> None:
    found = require_manifest(name)
    assert found.draws is not None and found.classes is not None
    labels = [label for label in range(found.classes) for _ in range(found.draws.per_class)]
    assert len(labels) == found.official[found.splits["train"].part]
    rule = found.splits["val"]
    if rule.rule == "held_out":
        assert rule.share is not None and rule.seed is not None
        val, train = per_class_draw(labels, rule.share, rule.seed, at_least=1)
        assert found.draws.val == digest(val)
        assert (len(val), len(train)) == (rule.images, found.splits["train"].images)
        labels = [labels[index] for index in train]
    else:
        assert found.draws.val is None
    for fraction, committed in ((0.01, found.draws.one_percent), (0.1, found.draws.ten_percent)):
        if round(fraction * labels.count(0)) == 0:
            assert committed is None  # such a subset is refused
        else:
            assert committed == tuple(digest(per_class_draw(labels, fraction, seed)[0]) for seed in range(5))


def test_draws_are_known_where_labels_are() -> None:
    assert DRAWN == [
        "dtd",
        "fashion-mnist",
        "flowers102",
        "food101",
        "patterns",
        "stl10",
        "sun397",
        "tiny-imagenet",
    ]


@pytest.mark.parametrize("name", NAMES)
def test_sizes_add_up(name: str) -> None:
    found = require_manifest(name)
    for part, total in found.official.items():
        sizes = [rule.images for rule in found.splits.values() if rule.part == part]
        if None not in sizes:
            assert sum(size or 0 for size in sizes) == total, part
    assert {rule.part for rule in found.splits.values()} >= set(found.official)


def test_md5_sums_are_those_torchvision_compares() -> None:
    published = {
        name: {f"{reader.base_folder}/{file}": md5 for file, md5 in reader.train_list + reader.test_list}
        | {f"{reader.base_folder}/{reader.meta['filename']}": reader.meta["md5"]}
        for name, reader in (("cifar10", tv.CIFAR10), ("cifar100", tv.CIFAR100))
    }
    published["stl10"] = {
        f"stl10_binary/{file}": md5
        for file, md5 in tv.STL10.train_list + tv.STL10.test_list
        if file != "unlabeled_X.bin"
    }
    flowers = tv.Flowers102._file_dict
    published["flowers102"] = {
        f"flowers-102/{flowers[key][0]}": flowers[key][1] for key in ("label", "setid")
    }
    found = {name: dict(require_manifest(name).files) for name in NAMES if require_manifest(name).files}
    del found["fashion-mnist"]  # torchvision compares the gzipped files, see below
    assert found == published
    archives = {
        "cifar10": {tv.CIFAR10.filename: tv.CIFAR10.tgz_md5},
        "cifar100": {tv.CIFAR100.filename: tv.CIFAR100.tgz_md5},
        "stl10": {tv.STL10.filename: tv.STL10.tgz_md5},
        "fashion-mnist": dict(tv.FashionMNIST.resources),
        "flowers102": dict([flowers["image"]]),
        "oxford-pets": {url.rpartition("/")[2]: md5 for url, md5 in tv.OxfordIIITPet._RESOURCES},
        "dtd": {"dtd-r1.0.1.tar.gz": tv.DTD._MD5},
        "food101": {"food-101.tar.gz": tv.Food101._MD5},
        "sun397": {"SUN397.tar.gz": tv.SUN397._DATASET_MD5},
        "imagenet": dict(ARCHIVE_META.values()),
        "tiny-imagenet": {"tiny-imagenet-200.zip": tiny_imagenet.ARCHIVE_MD5},
        "voc2007": {
            DATASET_YEAR_DICT[key]["filename"]: DATASET_YEAR_DICT[key]["md5"] for key in ("2007", "2007-test")
        },
    }
    for name, sums in archives.items():
        assert dict(require_manifest(name).archives) == sums, name
    caltech = Path(tv.caltech.__file__).read_text()  # stands in the midst of a method there
    assert all(md5 in caltech for md5 in require_manifest("caltech101").archives.values())


def test_manifests_of_older_data_sets_say_what_their_code_does() -> None:
    for name, module in (
        ("cifar10", cifar),
        ("cifar100", cifar),
        ("tiny-imagenet", tiny_imagenet),
        ("imagenet", imagenet),
        ("imagenet-100", imagenet),
    ):
        found = require_manifest(name)
        assert found.splits["val"].share == module.HELD_OUT_SHARE
        assert found.splits["val"].seed == 0
        assert (found.image_size, found.metric) == (module.IMAGE_SIZE, "top1")
    patterns = require_manifest("patterns")
    assert dict(patterns.official) == PatternsConfig().images()
    assert (patterns.classes, patterns.image_size) == (len(CLASSES), FED_SIZE)


def test_metrics_are_those_of_the_field() -> None:
    """Kornblith et al. 2019, table 1."""
    metrics = {name: require_manifest(name).metric for name in NAMES}
    by_class = {name for name, metric in metrics.items() if metric == "mean_per_class"}
    assert by_class == {"flowers102", "oxford-pets", "fgvc-aircraft", "caltech101"}
    assert [name for name, metric in metrics.items() if metric == "mAP"] == ["voc2007"]


def test_rules_in_words() -> None:
    rules = require_manifest("caltech101").splits
    assert rules["val"].describe() == "5 of each class of all, seed 0"
    assert rules["test"].describe() == "the rest of all"
    assert require_manifest("food101").splits["val"].describe() == "10% of each class of train, seed 0"
    assert require_manifest("dtd").splits["val"].describe() == "official val"


def test_expected_counts() -> None:
    assert manifest.expected_counts("flowers102") == {
        "train": 1020,
        "val": 1020,
        "test": 6149,
        "classes": 102,
    }
    assert manifest.expected_counts("cars") == {"test": 8041, "classes": 196}
    assert manifest.expected_counts("imagenet-100") == {}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"colour": "red"}, "Extra inputs are not permitted"),
        ({"archives": {"a.zip": "12"}}, "archives"),
        ({"notes": ""}, "notes must say why"),
        ({"classes": 1}, "classes"),
        ({"splits": {"train": {"part": "train", "rule": "whole"}}}, "train, val and test"),
        ({"splits": SEEDLESS}, "has a seed"),
        ({"name": "dtd"}, "is that of 'dtd'"),
    ],
)
def test_a_damaged_manifest_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, object], words: str
) -> None:
    facts = yaml.safe_load((manifest.FOLDER / "voc2007.yaml").read_text())
    (tmp_path / "voc2007.yaml").write_text(yaml.safe_dump(facts | change))
    monkeypatch.setattr(manifest, "FOLDER", tmp_path)
    with pytest.raises(UserError, match=words) as error:
        manifest.manifest("voc2007")
    assert "\n" not in str(error.value) and "install mmbench again" in str(error.value)


def test_a_choice_of_classes_is_said_where_it_is_not_refused() -> None:
    words = "figures do not compare with published ones"
    assert manifest.class_remarks("imagenet", 5) == (f"5 of the 1000 classes of imagenet: {words}",)
    assert manifest.class_remarks("imagenet", 1001) == (f"1001 classes, where imagenet has 1000: {words}",)
    assert manifest.class_remarks("imagenet", 1000) == ()
    for name in ("imagenet-100", "dtd", "folder"):  # the user's list; refused by its count; no manifest
        assert manifest.class_remarks(name, 5) == ()


def test_a_data_set_without_a_manifest() -> None:
    with pytest.raises(UserError, match=r"'folder' has no manifest \(there are: caltech101, cars"):
        require_manifest("folder")


def test_manifests_are_installed() -> None:
    assert isinstance(require_manifest("dtd"), Manifest)
