"""Files are whole or not there."""

import hashlib
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmbench.errors import UserError
from mmbench.files import (
    HashedWriter,
    atomic_path,
    require_free_space,
    safe_name,
    sha256_of,
    write_json,
    write_text,
)


def test_a_failing_writer_leaves_the_good_file_and_no_litter(tmp_path: Path) -> None:
    target = tmp_path / "record.json"
    write_text(target, "good")
    with pytest.raises(RuntimeError), atomic_path(target) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert target.read_text() == "good"
    assert [path.name for path in tmp_path.iterdir()] == ["record.json"]


def test_written_files_are_readable_by_others(tmp_path: Path) -> None:
    write_json(tmp_path / "a" / "b.json", {"x": "é"})
    assert (tmp_path / "a" / "b.json").stat().st_mode & 0o777 == 0o644
    assert '"é"' in (tmp_path / "a" / "b.json").read_text(encoding="utf-8")


def test_sha256_equals_hashlibs(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"abc" * 1000)
    assert sha256_of(tmp_path / "x") == hashlib.sha256(b"abc" * 1000).hexdigest()


def test_too_little_disk_is_one_clear_line(tmp_path: Path) -> None:
    require_free_space(tmp_path / "not" / "there", 1, "a test")
    with pytest.raises(UserError, match="not enough disk for a test") as error:
        require_free_space(tmp_path, 2**62, "a test")
    assert "\n" not in str(error.value)
    assert error.value.exit_code == 1  # as where the disk is full only later


@given(st.lists(st.binary(max_size=300), max_size=100))
def test_hashed_writer_writes_what_it_hashes(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[bytes]
) -> None:
    path = tmp_path_factory.mktemp("hashed") / "file"
    with HashedWriter(path) as stream:
        for piece in pieces:
            assert stream.write(memoryview(piece)) == len(piece)
    assert path.read_bytes() == b"".join(pieces)
    assert stream.digest == hashlib.sha256(b"".join(pieces)).hexdigest()


def test_a_link_is_replaced_and_never_written_through(tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("precious")
    (tmp_path / "record.json").symlink_to(tmp_path / "outside")
    write_text(tmp_path / "record.json", "new")
    assert (tmp_path / "outside").read_text() == "precious"
    assert not (tmp_path / "record.json").is_symlink() and (tmp_path / "record.json").read_text() == "new"


@pytest.mark.parametrize(
    "name",
    ["mixmask", "random-high-pass", "resnet50.a1_in1k", "my data (2)", "modèle", "图像", "a", "x_1+2=3"],
)
def test_ordinary_names_stay(name: str) -> None:
    assert safe_name(name) == name


ODD = [
    "",
    ".",
    "..",
    "../../x",
    "/etc/passwd",
    "a/b",
    "a\\b",
    ".hidden",
    "x.",
    " x",
    "x ",
    "con",
    "NUL.txt",
    "Com1",
]
ODD += [
    "a\nb",
    "a\0b",
    "a\x1b[31m",
    "a\u202eb",
    "\udcf1",
    "y" * 300,
    "图" * 100,
    "a:b",
    "a*",
    "x~0123abcd",
    "...",
]


@pytest.mark.parametrize("name", ODD)
def test_odd_names_become_one_harmless_component(name: str) -> None:
    safe = safe_name(name)
    assert safe != name and re.search("~[0-9a-f]{8}$", safe)
    assert safe_name(safe) != safe  # nobody can name an arm like the safe form of another


@given(st.lists(st.text(st.characters(exclude_categories=())), unique=True, max_size=20))
def test_safe_names_stay_in_their_folder_and_never_meet(names: list[str]) -> None:
    made = [safe_name(name) for name in names]
    assert len(set(made)) == len(names)
    for name in made:
        assert Path("folder", name).parent == Path("folder") and not name.startswith(".")
        assert 0 < len(name.encode()) <= 100 and name.isprintable()
        assert not set(name) & set('/\\<>:"|?*')
