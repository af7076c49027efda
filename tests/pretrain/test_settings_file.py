"""`--config`: a run's settings repeat it; a file that a user wrote changes a recipe."""

from pathlib import Path

import pytest
import yaml
from small_runs import same

from mmbench.cli.commands import main
from mmbench.data import Dataset
from mmbench.errors import UserError
from mmbench.pretrain.api import run_pretraining
from mmbench.pretrain.config import resolve_config
from mmbench.pretrain.settings_file import read_settings_file
from mmbench.runs import RunFolder, read_settings


@pytest.fixture
def loaded(tiny: Dataset, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    monkeypatch.setattr("mmbench.pretrain.sources.opening.load_dataset", lambda name, root: tiny)
    return tiny


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as left:
        main(["pretrain", *arguments])
    assert isinstance(left.value.code, int)
    return left.value.code


def test_the_settings_of_a_run_repeat_it(loaded: Dataset, tmp_path: Path) -> None:
    first, second = tmp_path / "x", tmp_path / "y"
    options = ["--framework", "simclr", "--epochs", "1", "--threads", "1", "--device", "cpu", "--seed", "3"]
    changes = [
        "--set",
        "batch_size=32",
        "--set",
        "optimizer.learning_rate=0.001",
        "--set",
        "precision=float32",
    ]
    assert run("--method", "mixmask", *options, *changes, "--out", str(first)) == 0
    assert run("--config", str(first / "settings.yaml"), "--out", str(second)) == 0
    assert read_settings(first / "settings.yaml") == read_settings(second / "settings.yaml")
    assert same(RunFolder(first), RunFolder(second))
    recorded = read_settings(first / "settings.yaml")
    assert (recorded["method"], recorded["seed"], recorded["precision"]) == ("simclr+mixmask", 3, "fp32")
    assert recorded["optimiser"]["lr"] == 0.001 and recorded["recipe"] == "mixmask@1"
    third = tmp_path / "z"
    assert run("--config", str(first), "--seed", "4", "--set", "batch_size=16", "--out", str(third)) == 0
    changed = read_settings(third / "settings.yaml")
    assert (changed["seed"], changed["batch_size"], changed["optimiser"]) == (4, 16, recorded["optimiser"])


def test_python_runs_the_same(loaded: Dataset, tmp_path: Path) -> None:
    said: list[str] = []
    first = run_pretraining(
        "moco",
        "stripes",
        out=tmp_path / "first",
        epochs=1,
        device="cpu",
        threads=1,
        dataset=loaded,
        overrides={"batch_size": 32, "framework.queue": 32, "precision": "fp32"},
        say=said.append,
    )
    assert said[0] == "recipe moco@1, scale small-images: it fits 96 images of 20 px"
    second = run_pretraining(config=first.settings, out=tmp_path / "second", dataset=loaded, say=said.append)
    assert "recipe moco@1, scale small-images: stated by the settings" in said
    assert same(first, second)
    assert read_settings(first.settings) == read_settings(second.settings)


def test_a_file_of_a_few_settings(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("method: mixmask\nscale: imagenet\nepochs: 10\noptimizer: {learning_rate: 0.06}\n")
    config = resolve_config(stated=read_settings_file(path))
    expected = resolve_config("mixmask", scale="imagenet", epochs=10, overrides=["optimiser.lr=0.06"])
    assert config == expected
    over = resolve_config(stated=read_settings_file(path), overrides=["masking.name=erase", "epochs=3"])
    assert (over.masking["name"], over.epochs, over.method) == ("erase", 3, "erase")
    other = resolve_config("moco", stated=read_settings_file(path))
    assert (other.method, other.recipe, other.epochs) == ("moco", "moco-imagenet@2", 10)


def test_a_method_replaces_framework_and_masking_of_the_settings_of_a_run() -> None:
    stated = resolve_config("moco", scale="imagenet", overrides=["batch_size=64"]).model_dump(mode="json")
    asked = resolve_config("mixmask", scale="imagenet", stated=stated)
    expected = resolve_config("mixmask", scale="imagenet", overrides=["batch_size=64"])
    assert (asked.masking, asked.framework, asked.method) == (
        expected.masking,
        expected.framework,
        "mixmask",
    )
    assert asked.batch_size == 64 and asked.recipe == expected.recipe
    byol = resolve_config("byol", scale="imagenet", stated=stated)
    assert byol.framework == resolve_config("byol", scale="imagenet").framework
    same = resolve_config(
        "moco", scale="imagenet", stated=stated | {"framework": {"name": "moco", "queue": 99}}
    )
    assert same.framework["queue"] == 99


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "cannot be read: No such file or directory"),
        ("[1]\n", "is not a mapping of settings"),
        ("a: [\n", "not valid YAML"),
        ("method: mixmask\nepoch: 3\n", "unknown setting 'epoch'; did you mean 'epochs'"),
        ("method: mixmsk\n", "did you mean 'mixmask'"),
        ("method: moco\noptimiser: {lr: 1, learning_rate: 2}\n", "setting optimiser.lr is given twice"),
        ("method: [1]\n", "setting method = [1]: must be a name"),
        ("method: mixmask\nepochs: -1\n", "setting epochs = -1"),
        ("method: mixmask\nmasking: {grid: 0}\n", "masking.grid = 0"),
        ("method: mixmask\nmasking: {gird: 4}\n", "masking.gird"),
        ("method: mixmask\nmasking: 3\n", "masking"),
        ("method: mixmask\noptimiser: {}\noptimizer: {}\n", "given twice"),
        ("epochs: 3\n", "Missing option '--method'"),
        ("method: mixmask\nscale: imagnet\n", "did you mean 'imagenet'"),
    ],
)
def test_wrong_files_are_one_line(
    text: str | None, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mine.yaml"
    if text is not None:
        path.write_text(text)
    assert run("--config", str(path), "--data", "patterns", "--out", str(tmp_path / "run")) == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes(b"method: \xff\n")
    with pytest.raises(UserError, match="is not UTF-8 text"):
        read_settings_file(path)


@pytest.mark.parametrize(
    "path", ["/dev/full", "/dev/null", "\0", "x" * 5000, "", "..", "/proc/self/mem", "a\nb"]
)
def test_odd_paths_are_one_line(path: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--config", path, "--data", "patterns", "--out", str(tmp_path / "run")) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("masking: no", "masking = False is not a section of settings (YAML reads no and off as false"),
        ("masking: no", 'write masking: {name: "none"}'),
        ("masking: mixmask", 'is not a section of settings; write masking: {name: "mixmask"}'),
        ("framework: 3", 'framework = 3 is not a section of settings; write framework: {name: "moco"}'),
        ("masking: {name: no}", "setting masking.name: False is not a name (YAML reads no and off as false"),
        ("masking: {name: no}", 'write one, such as "none"'),
        ("masking: {}", ""),
        ('masking: {name: "none"}', ""),
    ],
)
def test_a_section_that_is_none_says_how_to_write_it(
    loaded: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, words: str
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(f"method: moco\n{text}\nbatch_size: 32\n")
    code = run("--config", str(path), "--data", "patterns", "--device", "cpu", "--dry-run")
    err = capsys.readouterr().err
    assert (code == 2) == bool(words), err
    assert words in err and (not words or err.count("\n") == 1)


def test_list_and_dry_run_write_nothing(
    loaded: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("--list") == 0
    assert "unmix-mixmask  tried" in capsys.readouterr().out
    arguments = ["--method", "mixmask", "--data", "patterns", "--set", "batch_size=32", "--dry-run"]
    assert run(*arguments, "--set", "precision=fp32", "--device", "cpu") == 0
    out = capsys.readouterr().out
    assert "batch_size = 32  [yours]" in out
    assert "masking.grid = 4  [ours: cells of 8 px" in out
    assert "masking.ratio = 0.5  [MixMask, arXiv 2210.11456" in out
    assert "96 images, 24 steps of 32 (3 per epoch)" in out
    assert "s per step on this CPU" in out and "MiB on disk" in out
    assert list(tmp_path.iterdir()) == []


def test_the_environment_names_the_data_folder(
    loaded: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MMBENCH_DATA", str(tmp_path / "there"))
    options = [
        "--method",
        "moco",
        "--epochs",
        "1",
        "--threads",
        "1",
        "--device",
        "cpu",
        "--set",
        "batch_size=32",
    ]
    assert run(*options, "--set", "framework.queue=32", "--out", str(tmp_path / "run")) == 0
    recorded = yaml.safe_load((tmp_path / "run" / "settings.yaml").read_text())
    assert recorded["data_root"] == str(tmp_path / "there")
