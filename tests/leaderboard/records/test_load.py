"""Records to the tidy frame."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from mmbench.cli.commands import main
from mmbench.errors import UserError
from mmbench.leaderboard.build import read_board
from mmbench.leaderboard.records.comparable import comparable
from mmbench.leaderboard.records.load import load_frame
from mmbench.leaderboard.render.csv_files import csv_text
from mmbench.leaderboard.render.data_tables import runs_table
from mmbench.records.store import Result, ResultStore, config_digest

Make = Callable[..., Result]


def test_a_row_per_record_and_metric(record: Make, write: Callable[..., Path]) -> None:
    results = [record("moco", seed=seed, transfer_seed=7) for seed in (0, 1)]
    frame = load_frame(write(*results))
    assert len(frame) == 4
    assert set(frame["metric"]) == {"top1", "top5"}
    assert frame.groupby("metric")["primary"].all().to_dict() == {"top1": True, "top5": False}
    first = frame[(frame["pretraining_seed"] == 1) & (frame["metric"] == "top1")].iloc[0]
    assert first["value"] == results[1].metrics["top1"].value
    assert (first["transfer_seed"], first["recipe"], first["version"]) == (7, "linear/patterns", 1)
    assert first["config_digest"] == config_digest(results[1].config)
    assert first["weights"] == results[1].model.source_sha256
    assert json.loads(first["packages"])["torch"] == "2.15.0"
    assert not Path(first["file"]).is_absolute()


def test_missing_empty_and_wrong_folders(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no folder"):
        load_frame(tmp_path / "absent")
    with pytest.raises(UserError, match="no result records below"):
        load_frame(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="is a file"):
        load_frame(tmp_path / "file")


@pytest.mark.parametrize("content", ["{", "", '{"schema_version": 2}', "[1]", "\xff"])
def test_a_damaged_file_is_named(record: Make, write: Callable[..., Path], content: str) -> None:
    root = write(record("moco"))
    (root / "bad.json").write_text(content, encoding="latin-1")
    with pytest.raises(
        UserError, match=r"bad\.json is not a result record of schema version 1.*move it out"
    ) as caught:
        load_frame(root)
    assert "\n" not in str(caught.value) and "--skip-invalid" not in str(caught.value)


def test_all_bad_files_are_listed_and_can_be_left_out(record: Make, write: Callable[..., Path]) -> None:
    root = write(record("moco"), record("mscn"))
    for number in range(12):
        (root / f"bad{number:02d}.json").write_text("{")
    with pytest.raises(UserError, match=r"^12 files are not result records: \(1\)") as caught:
        load_frame(root)
    assert all(f"bad{number:02d}.json" in str(caught.value) for number in range(12))
    board = read_board(root, skip_invalid=True)
    assert board.records == 2
    (note,) = [note for note in board.footnotes if note.startswith("12 files left out")]
    assert all(f"bad{number:02d}.json" in note for number in range(12))


@pytest.mark.parametrize(("bad", "words"), [(1, "or leave it out by"), (2, "records; --skip-invalid leaves")])
def test_commands_name_the_option_only_where_they_have_it(
    record: Make, write: Callable[..., Path], capsys: pytest.CaptureFixture[str], bad: int, words: str
) -> None:
    root = write(record("moco"), record("mscn"))
    for number in range(bad):
        (root / f"bad{number:02d}.json").write_text("{")
    for arguments, has in (
        (["show", root], True),
        (["build", root, "--out", root.parent / "board"], True),
        (["export", "hub", root, "--row", "moco", "--out", root.parent / "card"], True),
        (["diff", root, root], False),
    ):
        with pytest.raises(SystemExit) as stop:
            main(["leaderboard", *map(str, arguments)])
        err = capsys.readouterr().err
        assert stop.value.code == 2 and err.count("\n") == 1 and "move it out of the results folder" in err
        assert ("--skip-invalid" in err) == has and (words in err) == has


def test_long_seeds_stay_exact_beside_a_missing_one(record: Make, write: Callable[..., Path]) -> None:
    seed = 2**53 + 1  # as a float it would be 2**53
    root = write(record("moco", card_changes={"seed": seed}), record("pixels", "knn/patterns@1"))
    board = read_board(root)
    assert {row.arm: row.pretraining_seeds for row in board.rows} == {"moco": (seed,), "pixels": ()}
    frame = load_frame(root)
    assert set(frame["pretraining_seed"].dropna()) == {seed}
    assert f",{seed}," in csv_text(runs_table(frame))


def test_a_record_that_is_being_written_is_left_alone(record: Make, write: Callable[..., Path]) -> None:
    root = write(record("moco"))
    (root / ".moco-partial.json").write_text("{")
    assert len(load_frame(root)) == 2


def test_several_folders_keep_their_paths_apart_and_count_a_record_once(record: Make, tmp_path: Path) -> None:
    ours, theirs = ResultStore(tmp_path / "ours/results"), ResultStore(tmp_path / "theirs/results")
    for store in (ours, theirs):
        store.write(record("moco"))
    path = theirs.write(record("moco", seed=1))
    frame = load_frame([ours.root, theirs.root])
    assert sorted(frame["file"].str.partition("/results/")[0].unique()) == ["ours", "theirs"]
    assert len(frame["file"].unique()) == 2
    assert set(frame["path"]) == {str(found.absolute()) for found, _ in ours.items()} | {str(path)}
    (warning,) = frame.attrs["warnings"]
    assert warning.startswith("1 record of several folders counted once: theirs/results/patterns-abababab/")
    once_more = load_frame([theirs.root, path.parent, path])
    assert len(once_more["file"].unique()) == 2
    assert once_more.attrs["warnings"][0].startswith("3 records")


def test_a_run_with_other_content_in_another_folder_is_refused(record: Make, tmp_path: Path) -> None:
    for name, value in (("a", 70.0), ("b", 71.0)):
        ResultStore(tmp_path / name).write(record("moco", value=value))
    with pytest.raises(UserError, match="moco in linear/patterns@1 on patterns holds one run twice"):
        comparable(load_frame([tmp_path / "a", tmp_path / "b"]))


def test_one_file_is_a_board_of_one_record(record: Make, tmp_path: Path) -> None:
    path = ResultStore(tmp_path).write(record("moco"))
    assert list(load_frame(path)["file"].unique()) == [path.name]
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(UserError, match=r"broken\.json is not a result record"):
        load_frame([path, tmp_path / "broken.json"])
    assert len(load_frame([path, tmp_path / "broken.json"], skip_invalid=True).attrs["skipped"]) == 1


def test_a_frame_of_many_metrics_has_every_value_once(board_records: Path) -> None:
    """Against a plain loop over the records."""
    frame = load_frame(board_records)
    expected = [
        (path.relative_to(board_records).as_posix(), name, metric.value, name == result.primary_metric)
        for path, result in ResultStore(board_records).items()
        for name, metric in result.metrics.items()
    ]
    columns = frame[["file", "metric", "value", "primary"]]
    assert sorted(columns.itertuples(index=False, name=None)) == sorted(expected)
    for path, result in ResultStore(board_records).items():
        rows = frame[frame["file"] == path.relative_to(board_records).as_posix()]
        assert set(rows["transfer_seed"]) == {result.seed} and set(rows["arm"]) == {result.model.arm}
        assert set(rows["config_digest"]) == {config_digest(result.config)}
