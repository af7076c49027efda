"""Damaged, forged and malformed records: each is refused in one line that names the file and the field."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mmbench.cli.commands import main
from mmbench.errors import UserError
from mmbench.records.store import ResultStore, read_result

GOLDEN = Path(__file__).parents[1] / "leaderboard" / "golden"
RECORD = json.loads((GOLDEN / "linear-mscn-schema1.json").read_text())
TEXT = json.dumps(RECORD)
BIDIRECTIONAL = "mo\u202eco"


def with_value(path: str, value: Any) -> dict[str, Any]:
    """Return the record with another value at a dotted path."""
    changed = copy.deepcopy(RECORD)
    *above, last = path.split("/")
    place = changed
    for part in above:
        place = place[part]
    place[last] = value
    return changed


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


HEX = "0" * 64
# (path of the field, value): the reason names the field.
VALUES: list[tuple[str, Any]] = [
    *(("metrics/top1/value", value) for value in ("70", True, None, [1], -0.001, 100.001, 1e308, 10**400)),
    *(("metrics/top1/value", float(value)) for value in ("nan", "inf", "-inf")),
    *(("metrics/top1/n", value) for value in (0, -1, 10.0, "10", True, 10**20)),
    *(("metrics/top1/higher_is_better", value) for value in ("true", 1, None)),
    *(("metrics/top1/unit", value) for value in ("%", None, 1)),
    *(("metrics/top1/interval", value) for value in ([2, 1], [1], [50, 101], ["1", "2"], [None, 2])),
    *(("seed", value) for value in ("0", 0.0, True, -1, 2**63, None)),
    *(("model/seed", value) for value in ("0", 0.0, True, -1, 2**64)),
    *(("model/epochs", value) for value in (-1, 1.5, "8", True)),
    *(
        ("model/arm", value)
        for value in ("", " ", "moco ", "a\nb", BIDIRECTIONAL, "\0", "../x", "x" * 201, 1)
    ),
    *(("model/arm", value) for value in ("a\\b", "\ud800", "mo\u200bco", "..", None, ["moco"], "\u00a0a")),
    ("model/preprocessing/mean", [0.1, 0.2]),
    ("model/preprocessing/mean/0", "0.485"),
    ("model/preprocessing/image_size", 0),
    ("model/source_sha256", "0" * 63),
    ("model/source_sha256", "G" * 64),
    ("model/recipe_digest", "abc"),
    ("model/precision", "\x1b[31m"),
    ("model/pretrain_seconds", -1),
    ("model/pretrain_compute", {"kind": "tpu", "seconds": 1.0}),
    ("model/pretrain_compute", {"kind": "cpu", "seconds": True}),
    ("model/origins", {"file": "a\nb"}),
    ("model/arch_options", {"stem_padding": 1.0}),
    ("model/unknown", 1),
    ("task", "Linear probe"),
    ("task", "t" * 41),
    ("protocol", "linear/patterns"),
    ("protocol", "linear/patterns@1\n"),
    ("protocol", "../linear@1"),
    ("dataset/name", "a/b"),
    ("dataset/name", "\u2066a"),
    ("dataset/split_sizes", {"train": -1}),
    ("dataset/split_sizes", {"train": "10"}),
    ("dataset/split_sizes", [10]),
    ("dataset/evaluated_split", ""),
    ("metrics", {}),
    ("metrics", {f"m{number}": RECORD["metrics"]["top1"] for number in range(1001)}),
    ("metrics", {"a/b": RECORD["metrics"]["top1"]}),
    ("primary_metric", "top9"),
    ("created", "2026-07-01T12:00:00"),
    ("created", 1782900000),
    ("created", "1782900000"),
    ("created", "yesterday"),
    ("created", "2026-13-01T12:00:00Z"),
    ("schema_version", 2),
    ("schema_version", "1"),
    ("schema_version", True),
    ("schema_version", 1.0),
    ("wall_seconds", -1),
    ("wall_seconds", "12"),
    ("images_per_second", float("nan")),
    ("effective_lr", float("inf")),
    ("per_class", {"cat": 101}),
    ("per_class", {"cat\n": 50}),
    ("per_class", {"cat": "50"}),
    ("labels", {"used": 1, "available": 9, "source": "x", "sha256": HEX}),
    ("labels", {"used": True, "available": 9, "source": "x", "sha256": HEX}),
    ("weights_sha256", "x"),
    ("outcomes", {"sha256": HEX, "images": 0}),
    ("compute", {"kind": "cpu", "seconds": float("nan")}),
    ("config", {"rate": float("nan")}),
    ("config", {"text": "\ud800"}),
    ("config", {"a": nested(30)}),
    ("config", {"a": 2**70}),
    ("config", []),
    ("notes", ["a\u2029b"]),
    ("notes", "a note"),
    ("notes", ["x"] * 1001),
    ("notes", ["x" * 10_001]),
    ("provenance/git_sha", "not a commit"),
    ("provenance/cpu_count", 0),
    ("provenance/packages", {"torch": 2}),
]
CONTENTS: dict[str, bytes] = {
    "empty": b"",
    "half": TEXT[: len(TEXT) // 2].encode(),
    "text behind it": TEXT.encode() + b"x",
    "list": b"[" + TEXT.encode() + b"]",
    "number": b"1",
    "null": b"null",
    "byte order mark": b"\xef\xbb\xbf" + TEXT.encode(),
    "UTF-16": TEXT.encode("utf-16"),
    "Latin-1": TEXT.replace("mscn", "ä").encode("latin-1", "replace").replace(b"\\u00e4", b"\xe4") + b"\xe4",
    "binary": bytes(range(256)),
    "a key twice": TEXT.replace('"seed": ', '"seed": 5, "seed": ', 1).encode(),
    "a metric twice": TEXT.replace('"top1": ', '"top1": 1, "top1": ', 1).encode(),
    "deep": b"[" * 200_000,
    "deep inside": TEXT.replace('"config": {', '"config": {"a": ' + "[" * 50_000, 1).encode(),
    "a number of 5,000 digits": TEXT.replace('"seed": ', f'"seed": {"9" * 5000}', 1).encode(),
    "no date": json.dumps({k: v for k, v in RECORD.items() if k != "created"}).encode(),
    "no version": json.dumps({k: v for k, v in RECORD.items() if k != "schema_version"}).encode(),
    "no model": json.dumps({k: v for k, v in RECORD.items() if k != "model"}).encode(),
    "wrong digest": json.dumps({**RECORD, "digest": HEX}).encode(),
    "a digest that is a number": json.dumps({**RECORD, "digest": 1}).encode(),
}


def refused(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        read_result(path)
    line = str(caught.value)
    assert line.isprintable() and str(path) in line and len(line) < 1000
    return line


@pytest.mark.parametrize(("field", "value"), VALUES, ids=lambda value: ascii(value)[:40])
def test_a_wrong_value_is_refused_by_its_name(tmp_path: Path, field: str, value: Any) -> None:
    path = tmp_path / "record.json"
    if isinstance(RECORD["model"]["preprocessing"]["mean"], list) and field.endswith("mean/0"):
        changed = with_value("model/preprocessing/mean", [value, 0.456, 0.406])
    else:
        changed = with_value(field, value)
    path.write_text(json.dumps(changed))
    line = refused(path)
    named = {"labels": "labels", "primary_metric": "the file"}.get(field, field.split("/")[0])
    assert f": {named}" in line or (field == "labels" and ": the file" in line), line


@pytest.mark.parametrize("kind", CONTENTS)
def test_what_is_no_record_at_all_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "record.json"
    path.write_bytes(CONTENTS[kind])
    refused(path)


def odd_files(root: Path) -> dict[str, Path]:
    """Make what is called like a record and is no file of one."""
    root.mkdir()
    (root / "folder.json").mkdir()
    os.mkfifo(root / "pipe.json")
    (root / "loop.json").symlink_to("loop.json")
    (root / "gone.json").symlink_to("nowhere.json")
    (root / "device.json").symlink_to("/dev/zero")
    with (root / "huge.json").open("wb") as stream:
        stream.truncate(2**40)
    return {path.stem: path for path in root.iterdir()}


@pytest.mark.parametrize("kind", ["folder", "pipe", "loop", "gone", "device", "huge"])
def test_what_is_no_file_is_refused(tmp_path: Path, kind: str) -> None:
    refused(odd_files(tmp_path / "odd")[kind])


def test_a_name_that_is_not_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"r\xff.json")
    path.write_text(TEXT)
    with pytest.raises(UserError, match="its name is not UTF-8") as caught:
        read_result(path)
    assert str(caught.value).isprintable()


def call(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    output = capsys.readouterr()
    return int(stop.value.code or 0), output.err + output.out


@pytest.fixture
def all_of_them(tmp_path: Path) -> tuple[Path, int]:
    """A folder with one good record and every bad one, and the number of bad ones."""
    root = tmp_path / "results"
    odd = odd_files(root)
    for number, (field, value) in enumerate(VALUES):
        if not field.endswith("mean/0"):
            (root / f"value-{number:03}.json").write_text(json.dumps(with_value(field, value)))
    for number, content in enumerate(CONTENTS.values()):
        (root / f"content-{number:03}.JSON").write_bytes(content)
    bad = len(VALUES) - 1 + len(CONTENTS) + len(odd) - 1  # an empty folder is nothing
    (root / "good.json").write_text(TEXT)
    return root, bad


def test_the_board_lists_every_bad_file_or_leaves_all_out(
    all_of_them: tuple[Path, int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, bad = all_of_them
    assert bad >= 60
    records, invalid = ResultStore(root).read_all()
    assert [path.name for path, _ in records] == ["good.json"] and len(invalid) == bad
    assert all(str(error).isprintable() for error in invalid)
    code, said = call(capsys, "leaderboard", "build", root, "--out", tmp_path / "board", "--no-published")
    assert code == 2 and f"{bad} files" in said and "Traceback" not in said
    assert not (tmp_path / "board").exists()
    options = ("--out", tmp_path / "board", "--no-published", "--skip-invalid")
    code, said = call(capsys, "leaderboard", "build", root, *options)
    assert code == 0 and "Traceback" not in said
    board = json.loads((tmp_path / "board" / "board.json").read_text())
    assert board["records"] == 1 and any(str(bad) in note for note in board["footnotes"])


def test_links_are_followed_and_each_file_is_read_once(tmp_path: Path) -> None:
    root, other = tmp_path / "results", tmp_path / "other"
    (root / "a").mkdir(parents=True)
    other.mkdir()
    first = (GOLDEN / "knn-pixels-schema1.json").read_bytes()
    (root / "a" / "one.json").write_bytes(first)
    (other / "TWO.JSON").write_text(TEXT)
    (root / "0").symlink_to(root / "a")  # comes first by its name
    (root / "a" / "up").symlink_to(root)  # a loop
    (root / "lab").symlink_to(other)
    (root / "again.json").symlink_to(root / "a" / "one.json")
    (root / ".hidden.json").write_text("{")
    (root / ".folder").mkdir()
    (root / ".folder" / "x.json").write_text("{")
    found = [path.relative_to(root).as_posix() for path, _ in ResultStore(root).items()]
    assert found == ["a/one.json", "lab/TWO.JSON"]
    (root / "elsewhere").symlink_to(tmp_path / "not-mounted")  # perhaps a folder of records
    _, invalid = ResultStore(root).read_all()
    assert [str(error).rpartition("/")[2] for error in invalid] == [
        "elsewhere is a link that leads to nothing; remove it"
    ]


def test_a_file_that_vanishes_is_no_fault(tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / f"{name}.json").write_text(TEXT)
    found = ResultStore(tmp_path).items()
    assert next(found)[0].name == "a.json"
    (tmp_path / "b.json").unlink()
    assert [path.name for path, _ in found] == ["c.json"]


@pytest.mark.parametrize("change", [lambda values: values, lambda values: dict(reversed(values.items()))])
def test_what_has_no_fault_is_read(tmp_path: Path, change: Callable[[Any], Any]) -> None:
    path = tmp_path / "record.json"
    values = change(with_value("notes", ["π, 猫 and நாய்", "\U0001f408"]))
    values["metrics"]["top1"]["value"] = 70  # JSON has one kind of number
    values["seed"] = 9007199254740993  # which no float holds
    path.write_text(json.dumps(values, ensure_ascii=False))
    found = read_result(path)
    assert (found.seed, found.metrics["top1"].value) == (9007199254740993, 70.0)
