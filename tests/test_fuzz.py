"""Any input ends in one line and exit code 2: no traceback, no file left behind.

Every setting of every protocol and recipe, and every option of every command, is given values that are out of
range, not finite, of the wrong type, huge, or odd text. The draws are the same in every run.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mmbench.cli import commands as cli
from mmbench.cli import paths
from mmbench.errors import UserError
from mmbench.pretrain.config import resolve_config
from mmbench.pretrain.recipes.recipe import recipes
from mmbench.pretrain.settings import SECTIONS, PretrainConfig
from mmbench.settings.values import parse_setting
from mmbench.tasks import TASKS, TaskSettings
from mmbench.tools.results import read_records
from mmbench.transfer.protocol import get_protocol, protocols
from mmbench.transfer.resolution import parse_settings

STEADY = settings(
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
NUMBERS = [0, -1, 1, 2, 0.5, -0.5, 1e-300, 1e300, 2**31, 2**32, 2**63, 2**64, 10**400, 10**5000]
ODD = [
    math.nan,
    math.inf,
    -math.inf,
    True,
    False,
    None,
    "",
    "nan",
    "1e-3",
    "0x10",
    "010",
    "1_0",
    "x" * 5000,
    "a\nb",
    "\0",
]
VALUES = st.one_of(
    st.sampled_from([*NUMBERS, *ODD]),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.lists(st.one_of(st.sampled_from([*NUMBERS, *ODD]), st.floats(), st.integers(-3, 300)), max_size=4),
    st.dictionaries(st.text(max_size=4), st.integers(), max_size=2),
    st.lists(st.lists(st.integers(), max_size=2), max_size=2),
)
BOMB = "{" + ", ".join(f"{c}: &{c} [*{p}, *{p}]" for p, c in zip("abcdefgh", "bcdefghi", strict=True)) + "}"
TEXTS = st.one_of(
    st.sampled_from(
        [
            *(
                "",
                " ",
                "0",
                "-1",
                "1",
                "nan",
                "inf",
                "-inf",
                "1e308",
                "1e-308",
                "0x1F",
                "1_000",
                "true",
                "null",
            ),
            *(
                "9223372036854775808",
                "-9223372036854775809",
                "4294967296",
                "9" * 5000,
                "[" * 3000,
                "x" * 5000,
                BOMB,
            ),
            *(
                "2020-01-01",
                "1:30",
                "!!python/object/apply:os.system [true]",
                "{a: 1, a: 2}",
                "a=b",
                "=",
                "a=",
                "=b",
            ),
            *(
                "..",
                "/",
                "/dev/null",
                "/dev/full",
                "/proc/self/mem",
                "/dev/null/x",
                "x/" * 3000,
                "~",
                "*",
                "-",
                "--",
            ),
            *(
                "\0",
                "a\0b",
                "\n",
                "a\nb",
                "\x1b[31m",
                "\udc80",
                "é",
                "日本",
                "\u202e",
                "🙂",
                "%s",
                "{}",
                "$HOME",
            ),
            *("optimiser.lr=nan", "epochs=1e9", "framework=3", "masking.name=[]", "seed=9223372036854775808"),
            *(
                "neighbours=[]",
                "neighbours=.nan",
                "temperature=-1",
                "features=[]",
                "0,1",
                "0,0",
                "1,-1",
                "cuda:99",
            ),
        ]
    ),
    st.text(max_size=30),
    st.integers().map(str),
    st.floats().map(str),
)


def is_one_short_line(error: UserError) -> bool:
    line = str(error)
    return line.isprintable() and 0 < len(line) < 1000


def finite(value: Any) -> bool:
    """Return whether no number in a dumped setting is NaN or infinite."""
    if isinstance(value, dict):
        return all(map(finite, value.values()))
    if isinstance(value, list | tuple):
        return all(map(finite, value))
    return not isinstance(value, float) or math.isfinite(value)


def as_text(value: Any) -> str:
    """Return a value as a user would type it."""
    try:
        return str(value)
    except ValueError:  # Python refuses to print more than 4300 digits
        return "9" * 5000


def task_settings() -> list[tuple[str, str]]:
    """Return (protocol, setting) for every setting that a protocol's task has."""
    found = []
    for name, protocol in protocols().items():
        model: type[TaskSettings] = TASKS.get(protocol.task).settings
        found += [(name, setting) for setting in model.variant(protocol.settings).model_fields]
    return found


def recipe_settings() -> list[tuple[str, str]]:
    """Return (recipe, setting) for every setting that a recipe has, inside sections too."""
    found = []
    for name in recipes():
        values = resolve_config(name).model_dump()
        for setting in PretrainConfig.model_fields:
            found.append((name, setting))
            if setting in SECTIONS:
                found += [(name, f"{setting}.{inner}") for inner in values[setting]]
    return found


@settings(STEADY, max_examples=400)
@given(st.sampled_from(task_settings()), VALUES)
@example(("knn/patterns@1", "neighbours"), [])
@example(("linear/patterns@1", "features"), ["cached"])
@example(("detection/coco-c4-1x@2", "detector"), 10**5000)
@example(("dense/knn-hummingbird@1", "probe"), 10**5000)
@example(("detection/own@1", "iterations"), 10**5000)
def test_a_setting_of_any_task_is_usable_or_refused(place: tuple[str, str], value: Any) -> None:
    protocol = get_protocol(place[0])
    try:
        found = parse_settings(TASKS.get(protocol.task).settings, protocol, {place[1]: value})
    except UserError as error:
        assert is_one_short_line(error)
    else:
        assert finite(found.model_dump())


@settings(STEADY, max_examples=400)
@given(st.sampled_from(recipe_settings()), st.one_of(VALUES.map(as_text), TEXTS))
def test_a_setting_of_any_recipe_is_usable_or_refused(place: tuple[str, str], text: str) -> None:
    try:
        found = resolve_config(place[0], overrides=[f"{place[1]}={text}"])
    except UserError as error:
        assert is_one_short_line(error)
    else:
        assert finite(found.model_dump(mode="json"))
        assert resolve_config(place[0], overrides=[f"{place[1]}={text}"]) == found


@settings(STEADY, max_examples=200)
@given(st.one_of(st.text(max_size=40), TEXTS))
def test_any_text_after_set_is_a_setting_or_refused(text: str) -> None:
    try:
        parse_setting(text)
    except UserError as error:
        assert is_one_short_line(error)


# Command -> a complete call, about things that do not exist: valid input ends in exit code 2 too.
WHOLE = {
    "demo": {},
    "data prepare": {"name": "cifar10"},
    "data check": {"name": "cifar10"},
    "data manifest": {"name": "no-such-data"},
    "data show": {"name": "cifar10", "--out": "image.png"},
    "data pack": {"name": "no-such-data", "--out": "pack", "--short-side": "64"},
    "data list": None,  # nothing can be given
    "pretrain": {"--method": "mixmask", "--data": "no-such-data", "--out": "run"},
    "preview": {"method": "mixmask", "--data": "no-such-data", "--out": "views.png"},
    "inspect": {"checkpoint": "no-such-file.pth"},
    "convert": {"checkpoint": "no-such-file.pth", "out": "converted", "--to": "timm"},
    "transfer": {
        **{"--task": "knn", "--checkpoint": "random", "--data": "no-such-data", "--out": "results"},
        **{"--bank": "features", "--device": "cpu"},
    },
    "embed": {
        **{"--checkpoint": "random", "--arch": "mixmask_resnet8", "--data": "no-such-data"},
        **{"--out": "features.npy", "--bank": "features", "--device": "cpu"},
    },
    "results list": {"folder": "no-such-results"},
    "results show": {"record": "no-such-record.json"},
    "leaderboard build": {"results": "no-such-results", "--out": "board"},
    "leaderboard show": {"results": "no-such-results"},
    "leaderboard rank": {"results": "no-such-results"},
    "leaderboard diff": {"before": "no-such-board", "after": "no-such-board"},
    "leaderboard verify": {"results": "no-such-results"},
    "leaderboard add": {"files": "no-such-record.json", "--to": "results"},
    "leaderboard export hub": {"results": "no-such-results", "--row": "moco", "--out": "card"},
    "leaderboard export wandb": {"results": "no-such-results", "--out": "runs"},
    "leaderboard export mlflow": {"results": "no-such-results", "--out": "runs"},
    "suite plan": {"spec": "no-such-suite"},
    "suite run": {"spec": "no-such-suite", "--out": "suite"},
    "suite status": {"spec": "no-such-suite"},
    "suite report": {"spec": "no-such-suite"},
    "watch": {"run": "no-such-run", "--task": "knn", "--device": "cpu"},
    "reproduce": {"record": "no-such-record.json"},
    "doctor": None,
}


def commands(group: click.Group, name: str = "") -> Iterator[tuple[str, click.Command]]:
    """Yield every command that does something, with its full name."""
    for part in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), part)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, f"{name}{part} ")
        else:
            yield f"{name}{part}", command


ALL = dict(commands(cli.root))


def places() -> list[tuple[str, str]]:
    """Return (command, option or argument) for everything that takes a value."""
    found = []
    for name, command in ALL.items():
        if WHOLE[name] is None:
            continue
        for parameter in command.params:
            if isinstance(parameter, click.Argument):
                found.append((name, str(parameter.name)))
            elif isinstance(parameter, click.Option) and not parameter.is_flag:
                found.append((name, parameter.opts[0]))
    return found


def arguments_of(command: str, place: str, text: str) -> list[str]:
    """Return a complete command line with `text` at one place."""
    whole = {**(WHOLE[command] or {}), place: text}
    options = [f"{name}={value}" for name, value in whole.items() if name.startswith("--")]
    order = [
        str(parameter.name) for parameter in ALL[command].params if isinstance(parameter, click.Argument)
    ]
    return [*command.split(), *options, "--", *(whole[name] for name in order)]


def test_every_command_is_fuzzed() -> None:
    assert set(ALL) == set(WHOLE)
    assert len(places()) > 50


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder, where nothing long can start."""
    monkeypatch.chdir(tmp_path)
    for name in ("MMBENCH_DATA", "MMBENCH_TRACEBACK"):
        monkeypatch.delenv(name, raising=False)

    def begins(*_: object, **__: object) -> None:
        raise UserError("all that was typed is valid")

    def read(folder: Path) -> object:
        return begins() if folder.is_dir() else read_records(folder)  # "/" holds more than a test can read

    look = paths.Checked.convert

    def later(
        self: paths.Checked, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        return str(value) if str(value).startswith("no-such") else look(self, value, param, ctx)

    monkeypatch.setattr(paths.Checked, "convert", later)  # values beside them are looked at first
    monkeypatch.setattr("mmbench.tools.suite.run.overview", begins)
    monkeypatch.setattr("mmbench.tools.results.read_records", read)
    return tmp_path


def outcome(arguments: list[str]) -> int:
    """Return the exit code; an exception that gets here would have been a traceback."""
    with pytest.raises(SystemExit) as stop:
        cli.main(arguments)
    return int(stop.value.code or 0)


@settings(STEADY, max_examples=400)
@given(place=st.sampled_from(places()), text=TEXTS)
@example(place=("transfer", "--set"), text="neighbours=9223372036854775808")
@example(place=("pretrain", "--seed"), text="9" * 5000)
def test_any_text_at_any_option_ends_in_exit_code_2(
    place: tuple[str, str], text: str, nowhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = outcome(arguments_of(*place, text))
    said = capsys.readouterr().err
    assert code == 2, (code, said)
    assert "mmbench: error: " in said.splitlines()[-1] and len(said.splitlines()[-1]) < 2100
    assert not list(nowhere.iterdir())


@pytest.mark.parametrize("command", sorted(name for name, whole in WHOLE.items() if whole))
def test_what_is_valid_ends_here_too(command: str, nowhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Otherwise fuzzed values could be refused for another reason, or start something long."""
    place, text = next(iter((WHOLE[command] or {}).items()))
    assert outcome(arguments_of(command, place, text)) == 2
    assert capsys.readouterr().err.count("\n") <= 2
    assert not list(nowhere.iterdir())


@settings(STEADY, max_examples=100)
@given(command=st.sampled_from(sorted(ALL)), words=st.lists(TEXTS, min_size=1, max_size=3))
def test_arguments_that_no_command_takes_end_in_exit_code_2(
    command: str, words: list[str], nowhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = outcome([*command.split(), "--no-such-option", *words])
    assert code == 2 and capsys.readouterr().err.startswith("mmbench: error: ")
    assert outcome([words[0] if words[0] and not words[0].startswith("-") else "no-such-command"]) == 2
    assert not list(nowhere.iterdir())
