"""Records as files: those that the store wrote are read by their parts, and exactly like any others."""

from __future__ import annotations

import copy
import json
import random
from pathlib import Path
from typing import Any

import pytest

from mmbench.errors import UserError
from mmbench.records import reading as record_reading
from mmbench.records.reading import result_in, written_record
from mmbench.records.record import Result
from mmbench.verification import with_digest

GOLDEN = Path(__file__).parents[1] / "leaderboard" / "golden"
RECORDS = {path.stem: json.loads(path.read_text()) for path in sorted(GOLDEN.glob("*.json"))}
RECORD = RECORDS["linear-mscn-schema1"]
LABELS = {"used": 12, "available": 4000, "source": "drawn with seed 0", "sha256": "0" * 64}


def written(values: dict[str, Any]) -> str:
    """Return a record as the store writes it."""
    rest = {name: value for name, value in values.items() if name != "digest"}
    return json.dumps(with_digest(rest), indent=2, ensure_ascii=False) + "\n"


def outcome(path: Path, text: str) -> Result | str:
    """Return the record in a file with this text, or what is wrong with it."""
    path.write_text(text, encoding="utf-8")
    try:
        return result_in(path)
    except UserError as error:
        return str(error)


@pytest.mark.parametrize("name", RECORDS)
def test_a_written_record_is_read_by_its_parts_and_is_the_same(name: str) -> None:
    values = {**RECORDS[name], "notes": ["café", 'a "quote", and\\n']}
    found = written_record(written(values).encode())
    values.pop("digest", None)
    assert found == Result.model_validate(values) and found is not None
    assert found.model_dump_json() == Result.model_validate(values).model_dump_json()


def test_equal_parts_are_one_object() -> None:
    first, second = (written_record(written({**RECORD, "seed": seed}).encode()) for seed in (0, 1))
    assert first is not None and second is not None and (first.seed, second.seed) == (0, 1)
    assert first.model is second.model and first.dataset is second.dataset
    assert first.provenance is second.provenance


def changes() -> list[dict[str, Any]]:
    """Return records of which one value, at any depth, is another or is missing."""
    found = []
    others: tuple[Any, ...] = (None, True, -1, "a\nb", "x" * 20_000, [], {}, 10**400)

    def visit(path: tuple[Any, ...], value: Any) -> None:
        for other in (*others, "missing"):
            changed = copy.deepcopy(whole)
            place: Any = changed
            for key in path[:-1]:
                place = place[key]
            if other == "missing":
                del place[path[-1]]
            else:
                place[path[-1]] = other
            found.append(changed)
        for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
            visit((*path, key), value[key])

    whole = {**RECORD, "labels": LABELS, "dataset": {**RECORD["dataset"], "split_sizes": {"train": 12}}}
    whole.pop("digest", None)
    assert written_record(written(whole).encode()) is not None
    for key in sorted(whole.keys() - {"created"}):  # where that is missing, it is the time of reading
        visit((key,), whole[key])
    return found


def test_a_wrong_value_is_refused_in_the_same_words_however_the_file_is_arranged(tmp_path: Path) -> None:
    """The other arrangement, on one line, is read as a whole."""
    path, refused = tmp_path / "record.json", 0
    for values in changes():
        indented = written(values)
        as_parts, whole = (outcome(path, text) for text in (indented, json.dumps(json.loads(indented))))
        assert as_parts == whole
        refused += isinstance(whole, str)
    assert refused > 300


TRICKS = {
    "a name twice": lambda text: text.replace('"seed": ', '"seed": 1,\n  "seed": ', 1),
    "twice on one line": lambda text: text.replace('"seed": ', '"seed": 1, "seed": ', 1),
    "twice in a card": lambda text: text.replace('"arm": ', '"arm": "a",\n    "arm": ', 1),
    "two fields on one line": lambda text: text.replace(',\n  "seed"', ', "seed"', 1),
    "two objects": lambda text: text.replace('"seed": ', '"seed": 1}, {"seed": ', 1),
    "closed within": lambda text: text.replace(',\n  "seed"', '}\n,\n  "seed"', 1),
    "opened within": lambda text: text.replace('"config": {', '"config": {"a": {', 1),
    "a name in escapes": lambda text: text.replace('"seed": ', '"\\u0073eed": ', 1),
    "a value changed": lambda text: text.replace('"seed": ', '"seed": 1', 1),
    "no version": lambda text: text.replace('  "schema_version": 1,\n', "", 1),
    "other digest": lambda text: text.replace('"digest": "', '"digest": "0', 1),
    "a form feed after it": lambda text: text + "\f",
    "more after it": lambda text: text + "{}",
    "byte order mark": lambda text: f"\ufeff{text}",
    "infinite": lambda text: text.replace('"seed": ', '"seed": Infinity, "x": ', 1),
    "nested": lambda text: text.replace('"config": {', '"config": {"a": ' + "[" * 5000, 1),
}


@pytest.mark.parametrize("trick", TRICKS)
def test_no_arrangement_hides_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trick: str) -> None:
    path, text = tmp_path / "record.json", TRICKS[trick](written(RECORD))
    assert text != written(RECORD)
    found = outcome(path, text)
    monkeypatch.setattr(record_reading, "written_record", lambda content: None)
    assert found == outcome(path, text)


def test_damage_anywhere_gives_what_reading_as_a_whole_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator, path, text = random.Random(0), tmp_path / "record.json", written(RECORD)
    damaged = []
    for _ in range(400):
        start = generator.randrange(len(text))
        end = start + generator.choice((0, 1, 1, 5))
        damaged.append(text[:start] + generator.choice(("", "0", '"', ",", "}", '\n  "', "é")) + text[end:])
    found = [outcome(path, changed) for changed in damaged]
    monkeypatch.setattr(record_reading, "written_record", lambda content: None)
    assert found == [outcome(path, changed) for changed in damaged]
    assert sum(isinstance(each, str) for each in found) > 300
