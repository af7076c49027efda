"""`~` where no shell replaces it: quoted options, files of options, suites, settings and arguments."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from click.testing import CliRunner

import mmbench
from mmbench.checkpoints.weights_by_name.reading import resolve
from mmbench.cli import options, paths
from mmbench.errors import UserError
from mmbench.home import at_home, home_path
from mmbench.pretrain.planning import RunRequest
from mmbench.tools.suite.definition.suite_file import suite_of
from mmbench.transfer.resolution import resolve_task

SUITE = """
name: mine
data: [~/mine]
data_root: ~/data
arms: [{checkpoint: ~/x.pth, name: x}]
tasks: [knn]
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home" / "mine").mkdir(parents=True)
    return tmp_path / "home"


def test_only_a_leading_tilde_is_the_home(home: Path) -> None:
    assert at_home("~") == str(home) and home_path("~/a b") == home / "a b"
    for text in ("a/~", "./~", "~nobody-of-this-name/x", "timm:resnet18", ""):
        assert at_home(text) == text


def test_options_in_quotes_and_in_a_file(home: Path, tmp_path: Path) -> None:
    @click.command()
    @options.config()
    @options.data(type=paths.DATA)
    @options.data_root()
    @options.out()
    def show(**given: Any) -> None:
        click.echo(yaml.safe_dump({name: str(value) for name, value in given.items()}))

    expected = {"data": str(home / "mine"), "data_root": str(home / "data"), "out": str(home / "runs")}
    stated = {"data": "~/mine", "data-root": "~/data", "out": "~/runs"}
    file = tmp_path / "options.yaml"
    file.write_text(yaml.safe_dump(stated))
    typed = [part for name, value in stated.items() for part in (f"--{name}", value)]
    for arguments in (typed, ["--config", str(file)]):
        result = CliRunner().invoke(show, arguments, catch_exceptions=False)
        assert yaml.safe_load(result.output) == expected


def test_suites(home: Path) -> None:
    suite = suite_of(SUITE, "mine")
    assert (suite.data, suite.data_root) == ((str(home / "mine"),), home / "data")
    assert suite.arms[0].checkpoint == str(home / "x.pth")
    with pytest.raises(UserError, match=f"protocol {home}/own.yaml cannot be read"):
        suite_of(SUITE.replace("[knn]", "[{task: knn, protocol: ~/own.yaml}]"), "mine")


def test_settings_of_a_pretraining(home: Path) -> None:
    request = RunRequest("simclr", "small-images", {}, {"data": "~/mine", "data_root": Path("~/data")})
    assert request.data() == (str(home / "mine"), home / "data")
    config = request.resolved()
    assert (config.data, config.data_root) == (str(home / "mine"), home / "data")


def test_python(home: Path) -> None:
    assert resolve("~/x.pth") == home / "x.pth"
    with pytest.raises(UserError, match=f"no data folder at {home}/other"):
        mmbench.evaluate("pixels", "knn", "~/other", out="~/results", device="cpu")
    with pytest.raises(UserError, match=f"protocol {home}/own.yaml cannot be read"):
        resolve_task("knn", "~/own.yaml")
    with pytest.raises(UserError, match=f"{home}/results"):
        mmbench.build_leaderboard("~/results")
