"""`mmbench transfer --dry-run` refuses what the run refuses, in the same words, and writes nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from calling import tree, write_imagenet_archives
from PIL import Image

from mmbench.checkpoints.backbone import create_headless
from mmbench.cli.commands import main
from mmbench.data.patterns.prepare import PatternsConfig, prepare
from mmbench.runs import RunFolder
from mmbench.tasks import TASKS

Run = Callable[..., tuple[int, str, str]]
RANDOM = ("--checkpoint=random", "--arch=mixmask_resnet8")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Call the command in an empty folder beside images; return exit code, output, last line of errors."""
    draw = np.random.default_rng(0)
    for split, count in (("train", 12), ("val", 4), ("test", 4)):
        for name in ("dark", "bright"):
            (tmp_path / "photos" / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = draw.integers(0, 256, (36, 36, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / "photos" / split / name / f"{number}.png")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.delenv("MMBENCH_DATA", raising=False)

    def call(*options: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(["transfer", "--device=cpu", *options])
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, "".join(said.err.strip().splitlines()[-1:])

    return call


def as_it_is(photos: Path) -> None:
    """Change nothing."""


def damaged(photos: Path) -> None:
    path = photos / "train" / "dark" / "0.png"
    path.write_bytes(path.read_bytes()[:60])


def few_to_draw(photos: Path) -> None:
    for path in [*(photos / "test").glob("*/[123].png")]:
        path.unlink()


def listed(photos: Path) -> None:
    (photos.parent / "dark.txt").write_text("dark/1.png\ndark/2.png\n")
    (photos.parent / "other.txt").write_text("dark/77.png\n")


@pytest.mark.parametrize(
    ("change", "options", "words"),
    [
        (as_it_is, ("--task=detection", *RANDOM), "no boxes"),
        (as_it_is, ("--task=knn", "--checkpoint=nowhere.pth"), "nowhere.pth"),
        (as_it_is, ("--task=knn", "--checkpoint=random"), "add --arch"),
        (as_it_is, ("--task=knn", "--checkpoint=random", "--arch=mixmask_resnt8"), "did you mean"),
        (as_it_is, ("--task=finetune", "--checkpoint=pixels"), "trains a backbone, and raw pixels have none"),
        (as_it_is, ("--task=lowshot", "--set=shots=[50]", *RANDOM), "50"),
        (as_it_is, ("--task=linear", "--protocol=linear/voc07-svm@2", *RANDOM), "have one label each"),
        (as_it_is, ("--task=knn", "--arm=pixels", *RANDOM), "pixels"),
        (as_it_is, ("--task=semisup", "--labels-file=none.txt", *RANDOM), "no list of labelled images"),
        (as_it_is, ("--task=knn", "--seeds=0,1", "--checkpoint=random"), "add --arch"),
        (
            listed,
            ("--task=semisup", "--labels-file=../dark.txt", *RANDOM),
            "lists no image of class 'bright'",
        ),
        (listed, ("--task=semisup", "--labels-file=../other.txt", *RANDOM), "77.png"),
        (
            listed,
            ("--task=semisup", "--seeds=3,4", "--labels-file=../dark.txt", *RANDOM),
            "mmbench: error: ../dark.txt lists no image of class 'bright'",
        ),
        (damaged, ("--task=knn", "--checkpoint=pixels"), "0.png"),
        (damaged, ("--task=finetune", *RANDOM), "0.png"),
        (few_to_draw, ("--task=knn", "--plot", "--checkpoint=pixels"), "t-SNE of 2 images shows nothing"),
        (
            few_to_draw,
            ("--task=knn", "--plot", "--arch=mixmask_resnet8", "--checkpoint=random", "--seeds=3,4"),
            "knn/patterns@2, seed 3: ",
        ),
    ],
)
def test_both_refuse(
    change: Callable[[Path], None], options: tuple[str, ...], words: str, run: Run, tmp_path: Path
) -> None:
    change(tmp_path / "photos")
    before = tree(tmp_path)
    planned = run("--data=../photos", *options, "--dry-run")
    assert tree(tmp_path) == before
    trained = run("--data=../photos", *options)
    assert planned[0] == trained[0] == 2
    assert planned[2] == trained[2] and words in planned[2]
    assert not list(tmp_path.glob("work/results/**/*.json"))


def test_every_task_on_labels_is_planned_and_then_measured(run: Run, tmp_path: Path) -> None:
    """Where nothing is refused, nothing is written, and the record is where it was said to be."""
    names = [name for name in TASKS.names() if not TASKS.get(name).dense]
    assert {"knn", "linear", "logreg", "lowshot", "semisup", "finetune"} <= set(names)
    short = ["--set=linear.iterations=1", "--set=lowshot.shots=[1]", "--set=lowshot.draws=1"]
    short += ["--set=semisup.epochs=1", "--set=finetune.epochs=1", "--set=semisup.fraction=0.5"]
    options = [f"--task={','.join(names)}", "--data=../photos", *RANDOM, *short]
    before = tree(tmp_path)
    code, said, error = run(*options, "--dry-run")
    assert code == 0, error
    assert tree(tmp_path) == before
    code, _, error = run(*options)
    assert code == 0, error
    paths = [str(path.relative_to(tmp_path / "work")) for path in tmp_path.glob("work/results/**/*.json")]
    assert len(paths) == len(names) and all(f"{path} (would be written)" in said for path in paths)


def test_a_run_that_another_process_works_on(run: Run, tmp_path: Path) -> None:
    """It is refused until its record is there, which is reused."""
    options = ("--task=finetune", "--data=../photos", *RANDOM, "--set=epochs=1")
    _, said, _ = run(*options, "--dry-run")
    (record,) = [word for word in said.split() if word.endswith(".json")]
    unfinished = tmp_path / "work" / "results" / ".unfinished" / Path(record).relative_to("results")
    with RunFolder(unfinished.with_suffix("")).locked():
        planned, trained = run(*options, "--dry-run"), run(*options)
    assert planned[0] == trained[0] == 2
    assert planned[2] == trained[2] and "another process is training" in planned[2]
    assert run(*options)[0] == 0
    with RunFolder(unfinished.with_suffix("")).locked():
        for more in (("--dry-run",), ()):
            code, said, _ = run(*options, *more)
            assert code == 0 and "reused" in said


@pytest.fixture
def few_patterns(monkeypatch: pytest.MonkeyPatch) -> None:
    few = PatternsConfig(train=40, val=20, test=20, scenes_train=1, scenes_val=1, scenes_test=1)
    monkeypatch.setattr("mmbench.data.patterns.prepare", lambda root: prepare(root, few))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--checkpoint=random",), "add --arch"),
        (("--checkpoint=random", "--arch=mixmask_resnt8"), "did you mean"),
        (("--checkpoint=random", "--arch=vit_tiny_patch16_224"), "32"),
        (("--checkpoint=nowhere.pth",), "nowhere.pth"),
        (("--checkpoint=pixels", "--arm=random"), "random"),
        (("--checkpoint=pixels", "--data-root=no/folder/here"), "there is no folder"),
    ],
)
def test_without_the_data_the_weights_are_refused_all_the_same(
    options: tuple[str, ...], words: str, run: Run, tmp_path: Path, few_patterns: None
) -> None:
    planned = run("--task=knn", "--data=patterns", *options, "--dry-run")
    assert not any((tmp_path / "work").iterdir())
    trained = run("--task=knn", "--data=patterns", *options)
    assert planned[0] == trained[0] == 2
    assert planned[2] == trained[2] and words in planned[2]


@pytest.mark.parametrize("checkpoint", ["file", "random", "pixels"])
def test_data_that_a_run_renders_are_said_not_to_be_here(
    checkpoint: str, run: Run, tmp_path: Path, few_patterns: None
) -> None:
    options = [f"--checkpoint={checkpoint}", "--arch=mixmask_resnet8"]
    if checkpoint == "file":
        torch.save(create_headless("mixmask_resnet8").state_dict(), tmp_path / "moco.pth")
        options[0] = "--checkpoint=../moco.pth"
    code, said, error = run("--task=knn,detection", "--data=patterns", *options, "--dry-run")
    assert code == 0, error
    assert "the Patterns data are not in data/patterns yet; a run renders them first" in said
    assert "nothing was trained or recorded" in said
    assert not any((tmp_path / "work").iterdir())


def test_archives_of_imagenet_are_not_unpacked(run: Run, tmp_path: Path) -> None:
    write_imagenet_archives(tmp_path / "work" / "data" / "imagenet")
    before = tree(tmp_path)
    code, said, _ = run("--task=knn", "--data=imagenet", "--checkpoint=pixels", "--dry-run")
    assert code == 0 and "a run unpacks ILSVRC2012_img_train.tar first" in said
    assert tree(tmp_path) == before
