"""`mmbench results`: what it lists is what the records hold, and bad files are named."""

import csv
import io
import json
import shutil
from pathlib import Path

import pytest
import yaml

from mmbench.cli.commands import main
from mmbench.records.store import Result, ResultStore, read_result

GOLDEN = Path(__file__).parents[1] / "leaderboard" / "golden"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Records of two arms, two seeds each, as the store writes them."""
    store = ResultStore(tmp_path / "my results")
    for name, seed_of_weights in (("knn-pixels-schema1", None), ("linear-mscn-schema1", 7)):
        first = read_result(GOLDEN / f"{name}.json")
        card = first.model.model_copy(update={"seed": seed_of_weights})
        for seed in (0, 1):
            store.write(first.model_copy(update={"model": card, "seed": seed}))
    return store.root


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    output = capsys.readouterr()
    return int(stop.value.code or 0), output.out, output.err


def test_every_record_is_a_line_with_its_primary_metric(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, "results", "list", folder)
    paths = sorted(folder.rglob("*.json"))
    lines = out.splitlines()
    assert code == 0 and len(lines) == 1 + len(paths) + 1 and len(paths) == 4
    for line, path in zip(lines[1:-1], paths, strict=True):
        result = read_result(path)
        value = result.metrics[result.primary_metric].value
        assert line.endswith(str(path)) and f" {value:.2f} " in line and line.startswith(result.task)
        assert result.model.arm in line and (" 7/" in line) == (result.model.seed == 7)
    assert err == f"next: mmbench results show '{paths[0]}'\n"


def test_json_and_csv_hold_the_same_rows(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(run(capsys, "results", "list", folder, "--json")[1])
    rows = list(csv.DictReader(io.StringIO(run(capsys, "results", "list", folder, "--csv")[1])))
    assert [{name: "" if v is None else str(v) for name, v in row.items()} for row in found] == rows
    assert {row["file"] for row in found} == {str(path) for path in folder.rglob("*.json")}
    result: Result = read_result(Path(found[0]["file"]))
    assert found[0]["value"] == result.metrics[result.primary_metric].value


def test_records_are_filtered_by_task_arm_and_data(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arms = sorted({read_result(path).model.arm for path in folder.rglob("*.json")})
    assert len(arms) == 2
    for arm in arms:
        found = json.loads(run(capsys, "results", "list", folder, "--arm", arm, "--json")[1])
        assert len(found) == 2 and {row["arm"] for row in found} == {arm}
    knn = json.loads(run(capsys, "results", "list", folder, "--task", "knn", "--json")[1])
    assert len(knn) == 2 and {row["arm"] for row in knn} == {"pixels"}
    assert (
        json.loads(run(capsys, "results", "list", folder, "--task", "knn", "--arm", "mscn", "--json")[1])
        == []
    )
    both = run(
        capsys, "results", "list", folder, "--arm", ",".join(arms), "--data", found[0]["data"], "--json"
    )
    assert len(json.loads(both[1])) == 4


def test_an_arm_or_data_set_with_a_comma_is_chosen_whole_or_in_a_list(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = ResultStore(folder)
    first = read_result(next(folder.rglob("*.json")))
    data = first.dataset.model_copy(update={"name": "a, b"})
    for arm in ("moco", "moco, lr 0.1"):
        card = first.model.model_copy(update={"arm": arm, "control": False})
        store.write(first.model_copy(update={"model": card, "dataset": data}))
    for typed, arms in (
        (["--arm", "moco, lr 0.1"], {"moco, lr 0.1"}),
        (["--arm", "moco"], {"moco"}),
        (["--arm", "moco,moco, lr 0.1,mscn"], {"moco", "moco, lr 0.1", "mscn"}),
        (["--arm", "moco, lr 0.1", "--arm", "pixels"], {"moco, lr 0.1", "pixels"}),
        (["--data", "a, b"], {"moco", "moco, lr 0.1"}),
    ):
        found = json.loads(run(capsys, "results", "list", folder, *typed, "--json")[1])
        assert {row["arm"] for row in found} == arms
    code, _, err = run(capsys, "results", "list", folder, "--arm", "moco, lr 0.2")
    assert code == 2 and "unknown arm of the records 'lr 0.2'; did you mean 'moco, lr 0.1'?" in err
    code, _, err = run(capsys, "results", "list", folder, "--arm", "moco,,mscn")
    assert code == 2 and "empty value between the commas" in err


def test_bad_files_are_named_with_their_reason(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "board.json").write_text("{}")
    damaged = next(iter(sorted(folder.rglob("*seed1.json"))))
    damaged.write_text(damaged.read_text().replace('"seed": 1', '"seed": 2'))
    code, out, err = run(capsys, "results", "list", folder, "--json")
    assert code == 0 and len(json.loads(out)) == 3
    assert f"not read: {folder / 'board.json'} is not a result record" in err
    assert f"not read: {damaged} is damaged" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["list", "missing"], "missing is not a folder"),
        (["list", "empty"], "no result records below empty"),
        (["list", "bad"], "1 file could not be read, the first: bad/x.json is not a result record"),
        (["list", "FOLDER", "--arm", "mscm"], "did you mean 'mscn'"),
        (["list", "FOLDER", "--task", "lineer"], "unknown task of the records 'lineer'"),
        (["list", "FOLDER", "--json", "--csv"], "exclude each other"),
        (["show", "missing.json"], "no result record at missing.json"),
        (["show", "FOLDER"], "lists its records"),
        (["show", "bad/x.json"], "bad/x.json is not a result record"),
    ],
)
def test_wrong_input_is_one_line(
    arguments: list[str],
    message: str,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "x.json").write_text("[]")
    shown = [str(folder) if argument == "FOLDER" else argument for argument in arguments]
    code, out, err = run(capsys, "results", *shown)
    assert code == 2 and out == "" and err.count("\n") == 1 and message in err


def test_a_record_is_shown_in_full(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = next(iter(sorted(folder.rglob("*.json"))))
    result = read_result(path)
    code, out, err = run(capsys, "results", "show", path)
    assert code == 0 and err == f"next: mmbench leaderboard show '{folder}'\n"
    head, _, rest = out.partition("\n\n")[2].partition("\n\n")
    assert f"{result.model.arm} on {result.dataset.name}: {result.protocol}, seed {result.seed}" in out
    primary = result.metrics[result.primary_metric]
    assert head.splitlines()[0].split() == [
        result.primary_metric,
        f"{primary.value:.2f}%,",
        "n",
        str(primary.n),
        "(primary)",
    ]
    shown = yaml.safe_load(rest)
    written = json.loads(path.read_text())
    assert (
        shown["config"] == written["config"]
        and shown["provenance"]["packages"] == written["provenance"]["packages"]
    )
    as_json = json.loads(run(capsys, "results", "show", path, "--json")[1])
    assert as_json == {name: value for name, value in written.items() if name in as_json}


def test_a_golden_record_without_a_seed_of_the_weights_is_listed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(GOLDEN, tmp_path / "records")
    code, out, _ = run(capsys, "results", "list", tmp_path / "records")
    assert code == 0 and "knn" in out


def test_an_interval_is_shown_beside_its_metric(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = read_result(GOLDEN / "knn-pixels-schema1.json")
    name = first.primary_metric
    metric = first.metrics[name].model_copy(update={"value": 50.0, "interval": (41.5, 60.126)})
    path = ResultStore(tmp_path).write(first.model_copy(update={"metrics": {name: metric}}))
    code, out, _ = run(capsys, "results", "show", path)
    assert code == 0
    assert f"{name}  50.00% (95%: 41.50 to 60.13), n {metric.n}  (primary)" in out
    code, out, _ = run(capsys, "results", "list", tmp_path)
    assert code == 0 and f"  50.00  41.50 to 60.13  {metric.n}  " in out
    code, out, _ = run(capsys, "results", "list", tmp_path, "--json")
    assert [(row["low"], row["high"]) for row in json.loads(out)] == [(41.5, 60.126)]
