"""`mmbench transfer` from the command line, on a small image folder."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

import mmbench
from mmbench.checkpoints.backbone import create_headless
from mmbench.cli.commands import main
from mmbench.files import safe_name
from mmbench.records.store import read_result
from mmbench.transfer.tables import written


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image folder: horizontal and vertical stripes, 24 + 8 + 8 images per class."""
    root = tmp_path_factory.mktemp("stripes")
    rng = np.random.default_rng(0)
    for split, count in (("train", 24), ("val", 8), ("test", 8)):
        for name in ("horizontal", "vertical"):
            (root / split / name).mkdir(parents=True)
            for index in range(count):
                wave = 128 + 90 * np.sin(np.arange(40) / rng.uniform(0.8, 1.6) + rng.uniform(0, 6))
                pixels = np.repeat(wave[:, None], 40, axis=1) + rng.normal(0, 8, (40, 40))
                if name == "vertical":
                    pixels = pixels.T
                image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
                image.convert("RGB").save(root / split / name / f"{index}.png")
    return root


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bank is kept in the working folder, which must not be the checkout."""
    monkeypatch.chdir(tmp_path)


class Answer:
    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> Answer:
    with pytest.raises(SystemExit) as stop:
        main(["transfer", *arguments])
    output = capsys.readouterr()
    return Answer(int(stop.value.code or 0), output.out, output.err)


def test_records_are_written_then_reused(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--task", "knn", "--checkpoint", "random", "--arch", "mixmask_resnet8"]
    arguments += ["--data", str(folder), "--out", str(tmp_path / "results"), "--seeds", "0,1"]
    first = run(capsys, *arguments)
    assert first.code == 0 and first.out.count("(written)") == 2
    paths = sorted((tmp_path / "results").rglob("*.json"))
    assert len(paths) == 2 and all(str(path) in first.out for path in paths)
    results = [read_result(path) for path in paths]
    assert sorted(result.seed for result in results) == [0, 1]
    assert sorted(result.model.seed or 0 for result in results) == [0, 1]  # other random weights per seed
    for result in results:
        assert f"{result.metrics['top1'].value:.2f}" in first.out
        assert result.metrics["top1"].n == 16 and "top5" not in result.metrics
    before = [path.read_bytes() for path in paths]
    again = run(capsys, *arguments)
    assert again.code == 0 and again.out.count("(reused, measured before)") == 2
    assert [path.read_bytes() for path in paths] == before


def records(folder: Path) -> list[Path]:
    """The feature bank may lie beside them, with facts about its entries."""
    return [path for path in folder.rglob("*.json") if path.parent.name != "features"]


def test_settings_and_protocol_can_be_chosen(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = run(
        capsys,
        *("--task", "linear", "--protocol", "linear/moco@1", "--checkpoint", "random"),
        *("--arch", "mixmask_resnet8", "--data", str(folder), "--out", str(tmp_path), "--seed", "4"),
        *("--set", "epochs=2", "--set", "learning_rate=0.1", "--set", "decay_epochs=[1]"),
        *("--device", "cpu", "--threads", "1"),
    )
    assert answer.code == 0, answer.err
    (path,) = records(tmp_path)
    result = read_result(path)
    assert (result.protocol, result.seed, result.effective_lr) == ("linear/moco@1", 4, 0.1)
    assert result.config["epochs"] == 2 and result.config["decay_epochs"] == [1]
    assert "lineartransfer: step" not in answer.out and "epoch 2, loss" in answer.out


def test_one_bank_serves_every_frozen_probe_and_plots_lie_beside_the_record(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = ["--checkpoint", "random", "--arch", "mixmask_resnet8", "--data", str(folder)]
    first = run(capsys, "--task", "knn", *weights, "--plot")
    assert first.code == 0, first.err
    (record,) = (tmp_path / "results").rglob("*.json")
    for ending in ("confusion", "embedding", "neighbours"):
        with Image.open(record.with_suffix(f".{ending}.png")) as plot:
            assert min(plot.size) > 200
    entries = sorted((tmp_path / "features").glob("*.npy"))
    assert len(entries) == 2  # train and test
    second = run(capsys, "--task", "lowshot", *weights, "--set", "shots=[1,2]", "--set", "draws=3")
    assert second.code == 0 and "features came from the feature bank" in second.out
    assert "top1_1shot" in second.out and "mean_per_class_2shot" in second.out
    assert sorted((tmp_path / "features").glob("*.npy")) == entries
    without = run(capsys, "--task", "logreg", *weights, "--set", "candidates=2", "--no-bank")
    assert without.code == 0 and "feature bank" not in without.out


def test_what_the_machine_does_is_asked_for_and_recorded(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    listing = tmp_path / "official.txt"
    listing.write_text("horizontal/1.png\nvertical/2.png\nvertical/5.png\n")
    answer = run(
        capsys,
        *("--task", "semisup", "--checkpoint", "random", "--arch", "mixmask_resnet8"),
        *("--data", str(folder), "--out", str(tmp_path / "results"), "--labels-file", str(listing)),
        *("--image-size", "24", "--precision", "bfloat16", "--workers", "0", "--set", "epochs=2"),
    )
    assert answer.code == 0, answer.err
    (path,) = (tmp_path / "results").rglob("*.json")
    result = read_result(path)
    assert result.model.preprocessing.image_size == 24 and result.config["precision"] == "bfloat16"
    assert result.labels is not None and result.labels.used == 3
    assert "3 of 64 labels, listed in official.txt" in answer.out


def test_the_list_names_every_protocol_of_a_task(capsys: pytest.CaptureFixture[str]) -> None:
    answer = run(capsys, "--list", "--task", "semisup")
    assert answer.code == 0
    assert "semisup/patterns-1pct@2*" in answer.out and "semisup/10pct@1" in answer.out
    assert "knn/" not in answer.out
    assert "detection/own@1*" in run(capsys, "--list").out


KNN = ["--task", "knn", "--checkpoint", "pixels", "--data"]


def test_what_labels_rule_out_is_refused_before_any_task(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--task", "knn,semisup,linear", "--checkpoint", "random", "--arch", "mixmask_resnet8"]
    answer = run(capsys, *arguments, "--data", str(folder), "--out", str(tmp_path / "out"))
    assert answer.code == 2 and answer.out == ""
    assert answer.err.splitlines()[-1] == (
        "mmbench: error: semisup/patterns-1pct@2: 1% of class 'horizontal' is less than one image (it has "
        "24); use a larger fraction"
    )
    assert not list((tmp_path / "out").rglob("*.json"))


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["train/LABEL/IMAGE", "test/LABEL/IMAGE"], "is not an image in train or val of"),
        (["train/LABEL/IMAGE"], "lists no image of class"),
    ],
)
def test_a_list_that_cannot_be_used_is_refused_before_any_task(
    lines: list[str], message: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = next(iter(sorted((folder / "train").rglob("*.png"))))
    Path("list.txt").write_text(
        "".join(
            f"{line.replace('LABEL', image.parent.name).replace('IMAGE', image.name)}\n" for line in lines
        )
    )
    arguments = ["--task", "knn,semisup", "--checkpoint", "random", "--arch", "mixmask_resnet8"]
    answer = run(capsys, *arguments, "--data", str(folder), "--labels-file", "list.txt", "--out", "out")
    assert answer.code == 2 and answer.out == "--labels-file is used by semisup only\n"
    assert not Path("out").exists()
    last = answer.err.splitlines()[-1]
    assert last.startswith("mmbench: error: semisup/patterns-1pct@2: list.txt") and message in last


@pytest.mark.parametrize(
    ("protocol", "neighbours", "advice"),
    [
        ("knn/patterns@2", "49", "set fewer by --set neighbours=48 or less"),
        ("knn/grid@2", "[4,99,20]", "set fewer by --set neighbours=[4,20]"),
        ("knn/grid@2", "[200]", "set fewer by --set neighbours=[48]"),
    ],
)
def test_more_neighbours_than_images_are_refused_before_any_task(
    protocol: str, neighbours: str, advice: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--protocol", f"linear/patterns@2,{protocol}", "--checkpoint", "random"]
    arguments += ["--arch", "mixmask_resnet8", "--data", str(folder), "--out", "out"]
    answer = run(capsys, *arguments, "--set", f"knn.neighbours={neighbours}")
    asked = max(map(int, neighbours.strip("[]").split(",")))
    assert answer.code == 2 and answer.out == ""
    assert answer.err.splitlines()[-1] == (
        f"mmbench: error: {protocol}: k={asked} neighbours asked for, but the bank holds 48 images; {advice}"
    )
    assert not Path("out").exists()


def test_the_records_before_a_failure_are_said_and_the_failure_is_named(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--task", "lowshot,finetune,logreg", "--checkpoint", "random", "--arch", "mixmask_resnet8"]
    huge = ("finetune.epochs=1", "finetune.backbone_learning_rate=1e37", "finetune.head_learning_rate=1e37")
    for setting in ("lowshot.draws=1", "lowshot.shots=[1]", *huge):
        arguments += ["--set", setting]
    answer = run(capsys, *arguments, "--data", str(folder), "--out", "out", "--seeds", "3,4")
    (record,) = Path("out").rglob("*seed3.json")
    assert answer.code == 2 and read_result(record).task == "lowshot"
    assert f"{record} (written)" in answer.out and record.with_suffix(".config.yaml").is_file()
    last = answer.err.splitlines()[-1]
    assert last.startswith("mmbench: error: finetune/patterns@2, seed 3: ") and "diverged" in last
    assert len(list(Path("out").rglob("*.json"))) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--task", "lineer", *KNN[2:], "FOLDER"], "unknown task 'lineer'; did you mean 'linear'?"),
        ([*KNN, "paterns"], "unknown data set 'paterns'; did you mean 'patterns'?"),
        ([*KNN, "no/such/folder"], "no data folder at no/such/folder"),
        ([*KNN, "FOLDER", "--protocol", "knn/instdsc@1"], "did you mean 'knn/instdisc@1'?"),
        ([*KNN, "FOLDER", "--protocol", "linear/moco@1"], "is for task 'linear', not for 'knn'"),
        ([*KNN, "FOLDER", "--set", "neighbors=3"], "did you mean 'neighbours'?"),
        ([*KNN, "FOLDER", "--set", "neighbours"], "--set neighbours: write it as name=value"),
        ([*KNN, "FOLDER", "--set", "neighbours=[3"], "'[3' is not a valid value"),
        ([*KNN, "FOLDER", "--set", "neighbours=999"], "the bank holds 48 images"),
        ([*KNN, "FOLDER", "--seeds", "0,1,1"], "1 is given twice"),
        ([*KNN, "FOLDER", "--seeds", "0,x"], "'x' is not a whole number"),
        ([*KNN, "FOLDER", "--device", "gpu"], "device 'gpu' cannot be used"),
        ([*KNN, "FOLDER", "--seed", "-1"], "--seed"),
        (KNN[:4], "Missing option '--data'"),
        (["--task", "semisup", *KNN[2:], "FOLDER", "--set", "fraction=0.5"], "raw pixels have none"),
        ([*KNN, "FOLDER", "--precision", "float16"], "--precision float16 needs a GPU"),
        ([*KNN, "FOLDER", "--precision", "double"], "'double' is not one of"),
        ([*KNN, "FOLDER", "--labels-file", "nowhere.txt"], "knn cannot use --labels-file; omit it"),
        ([*KNN, "FOLDER", "--workers", "-1"], "--workers"),
        ([*KNN, "FOLDER", "--bank-dtype", "float64"], "--bank-dtype"),
        ([*KNN, "FOLDER", "--protocol", "linear/voc07-svm@1"], "is for task 'linear', not for 'knn'"),
        (
            ["--task", "lowshot", *KNN[2:], "FOLDER", "--set", "shots=[30]"],
            "30 labelled images per class asked for, but class 'horizontal' has 24",
        ),
        (["--task", "detection", *KNN[2:], "FOLDER", "--plot"], "detection cannot use --plot; omit it"),
        (["--task", "detection", *KNN[2:], "FOLDER"], "has no boxes"),
        (
            ["--task", "knn", "--checkpoint", "random", "--data", "FOLDER"],
            "random weights need an architecture",
        ),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    given = [str(folder) if word == "FOLDER" else word for word in arguments]
    answer = run(capsys, *given, "--out", str(tmp_path), "--data-root", str(tmp_path / "data"))
    assert answer.code == 2
    assert message in answer.err and "Traceback" not in answer.err
    assert answer.err.startswith(("mmbench: error: ", "Usage:"))
    assert not records(tmp_path)


def test_a_checkpoint_that_is_not_there(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = str(tmp_path / "nothing.pth")
    answer = run(capsys, "--task", "knn", "--checkpoint", missing, "--data", str(folder))
    assert answer.code == 2 and missing in answer.err and answer.err.count("\n") == 1


def test_a_damaged_record_is_reported(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [*KNN, str(folder), "--out", str(tmp_path)]
    assert run(capsys, *arguments).code == 0
    (path,) = records(tmp_path)
    path.write_text(json.dumps({"schema_version": 1}))
    answer = run(capsys, *arguments)
    assert answer.code == 2 and str(path) in answer.err and "is not a result record" in answer.err


def test_how_a_network_is_built_can_be_stated_and_is_recorded(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = create_headless("mixmask_resnet18_cifar").state_dict()
    torch.save({"state_dict": {f"module.encoder_q.{n}": t for n, t in state.items()}}, tmp_path / "moco.pth")
    arguments = ["--task", "knn", "--data", str(folder), "--out", str(tmp_path / "results")]
    source = ["--checkpoint", str(tmp_path / "moco.pth")]
    assert run(capsys, *arguments, *source).code == 0
    stated = ["--arch-option", "stem_padding=2", "--arch-option", "stem_pool=true"]
    answer = run(capsys, *arguments, *source, *stated)
    assert answer.code == 0 and "(written)" in answer.out  # another network, another record
    records = [read_result(path) for path in (tmp_path / "results").rglob("*.json")]
    (assumed,) = [record for record in records if not record.model.arch_options]
    (of_options,) = [record for record in records if record.model.arch_options]
    assert of_options.model.arch_options == {"stem_padding": 2, "stem_pool": True}
    assert sum("assumed: " in note and "stem" in note for note in assumed.notes) == 2
    assert not any("stem" in note for note in of_options.notes)
    for wrong, words in (
        (["--arch-option", "stem_padding=3"], "it takes 1, 2"),
        (["--arch-option", "stem_paddin=2"], "did you mean 'stem_padding'"),
        (["--arch-option", "output_stride=16"], "cannot be built"),
        (["--mean", "0.5,0.5,0.5"], "--mean and --std go together"),
    ):
        answer = run(capsys, *arguments, *source, *wrong)
        assert answer.code == 2 and words in answer.err and answer.err.count("\n") == 1
    answer = run(capsys, *arguments, "--checkpoint", "random", "--arch", "mixmask_resnet8", *stated)
    assert answer.code == 2 and "random is a control" in answer.err


def test_how_a_folder_is_read_is_said_first_and_recorded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / os.fsdecode(b"se\xf1al")
    for split, count in (("Training", 12), ("Testing", 4)):
        for name in ("plain", os.fsdecode(b"ni\xf1o")):
            (data / split / name).mkdir(parents=True)
            for index in range(count):
                level = 15 * index + (100 if name == "plain" else 0)
                colour = (level % 256, 0, 200 if split == "Testing" else 0)  # no file is in both splits yet
                Image.new("RGB", (12, 12), colour).save(data / split / name / f"{index}.png")
    (data / "Training" / "plain" / "0.png").rename(data / "Training" / "plain" / os.fsdecode(b"caf\xe9.png"))
    (data / "Testing" / "plain" / "same.png").symlink_to(data / "Training" / "plain" / "1.png")
    (data / "Training" / "plain" / "list.csv").write_text("a,b\n")
    answer = run(
        capsys,
        *(
            *KNN,
            str(data),
            "--set",
            "neighbours=1",
            "--out",
            str(tmp_path / "results"),
            "--no-bank",
            "--plot",
        ),
    )
    assert answer.code == 0, answer.err
    (path,) = (tmp_path / "results").rglob("*.json")
    notes = read_result(path).notes
    expected = [
        "split folders: Training/ is train, Testing/ is test",
        "no val folder; 15% of the images of each class of train are val",
        "left out: files that are not images: 1 (.csv)",
    ]
    assert [note for note in notes if note in expected] == expected
    assert any("train and test share" in note for note in notes)  # their levels are the same, too
    said = answer.out + answer.err
    for line in expected:
        assert said.index(line) < said.index("features of train")  # before anything is computed
        assert said.count(line) == 1
    assert list(read_result(path).per_class or {}) == ["ni\\xf1o", "plain"]
    answer.out.encode()
    assert b"\\xf1o" in path.read_bytes()


def test_a_layout_without_labels_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(6):
        Image.new("L", (8, 8), number).save(tmp_path / f"{number}.png")
    (tmp_path / "depth").mkdir()
    Image.new("L", (8, 8)).save(tmp_path / "depth" / "0.png")
    answer = run(capsys, *KNN, str(tmp_path), "--out", str(tmp_path / "results"))
    assert answer.code == 2 and "lie beside 1 folder (depth)" in answer.err and answer.err.count("\n") == 1
    assert not (tmp_path / "results").exists()
    mask = Image.new("L", (8, 8))
    mask.paste(1, (0, 0, 4, 8))
    for number in range(6):
        (tmp_path / "masks").mkdir(exist_ok=True)
        mask.save(tmp_path / "masks" / f"{number}.png")
    answer = run(capsys, *KNN, str(tmp_path), "--out", str(tmp_path / "results"))
    assert answer.code == 2 and "label maps but no class per image" in answer.err
    assert answer.err.count("\n") == 1
    assert not (tmp_path / "results").exists()


def test_texts_of_a_config_file_are_what_is_written_there(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(folder, tmp_path / "2024.10")
    (tmp_path / "2024.1").mkdir()  # empty: it would be refused
    (tmp_path / "run.yaml").write_text(
        "task: knn\ncheckpoint: pixels\ndata: 2024.10\narm: pixels 0.10\nout: 1.50\nimage_size: +32\n"
    )
    answer = run(capsys, "--config", "run.yaml")
    assert answer.code == 0, answer.err
    (path,) = (tmp_path / "1.50").rglob("*seed0.json")
    result = read_result(path)
    assert (result.dataset.name, result.model.arm) == ("2024.10", "pixels 0.10")
    (tmp_path / "again.yaml").write_text((tmp_path / "run.yaml").read_text().replace("pixels 0.10", "no"))
    refused = run(capsys, "--config", "again.yaml")
    assert refused.code == 2 and "such as --arm 'pixels no'" in refused.err  # not "pixels false"


def test_several_tasks_in_one_call_share_one_feature_pass_and_a_file_repeats_each(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = ["--data", str(folder), "--threads", "1"]
    weights = ["--checkpoint", "random", "--arch", "mixmask_resnet8"]
    both = run(
        capsys,
        *("--task", "knn,linear", "--set", "knn.neighbours=3", "--set", "iterations=50", "--no-bank"),
        *data,
        *weights,
    )
    assert both.code == 0, both.err
    assert both.out.count("(written)") == 2 and not (tmp_path / "features").exists()
    assert (both.out + both.err).count("features of train") == 1
    assert "next: mmbench leaderboard show results" in both.err
    alone = run(
        capsys, "--task", "knn", *data, *weights, "--set", "neighbours=3", "--no-bank", "--out", "alone"
    )
    assert alone.code == 0
    results = {read_result(path).task: path for path in (tmp_path / "results").rglob("*.json")}
    (again,) = (tmp_path / "alone").rglob("*.json")
    assert read_result(results["knn"]).metrics == read_result(again).metrics
    for path in results.values():
        repeat = run(capsys, "--config", str(path.with_suffix(".config.yaml")), "--out", "repeated")
        assert repeat.code == 0, repeat.err
        repeated = tmp_path / "repeated" / path.relative_to(tmp_path / "results")
        first, second = read_result(path), read_result(repeated)
        assert (first.metrics, first.config, first.model) == (second.metrics, second.config, second.model)


def test_options_that_only_some_tasks_use_are_said_and_the_others_refused(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--checkpoint", "random", "--arch", "mixmask_resnet8", "--data", str(folder), "--no-bank"]
    listing = tmp_path / "official.txt"
    listing.write_text("horizontal/1.png\nvertical/2.png\n")
    some = run(
        capsys,
        *("--task", "knn,semisup", *arguments, "--labels-file", str(listing), "--set", "epochs=1"),
    )
    assert some.code == 0, some.err
    assert "--labels-file is used by semisup only" in some.out + some.err
    for wrong in (["--plot"], ["--bank", "features"], ["--bank-dtype", "float16"]):
        refused = run(capsys, "--task", "detection", *arguments, *wrong)
        assert refused.code == 2 and f"detection cannot use {wrong[0]}; omit it" in refused.err
    usual = run(capsys, "--task", "detection", *arguments, "--precision", "float32")
    assert "has no boxes" in usual.err  # what is the usual value anyway is not refused
    work = run(capsys, "--task", "knn", *arguments, "--work", str(tmp_path / "work"))
    assert work.code == 2 and "knn cannot use --work; omit it" in work.err


def test_the_file_that_repeats_a_run_names_its_own_protocol(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = tmp_path / "mine.yaml"
    own.write_text(
        "{id: knn/mine@1, task: knn, title: t, metric: top1, selection: none, source: ours, differs: k, "
        "settings: {neighbours: 3, temperature: 0.1}}"
    )
    arguments = ["--protocol", f"knn/patterns@2,{own}", "--data", str(folder), "--checkpoint", "pixels"]
    both = run(capsys, *arguments, "--no-bank")
    assert both.code == 0, both.err
    named = {}
    for path in (tmp_path / "results").rglob("*.config.yaml"):
        named[read_result(path.with_name(path.name.replace(".config.yaml", ".json"))).protocol] = (
            yaml.safe_load(path.read_text())["protocol"]
        )
    assert named == {"knn/patterns@2": ["knn/patterns@2"], "knn/mine@1": [str(own)]}


THREE_TRIALS = """
id: linear/three@1
task: linear
title: three trials
metric: top1
selection: none
source: this test
differs: in nothing
trials: 3
settings: {features: cached, weight_decays: [0.001], iterations: 3}
"""


def rows(text: str) -> dict[str, list[str]]:
    """The first table that was printed: first word of each line -> the others."""
    lines = [line.split() for line in text.splitlines()]
    start = next(number for number, line in enumerate(lines) if line[:2] == ["seed", "top1"])
    return {line[0]: line[1:] for line in lines[start : start + 6] if line}


def test_a_protocol_of_three_trials_runs_three_seeds_with_mean_and_std(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    protocol = tmp_path / "three.yaml"
    protocol.write_text(THREE_TRIALS)
    arguments = ["--checkpoint", "random", "--arch", "mixmask_resnet8", "--data", str(folder)]
    arguments += ["--out", str(tmp_path / "results")]
    answer = run(capsys, "--task", "linear,knn", "--protocol", str(protocol), *arguments)
    assert answer.code == 0, answer.err
    assert "linear/three@1: 3 trials, seeds 0 to 2" in answer.out + answer.err
    found = {path: read_result(path) for path in records(tmp_path / "results")}
    of_linear = sorted(
        (result for result in found.values() if result.task == "linear"), key=lambda result: result.seed
    )
    assert [result.seed for result in of_linear] == [0, 1, 2]
    assert [result.seed for result in found.values() if result.task == "knn"] == [0]
    values = np.array([result.metrics["top1"].value for result in of_linear])
    table = rows(answer.out)
    assert [float(table[str(seed)][0]) for seed in range(3)] == pytest.approx(values, abs=0.01)
    assert float(table["mean"][0]) == pytest.approx(values.mean(), abs=0.01)
    assert float(table["std"][0]) == pytest.approx(values.std(ddof=1), abs=0.01)
    for path, result in found.items():  # each record's own file repeats it, and nothing else
        assert yaml.safe_load(path.with_suffix(".config.yaml").read_text())["seeds"] == [result.seed]

    again = run(capsys, "--task", "linear", "--protocol", str(protocol), *arguments, "--seeds", "1")
    assert again.out.count("(reused, measured before)") == 1 and "std" not in again.out
    in_python = mmbench.evaluate(
        "random",
        "linear",
        folder,
        protocol=protocol,
        seeds=None,
        arch="mixmask_resnet8",
        out=tmp_path / "results",
    )
    assert [result.seed for result in in_python] == [0, 1, 2]
    assert len(records(tmp_path / "results")) == 4


def test_a_dry_run_says_what_would_run_and_where_the_record_would_be(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--task", "knn,linear", "--checkpoint", "random", "--arch", "mixmask_resnet8"]
    arguments += ["--data", str(folder), "--out", str(tmp_path / "results"), "--seeds", "0,1"]
    arguments += ["--set", "knn.neighbours=3", "--set", "linear.iterations=2"]
    dry = run(capsys, *arguments, "--dry-run")
    assert dry.code == 0, dry.err
    assert not (tmp_path / "results").exists() and not (tmp_path / "features").exists()
    assert "  train: 48 images\n  val: 16 images\n  test: 16 images\n" in dry.out
    assert "settings (changed: neighbours):\n  neighbours: 3\n  temperature: 0.1\n" in dry.out
    assert dry.out.count("settings (changed") == 2, "once per task, not per seed"
    assert dry.out.count("(would be written)") == 4
    done = run(capsys, *arguments)
    assert done.code == 0, done.err
    for path in records(tmp_path / "results"):
        assert f"{path} (would be written)" in dry.out
    again = run(capsys, *arguments, "--dry-run")
    assert again.out.count("(there already, would be reused)") == 4


def test_a_dry_run_refuses_what_the_run_refuses(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = run(
        capsys,
        *("--task", "detection", "--checkpoint", "random", "--arch", "mixmask_resnet8"),
        *("--data", str(folder), "--dry-run"),
    )
    assert answer.code == 2 and "no boxes" in answer.err
    assert not (tmp_path / "dry-run").exists()


def test_a_narrow_terminal_shortens_neither_ids_nor_numbers(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    answer = run(capsys, "--list", "--task", "detection")
    assert "detection/coco-fpn-1x-4conv@1 " in answer.out
    done = run(
        capsys,
        *("--task", "lowshot", "--checkpoint", "random", "--arch", "mixmask_resnet8", "--data", str(folder)),
        *("--out", str(tmp_path / "results"), "--set", "shots=[1,2]", "--set", "draws=2", "--seeds", "0,1"),
    )
    assert done.code == 0, done.err
    assert "…" not in done.out
    for path in records(tmp_path / "results"):
        for name, metric in read_result(path).metrics.items():
            assert name in done.out and written(metric) in done.out


@pytest.mark.parametrize("spec", ["random", "file"])
def test_records_are_filed_under_an_arm(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], spec: str
) -> None:
    checkpoint = "random"
    if spec == "file":
        checkpoint = str(tmp_path / "moco.pth")
        torch.save(create_headless("mixmask_resnet8").state_dict(), checkpoint)
    arm = "random again" if spec == "random" else "moco b"
    arguments = ["--task", "knn", "--checkpoint", checkpoint, "--arch", "mixmask_resnet8"]
    arguments += ["--data", str(folder), "--out", str(tmp_path / "results"), "--no-bank"]
    for more in ([], ["--arm", arm], ["--arm", arm]):
        answer = run(capsys, *arguments, *more)
        assert answer.code == 0, answer.err
    assert "reused, measured before" in answer.out
    paths = sorted((tmp_path / "results").rglob("*.json"))
    found = {result.model.arm: result for result in map(read_result, paths)}
    assert set(found) == {"random" if spec == "random" else "moco", arm} and len(paths) == 2
    renamed, first = found.pop(arm), next(iter(found.values()))
    assert renamed.model.origins["arm"] == f"asked for by --arm; {first.model.arm} before"
    assert renamed.model.source_format == first.model.source_format
    assert renamed.weights_sha256 == first.weights_sha256 is not None
    assert renamed.metrics == first.metrics
    assert first.compute is not None and first.compute.kind == "cpu" and first.compute.seconds > 0
    config = next((tmp_path / "results").rglob(f"{safe_name(arm)}*.config.yaml"))
    assert yaml.safe_load(config.read_text())["arm"] == arm


@pytest.mark.parametrize(
    ("checkpoint", "arm", "message"),
    [
        ("x.pth", "random", "--arm random is the row of a control"),
        ("x.pth", "a/b", "--arm 'a/b' has the separator '/'"),
        ("x.pth", " a", "--arm ' a' has spaces at its ends"),
        ("x.pth", "", "--arm '' is empty"),
        ("x.pth", "a\u202eb", "U+202E, which is not shown"),
        (
            "random",
            "mixmask",
            "random is a control, and its row says so; use a name such as --arm 'random mix",
        ),
        ("random", "random-high-pass", "random is a control, and its row says so"),
    ],
)
def test_an_arm_that_misleads_is_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str], checkpoint: str, arm: str, message: str
) -> None:
    Path("x.pth").write_bytes(b"PK\x03\x04")
    arguments = ["--task", "knn", "--arch", "mixmask_resnet8", "--data", str(folder), "--no-bank"]
    answer = run(capsys, *arguments, "--checkpoint", checkpoint, "--arm", arm)
    assert answer.code == 2 and message in answer.err and answer.err.count("\n") == 1
    assert not list(Path().rglob("*.json"))
