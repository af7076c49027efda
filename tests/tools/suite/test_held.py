"""The suite that a folder holds: found by name or folder, grown, or refused with what differs."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from mmbench.errors import UserError
from mmbench.tools.suite.definition.suite_file import read_suite, suite_of
from mmbench.tools.suite.folder import SuiteFolder
from mmbench.tools.suite.held import begun, hold, suite_and_folder
from mmbench.tools.suite.planning.plan import Plan, plan_of

SMALL = {
    "name": "small",
    "data": ["patterns"],
    "arch": "mixmask_resnet8",
    "arms": [
        {"name": "moco", "pretrain": {"method": "moco", "epochs": 2}},
        {"name": "random", "checkpoint": "random"},
    ],
    "seeds": [0, 1],
    "tasks": ["knn", {"task": "linear", "protocol": "linear/patterns@2"}],
    "baseline": "random",
}


def planned(**changes: object) -> Plan:
    return plan_of(suite_of(yaml.safe_dump({**SMALL, **changes}), "small.yaml"))


def test_the_written_suite_is_the_one_that_was_read(tmp_path: Path) -> None:
    plan, folder = planned(), SuiteFolder(tmp_path / "a")
    assert hold(plan, folder) is None
    assert read_suite(str(folder.suite)) == plan.suite
    changed = folder.suite.stat().st_mtime_ns
    assert hold(planned(), folder) is None and folder.suite.stat().st_mtime_ns == changed


@pytest.mark.parametrize(
    "text", ["1.5e3", "1.0E5", ".5e3", "nO", "ofF", "2026-11-28", "~", "a: b #c", "0x10"]
)
def test_names_and_titles_that_look_like_other_values_are_read_back(text: str, tmp_path: Path) -> None:
    values = json.dumps({**SMALL, "title": text, "arms": [{"name": text, "checkpoint": "w.pth"}]})
    suite = suite_of(values.replace('"baseline": "random"', f'"baseline": {json.dumps(text)}'), "small.yaml")
    folder = SuiteFolder(tmp_path / "a")
    hold(plan_of(suite), folder)
    assert read_suite(str(folder.suite)) == suite
    assert hold(plan_of(suite), folder) is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"seeds": [0, 1, 2]}, "7 cells (seeds 2)"),
        ({"arms": [*SMALL["arms"], {"checkpoint": "pixels"}]}, "2 cells (arms pixels)"),  # type: ignore[misc]
        ({"tasks": [*SMALL["tasks"], "dense"]}, "4 cells (protocols dense/patterns@1)"),  # type: ignore[misc]
    ],
)
def test_a_suite_may_grow(changes: dict[str, object], words: str, tmp_path: Path) -> None:
    folder = SuiteFolder(tmp_path)
    hold(planned(), folder)
    grown = hold(planned(**changes), folder)
    cells = len(planned(**changes).cells) - len(planned().cells)
    assert grown is not None and words.partition("(")[2] in grown and f"grown by {cells} cells" in grown
    assert read_suite(str(folder.suite)) == planned(**changes).suite


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"seeds": [0]}, "seeds 1 there and not here"),
        ({"tasks": ["knn"]}, "protocols linear/patterns@2 there and not here"),
        (
            {
                "arms": [
                    {"name": "moco", "pretrain": {"method": "moco", "epochs": 3}},
                    {"checkpoint": "random"},
                ]
            },
            "moco-seed0: epochs 2 there, 3 here; moco-seed1: epochs 2 there, 3 here; choose",
        ),
        (
            {"arms": [{"name": "mixmask", "pretrain": {"method": "mixmask"}}, {"checkpoint": "random"}]},
            "arms moco there and not here",
        ),
        ({"seeds": [1, 0]}, "seed0"),  # the label subsets go by position
    ],
)
def test_another_suite_is_refused_with_what_differs(
    changes: dict[str, object], said: str, tmp_path: Path
) -> None:
    folder = SuiteFolder(tmp_path / "here")
    hold(planned(), folder)
    before = folder.suite.read_bytes()
    with pytest.raises(UserError) as refused:
        hold(planned(**changes), folder)
    line = str(refused.value)
    assert said in line and "holds another suite" in line and "--out" in line and len(line) < 1000
    assert folder.suite.read_bytes() == before


def test_a_difference_in_processes_alone_is_named(tmp_path: Path) -> None:
    folder = SuiteFolder(tmp_path)
    hold(planned(), folder)
    with pytest.raises(UserError, match="moco-seed0: processes 1 there, 2 here"):
        hold(planned(run={"pretraining": {"processes_per_node": 2}}), folder)


@pytest.mark.parametrize(
    ("changes", "remark"),
    [
        (
            {"seeds": [0]},
            "small holds another suite than mine.yaml, and this is the one of the folder: seeds 1",
        ),
        (
            {"seeds": [0, 1, 2]},
            "small does not hold all of mine.yaml yet: the suite has grown by 5 cells (seeds 2)",
        ),
        ({"title": "other words"}, ""),
    ],
)
def test_a_begun_suite_is_the_folders_and_what_its_file_says_else_is_told(
    changes: dict[str, object], remark: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    plan = planned()
    hold(plan, SuiteFolder(Path("small")))
    Path("mine.yaml").write_text(yaml.safe_dump({**SMALL, **changes}))
    found = begun("mine.yaml")
    assert found.suite == plan.suite
    assert found.remark.startswith(remark) and bool(found.remark) == bool(remark)


def test_what_changes_no_cell_is_taken_over(tmp_path: Path) -> None:
    folder = SuiteFolder(tmp_path)
    hold(planned(), folder)
    assert hold(planned(title="new", baseline="moco", run={"workers": 2}), folder) is None
    assert read_suite(str(folder.suite)).title == "new"


def test_a_suite_is_found_by_its_folder_its_name_or_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text(yaml.safe_dump(SMALL))
    suite, folder = suite_and_folder("mine.yaml", None)
    assert suite.name == "small" and folder.root == Path("small")
    with pytest.raises(UserError, match="nothing of suite small was run in small"):
        begun("mine.yaml")
    Path("small").mkdir()
    with pytest.raises(UserError, match="small is not the folder of a suite"):
        begun("small")
    hold(plan_of(suite), folder)
    for spec in ("mine.yaml", "small"):
        assert begun(spec) == (suite, folder, "")
    assert suite_and_folder("small", None) == (suite, folder)
    assert suite_and_folder("small", Path("elsewhere"))[1].root == Path("elsewhere")
    assert suite_and_folder("demo", None)[0].name == "demo"
    refused: list[tuple[Callable[[str], object], str]] = [
        (begun, "smal"),
        (begun, "x" * 5000),
        (begun, "a\0b"),
    ]
    for find, spec in refused:
        with pytest.raises(UserError):
            find(spec)
