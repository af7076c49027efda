"""Suites that cannot be meant end in one clear line with exit code 2, and nothing is started."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
import yaml

from mmbench.cli.commands import main
from mmbench.errors import UserError
from mmbench.tools.suite.definition.suite_file import read_suite, shipped_suites, suite_of

GOOD = """
name: small
data: [patterns]
arch: mixmask_resnet8
arms:
  - {name: moco, pretrain: {method: moco, epochs: 2}}
  - {name: mixmask, pretrain: {method: mixmask, epochs: 2}}
  - {name: random, checkpoint: random}
seeds: [0, 1]
tasks: [knn, {task: linear, protocol: linear/patterns@1}, {task: detection, seeds: 1}]
baseline: moco
run: {workers: auto, gpus_per_cell: 1, executor: local}
"""


def changed(**fields: object) -> str:
    """Return the good suite with other values of some fields; None removes a field."""
    values = {**yaml.safe_load(GOOD), **fields}
    text = json.dumps({name: value for name, value in values.items() if value is not None})  # is YAML too
    return text.replace("NaN", ".nan").replace("Infinity", ".inf")


def arms(*entries: object) -> str:
    return changed(arms=list(entries), baseline=None)


MOCO = {"name": "moco", "pretrain": {"method": "moco", "epochs": 2}}


def pretrain(**fields: object) -> str:
    return arms({"name": "a", "pretrain": {"method": "moco", **fields}})


def tasks(*entries: object) -> str:
    return changed(tasks=list(entries))


# What is wrong -> (the file, a part of the message).
BAD = {
    # files
    "empty": ("", "is empty"),
    "comment alone": ("# nothing\n", "is empty"),
    "list": ("- a\n- b\n", "not a list of fields"),
    "text": ("just words\n", "not a list of fields"),
    "bad YAML": ("name: [small\n", "not valid YAML"),
    "tabs": ("name: small\n\tdata: [patterns]\n", "not valid YAML"),
    "anchor": ("name: &x small\ndata: [*x]\n", "anchors and aliases"),
    "tag": ("name: !!python/object:os.system small\n", "tag"),
    "key twice": (GOOD + "name: other\n", "'name' is there twice"),
    "two documents": (GOOD + "---\n" + GOOD, "more than one document"),
    "deep": ("name: " + "[" * 30 + "]" * 30, "levels deep"),
    "NUL": (GOOD + "title: 'a\0b'\n", "not valid YAML"),
    # fields
    "unknown field": (changed(methods=["moco"]), "there is no setting methods"),
    "no name": (changed(name=None), "setting name is missing"),
    "name with a separator": (changed(name="../x"), "setting name"),
    "no data": (changed(data=None), "setting data is missing"),
    "data empty": (changed(data=[]), "setting data"),
    "data as text": (changed(data="patterns"), "setting data"),
    "long name of data": (changed(data=["x" * 500]), "unknown data set 'xxx"),
    "data root with NUL": (GOOD + 'data_root: "a\\0b"\n', "setting data_root"),
    "data root as a number": (changed(data_root=5), "must be the path of a folder"),
    "a setting in two spellings": (
        pretrain(settings={"optimiser.lr": 0.5, "optimizer.lr": 0.0001}),
        "setting optimiser.lr is given twice, as optimiser.lr and optimizer.lr",
    ),
    "settings as a list": (tasks({"task": "knn", "settings": [1]}), "setting tasks.0.settings"),
    "long checkpoint": (arms({"checkpoint": "x" * 500}), "has 500 characters"),
    "no arms": (changed(arms=[]), "setting arms"),
    "arms missing": (changed(arms=None), "setting arms is missing"),
    "arms as a mapping": (changed(arms={"moco": {}}), "setting arms"),
    "arm as text": (arms("moco"), "setting arms.0"),
    "arm as null": (arms(None), "setting arms.0"),
    "no tasks": (changed(tasks=[]), "setting tasks"),
    "task as a number": (tasks(3), "setting tasks.0"),
    "no seeds": (changed(seeds=[]), "setting seeds"),
    "seeds as a number": (changed(seeds=3), "setting seeds"),
    "negative seed": (changed(seeds=[-1]), "setting seeds.0 = -1"),
    "NaN seed": (changed(seeds=[float("nan")]), "setting seeds.0"),
    "infinite seed": (changed(seeds=[float("inf")]), "setting seeds.0"),
    "huge seed": (changed(seeds=[2**70]), "setting seeds.0"),
    "enormous number": (GOOD.replace("[0, 1]", f"[{'9' * 5000}]"), "digits"),
    "seed as a flag": (changed(seeds=[True]), "setting seeds.0"),
    "seed as a fraction": (changed(seeds=[0.5]), "setting seeds.0"),
    "title is a list": (changed(title=["a"]), "setting title"),
    "negative workers": (changed(run={"workers": -1}), "workers = -1: must be auto or a whole number"),
    "no workers": (changed(run={"workers": 0}), "workers = 0"),
    "many workers": (changed(run={"workers": 10**9}), "workers"),
    "workers as text": (changed(run={"workers": "all"}), "workers = 'all'"),
    "negative GPUs": (changed(run={"gpus_per_cell": -1}), "gpus_per_cell"),
    "negative retries": (changed(run={"retries": -1}), "retries"),
    "run as text": (changed(run="local"), "setting run"),
    "unknown executor": (changed(run={"executor": "slrum"}), "did you mean 'slurm'"),
    "Slurm's time": (changed(run={"slurm": {"time": "an hour"}}), "slurm.time"),
    "Slurm's unknown field": (changed(run={"slurm": {"queue": "a"}}), "slurm.queue"),
    "Slurm's option that is none": (changed(run={"slurm": {"options": ["qos=low"]}}), "slurm.options.0"),
    "no processes": (changed(run={"pretraining": {"processes_per_node": 0}}), "processes_per_node"),
    "nodes without Slurm": (changed(run={"pretraining": {"nodes": 2}}), "only Slurm starts jobs on several"),
    "time of a job": (changed(run={"pretraining": {"time": 60}}), "pretraining.time"),
    "Slurm without nodes": (changed(run={"slurm": {"nodes": 0}}), "slurm.nodes"),
    # names
    "unknown data": (changed(data=["paterns"]), "did you mean 'patterns'"),
    "unknown method": (pretrain(method="mocco"), "did you mean 'moco'"),
    "unknown scale": (pretrain(scale="cifar"), "unknown scale 'cifar'"),
    "unknown data of an arm": (pretrain(data="paterns"), "did you mean 'patterns'"),
    "unknown architecture of ours": (changed(arch="mixmask_resnet9"), "did you mean 'mixmask_resnet8'"),
    "unknown architecture of timm": (changed(arch="resnet51"), "did you mean 'resnet51q'"),
    "unknown task": (tasks("lineer"), "did you mean 'linear'"),
    "unknown protocol": (tasks({"task": "knn", "protocol": "knn/paterns@1"}), "did you mean 'knn/patterns@"),
    "protocol of another task": (
        tasks({"task": "knn", "protocol": "linear/patterns@1"}),
        "is for task 'linear', not for 'knn'",
    ),
    "protocol file that is not there": (tasks({"task": "knn", "protocol": "no.yaml"}), "cannot be read"),
    "unknown setting of a task": (tasks({"task": "knn", "settings": {"neighbors": 5}}), "unknown setting of"),
    "setting of a task out of range": (tasks({"task": "knn", "settings": {"neighbours": -5}}), "-5"),
    "NaN in a setting of a task": (tasks({"task": "knn", "settings": {"temperature": float("nan")}}), "nan"),
    "unknown arm in without": (tasks({"task": "knn", "without": ["mocco"]}), "did you mean 'moco'"),
    "unknown arm in arms": (tasks({"task": "knn", "arms": ["mocco"]}), "did you mean 'moco'"),
    "unknown data of a task": (tasks({"task": "knn", "data": ["cifar10"]}), "unknown data set of this suite"),
    "unknown baseline": (changed(baseline="mscn"), "unknown arm 'mscn'"),
    "unknown setting of a pretraining": (pretrain(settings={"optimiser.rl": 1}), "did you mean 'lr'"),
    "a warm-up longer than the run": (
        pretrain(epochs=1, settings={"optimiser.warmup_epochs": 2}),
        "must not be longer than the run",
    ),
    "NaN in a setting of a pretraining": (pretrain(settings={"optimiser.lr": float("nan")}), "optimiser.lr"),
    "setting of a pretraining out of range": (pretrain(settings={"optimiser.lr": -1}), "-1"),
    "setting with a field of its own": (pretrain(settings={"seed": 1}), "has a field of its own"),
    # twice
    "arm twice": (
        arms(MOCO, {**MOCO, "pretrain": {"method": "moco", "epochs": 3}}),
        "names must be different",
    ),
    "arm twice by its default name": (
        arms({"pretrain": {"method": "moco"}}, {"name": "moco", "pretrain": {"method": "mixmask"}}),
        "names must be different",
    ),
    "arm twice by content": (arms(MOCO, {**MOCO, "name": "other"}), "is the same as arm 'moco'"),
    "task twice": (tasks("knn", "knn"), "same column as task 1 (knn)"),
    "column twice by two spellings": (
        tasks("knn", {"task": "knn", "protocol": "knn/patterns@2"}),
        "same column",
    ),
    "column twice by a stated default": (
        tasks("knn", {"task": "knn", "settings": {"neighbours": 20}}),
        "same column",
    ),
    "one column with two settings": (
        tasks({"task": "knn", "settings": {"neighbours": 3}}, {"task": "knn", "settings": {"neighbours": 5}}),
        "task 2 (knn): knn/patterns@2 on patterns has other settings in task 1 (knn) (neighbours 3 there, 5 "
        "here), and a board has one column for both; remove one of them, ",
    ),
    "one column with two settings of other arms": (
        tasks({"task": "knn", "arms": ["moco"], "settings": {"temperature": 1}}, "knn"),
        "knn/patterns@2 on patterns has other settings in task 1 (knn) (temperature ",
    ),
    "two versions of a protocol": (
        tasks("knn", {"task": "knn", "protocol": "knn/patterns@1"}),
        "task 2 (knn): knn/patterns@1 is another version of knn/patterns@2 (task 1 (knn)), and a board does",
    ),
    "two versions of a protocol on two data sets": (
        changed(
            data=["patterns", "cifar100"],
            tasks=[
                {"task": "knn", "protocol": "knn/patterns@1", "data": ["cifar100"]},
                {"task": "knn", "protocol": "knn/patterns@2", "data": ["patterns"]},
            ],
        ),
        "state the same version in both",
    ),
    "data twice": (changed(data=["patterns", "patterns"]), "'patterns' is there twice"),
    "data twice by two spellings": (changed(data=["./own/a", "own/a/"]), "called 'a' in records"),
    "seed twice": (changed(seeds=[0, 1, 0]), "seed 0 is there twice"),
    "seed of an arm twice": (arms({**MOCO, "seeds": [1, 1]}), "seed 1 is there twice"),
    "seed of a task twice": (tasks({"task": "knn", "seeds": [1, 1]}), "seed 1 is there twice"),
    # what goes together
    "neither weights": (arms({"name": "a"}), "has no weights"),
    "both weights": (arms({**MOCO, "checkpoint": "a.pth"}), "both pretrain and checkpoint"),
    "an arm on itself": (arms({"name": "a", "checkpoint": "a"}), "is the arm itself"),
    "a cycle of arms": (
        arms({"name": "a", "checkpoint": "b"}, {"name": "b", "checkpoint": "a"}),
        "cannot start from an arm",
    ),
    "an arm on an arm": (arms(MOCO, {"name": "b", "checkpoint": "moco"}), "is another arm"),
    "name of a control": (arms({"name": "pixels", "pretrain": {"method": "moco"}}), "row of a control"),
    "control under another name": (arms({"name": "chance", "checkpoint": "random"}), "is a control"),
    "name with a separator in an arm": (arms({**MOCO, "name": "a/b"}), "separator"),
    "name of dots": (arms({**MOCO, "name": ".."}), "consists of dots"),
    "seeds of raw pixels": (arms({"checkpoint": "pixels", "seeds": [0, 1]}), "has no seeds"),
    "seeds of a file": (arms({"checkpoint": "a.pth", "seeds": [0]}), "has no seeds"),
    "random weights without an architecture": (
        changed(arch=None, arms=[{"checkpoint": "random"}], baseline=None),
        "need an architecture",
    ),
    "two architectures": (
        arms({"arch": "mixmask_resnet18", "pretrain": {"method": "moco", "arch": "mixmask_resnet8"}}),
        "two architectures",
    ),
    "scale twice": (pretrain(method="moco-imagenet", scale="cifar100"), "states scale imagenet"),
    "no epochs": (pretrain(epochs=0), "epochs = 0"),
    "huge epochs": (pretrain(epochs=2**40), "epochs"),
    "more seeds than there are": (tasks({"task": "knn", "seeds": 5}), "5 are asked for"),
    "a seed that no arm has": (tasks({"task": "knn", "seeds": [7]}), "7 is not a seed of arm"),
    "no seeds of a task": (tasks({"task": "knn", "seeds": 0}), "seeds = 0"),
    "no draws": (tasks({"task": "knn", "draws": 0}), "draws"),
    "an arm that no task can take": (
        changed(arms=[MOCO, {"checkpoint": "pixels"}], tasks=["finetune"], baseline=None),
        "arm 'pixels' is measured on no task",
    ),
    "an arm that every task leaves out": (tasks({"task": "knn", "without": ["mixmask"]}), "'mixmask'"),
    "a task that no arm can take": (
        changed(arms=[{"checkpoint": "pixels"}], tasks=["knn", "finetune"], baseline=None),
        "no arm is measured",
    ),
    "an arm that its task cannot take": (
        changed(
            arms=[MOCO, {"checkpoint": "pixels"}],
            tasks=["knn", {"task": "finetune", "arms": ["pixels"]}],
            baseline=None,
        ),
        "raw pixels have none",
    ),
    "a task without data": (changed(data=["cifar100"], tasks=["detection"]), "has no boxes"),
    "labels for one": (changed(data=["voc2007"], tasks=["linear"]), "several labels"),
    "too many cells": (
        changed(
            seeds=list(range(1000)),
            tasks=[{"task": name, "draws": 100} for name in ("knn", "linear", "logreg")],
        ),
        "split it",
    ),
}


def one_line_of(spec: str, capsys: pytest.CaptureFixture[str]) -> str:
    """Return the only line that `mmbench suite plan` prints of a bad suite."""
    with pytest.raises(SystemExit) as stop:
        main(["suite", "plan", spec])
    out, err = capsys.readouterr()
    assert stop.value.code == 2, err
    assert out == "" and err.count("\n") == 1 and err.startswith("mmbench: error: "), err
    return err


@pytest.mark.parametrize("text, part", BAD.values(), ids=BAD.keys())
def test_a_bad_suite_ends_in_one_line(
    text: str,
    part: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bad.yaml").write_text(text)
    line = one_line_of("bad.yaml", capsys)
    assert part in line
    assert [path.name for path in tmp_path.iterdir()] == ["bad.yaml"]  # nothing was started or left


def test_what_a_board_can_show_side_by_side_is_read() -> None:
    """Other protocols, other data, and optional tasks, which a run leaves out."""
    few = {"task": "knn", "settings": {"neighbours": 3}}
    both = [
        {**few, "data": ["patterns"]},
        {"task": "knn", "protocol": "knn/patterns@2", "data": ["cifar100"]},
    ]
    for text in (
        changed(data=["patterns", "cifar100"], tasks=both),
        tasks("knn", {**few, "protocol": "knn/instdisc@2"}),
        tasks("knn", {**few, "optional": True}),
    ):
        suite_of(text, "good.yaml")


def test_two_own_files_of_one_protocol_are_refused(tmp_path: Path) -> None:
    own = (
        "id: {id}\ntask: knn\ntitle: own\nmetric: top1\nselection: none\nsource: own\ndiffers: nothing\n"
        "settings: {{neighbours: {k}, temperature: 0.1}}\n"
    )
    paths = [tmp_path / f"{number}.yaml" for number in (1, 2)]
    for ids, words in (
        (("knn/own@1", "knn/own@2"), "knn/own@2 is another version of knn/own@1"),
        (("knn/own@1", "knn/own@1"), "knn/own@1 on patterns has other settings in task 1"),
    ):
        for path, id, k in zip(paths, ids, (3, 5), strict=True):
            path.write_text(own.format(id=id, k=k))
        with pytest.raises(UserError, match=words):
            suite_of(tasks(*({"task": "knn", "protocol": str(path)} for path in paths)), "own.yaml")


def test_the_good_suite_is_read(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(GOOD)
    suite = read_suite(str(tmp_path / "small.yaml"))
    assert (suite.name, suite.seeds, suite.tasks[0].task, suite.tasks[2].seeds) == ("small", (0, 1), "knn", 1)


def test_a_folder_is_a_path_from_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "images").mkdir()
    monkeypatch.chdir(tmp_path)
    arms = [{"pretrain": {"method": "moco", "epochs": 20, "data": "images"}}]
    tasks = [{"task": "knn", "data": ["images"]}, "linear"]
    text = changed(data=["images", "patterns"], arms=arms, tasks=tasks, baseline=None)
    suite = suite_of(text, "suite")
    assert suite.data == ("./images", "patterns") and suite.tasks[0].data == ("./images",)
    held = json.dumps(suite.model_dump(mode="json", exclude_defaults=True))
    monkeypatch.chdir("/")
    assert suite_of(held, "suite") == suite
    with pytest.raises(UserError, match="unknown data set 'images'"):
        suite_of(text, "suite")


def test_a_section_for_slurm_means_slurm(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(changed(run={"slurm": {"partition": "low"}}))
    assert read_suite(str(tmp_path / "small.yaml")).run.executor == "slurm"


def unreadable(tmp_path: Path) -> dict[str, str]:
    """Return paths that are no suites, and parts of the messages about them."""
    (tmp_path / "binary.yaml").write_bytes(bytes(range(256)))
    (tmp_path / "long.yaml").write_bytes(b"# " + b"x" * 1_000_001)
    with (tmp_path / "enormous.yaml").open("wb") as stream:
        stream.truncate(2**40)  # takes no space on the disk
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "loop.yaml").symlink_to("loop.yaml")
    (tmp_path / "run").mkdir()
    (tmp_path / "mine.yml").write_text(GOOD)
    return {
        "binary.yaml": "not a text file",
        "long.yaml": "more than 1,000,000 bytes",
        "enormous.yaml": "more than 1,000,000 bytes",
        "pipe.yaml": "not a regular file",
        "loop.yaml": "cannot be read",
        "run": "run is a folder",
        "mine": "name mine.yml",
        "no/such.yaml": "cannot be read",
        "/dev/zero": "not a regular file",
        "dmeo": "did you mean 'demo'",
        "": "unknown suite ''",
        "x" * 5000: "unknown suite",
        "a\0b.yaml": "cannot be read",
    }


def test_what_is_no_file_of_a_suite_ends_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for spec, part in unreadable(tmp_path).items():
        assert part in one_line_of(spec, capsys), spec


@pytest.mark.parametrize("name", shipped_suites())
def test_shipped_suites_are_valid_and_called_as_their_files(name: str) -> None:
    suite = read_suite(name)
    assert suite.name == name and suite.title


def test_a_suite_is_refused_before_anything_of_it_is_believed() -> None:
    with pytest.raises(UserError, match=re.escape("unknown suite 'nothing-like-it'")):
        read_suite("nothing-like-it")
