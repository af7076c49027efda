"""The two commands, through the real command line, on a small data set."""

import os
import signal
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from PIL import Image

from mmbench.cli.commands import main
from mmbench.cli.next_step import next_step
from mmbench.data import Dataset
from mmbench.pretrain.command import following
from mmbench.pretrain.signals import signals_as_requests
from mmbench.pretrain.trainer import StepReport, Trainer
from mmbench.runs import RunFolder


@pytest.fixture
def loaded(tiny: Dataset, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    """The commands find the small data set under any name."""
    monkeypatch.setattr("mmbench.pretrain.sources.opening.load_dataset", lambda name, root: tiny)
    return tiny


def test_pretrain_runs_and_a_second_call_says_so(
    loaded: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["pretrain", "--method", "moco", "--epochs", "1", "--threads", "1", "--device", "cpu"]
    arguments += ["--set", "batch_size=32", "--set", "framework.queue=32", "--out", str(tmp_path / "run")]
    for words in ("moco: 3 of 3", "is finished already"):
        with pytest.raises(SystemExit) as left:
            main(arguments)
        assert left.value.code == 0
        assert words in capsys.readouterr().out.replace("\n", " ")
    assert RunFolder(tmp_path / "run").finished


def test_a_finished_run_needs_no_data(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And one that is not finished names the data that it lacks."""
    monkeypatch.chdir(tmp_path)
    for number in range(64):
        place = Path("photos") / "train" / "ab"[number % 2] / f"{number}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20, 20), (4 * number, 99, 50)).save(place)
    arguments = ["pretrain", "--method", "moco", "--data", "photos", "--epochs", "1", "--threads", "1"]
    arguments += ["--device", "cpu", "--set", "batch_size=32", "--set", "framework.queue=32", "--out", "run"]

    def call() -> tuple[object, str, str]:
        with pytest.raises(SystemExit) as left:
            main(arguments)
        return left.value.code, *capsys.readouterr()

    suggested: list[tuple[object, ...]] = []
    monkeypatch.setattr("mmbench.pretrain.command.next_step", lambda *words: suggested.append(words))
    assert call()[0] == 0 and len(suggested) == 1
    Path("photos").rename("elsewhere")
    code, said, _ = call()
    assert code == 0 and "run is finished already; nothing to do" in said
    assert "recipe moco@1, scale small-images: the run was begun by moco@1" in said
    assert len(suggested) == 1  # of data that are gone there is nothing to suggest
    Path("run/card.json").unlink()
    code, _, complaint = call()
    assert code == 2 and "photos" in complaint and complaint.count("\n") == 1
    Path("run").rename("away")
    assert call()[::2] == (2, complaint)


def test_an_option_and_a_setting_that_disagree_are_refused(
    loaded: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["pretrain", "--method", "moco", "--epochs", "1", "--dry-run"]
    with pytest.raises(SystemExit) as left:
        main([*arguments, "--set", "epochs=2"])
    assert left.value.code == 2
    assert "--epochs 1 and --set epochs=2 disagree; leave one of them out" in capsys.readouterr().err
    for agreeing in ("epochs=1", "seed=3"):  # --seed was not typed
        with pytest.raises(SystemExit) as left:
            main([*arguments, "--set", agreeing, "--set", "batch_size=32"])
        assert left.value.code == 0


def test_a_gpu_that_is_not_there_cannot_decode(
    loaded: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything is written; so are values that are none."""
    arguments = [
        "pretrain",
        "--method",
        "moco",
        "--epochs",
        "1",
        "--device",
        "cpu",
        "--out",
        str(tmp_path / "run"),
    ]
    for value, words in (("gpu", "decode=gpu needs a CUDA device"), ("gpus", "setting decode = 'gpus'")):
        with pytest.raises(SystemExit) as left:
            main([*arguments, "--set", f"decode={value}"])
        assert left.value.code == 2
        error = capsys.readouterr().err
        assert words in error and error.count("\n") == 1
        assert not (tmp_path / "run").exists()


def test_sigterm_saves_and_asks_to_be_submitted_again(
    loaded: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    step = Trainer.step

    def terminated(trainer: Trainer) -> StepReport:
        if trainer.step_number == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return step(trainer)

    arguments = [
        "pretrain",
        "--method",
        "mixmask",
        "--framework",
        "simsiam",
        "--epochs",
        "1",
        "--device",
        "cpu",
    ]
    arguments += ["--threads", "1", "--set", "batch_size=32", "--out", str(tmp_path / "run")]
    monkeypatch.setattr(Trainer, "step", terminated)
    for code, words in ((75, "the same command goes on"), (0, "at step 2 of 3")):
        with pytest.raises(SystemExit) as left:
            main(arguments)
        assert left.value.code == code
        assert words in capsys.readouterr().out.replace("\n", " ")
        assert RunFolder(tmp_path / "run").finished == (code == 0)


def test_bad_input_is_one_line_and_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, words in (
        (["--method", "mixmsk"], "did you mean 'mixmask'"),
        (["--method", "mixmask", "--set", "masking.rato=0.3"], "did you mean 'ratio'"),
        (["--method", "mixmask", "--arch", "mixmask_resnet9"], "did you mean 'mixmask_resnet"),
    ):
        with pytest.raises(SystemExit) as left:
            main(["pretrain", *arguments, "--out", str(tmp_path / "run")])
        assert left.value.code == 2
        error = capsys.readouterr().err
        assert words in error
        assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("method", ["moco", "mixmask", "erase", "mscn", "unmix+mixmask"])
def test_preview_draws_every_method(
    method: str, loaded: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "picture.png"
    with pytest.raises(SystemExit) as left:
        main(["preview", method, "--count", "4", "--out", str(out)])
    assert left.value.code == 0
    with Image.open(out) as image:
        pixels = torch.frombuffer(bytearray(image.convert("RGB").tobytes()), dtype=torch.uint8)
    white = (pixels.view(-1, 3) == 255).all(1).float().mean().item()
    assert 0.05 < white < 0.8


@pytest.mark.parametrize(("root", "place"), [("data", ""), ("my sets", " --data-root 'my sets'")])
def test_what_is_suggested_after_a_pretraining_suits_its_data(
    root: str, place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    config = SimpleNamespace(data="images", data_root=root)
    for classes, command in (
        (("unlabelled",), f"embed --checkpoint run --data images{place} --out features.npy"),
        (("cat", "dog"), f"transfer --task knn --checkpoint run --data images{place}"),
        (None, f"transfer --task knn --checkpoint run --data images{place}"),
    ):
        dataset = None if classes is None else Dataset("images", Path("images"), classes)
        next_step(*following(Path("run"), SimpleNamespace(config=config, dataset=dataset)))  # type: ignore[arg-type]
        assert capsys.readouterr().err == f"next: mmbench {command}\n"


def test_the_settings_of_a_preview_are_those_of_the_suggested_pretraining(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("RGB", (32, 32)).save(tmp_path / "1.png")
    chosen = ["--scale", "small-images", "--set", "masking.kind=block"]
    with pytest.raises(SystemExit) as stop:
        main(
            [
                "preview",
                "mixmask",
                "--image",
                str(tmp_path / "1.png"),
                *chosen,
                "--out",
                str(tmp_path / "o.png"),
            ]
        )
    err = capsys.readouterr().err
    assert not stop.value.code, err
    assert err.splitlines()[-1] == (
        f"next: mmbench pretrain --method mixmask --data patterns {' '.join(chosen)} --out runs/mixmask"
    )


def test_preview_of_photographs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = []
    for index in range(2):
        path = tmp_path / f"{index}.jpg"
        Image.effect_noise((200, 150 + index), 80).convert("RGB").save(path)
        paths += ["--image", str(path)]
    out = tmp_path / "picture.png"
    with pytest.raises(SystemExit) as left:
        main(["preview", "mixmask", *paths, "--set", "masking.kind=block", "--out", str(out)])
    assert left.value.code == 0
    assert out.is_file()
    with pytest.raises(SystemExit) as left:
        main(["preview", "mixmask", "--image", str(tmp_path / "none.png"), "--out", str(out)])
    assert left.value.code == 2
    assert "none.png cannot be read as an image" in capsys.readouterr().err


def test_signals_save_or_stop_and_a_second_interrupt_stops_at_once() -> None:
    before = signal.getsignal(signal.SIGINT)
    with signals_as_requests() as requests:
        os.kill(os.getpid(), signal.SIGUSR1)
        assert (requests.save, requests.stop) == (True, False)
        os.kill(os.getpid(), signal.SIGTERM)
        assert (requests.stop, requests.resubmit) == (True, True)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_a_second_sigterm_stops_at_once() -> None:
    with signals_as_requests() as requests:
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)
        assert requests.resubmit


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_where_no_step_will_come_is_heeded_at_once(number: signal.Signals) -> None:
    with signals_as_requests() as requests:
        requests.idle = True
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
        assert requests.resubmit == (number == signal.SIGTERM)


@pytest.mark.parametrize(
    ("number", "code", "place"),
    [
        (signal.SIGINT, 130, "mmbench.pretrain.preparation.build_framework"),
        (signal.SIGTERM, 75, "mmbench.pretrain.engine.draw_curves"),
        (signal.SIGINT, 130, "mmbench.pretrain.engine.export"),
        (signal.SIGINT, 130, "mmbench.pretrain.session.require_finite"),
    ],
)
def test_a_stop_before_or_after_the_steps_ends_the_run_and_the_same_command_goes_on(
    loaded: Dataset,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    number: signal.Signals,
    code: int,
    place: str,
) -> None:
    arguments = ["pretrain", "--method", "moco", "--epochs", "1", "--threads", "1", "--device", "cpu"]
    arguments += ["--set", "batch_size=32", "--set", "framework.queue=32", "--out", str(tmp_path / "run")]
    with monkeypatch.context() as patched:
        patched.setattr(place, lambda *_, **__: os.kill(os.getpid(), number))
        with pytest.raises(SystemExit) as left:
            main(arguments)
    assert left.value.code == code
    assert not RunFolder(tmp_path / "run").finished
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert left.value.code == 0, capsys.readouterr().err
    assert RunFolder(tmp_path / "run").finished


@pytest.mark.parametrize("content", [None, "", "\0\0\0", "[1]\n", '{"loss": 1}\n', "[" * 3000, "null\n"])
def test_a_run_at_its_last_step_finishes_without_its_metrics(
    loaded: Dataset,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    content: str | None,
) -> None:
    folder = RunFolder(tmp_path / "run")
    arguments = ["pretrain", "--method", "moco", "--epochs", "1", "--threads", "1", "--device", "cpu"]
    arguments += ["--set", "batch_size=32", "--set", "framework.queue=32", "--out", str(folder.root)]
    with monkeypatch.context() as patched:
        patched.setattr("mmbench.pretrain.engine.export", lambda *_: os.kill(os.getpid(), signal.SIGINT))
        with pytest.raises(SystemExit):
            main(arguments)
    (folder.root / "curves.png").unlink()
    if content is None:
        folder.metrics.unlink()
    else:
        folder.metrics.write_text(content)
    with pytest.raises(SystemExit) as left:
        main(arguments)
    said = capsys.readouterr()
    assert left.value.code == 0, said.err
    assert folder.finished and not (folder.root / "curves.png").exists()
    assert "no curves are drawn" in said.out.replace("\n", " ")
