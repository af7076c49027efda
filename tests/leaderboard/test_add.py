"""Adding records: checked first, under their proper path, never over another, the same one once."""

import datetime
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner

from mmbench.errors import UserError
from mmbench.files import sha256_of
from mmbench.leaderboard.add import add_records
from mmbench.leaderboard.command import leaderboard
from mmbench.leaderboard.verify.records import verify
from mmbench.records.image_outcomes import ImageOutcomes, outcomes_path
from mmbench.records.store import Metric, Result, ResultStore

Make = Callable[..., Result]
KNN = "knn/patterns@1"  # its one metric is top1
NOW = datetime.datetime(2026, 12, 1, tzinfo=datetime.UTC)


def sent(record: Make, folder: Path, value: float = 75.0) -> Path:
    """Write a record with outcomes under a name of the sender's own."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "theirs.json"
    right = value > 70
    facts = {
        "image": ["a", "b", "c", "d"],
        "label": ["x"] * 4,
        "predicted": ["x", "x", "x", "y" if right else "x"],
    }
    table = pd.DataFrame(facts)
    table.assign(correct=table["label"] == table["predicted"]).to_parquet(outcomes_path(path), index=False)
    stated = ImageOutcomes(sha256=sha256_of(outcomes_path(path)), images=4)
    metrics = {"top1": Metric(value=value, higher_is_better=True, n=4)}
    written = ResultStore(folder / "aside").write(record("moco", KNN, metrics=metrics, outcomes=stated))
    shutil.move(written, path)
    shutil.rmtree(folder / "aside")
    return path


def test_a_record_and_its_outcomes_are_filed_as_they_are(record: Make, tmp_path: Path) -> None:
    path, to = sent(record, tmp_path / "mail"), tmp_path / "results"
    added = add_records([path], to, NOW)
    [target] = added.written
    result = Result.model_validate_json(path.read_text())
    assert target == ResultStore(to).path_of(
        result.model, result.protocol, result.dataset, result.config, result.seed
    )
    assert target.read_bytes() == path.read_bytes()
    assert outcomes_path(target).read_bytes() == outcomes_path(path).read_bytes()
    assert (added.known, added.warnings) == (0, ())
    again = add_records([path, tmp_path / "mail"], to, NOW)
    assert (again.written, again.known) == ((), 2)
    assert len(list(to.rglob("*"))) == 4  # two folders, two files


def test_another_record_of_the_same_run_is_refused(record: Make, tmp_path: Path) -> None:
    to = tmp_path / "results"
    [target] = add_records([sent(record, tmp_path / "one")], to, NOW).written
    before = target.read_bytes()
    other = tmp_path / "two" / "other.json"
    other.parent.mkdir()
    shutil.move(ResultStore(tmp_path / "aside").write(record("moco", KNN, value=60.0)), other)
    with pytest.raises(UserError, match="records are never replaced"):
        add_records([other], to, NOW)
    assert target.read_bytes() == before


def test_nothing_is_added_if_one_record_is_wrong(record: Make, tmp_path: Path) -> None:
    folder, to = tmp_path / "mail", tmp_path / "results"
    path = sent(record, folder)
    for edit, words in (
        (lambda: outcomes_path(path).write_bytes(b""), "not what its record was written with"),
        (lambda: outcomes_path(path).unlink(), "no per-image outcomes"),
        (lambda: (folder / "bad.json").write_text("{}"), "is not a result record"),
    ):
        edit()
        with pytest.raises(UserError, match=words):
            add_records([folder], to, NOW)
        assert not to.exists()
    values = json.loads(path.read_text())
    values["metrics"]["top1"]["value"] = 99.0
    path.write_text(json.dumps(values))
    with pytest.raises(UserError, match="damaged"):
        add_records([path], to, NOW)
    for missing in (tmp_path / "none.json", tmp_path / "empty"):
        (tmp_path / "empty").mkdir(exist_ok=True)
        with pytest.raises(UserError):
            add_records([missing], to, NOW)


@pytest.mark.parametrize("leftover", ["file", "folder", "dead link"])
@pytest.mark.parametrize("outcomes", [True, False])
def test_nothing_is_written_if_outcomes_are_left_over_where_a_record_belongs(
    record: Make, tmp_path: Path, leftover: str, outcomes: bool
) -> None:
    folder, to = tmp_path / "mail", tmp_path / "results"
    shutil.move(ResultStore(tmp_path / "aside").write(record("erase", KNN)), sent(record, folder).parent)
    path = folder / "theirs.json" if outcomes else next(folder.glob("erase*.json"))
    result = Result.model_validate_json(path.read_text())
    place = outcomes_path(ResultStore(to).place_of(result))
    place.parent.mkdir(parents=True)
    if leftover == "file":
        place.write_bytes(b"left over")
    elif leftover == "folder":
        place.mkdir()
    else:
        place.symlink_to(tmp_path / "none")
    reason = f"{re.escape(str(place))}: is left over without its record, and is in the way of .*; remove it"
    with pytest.raises(UserError, match=f"^nothing of .* was added: {reason}$"):
        add_records([folder], to, NOW)
    assert [found for found in to.rglob("*") if found.is_file()] == ([place] if leftover == "file" else [])


def test_outcomes_left_by_an_interrupted_copy_are_gone_on_with(record: Make, tmp_path: Path) -> None:
    path, to = sent(record, tmp_path / "mail"), tmp_path / "results"
    place = ResultStore(to).place_of(Result.model_validate_json(path.read_text()))
    place.parent.mkdir(parents=True)
    shutil.copyfile(outcomes_path(path), outcomes_path(place))
    assert add_records([path], to, NOW).written == (place,)
    assert place.read_bytes() == path.read_bytes()


def test_lost_outcomes_of_a_record_that_is_there_are_completed(record: Make, tmp_path: Path) -> None:
    path, to = sent(record, tmp_path / "mail"), tmp_path / "results"
    [target] = add_records([path], to, NOW).written
    lost = outcomes_path(target)
    lost.unlink()
    done = CliRunner().invoke(leaderboard, ["add", str(tmp_path / "mail"), "--to", str(to)])
    assert done.exit_code == 0, done.output
    assert "0 records added, 1 already there, per-image outcomes added to 1 of these" in done.output
    assert lost.read_bytes() == outcomes_path(path).read_bytes()
    assert verify([to], NOW).of("error") == ()
    assert add_records([path], to, NOW).completed == ()

    lost.write_bytes(b"changed")
    with pytest.raises(UserError, match=r"parquet: is not what its record was written with.*; remove it$"):
        add_records([path], to, NOW)
    assert lost.read_bytes() == b"changed"
    lost.unlink()
    outcomes_path(path).write_bytes(b"changed")
    with pytest.raises(UserError, match="not what its record was written with"):
        add_records([path], to, NOW)
    assert not lost.exists()


def test_a_copy_of_a_record_under_another_seed_is_refused(record: Make, tmp_path: Path) -> None:
    to = tmp_path / "results"
    one = record("moco", KNN, value=70.0)
    ResultStore(to).write(one)
    copy = ResultStore(tmp_path / "mail").write(one.model_copy(update={"seed": 9}))
    with pytest.raises(UserError, match="a copy with another name"):
        add_records([copy], to, NOW)


def test_the_command_adds(record: Make, tmp_path: Path) -> None:
    path, to = sent(record, tmp_path / "mail"), tmp_path / "results"
    done = CliRunner().invoke(leaderboard, ["add", str(path), "--to", str(to)])
    assert done.exit_code == 0, done.output
    assert "1 record added" in done.output and str(to) in done.output.splitlines()[0]
