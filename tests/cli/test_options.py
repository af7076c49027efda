"""The shared options: one spelling is shown, the others are accepted; values come from a file too."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from mmbench.checkpoints.stating import CommaOption
from mmbench.cli import options
from mmbench.cli.config_file import write_config
from mmbench.cli.next_step import next_step
from mmbench.errors import UserError


@click.command()
@options.config()
@options.tasks(names=lambda: ["knn", "linear"])
@options.data()
@options.data_root()
@options.seeds()
@options.precision()
@options.epochs()
@options.overrides()
@options.no_bank()
@click.option("--mean", cls=CommaOption)
@click.option("--write", type=click.Path(path_type=Path))
def command(write: Path | None, **values: Any) -> None:
    """Return the values."""
    if write is not None:
        write_config(write, click.get_current_context(), write=None)
    click.get_current_context().obj.update(values)


def values_of(*arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    command.main(list(arguments), prog_name="command", standalone_mode=False, obj=found)
    return found


def refusal_of(*arguments: str) -> str:
    with pytest.raises((UserError, click.ClickException)) as error:
        values_of(*arguments)
    return error.value.format_message() if isinstance(error.value, click.ClickException) else str(error.value)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--seeds", "0,1,2"),
        ("--seeds", "0, 1, 2"),
        ("--seed", "0,1", "--seeds", "2"),
        ["--seed=0", "--seed=1,2"],
    ],
)
def test_seeds_take_commas_and_repetition_under_both_spellings(arguments: list[str]) -> None:
    assert values_of(*arguments)["seeds"] == (0, 1, 2)


@given(st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=5, unique=True))
def test_any_different_seeds_are_read_as_they_are(seeds: list[int]) -> None:
    assert values_of("--seeds", ",".join(map(str, seeds)))["seeds"] == tuple(seeds)


@pytest.mark.parametrize("text", ["0,0", "0,", "", "1_0", "x", "-1", "0,1.5", "٣", str(2**63), "9" * 5000])
def test_seeds_that_are_not_different_whole_numbers_are_refused(text: str) -> None:
    assert "--seeds" in refusal_of("--seeds", text)


def test_aliases_are_accepted_and_not_shown() -> None:
    assert values_of("--root", "x")["data_root"] == Path("x")
    assert values_of("--precision", "bf16")["precision"] == "bfloat16"
    text = " ".join(CliRunner().invoke(command, ["--help"]).output.split())
    assert "--data-root" in text and "--root " not in text and "--seed " not in text
    assert "bf16" not in text and "One of: knn, linear." in text and "MMBENCH_DATA" in text


@pytest.mark.parametrize("precision", options.PRECISION.choices)
def test_every_precision_is_its_own_name(precision: str) -> None:
    assert values_of("--precision", precision)["precision"] == precision


def test_the_command_line_wins_over_the_file_and_the_file_over_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(
        "task: knn,linear\ndata: patterns\nroot: here\nseed: [3, 4]\nepochs: 5\nno-bank: true\n"
        "precision: bf16\nset: {temperature: 0.1, shots: [1, 2], lr: 1e-05}\n"
    )
    monkeypatch.setenv("MMBENCH_DATA", "elsewhere")
    found = values_of("--config", str(path), "--epochs", "7", "--set", "temperature=0.2")
    assert found == {
        **{"tasks": ("knn", "linear"), "data": "patterns", "data_root": Path("here"), "seeds": (3, 4)},
        **{"epochs": 7, "no_bank": True, "precision": "bfloat16", "mean": None},
        "overrides": ("temperature=0.1", "shots=[1, 2]", "lr=1e-05", "temperature=0.2"),
    }
    assert values_of()["data_root"] == Path("elsewhere")
    assert values_of("--config", str(path), "--root", "there")["data_root"] == Path("there")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epoch: 3", "did you mean 'epochs'"),
        ("epochs: 8.5", "epochs = 8.5: '8.5' is not a whole number"),
        ("epochs: true", "'true' is not a whole number"),
        ("epochs: [1]", "write one plain value"),
        ("epochs: 0", "epochs = 0: 0 is not in the range"),
        ("seeds: [[1]]", "write a list of plain values"),
        ("mean: [[1]]", "write a list of plain values"),
        ("mean: {a: 1}", "write one plain value"),
        ("data: [2024.10]", "write one plain value"),
        ("seeds: [1, 1]", "1 is given twice"),
        ("seed: 1\nseeds: 2", "seeds is given twice, by two spellings"),
        ("precision: float64", "'float64' is not one of"),
        ("config: x", "unknown option 'config'"),
        ("no_bank: 3", "'3' is not a valid boolean"),
        ("- 1", "write a line such as"),
        ("", "write a line such as"),
        ("a: &b 1", "anchors and aliases are not read"),
        ("a: 1\na: 2", "is there twice"),
        ("a: [", "not valid YAML"),
        ("\xff", "write a line such as"),
    ],
)
def test_a_file_that_is_not_valid_is_refused_with_its_path(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(text)
    refusal = refusal_of("--config", str(path))
    assert message in refusal and "run.yaml" in refusal


@pytest.mark.parametrize(
    "text",
    [
        "2024.10",
        "2024.1",
        "0.10",
        "1.50",
        "007",
        "1e3",
        "+5",
        "-0",
        "no",
        "on",
        "True",
        "YES",
        ".5",
        ".inf",
        "5.",
    ],
)
def test_a_text_is_what_the_file_says(tmp_path: Path, text: str) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(f"data: {text}\nroot: {text}\ntask: [{text}, '{text} b']\n")
    found = values_of("--config", str(path), "--write", str(tmp_path / "again.yaml"))
    assert (found["data"], found["data_root"], found["tasks"]) == (text, Path(text), (text, f"{text} b"))
    for quote in "'\"":
        path.write_text(f"data: {quote}{text}{quote}\ntask: {quote}{text}{quote}\n")
        assert (
            values_of("--config", str(path))["data"] == text == values_of("--config", str(path))["tasks"][0]
        )
    assert values_of("--config", str(tmp_path / "again.yaml")) == found


def test_numbers_and_flags_are_read_as_they_are_typed(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("epochs: +5\nno_bank: on\nseeds: [+1, 2]\ndata: ~\n")
    found = values_of("--config", str(path))
    assert (found["epochs"], found["no_bank"], found["seeds"], found["data"]) == (5, True, (1, 2), None)
    path.write_text("no_bank: No\n")
    assert values_of("--config", str(path))["no_bank"] is False


@pytest.mark.parametrize("text", ["[0.50, .5, 1]", "\n- 0.50\n- .5\n- 1", "'0.50,.5,1'", "0.50,.5,1"])
def test_numbers_that_are_typed_with_commas_may_be_a_list(tmp_path: Path, text: str) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(f"mean: {text}\n")
    assert values_of("--config", str(path))["mean"] == "0.50,.5,1"


@pytest.mark.parametrize("name", ["missing.yaml", "."])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    assert "--config" in refusal_of("--config", f"{tmp_path}/{name}")


def test_bytes_that_are_not_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_bytes(b"data: \xff\n")
    assert "it is not UTF-8 text" in refusal_of("--config", str(tmp_path / "run.yaml"))


def test_a_written_file_repeats_the_run(tmp_path: Path) -> None:
    first = values_of(
        *("--task", "linear,knn", "--data", "data/ni\udcf1o 'x'", "--seeds", "1,0", "--no-bank"),
        *("--set", "lr=1e-05", "--set", "name=null", "--write", str(tmp_path / "run.yaml")),
    )
    text = (tmp_path / "run.yaml").read_text()
    assert text.startswith("# command --config run.yaml\n") and "write" not in text
    assert values_of("--config", str(tmp_path / "run.yaml")) == first


def test_the_next_command_is_quoted_and_goes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    next_step("transfer", "--checkpoint", Path("my runs/x"), "--data", "a\nb")
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err == "next: mmbench transfer --checkpoint 'my runs/x' --data 'a\\nb'\n"


@pytest.mark.parametrize("code", ["import mmbench", "from mmbench.cli import main, options"])
def test_the_command_line_loads_without_torch(code: str) -> None:
    heavy = "{'torch', 'timm', 'torchvision', 'pandas', 'matplotlib', 'sklearn', 'scipy'}"
    check = f"{code}; import sys; loaded = {heavy} & set(sys.modules); assert not loaded, loaded"
    subprocess.run([sys.executable, "-c", check], check=True)
