"""Small images are evaluated whole, from the second version of each protocol on; the first is as it was."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from running import run_task

from mmbench.checkpoints.backbone import Backbone, random_backbone
from mmbench.checkpoints.card import OWN_IMAGES, ModelCard, Preprocessing
from mmbench.data import Dataset, load_dataset
from mmbench.data.images.sides import Sides
from mmbench.records.store import Result, ResultStore
from mmbench.tasks import TASKS
from mmbench.transfer.controls import pixels_backbone, recalibrated_random_backbone
from mmbench.transfer.inputs import images as image_inputs
from mmbench.transfer.inputs.framing import FIRST_VERSIONS, Framing, FramingRule, rule_for
from mmbench.transfer.inputs.images import FileImages, MemoryImages, crop_remarks, open_images
from mmbench.transfer.protocol import Protocol, get_protocol, protocols

MEAN = np.array([0.485, 0.456, 0.406]).reshape(3, 1, 1)
STD = np.array([0.229, 0.224, 0.225]).reshape(3, 1, 1)
PER_CLASS = {"train": 24, "val": 8, "test": 12}
CLASSES = 4


def write_images(root: Path, size: tuple[int, int], noise: float = 60) -> Path:
    """Write noise whose border alone tells the class: the middle of an image knows nothing."""
    rng = np.random.default_rng(0)
    width, height = size
    for split, count in PER_CLASS.items():
        for label in range(CLASSES):
            folder = root / split / f"class{label}"
            folder.mkdir(parents=True)
            for index in range(count):
                image = rng.normal(128, noise, (height, width, 3))
                edge = max(2, min(size) // 10)
                bands = (np.s_[:edge], np.s_[-edge:], np.s_[:, :edge], np.s_[:, -edge:])
                image[bands[label]] += 70
                Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(folder / f"{index:02}.png")
    return root


def loop(root: Path, size: int, resized: int, k: int = 20, temperature: float = 0.1) -> float:
    """Return kNN's top-1 on raw pixels: Pillow alone resizes, and every cosine is taken one by one."""

    def features(split: str) -> tuple[np.ndarray, list[int]]:
        found, labels = [], []
        for label in range(CLASSES):
            for path in sorted((root / split / f"class{label}").iterdir()):
                image = Image.open(path).resize((resized, resized), Image.Resampling.BILINEAR)
                margin = (resized - size) // 2
                image = image.crop((margin, margin, margin + size, margin + size))
                pixels = np.asarray(image, dtype=np.float64).transpose(2, 0, 1) / 255
                found.append(((pixels - MEAN) / STD).ravel())
                labels.append(label)
        return np.stack(found), labels

    bank, known = features("train")
    queries, truth = features("test")
    queries, bank = queries - bank.mean(axis=0), bank - bank.mean(axis=0)
    right = 0
    for query, label in zip(queries, truth, strict=True):
        cosines = bank @ query / np.linalg.norm(bank, axis=1) / np.linalg.norm(query)
        votes = np.zeros(CLASSES)
        for item in np.argsort(-cosines, kind="stable")[:k]:
            votes[known[item]] += math.exp(cosines[item] / temperature)
        right += int(votes.argmax()) == label
    return 100 * right / len(truth)


def knn(root: Path, out: Path, backbone: Backbone, protocol: str | None = None) -> Result:
    data = load_dataset(str(root))
    return run_task("knn", backbone, data, ResultStore(out), work=out / "work", protocol_id=protocol)


@pytest.mark.parametrize("side", [28, 32, 20])
def test_small_files_are_evaluated_whole(tmp_path: Path, side: int) -> None:
    root = write_images(tmp_path / "set", (side, side))
    found = knn(root, tmp_path / "results", pixels_backbone(32))
    assert found.protocol == "knn/patterns@2"
    assert found.metrics["top1"].value == loop(root, 32, 32)
    assert found.framing == f"{side} px files, fed whole at 32 px"
    first = knn(root, tmp_path / "results", pixels_backbone(32), "knn/patterns@1")
    assert first.metrics["top1"].value == loop(root, 32, 40)
    assert first.framing == f"{side} px files, short side resized to 40, centre 32 fed"
    assert first.metrics["top1"].value < found.metrics["top1"].value - 10  # the border was cut off


@pytest.mark.parametrize("side", [33, 40, 64])
def test_larger_files_are_evaluated_as_before(tmp_path: Path, side: int) -> None:
    root = write_images(tmp_path / "set", (side, side))
    first, second = (
        knn(root, tmp_path / "results", pixels_backbone(32), f"knn/patterns@{n}") for n in (1, 2)
    )
    assert first.metrics == second.metrics and first.framing == second.framing
    assert second.framing == f"{side} px files, short side resized to 40, centre 32 fed"
    assert second.metrics["top1"].value == loop(root, 32, 40)


def test_images_in_memory_are_as_before(gratings: Dataset, backbone: Backbone, tmp_path: Path) -> None:
    """As the Patterns data: 40 px, of which the middle 32 are fed; here 20 and 16."""
    for task, name in (("knn", "knn/patterns"), ("linear", "linear/patterns"), ("logreg", "logreg/lbfgs")):
        first, second = (
            run_task(
                task,
                backbone,
                gratings,
                ResultStore(tmp_path),
                work=tmp_path / "w",
                protocol_id=f"{name}@{n}",
            )
            for n in (1, 2)
        )
        assert first.metrics == second.metrics
        assert first.framing == second.framing == "20 px images, centre 16 fed"


@pytest.mark.parametrize(("side", "resized"), [(48, 50), (50, 50), (51, 57), (100, 57)])
def test_files_that_are_read_one_by_one_follow_the_same_rule(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, side: int, resized: int
) -> None:
    monkeypatch.setattr(image_inputs, "LARGEST_IN_MEMORY", 8)
    data = load_dataset(str(write_images(tmp_path / "set", (side, side))))
    found = open_images(data, "test", 50, 0, FramingRule("whole"))
    assert isinstance(found, FileImages)
    assert found.resized == resized
    (seen,) = found.centre_crops([torch.tensor([0])])
    image = Image.open(found.files.root / found.files.paths[0]).resize(
        (resized, resized), Image.Resampling.BILINEAR, reducing_gap=3.0
    )
    start = (resized - 50) // 2
    expected = np.asarray(image.crop((start, start, start + 50, start + 50))).transpose(2, 0, 1)
    different = np.abs(seen[0].numpy().astype(int) - expected)
    assert different.max() <= (1 if side != resized else 0)  # the resize is Pillow's to the rounding
    before = open_images(data, "test", 50, 0)
    assert isinstance(before, FileImages) and before.resized == 57
    assert (before.fingerprint == found.fingerprint) == (resized == 57)
    assert found.subset(torch.tensor([1, 0])).resized == resized


def fixed(short: int, fed: int, rule: FramingRule, monkeypatch: pytest.MonkeyPatch, **more: bool) -> Framing:
    files = {"train": lambda: None}
    data = Dataset("x", Path("x"), ("a",), {}, 32, files=files)  # type: ignore[arg-type]
    monkeypatch.setattr("mmbench.data.images.sides.sides", lambda *_: Sides(short, short, short, True, True))
    return rule.framing(data, "train", fed, from_files=more.get("from_files", fed > 64))


@pytest.mark.parametrize(
    ("short", "fed", "stated", "resized"),
    [
        (28, 32, None, 32),
        (500, 224, None, 256),
        (224, 224, None, 224),
        (225, 224, None, 256),
        (500, 224, 0.875, 256),
        (500, 224, 0.95, 235),  # timm rounds down
        (500, 224, 1.0, 224),
        (28, 224, 0.875, 256),  # stated, so it is obeyed
        (500, 96, 0.8, 120),
        (500, 160, None, 183),
    ],
)
def test_what_is_stated_goes_before_the_images(
    monkeypatch: pytest.MonkeyPatch, short: int, fed: int, stated: float | None, resized: int
) -> None:
    found = fixed(short, fed, FramingRule("whole", stated, "the weights" if stated else ""), monkeypatch)
    assert found.resized == resized
    assert ("crop_pct of the weights" in str(found)) == (stated is not None)
    margin = fixed(short, fed, FramingRule("margin", stated), monkeypatch)
    assert margin.resized == round(fed * (256 / 224 if fed > 64 else 1.25)) and margin.stated_by == ""


@given(st.integers(8, 600), st.floats(0.05, 1.0))
def test_a_stated_share_is_resized_as_timm_does(fed: int, share: float) -> None:
    from timm.data.transforms_factory import transforms_imagenet_eval

    with pytest.MonkeyPatch.context() as patched:
        found = fixed(500, fed, FramingRule("whole", share, "the weights"), patched)
    resize = transforms_imagenet_eval(fed, crop_pct=share).transforms[0]
    assert found.resized is not None and abs(found.resized - resize.size) <= (fed / share % 1 > 1 - 1e-5)


def card(**facts: object) -> ModelCard:
    return ModelCard.model_validate({"arm": "x", "arch": "resnet18", **facts})


def test_who_states_it() -> None:
    stated = card(preprocessing=Preprocessing(crop_pct=0.9))
    assert rule_for("whole", None, stated) == FramingRule("whole", 0.9, "the weights")
    assert rule_for("whole", 0.8, stated) == FramingRule("whole", 0.8, "the protocol")
    assert rule_for("whole", None, None) == FramingRule("whole")
    own = card(preprocessing=Preprocessing(crop_pct=0.9), origins={"crop_pct": OWN_IMAGES})
    assert rule_for("whole", None, own) == FramingRule("whole")


def test_weights_that_state_it_are_framed_so_and_the_record_says_it(tmp_path: Path) -> None:
    root = write_images(tmp_path / "set", (48, 48))
    weights = random_backbone("mixmask_resnet8", 0, Preprocessing(image_size=32, crop_pct=1.0))
    found = knn(root, tmp_path / "results", weights)
    assert found.framing == "48 px files, fed whole at 32 px (crop_pct of the weights)"
    assert f"evaluated images: {found.framing}" in found.notes
    data = load_dataset(str(root))
    assert open_images(data, "test", 32, 0, FramingRule("whole", 1.0)).subset(torch.tensor([0])) is not None


def test_files_that_are_not_square_are_not_called_whole(tmp_path: Path) -> None:
    root = write_images(tmp_path / "set", (40, 28))
    found = knn(root, tmp_path / "results", pixels_backbone(32))
    assert found.framing == "28 px files (short side), their middle square fed at 32 px"


@pytest.mark.parametrize(
    ("task", "protocol", "overrides", "size", "said"),
    [
        ("finetune", "finetune/patterns@2", {}, (200, 40), True),
        ("finetune", "finetune/patterns@2", {}, (53, 40), False),
        ("linear", "linear/moco@2", {"decay_epochs": []}, (40, 60), True),
        ("linear", "linear/moco-sweep@2", {"decay_epochs": []}, (40, 60), True),
        ("linear", "linear/sweep@2", {}, (200, 40), False),
        ("knn", "knn/patterns@2", None, (200, 40), False),
    ],
)
def test_training_crops_of_squares_that_lack_much_are_noted(
    tmp_path: Path,
    task: str,
    protocol: str,
    overrides: dict[str, object] | None,
    size: tuple[int, int],
    said: bool,
) -> None:
    """Tasks that train on no crops have nothing to say: their centre squares are what evaluation sees."""
    data = load_dataset(str(write_images(tmp_path / "set", size)))
    weights = random_backbone("mixmask_resnet8", 0, Preprocessing(image_size=32))
    if overrides is not None:
        overrides = {"epochs": 1, "batch_size": 32, **overrides}
    store = ResultStore(tmp_path / "results")
    found = run_task(
        task, weights, data, store, work=tmp_path / "work", protocol_id=protocol, overrides=overrides
    )
    notes = [note for note in found.notes if "training crops come from the centre squares" in note]
    assert len(notes) == said
    if said:
        lost = round(100 * (1 - min(size) / max(size)))
        assert f"the median image loses {lost}% of its pixels" in notes[0]


def test_crops_of_files_come_from_whole_images(tmp_path: Path) -> None:
    data = load_dataset(str(write_images(tmp_path / "set", (200, 40))))
    assert crop_remarks(data, 64) and not crop_remarks(data, 65)
    assert isinstance(open_images(data, "train", 65, 0), FileImages)
    assert isinstance(open_images(data, "train", 64, 0), MemoryImages)


def test_a_crop_share_that_is_absent_leaves_card_and_digest_as_they_were() -> None:
    plain = card()
    assert "crop_pct" not in plain.model_dump_json()
    assert plain.digest == card(preprocessing=Preprocessing(crop_pct=None)).digest
    stated = card(preprocessing=Preprocessing(crop_pct=0.9))
    assert stated.digest != plain.digest and ModelCard.model_validate_json(stated.model_dump_json()) == stated


@pytest.mark.parametrize("bad", [0, -0.1, 1.01, math.nan, math.inf])
def test_a_share_is_above_0_and_at_most_1(bad: float) -> None:
    with pytest.raises(ValueError, match="crop_pct"):
        Preprocessing(crop_pct=bad)


def test_every_classification_protocol_has_a_version_with_small_images_whole() -> None:
    for name in {protocol_id.partition("@")[0] for protocol_id in protocols()}:
        first = get_protocol(f"{name}@1")
        assert first.change == ""
        if "fashion-mnist" in name:  # written after whole images had become the rule
            assert first.small_images == "whole"
            continue
        assert first.small_images == "margin"
        if TASKS.get(first.task).dense:
            continue  # whole images, whatever the version
        second = get_protocol(f"{name}@2")
        assert second.small_images == "whole" and second.change
        changed = {"id", "small_images", "change"}
        assert second.model_dump(exclude=changed) == first.model_dump(exclude=changed)


def test_a_revision_changes_what_it_names_and_nothing_else() -> None:
    values = get_protocol("knn/patterns@1").model_dump()
    values["revisions"] = [
        {"version": 2, "change": "k", "settings": {"neighbours": 5}},
        {"version": 5, "change": "T", "settings": {"temperature": 0.2}, "small_images": "whole"},
    ]
    one, two, five = Protocol.model_validate(values).versions()
    assert [each.id.partition("@")[2] for each in (one, two, five)] == ["1", "2", "5"]
    assert one == get_protocol("knn/patterns@1")
    assert two.settings == {"neighbours": 5, "temperature": 0.1} and two.small_images == "margin"
    assert five.settings == {"neighbours": 5, "temperature": 0.2} and five.small_images == "whole"


def test_random_weights_take_their_statistics_from_what_is_evaluated(tmp_path: Path) -> None:
    small = load_dataset(str(write_images(tmp_path / "small", (28, 28))))
    first, same, whole = (
        recalibrated_random_backbone("mixmask_resnet8", 0, small, rule=rule)
        for rule in (FIRST_VERSIONS, FramingRule("margin"), FramingRule("whole"))
    )
    assert first.card == same.card and first.card.digest != whole.card.digest
    assert "28 px files, fed whole at 32 px" in whole.card.origins["batch_norm"]
    names = [name for name in first.state_dict if name.endswith("running_mean")]
    assert not all(torch.equal(first.state_dict[name], whole.state_dict[name]) for name in names)
    large = load_dataset(str(write_images(tmp_path / "large", (64, 64))))
    before, now = (
        recalibrated_random_backbone("mixmask_resnet8", 0, large, rule=rule)
        for rule in (FIRST_VERSIONS, FramingRule("whole"))
    )
    assert before.card == now.card
    assert all(torch.equal(before.state_dict[name], now.state_dict[name]) for name in before.state_dict)
