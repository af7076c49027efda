"""`mmbench embed`: its features are those that kNN uses, and its table describes each row."""

import csv
import json
import shlex
from pathlib import Path

import click
import numpy as np
import pytest
import torch
from PIL import Image

from mmbench.checkpoints.backbone import Backbone, create_headless
from mmbench.cli.commands import main
from mmbench.data import Dataset, ImageSplit, load_dataset
from mmbench.data.images.decoding import decode
from mmbench.tasks import TASKS
from mmbench.transfer.compute import Compute
from mmbench.transfer.embed import embed, write_embedding
from mmbench.transfer.embed_command import SEVERAL_LABELS, embed_command, following
from mmbench.transfer.inputs.feature_bank import FeatureBank
from mmbench.transfer.protocol import get_protocol

COUNTS = {"train": 5, "val": 2, "test": 3}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An image folder of two classes."""
    rng = np.random.default_rng(0)
    for split, count in COUNTS.items():
        for name in ("cats", "dogs, small"):
            place = tmp_path / "my images" / split / name
            place.mkdir(parents=True)
            for index in range(count):
                noise = rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)
                Image.fromarray(noise).save(place / f"{index}.png")
    return tmp_path / "my images"


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        main(["embed", *map(str, arguments)])
    output = capsys.readouterr()
    return int(stop.value.code or 0), output.out, output.err


def call(folder: Path, out: Path, *others: object) -> list[object]:
    weights = ["--checkpoint", "random", "--arch", "mixmask_resnet8", "--device", "cpu"]
    return [*weights, "--data", folder, "--out", out, "--bank", out.parent / "bank", *others]


def test_each_row_names_its_file_split_label_and_class(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out" / "f.npy"
    code, said, err = run(capsys, *call(folder, out))
    features = np.load(out, allow_pickle=False)
    with out.with_suffix(".csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert code == 0 and features.dtype == np.float32 and len(features) == len(rows) == 20
    assert f"20 images, {features.shape[1]} features each: {out}, " in said
    assert err.splitlines()[-1].startswith("next: mmbench transfer --task knn --checkpoint random --data '")
    assert [int(row["row"]) for row in rows] == list(range(20))
    for split, count in COUNTS.items():
        part = [row for row in rows if row["split"] == split]
        assert [int(row["index"]) for row in part] == list(range(2 * count))
        for row in part:
            path = folder / row["path"]
            assert path.is_file() and path.parent.name == row["class"] and path.parent.parent.name == split
            assert row["label"] == str(["cats", "dogs, small"].index(row["class"]))
    facts = json.loads(out.with_suffix(".json").read_text())
    assert facts["images"] == {split: 2 * count for split, count in COUNTS.items()}
    assert facts["data"]["classes"] == ["cats", "dogs, small"] and facts["features"] == features.shape[1]
    assert facts["data"]["fingerprint"] == load_dataset(str(folder), Path("data")).fingerprint
    assert set(facts["framing"]) == set(COUNTS) and facts["model"]["preprocessing"]["image_size"]


def test_tables_and_facts_of_others_are_never_replaced(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "train.npy"
    for name, text in (
        ("train.csv", "image,label\nmy own labels\n"),
        ("train.csv", ""),
        ("train.json", '{"mine": 1}'),
        ("train.json", "[]"),
        ("train.json", "\udcff"),
    ):
        theirs = tmp_path / name
        theirs.write_bytes(text.encode("utf-8", "surrogateescape"))
        before = theirs.read_bytes()
        code, _, err = run(capsys, *call(folder, out))
        assert code == 2 and err.count("\n") == 1 and "mmbench embed did not write it" in err
        assert name in err and theirs.read_bytes() == before and not out.exists()
        theirs.unlink()
    (tmp_path / "train.csv").write_text("image,label\n")
    assert run(capsys, *call(folder, out.with_suffix(".npz")))[0] == 0  # has nothing beside it
    (tmp_path / "train.csv").unlink()
    for split in ("train", "val"):  # its own are replaced
        code, _, err = run(capsys, *call(folder, out, "--split", split))
        assert code == 0, err
        assert len(np.load(out)) == 2 * COUNTS[split]
        assert list(json.loads(out.with_suffix(".json").read_text())["images"]) == [split]
        assert len(out.with_suffix(".csv").read_text().splitlines()) == 1 + 2 * COUNTS[split]


def test_the_features_are_those_of_the_network_on_the_central_crops(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Computed again by timm's network alone, from what the card and the framing state."""
    torch.manual_seed(3)
    network = create_headless("mixmask_resnet8").eval()
    torch.save(network.state_dict(), tmp_path / "weights.pth")
    out = tmp_path / "f.npy"
    weights = ["--checkpoint", tmp_path / "weights.pth", "--arch", "mixmask_resnet8", "--image-size", "32"]
    code, _, err = run(
        capsys, *weights, "--data", folder, "--out", out, "--no-bank", "--split", "test", "--device", "cpu",
        "--mean", "0.5,0.4,0.3", "--std", "0.2,0.3,0.4",
    )  # fmt: skip
    assert code == 0, err
    facts = json.loads(out.with_suffix(".json").read_text())
    stored = 32 if "whole" in facts["framing"]["test"] else round(32 * 1.25)
    images = decode(load_dataset(str(folder), Path("data")).files["test"](), stored).images.float() / 255
    margin = (stored - 32) // 2
    images = images[:, :, margin : margin + 32, margin : margin + 32]
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in ([0.5, 0.4, 0.3], [0.2, 0.3, 0.4]))
    with torch.no_grad():
        expected = network((images - mean) / std).flatten(1).numpy()
    np.testing.assert_allclose(np.load(out), expected, rtol=1e-4, atol=1e-5)


def test_they_are_the_features_of_the_knn_task(gratings: Dataset, backbone: Backbone, tmp_path: Path) -> None:
    """The bank that embed fills is the bank that kNN reads."""
    compute, bank = Compute(torch.device("cpu")), FeatureBank(tmp_path / "bank")
    found = embed(backbone, gratings, compute, bank=bank)
    entries = sorted(path.name for path in (tmp_path / "bank").glob("*.npy"))
    assert found.shape == (240, found.parts[0].shape[1]) and len(entries) == 3
    assert {row[3] for row in found.rows} == {""}  # data in memory have no files
    again = embed(backbone, gratings, compute, splits=("test",), bank=bank)
    assert torch.equal(again.parts[0], found.parts[2])
    assert sorted(path.name for path in (tmp_path / "bank").glob("*.npy")) == entries
    assert TASKS.get("knn").frozen


def test_an_npz_holds_everything(gratings: Dataset, backbone: Backbone, tmp_path: Path) -> None:
    found = embed(backbone, gratings, Compute(torch.device("cpu")), splits=("val", "test"))
    for name in ("a.npz", "a.npy"):
        write_embedding(found, tmp_path / name)
    with np.load(tmp_path / "a.npz", allow_pickle=False) as held:
        np.testing.assert_array_equal(held["features"], np.load(tmp_path / "a.npy"))
        assert held["split"].tolist() == ["val"] * 60 + ["test"] * 60
        assert held["class"].tolist() == [row[5] for row in found.rows]
        assert held["index"].tolist() == [*range(60), *range(60)]
        assert json.loads(str(held["facts"])) == json.loads((tmp_path / "a.json").read_text())


def test_labels_of_several_classes_are_listed(backbone: Backbone, tmp_path: Path) -> None:
    labels = torch.tensor([[1, 0, 1], [0, 0, 0], [-1, 1, 0]])
    images = torch.zeros(3, 3, 16, 16, dtype=torch.uint8)
    split = {"test": lambda: ImageSplit(images, labels)}
    dataset = Dataset("several", tmp_path, ("x", "y", "z"), split, 16, metric="mAP", multilabel=True)
    found = embed(backbone, dataset, Compute(torch.device("cpu")))
    assert [row[4:] for row in found.rows] == [("0 2", "x|z"), ("", ""), ("1", "y")]


def test_images_without_labels_are_embedded_too(
    tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flat = tmp_path / "flat"
    flat.mkdir()
    for index, path in enumerate(sorted(folder.rglob("*.png"))[:4]):
        path.rename(flat / f"{index}.png")
    out = tmp_path / "f.npy"
    code, _, err = run(capsys, *call(flat, out))
    assert code == 0, err
    with out.with_suffix(".csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["path"] for row in rows] == [f"{index}.png" for index in range(4)]
    assert {row["label"] + row["class"] for row in rows} == {""} and len(np.load(out)) == 4


def suggested(err: str) -> list[str]:
    """Return the words of the command in the last line, without its own name."""
    program, *words = shlex.split(err.splitlines()[-1].removeprefix("next: "))
    assert program == "mmbench"
    return words


def test_the_suggested_command_measures_these_features(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It runs as it is printed, with the options of the checkpoint, the same bank, and fewer neighbours."""
    monkeypatch.chdir(tmp_path)
    options = ("--image-size", "24", "--workers", "0", "--seed", "3")
    code, _, err = run(capsys, *call(folder, Path("f.npy"), *options))
    assert code == 0
    words = suggested(err)
    assert words[:3] == ["transfer", "--task", "knn"] and words[-2:] == ["--set", "neighbours=10"]
    entries = sorted((tmp_path / "bank").rglob("*.npy"))
    with pytest.raises(SystemExit) as stop:
        main([*words, "--out", "results"])
    assert not stop.value.code, capsys.readouterr().err
    (record,) = (tmp_path / "results").rglob("*.json")
    facts = json.loads(record.read_text())
    assert facts["seed"] == 3 and facts["model"]["preprocessing"]["image_size"] == 24
    assert sorted((tmp_path / "bank").rglob("*.npy")) == entries  # all features were there


def test_what_is_suggested_for_images_without_labels_and_with_several(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "flat").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "flat" / "1.png")
    code, _, err = run(capsys, *call(tmp_path / "flat", tmp_path / "f.npy"))
    assert code == 0
    words = suggested(err)
    assert words[0] == "pretrain" and words[words.index("--data") + 1] == str(tmp_path / "flat")
    assert get_protocol(SEVERAL_LABELS).multilabel
    parts = {
        name: lambda: ImageSplit(torch.zeros(1, 3, 8, 8).byte(), torch.ones(1, 2).long()) for name in COUNTS
    }
    several = Dataset("several", tmp_path, ("x", "y"), parts, 8, metric="mAP", multilabel=True)
    with click.Context(embed_command):
        words = list(following(several, "w.pth", "several"))
    assert words == ["transfer", "--protocol", SEVERAL_LABELS, "--checkpoint", "w.pth", "--data", "several"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--out", "features.txt"], "must end in .npy or .npz"),
        (["--data", "no-such-data"], "unknown data set 'no-such-data'"),
        (["--split", "tset"], "'tset' is not one of"),
        (["--split", "test,test"], "test is given twice"),
        (["--checkpoint", "no-such-file.pth"], "no-such-file.pth"),
        (["--precision", "float64"], "'float64' is not one of"),
        (["--config", "no-such-file.yaml"], "cannot be read"),
    ],
)
def test_wrong_input_is_one_line_and_leaves_nothing(
    change: list[str],
    message: str,
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place = tmp_path / "empty"
    place.mkdir()
    monkeypatch.chdir(place)
    code, out, err = run(capsys, *call(folder, Path("f.npy")), *change)
    assert code == 2 and out == "" and message in err and err.count("\n") == 1
    assert not list(place.iterdir())


def test_a_config_file_gives_the_options(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = tmp_path / "embed.yaml", tmp_path / "f.npy"
    path.write_text(
        f"checkpoint: random\narch: mixmask_resnet8\ndata: {folder}\nsplit: test\nno_bank: true\n"
    )
    assert run(capsys, "--config", path, "--out", out)[0] == 0
    assert len(np.load(out)) == 6
