"""The folder of a board: whole or not there, the same bytes from the same records, nobody's files lost."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from mmbench.cli.commands import main
from mmbench.errors import UserError
from mmbench.leaderboard import build as stage
from mmbench.leaderboard.build import build
from mmbench.leaderboard.command import leaderboard
from mmbench.records.store import Result

Make = Callable[..., Result]
Write = Callable[..., Path]


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_same_records_give_the_same_bytes(board_records: Path, tmp_path: Path) -> None:
    build(board_records, tmp_path / "a", "mscn")
    build(board_records, tmp_path / "b", "mscn")
    first, second = content(tmp_path / "a"), content(tmp_path / "b")
    assert first == second
    assert set(json.loads(first["board.json"])["files"]) == set(first)
    assert {"index.html", "leaderboard.md", "leaderboard.tex", "scores.csv", "published.csv"} <= set(first)
    drawn = {kind: {Path(name).stem for name in first if name.endswith(kind)} for kind in (".png", ".svg")}
    assert drawn[".png"] == drawn[".svg"] and len(drawn[".png"]) >= 7
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_a_new_board_replaces_the_old_as_a_whole(record: Make, write: Write, tmp_path: Path) -> None:
    out = tmp_path / "board"
    build(write(record("moco"), record("mscn")), out, "mscn")
    before = set(content(out))
    build(write(record("moco", seed=1)), out, published=False)
    after = set(content(out))
    assert after < before and any(name.startswith("plots/") for name in before - after)
    assert "published.csv" in before - after


def test_a_failed_build_leaves_the_old_board(
    record: Make, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "board"
    root = write(record("moco"))
    build(root, out)
    before = content(out)
    with pytest.raises(UserError):
        build(root, out, "nobody")

    def broken(*arguments: object) -> None:
        raise RuntimeError("disk gone")

    monkeypatch.setattr(stage, "render_latex", broken)
    with pytest.raises(RuntimeError):
        build(root, out)
    monkeypatch.undo()
    monkeypatch.setattr(Path, "write_bytes", broken)
    with pytest.raises((RuntimeError, TypeError)):
        build(root, out)
    monkeypatch.undo()
    assert content(out) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["board", "results"]


def test_other_peoples_files_are_never_replaced(record: Make, write: Write, tmp_path: Path) -> None:
    root = write(record("moco"))
    out = tmp_path / "thesis"
    out.mkdir()
    build(root, out)  # an empty folder is fine
    (out / "thesis.tex").write_text("precious")
    with pytest.raises(UserError, match=r"holds files that are not of a board \(thesis\.tex\)"):
        build(root, out)
    assert (out / "thesis.tex").read_text() == "precious"
    with pytest.raises(UserError, match="is a file"):
        build(root, out / "thesis.tex")
    for inside in (root, root / "board"):
        with pytest.raises(UserError, match="lies in the results folder"):
            build(root, inside)


def test_the_command_builds_and_shows(record: Make, write: Write, tmp_path: Path) -> None:
    root, out = write(record("moco"), record("mscn")), tmp_path / "board"
    built = CliRunner().invoke(
        leaderboard,
        ["build", str(root), "--out", str(out), "--baseline", "mscn", "--no-published", "--title", "T"],
    )
    assert built.exit_code == 0, built.output
    assert built.output.startswith("2 rows in 1 column from 2 records: ")
    page = (out / "index.html").read_text()
    assert "<h1>T</h1>" in page and 'class="published"' not in page
    shown = CliRunner().invoke(leaderboard, ["show", str(root), "--baseline", "mscn"])
    assert shown.exit_code == 0 and "moco" in shown.output and "+1.9" in shown.output


@pytest.mark.parametrize("odd", ["linear/patterns@2", None])
def test_a_refusal_is_one_line_and_exit_code_2(
    record: Make, write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str], odd: str | None
) -> None:
    root = write(record("moco"), *([record("mscn", odd)] if odd else []))
    baseline = [] if odd else ["--baseline", "mocho"]
    with pytest.raises(SystemExit) as caught:
        main(["leaderboard", "build", str(root), "--out", str(tmp_path / "board"), *baseline])
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("mmbench: error: ") and error.count("\n") == 1
    assert ("moco-" in error) if odd else ("did you mean 'moco'" in error)
    assert not (tmp_path / "board").exists()
