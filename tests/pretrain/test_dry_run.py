"""`mmbench pretrain --dry-run` refuses what the run refuses, in the same words, and writes nothing."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from calling import tree, write_imagenet_archives
from PIL import Image
from small_runs import make_tiny_dataset, small, stopped

from mmbench.cli import main
from mmbench.data.patterns.prepare import PatternsConfig, prepare
from mmbench.pretrain.engine import pretrain
from mmbench.runs import RunFolder

Run = Callable[..., tuple[int, str, str]]
FITTING = ("batch_size=8", "framework.queue=16", "--epochs=1", "--arch=mixmask_resnet8")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Call the command in an empty folder beside 24 images; return exit code, output, last line of errors."""
    draw = np.random.default_rng(0)
    (tmp_path / "photos").mkdir()
    for number in range(24):
        pixels = draw.integers(0, 256, (20, 20, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{number}.png")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.delenv("MMBENCH_DATA", raising=False)

    def call(data: str, *options: str) -> tuple[int, str, str]:
        words = [word for option in options for word in (["--set", option], [option])[option[0] == "-"]]
        with pytest.raises(SystemExit) as ended:
            main(["pretrain", "--method", "moco", "--data", data, "--device", "cpu", *words])
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, "".join(said.err.strip().splitlines()[-1:])

    return call


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (("batch_size=20", "accumulation=3"), "cannot be shared out"),
        (("batch_size=20", "batch_norm.splits=7"), "use --set batch_size=14"),
        (("batch_size=25",), "larger than the train split"),
        (("batch_size=8", "knn_every=1"), "needs a val split"),
        (("batch_size=8", "loading=files", "decode=gpu"), "decode=gpu needs a CUDA device"),
        (("batch_size=8", "decode=gpu"), "decode=gpu needs a CUDA device"),
        (("batch_size=8", "compile=true"), "needs a C++ compiler"),
        (("batch_size=8", "precision=fp16"), "fp16 needs a GPU"),
        (("batch_size=8", "trackers=[tensorbord]"), "did you mean 'tensorboard'"),
        (("batch_size=8", "--arch=mixmask_resnt18"), "did you mean 'mixmask_resnet18'"),
        (("batch_size=8", "--arch=vit_tiny_patch16_224"), "choose another --arch or image_size"),
        (("batch_size=8", "--download"), "unknown data set"),
    ],
)
def test_both_refuse_settings(
    settings: tuple[str, ...], words: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", "no-compiler")
    trained = run("../photos", "framework.queue=16", *settings, "--out=run")
    for out in ((), ("--out=run",)):
        planned = run("../photos", "framework.queue=16", *settings, *out, "--dry-run")
        assert planned[0] == trained[0] == 2
        assert planned[2] == trained[2] and words in planned[2]
    assert not any((tmp_path / "work").iterdir())


def foreign(folder: Path) -> None:
    folder.mkdir()
    (folder / "thesis.tex").write_text("precious")


def a_file(folder: Path) -> None:
    folder.write_text("precious")


def of_other_settings(folder: Path) -> None:
    stopped(small("moco"), folder, 3, make_tiny_dataset())


def finished_with_other_settings(folder: Path) -> None:
    pretrain(small("moco", epochs=1), folder, dataset=make_tiny_dataset())


def damaged_settings(folder: Path) -> None:
    folder.mkdir()
    (folder / "settings.yaml").write_text("- no settings")


def lock_is_a_link(folder: Path) -> None:
    folder.mkdir()
    (folder / ".lock").symlink_to(folder / "elsewhere")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (foreign, "is not a run folder but holds files"),
        (a_file, "is a file"),
        (of_other_settings, "holds a run with other settings: "),
        (finished_with_other_settings, "holds a run with other settings: "),
        (damaged_settings, "is damaged"),
        (lock_is_a_link, "is a symbolic link"),
    ],
)
def test_both_refuse_a_folder_and_leave_it_as_it_is(
    make: Callable[[Path], None], words: str, run: Run, tmp_path: Path
) -> None:
    make(tmp_path / "work" / "run")
    before = tree(tmp_path)
    planned, trained = (run("../photos", *FITTING, "--out=run", *more) for more in (("--dry-run",), ()))
    assert planned[0] == trained[0] == 2
    assert planned[2] == trained[2] and words in planned[2]
    assert tree(tmp_path) == before


def of_a_process(folder: RunFolder, held: ExitStack) -> None:
    held.enter_context(RunFolder(folder.root).locked())


def of_other_data(folder: RunFolder, held: ExitStack) -> None:
    photo = next(Path("../photos").glob("*.png"))
    Image.new("RGB", (20, 20)).save(photo)


def of_linked_states(folder: RunFolder, held: ExitStack) -> None:
    folder.training.rename(folder.root.parent / "states")
    folder.training.symlink_to(folder.root.parent / "states")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (of_a_process, "another process is training"),
        (of_other_data, "is not the one that"),
        (of_linked_states, "is a link or a file"),
    ],
)
def test_both_refuse_to_go_on(
    change: Callable[[RunFolder, ExitStack], None], words: str, run: Run, tmp_path: Path
) -> None:
    folder = RunFolder(tmp_path / "work" / "run")
    assert run("../photos", *FITTING, "--out=run")[0] == 0
    folder.weights.unlink()
    going_on = run("../photos", *FITTING, "--out=run", "--dry-run")
    assert going_on[0] == 0 and "going on with run at step 3 of 3" in going_on[1]
    with ExitStack() as held:
        change(folder, held)
        before = tree(tmp_path)
        planned = run("../photos", *FITTING, "--out=run", "--dry-run")
        assert tree(tmp_path) == before
        trained = run("../photos", *FITTING, "--out=run")
    assert planned[0] == trained[0] == 2
    assert planned[2] == trained[2] and words in planned[2]


def test_a_finished_run_and_a_damaged_state(run: Run, tmp_path: Path) -> None:
    assert run("../photos", *FITTING, "--out=run")[0] == 0
    done = run("../photos", *FITTING, "--out=run", "--dry-run")
    assert done[0] == 0 and done[1].endswith("run is finished already; nothing to do\n")
    folder = RunFolder(tmp_path / "work" / "run")
    folder.weights.unlink()
    folder.state_paths()[0].write_bytes(b"")
    (folder.training / ".step-00000002.pth").write_bytes(b"")
    before = tree(tmp_path)
    code, said, _ = run("../photos", *FITTING, "--out=run", "--dry-run")
    assert code == 0 and "cannot be read (it is empty)" in said
    assert tree(tmp_path) == before


@pytest.mark.parametrize(
    ("damaged", "settings", "words"),
    [
        (11, (), "11 of 24 images in"),
        (24, ("loading=files",), "none of the images tried"),
        (23, (), "of 24 images in"),
    ],
)
def test_both_refuse_damaged_images(
    damaged: int, settings: tuple[str, ...], words: str, run: Run, tmp_path: Path
) -> None:
    for photo in sorted((tmp_path / "photos").iterdir())[:damaged]:
        photo.write_bytes(photo.read_bytes()[:60])
    planned = run("../photos", *FITTING, *settings, "--dry-run")
    trained = run("../photos", *FITTING, *settings, "--out=run")
    assert planned[0] == trained[0] == 2
    assert planned[2] == trained[2] and words in planned[2]
    assert not any((tmp_path / "work").iterdir())


def test_both_refuse_a_disk_that_is_full(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda place: SimpleNamespace(free=2**20))
    planned, trained = (run("../photos", *FITTING, "--out=run", *more) for more in (("--dry-run",), ()))
    assert planned[0] == trained[0] == 1
    assert planned[2] == trained[2] and "not enough disk for training states" in planned[2]
    not_rendered = run("patterns", *FITTING, "--out=run", "--dry-run")
    assert not_rendered[0] == 1 and not_rendered[2] == planned[2]
    assert not any((tmp_path / "work").iterdir())


@pytest.mark.parametrize(
    ("data", "settings", "words"),
    [
        ("patterns", ("loading=files",), "leave out --set loading=files"),
        ("patterns", ("batch_size=5000",), "larger than the train split of 'patterns' (4000 images)"),
        ("patterns", ("--download",), "cannot be downloaded here"),
        ("patterns", ("--data-root=no/folder/here",), "there is no folder"),
        ("cifar100", (), "cifar100 is not in"),
        ("imagenet", (), "imagenet is not in"),
        ("imagenet-100", (), "classes.txt is missing"),
        ("nowhere/at/all", (), "nowhere/at/all"),
    ],
)
def test_both_refuse_data_that_are_not_here(
    data: str,
    settings: tuple[str, ...],
    words: str,
    run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    few = PatternsConfig(train=4000, val=10, test=10, scenes_train=1, scenes_val=1, scenes_test=1)
    monkeypatch.setattr("mmbench.data.patterns.prepare", lambda root: prepare(root, few))
    planned = run(data, *FITTING, *settings, "--dry-run")
    assert not any((tmp_path / "work").iterdir())
    trained = run(data, *FITTING, *settings, "--out=run")
    assert planned[0] == trained[0] == 2
    assert planned[2] == trained[2] and words in planned[2]


def test_data_that_a_run_renders_or_fetches_are_said_not_to_be_here(run: Run, tmp_path: Path) -> None:
    for data, count, options, words in (
        ("patterns", "4,000 images", (), "a run renders them first"),
        ("cifar100", "45,000 images", ("--download",), "a run downloads it first"),
    ):
        code, said, _ = run(data, "--arch=mixmask_resnet8", *options, "--dry-run")
        assert code == 0 and count in said and f"the images of {data} are not here" in said
        assert words in said
    assert not any((tmp_path / "work").iterdir())


def test_archives_of_imagenet_are_not_unpacked(run: Run, tmp_path: Path) -> None:
    write_imagenet_archives(tmp_path / "work" / "data" / "imagenet")
    before = tree(tmp_path)
    code, said, _ = run("imagenet", "batch_size=8", "--arch=mixmask_resnet8", "image_size=32", "--dry-run")
    assert code == 0 and "a run unpacks ILSVRC2012_img_train.tar first" in said
    assert "1,281,167 images" in said
    assert tree(tmp_path) == before


def test_what_data_cost_that_are_not_here_is_said_before_they_are_refused(run: Run) -> None:
    code, said, error = run("cifar100", "--arch=mixmask_resnet8", "--dry-run")
    assert code == 2 and "45,000 images, " in said and "cifar100 is not in" in error


def test_trackers_are_not_started(run: Run, tmp_path: Path) -> None:
    options = (*FITTING, "trackers=[tensorboard]", "--out=run")
    assert run("../photos", *options, "--dry-run")[0] == 0
    assert not any((tmp_path / "work").iterdir())


def test_a_single_image_is_no_reason_for_another_batch(run: Run, tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    Image.new("RGB", (20, 20)).save(tmp_path / "one" / "a.png")
    for options in (("--dry-run",), ("--out=run",)):
        code, _, line = run("../one", *options)
        assert code == 2 and "has 1 image; a step takes at least two" in line
