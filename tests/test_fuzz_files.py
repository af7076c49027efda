"""Any content of a file that a command is given ends in one line and exit code 2, or is meant.

Suite files, records for `mmbench reproduce`, and the settings of a run folder for `mmbench watch`. The draws
are the same in every run.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mmbench.cli.commands import main
from mmbench.errors import UserError
from mmbench.records.store import read_result
from mmbench.tools.reproduction import task_of
from mmbench.tools.suite.definition.suite_file import suite_of
from mmbench.tools.suite.planning.plan import plan_of

STEADY = settings(
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=150,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
GOLDEN = Path(__file__).parent / "leaderboard" / "golden" / "linear-mscn-schema1.json"
RECORD: dict[str, Any] = json.loads(GOLDEN.read_text())
RECORD["dataset"]["name"] = "no-such-data"
SUITE: dict[str, Any] = {
    "name": "small",
    "data": ["patterns"],
    "arch": "mixmask_resnet8",
    "arms": [
        {
            "name": "moco",
            "pretrain": {
                "method": "moco",
                "scale": "small-images",
                "epochs": 2,
                "settings": {"optimiser.lr": 1},
            },
        },
        {"name": "random", "checkpoint": "random", "arch": "mixmask_resnet8", "seeds": [0]},
    ],
    "seeds": [0, 1],
    "tasks": [
        "knn",
        {"task": "linear", "protocol": "linear/patterns@2", "settings": {}, "draws": 1, "seeds": 1},
    ],
    "baseline": "moco",
    "run": {"workers": 1, "threads": 1, "executor": "local", "slurm": {"time": "01:00:00", "options": []}},
}
RUN: dict[str, Any] = {
    "method": "moco",
    "arch": "mixmask_resnet8",
    "data": "no-such-data",
    "effective": {"steps_per_epoch": 2, "steps": 8},
}
ATOMS = st.one_of(
    st.sampled_from(
        [
            *(None, True, 0, -1, 1.5, 10**30, "", " ", ".", "..", "/", "a/b", "random", "pixels", "timm:x"),
            *("mixmask", "knn", "linear/patterns@2", "no\nline", "x" * 3000, "\0", "é", "~", "1e3", "0"),
        ]
    ),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=12),
)
VALUES = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=5,
)
CONTENTS = st.one_of(
    st.binary(max_size=60),
    st.text(max_size=60).map(lambda text: text.encode("utf-8", "replace")),
    VALUES.map(lambda value: json.dumps(value).encode()),
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of everything in a tree of values."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*path, key)
        yield from places(inner, (*path, key))


def changed(values: dict[str, Any], path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    """Return a copy of a tree with another value at a path."""
    new = copy.deepcopy(values)
    inner: Any = new
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return new


def require_one_line(error: UserError) -> None:
    line = str(error)
    assert line.isprintable() and 0 < len(line) < 3000, line


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Return the one line in which a command ends."""
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    out, err = capsys.readouterr()
    assert stop.value.code == 2 and out == "", (arguments, out, err)
    assert err.startswith("mmbench: error: ") and err.count("\n") == 1, err
    return err


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@settings(STEADY)
@given(path=st.sampled_from(list(places(SUITE))), value=VALUES)
def test_a_suite_with_any_value_anywhere_is_planned_or_refused(path: tuple[Any, ...], value: Any) -> None:
    try:
        suite = suite_of(json.dumps(changed(SUITE, path, value)), "small")
        assert plan_of(suite).cells
    except UserError as error:
        require_one_line(error)


@settings(STEADY)
@given(path=st.sampled_from([*places(RUN), ("strange",)]), value=VALUES)
def test_watch_with_any_settings_of_a_run(
    path: tuple[Any, ...], value: Any, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = here / "run"
    folder.mkdir(exist_ok=True)
    (folder / "settings.yaml").write_text(json.dumps(changed(RUN, path, value)))
    refused(["watch", "run", "--task", "knn"], capsys)  # it has no state, and nothing runs


@settings(STEADY)
@given(path=st.sampled_from(list(places(RECORD))), value=VALUES)
@example(path=("config", "weight_decays"), value=[])
@example(path=("protocol",), value="linear/patterns@2")
def test_a_record_with_any_value_anywhere_is_understood_or_refused(
    path: tuple[Any, ...], value: Any, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = here / "record.json"
    place.write_text(json.dumps(changed(RECORD, path, value)))
    refused(["reproduce", "record.json"], capsys)  # its data set is not here
    try:
        task_of(read_result(place), None)
    except UserError as error:
        require_one_line(error)


@settings(STEADY)
@given(content=CONTENTS)
@example(content=yaml.safe_dump(SUITE).encode("utf-16"))
@example(content=GOLDEN.read_bytes()[:-40])
def test_any_content_is_refused_in_one_line(
    content: bytes, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = here / "run"
    folder.mkdir(exist_ok=True)
    for path in (here / "file.yaml", here / "file.json", folder / "settings.yaml"):
        path.write_bytes(content)
    refused(["suite", "plan", "file.yaml"], capsys)
    refused(["reproduce", "file.json"], capsys)
    refused(["watch", "run", "--task", "knn"], capsys)
