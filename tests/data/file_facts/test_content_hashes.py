"""Digests of contents: right whatever happens to the files or to the database, and read once."""

import hashlib
import os
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from mmbench.data.file_facts import fact_database, file_cache
from mmbench.data.file_facts.content_hashes import DATABASE, UNREADABLE, content_digests
from mmbench.data.preparing import writing_nothing
from mmbench.data.types import ImageFiles, Scenes


@pytest.fixture(autouse=True)
def kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep digests of few and new files too, and never in this user's own folder."""
    monkeypatch.setattr(fact_database, "WORTH_KEEPING_SECONDS", -1.0)
    monkeypatch.setattr(file_cache, "UNSETTLED_SECONDS", -1000.0)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The names of the files that were read, in any order."""
    names: list[str] = []
    whole = file_cache._read

    def noted(place: str, reading):
        names.append(os.path.basename(place))  # noqa: PTH119
        return whole(place, reading)

    monkeypatch.setattr(file_cache, "_read", noted)
    yield names


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    for index in range(5):
        (folder / f"{index}.bin").write_bytes(bytes([index]) * 100)
    return folder


PATHS = [f"{index}.bin" for index in range(5)]


def truth(folder: Path, paths: list[str] = PATHS) -> list[bytes]:
    return [hashlib.sha256((folder / path).read_bytes()).digest() for path in paths]


def test_unchanged_files_are_read_once(data: Path, read: list[str]) -> None:
    for _ in range(3):
        assert content_digests(data, PATHS) == truth(data)
    assert sorted(read) == PATHS
    assert (data / DATABASE).is_file()


def rewritten(folder: Path) -> None:
    (folder / "3.bin").write_bytes(b"x" * 100)


def replaced(folder: Path) -> None:
    (folder / "new").write_bytes(b"y" * 100)
    (folder / "new").replace(folder / "3.bin")


def rewritten_with_old_times(folder: Path) -> None:
    before = (folder / "3.bin").stat()
    (folder / "3.bin").write_bytes(b"z" * 100)
    os.utime(folder / "3.bin", ns=(before.st_atime_ns, before.st_mtime_ns))


def lengthened(folder: Path) -> None:
    (folder / "3.bin").write_bytes(b"x" * 101)


def exchanged_link(folder: Path) -> None:
    (folder / "3.bin").unlink()
    (folder / "3.bin").symlink_to(folder / "4.bin")


CHANGES = [rewritten, replaced, rewritten_with_old_times, lengthened, exchanged_link]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_changed_file_is_read_again(data: Path, read: list[str], change) -> None:
    first = content_digests(data, PATHS)
    read.clear()
    change(data)
    assert content_digests(data, PATHS) == truth(data) != first
    assert read == ["3.bin"]


def test_files_that_changed_a_moment_ago_are_not_kept(
    data: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their times may not tell the next change."""
    monkeypatch.setattr(file_cache, "UNSETTLED_SECONDS", 2.0)
    for _ in range(2):
        assert content_digests(data, PATHS) == truth(data)
    assert sorted(read) == sorted(PATHS * 2)


def test_a_small_set_leaves_no_database(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fact_database, "WORTH_KEEPING_SECONDS", 60.0)
    assert content_digests(data, PATHS) == truth(data)
    assert sorted(path.name for path in data.iterdir()) == PATHS


def test_names_of_any_bytes_and_what_cannot_be_read(data: Path) -> None:
    name = os.fsdecode(b"ni\xf1o \n'%.bin")
    (data / name).write_bytes(b"abc")
    (data / "folder").mkdir()
    os.mkfifo(data / "pipe")
    (data / "broken").symlink_to("nowhere")
    paths = [name, "folder", "pipe", "broken", "missing", "nul\0byte"]
    for _ in range(2):
        assert content_digests(data, paths) == [hashlib.sha256(b"abc").digest(), *[UNREADABLE] * 5]


@pytest.mark.parametrize("damage", ["words", "empty", "cut", "pages", "version", "table", "rows"])
def test_a_damaged_database_is_made_anew(data: Path, read: list[str], damage: str) -> None:
    content_digests(data, PATHS)
    database = data / DATABASE
    content = bytearray(database.read_bytes())
    if damage in ("words", "empty", "cut"):
        database.write_bytes({"words": b"hello" * 99, "empty": b"", "cut": bytes(content[:600])}[damage])
    elif damage == "pages":
        content[200:] = bytes(len(content) - 200)
        database.write_bytes(content)
    else:
        with sqlite3.connect(database) as connection:
            connection.execute(
                {
                    "version": "PRAGMA user_version = 99",
                    "table": "ALTER TABLE files DROP COLUMN checksum",
                    "rows": "UPDATE files SET sha256 = zeroblob(32)",
                }[damage]
            )
        connection.close()
    for _ in range(2):
        assert content_digests(data, PATHS) == truth(data)
    read.clear()
    assert content_digests(data, PATHS) == truth(data)
    assert read == []


def test_every_flipped_byte_of_the_database_gives_the_same_digests(data: Path) -> None:
    content_digests(data, PATHS)
    database = data / DATABASE
    whole = database.read_bytes()
    for place in range(0, len(whole), 97):
        changed = bytearray(whole)
        changed[place] ^= 0x41
        database.write_bytes(changed)
        assert content_digests(data, PATHS) == truth(data), place


def test_a_locked_database_only_costs_time(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fact_database, "BUSY_SECONDS", 0.05)
    content_digests(data, PATHS)
    rewritten(data)
    holder = sqlite3.connect(data / DATABASE, isolation_level=None)
    try:
        holder.execute("BEGIN EXCLUSIVE")
        assert content_digests(data, PATHS) == truth(data)
    finally:
        holder.close()


def test_a_folder_that_cannot_be_written_uses_the_users_own(
    data: Path, tmp_path: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    allowed = os.access
    monkeypatch.setattr(
        fact_database.os,
        "access",
        lambda place, mode: data not in (Path(place), Path(place).parent) and allowed(place, mode),
    )
    for _ in range(2):
        assert content_digests(data, PATHS) == truth(data)
    assert sorted(read) == PATHS
    assert not (data / DATABASE).exists() and list((tmp_path / "user").rglob("*.sqlite"))
    shutil.rmtree(tmp_path / "user")
    (tmp_path / "user").write_text("no folder either")
    assert content_digests(data, PATHS) == truth(data)


def test_where_nothing_may_be_written_the_folder_of_the_data_stays_as_it_is(
    data: Path, tmp_path: Path, read: list[str]
) -> None:
    """What was read in a dry run is kept in the user's own folder, where the run finds it."""
    before = {path.name for path in data.iterdir()}
    with writing_nothing():
        assert content_digests(data, PATHS) == truth(data)
    assert {path.name for path in data.iterdir()} == before and sorted(read) == PATHS
    assert content_digests(data, PATHS) == truth(data)
    assert sorted(read) == PATHS


@pytest.mark.parametrize("damaged", [False, True])
def test_where_nothing_may_be_written_a_database_is_read_and_stays_as_it_is(
    damaged: bool, data: Path, read: list[str]
) -> None:
    content_digests(data, PATHS)
    if damaged:
        (data / DATABASE).write_bytes(b"no database" * 100)
    (data / "3.bin").write_bytes(b"changed")
    database = (data / DATABASE).read_bytes()
    read.clear()
    with writing_nothing():
        assert content_digests(data, PATHS) == truth(data)
    assert (data / DATABASE).read_bytes() == database
    assert sorted(read) == (PATHS if damaged else ["3.bin"])


def test_a_link_in_the_databases_place_is_never_followed(data: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").write_bytes(b"")
    (data / DATABASE).symlink_to(tmp_path / "outside")
    assert content_digests(data, PATHS) == truth(data)
    assert (tmp_path / "outside").read_bytes() == b""


def test_many_at_once(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_cache, "CHUNK", 2)
    found: list[list[bytes]] = []
    threads = [threading.Thread(target=lambda: found.append(content_digests(data, PATHS))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [truth(data)] * 6


def test_a_part_is_not_read_again(data: Path, read: list[str]) -> None:
    files = ImageFiles(data, PATHS, torch.arange(5))
    part = files.subset(torch.tensor([4, 1]))
    alone = part.fingerprint
    assert sorted(read) == ["1.bin", "4.bin"]
    assert files.fingerprint and files.subset(torch.tensor([4, 1])).fingerprint == alone
    assert len(read) == 5
    (data / DATABASE).unlink()
    assert files.subset(torch.tensor([4, 1])).fingerprint == alone and len(read) == 5


def test_a_fingerprint_depends_on_names_contents_and_labels(data: Path, tmp_path: Path) -> None:
    def fingerprint(paths: list[str] = PATHS, labels: list[int] | None = None) -> str:
        return ImageFiles(data, paths, torch.tensor(labels or [0, 0, 1, 1, 1])).fingerprint

    first = fingerprint()
    assert fingerprint() == first
    others = {fingerprint(labels=[0, 0, 0, 1, 1]), fingerprint([*PATHS[:3], "4.bin", "3.bin"])}
    rewritten(data)
    others.add(fingerprint())
    (data / "3.bin").rename(data / "6.bin")
    others.add(fingerprint([*PATHS[:3], "6.bin", "4.bin"]))
    assert len(others | {first}) == 5


def test_scenes_are_identified_by_content_too(tmp_path: Path, read: list[str]) -> None:
    place = tmp_path / "images" / "train" / "0.png"
    place.parent.mkdir(parents=True)
    place.write_bytes(b"one")
    first = Scenes(tmp_path, ("a",)).fingerprint
    place.write_bytes(b"two")
    assert Scenes(tmp_path, ("a",)).fingerprint != first
    assert Scenes(tmp_path, ("a",)).fingerprint == Scenes(tmp_path, ("a",)).fingerprint
    assert read == ["0.png", "0.png"]


def test_a_long_reading_is_reported_while_it_lasts(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(file_cache, "CHUNK", 2)
    content_digests(data, PATHS)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(file_cache, "FIRST_REPORT_SECONDS", -1.0)
    monkeypatch.setattr(file_cache, "REPORT_SECONDS", -1.0)
    assert content_digests(data, PATHS) == truth(data)
    lines = capsys.readouterr().err.splitlines()
    assert [line.rpartition(": ")[2] for line in lines] == [f"{done} of 5 files" for done in (0, 2, 4)]
    assert all(str(data) in line for line in lines)
