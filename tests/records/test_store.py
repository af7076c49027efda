"""Result and ResultStore: typed, versioned, written once and whole."""

import json
import math
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError

from mmbench.checkpoints.card import ModelCard
from mmbench.environment import Provenance
from mmbench.errors import UserError
from mmbench.records.store import (
    DatasetReference,
    Metric,
    Result,
    ResultStore,
    config_digest,
    read_result,
)


def result(**changes: object) -> Result:
    facts: dict[str, object] = {
        "model": ModelCard(arm="moco", arch="mixmask_resnet8", seed=0),
        "task": "linear",
        "dataset": DatasetReference(name="patterns", fingerprint="ab" * 32, split_sizes={"train": 10}),
        "protocol": "linear/patterns@1",
        "metrics": {"top1": Metric(value=1 / 3, higher_is_better=True, n=10)},
        "primary_metric": "top1",
        "seed": 0,
        "config": {"a": 1},
        "provenance": Provenance(
            mmbench="0.1.0",
            git_sha=None,
            git_dirty=None,
            python="3.11",
            packages={},
            platform="Linux",
            processor="x",
            cpu_count=1,
            threads=1,
            device="cpu",
        ),
        "wall_seconds": 1.0,
    }
    return Result.model_validate({**facts, **changes})


def test_a_record_survives_the_disk_exactly(tmp_path: Path) -> None:
    store, written = ResultStore(tmp_path), result(notes=("π",), effective_lr=0.1)
    path = store.write(written)
    assert read_result(path) == written
    assert list(store.items()) == [(path, written)]
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    assert json.loads(path.read_text())["schema_version"] == 1


def test_the_path_is_the_identity(tmp_path: Path) -> None:
    store, first = ResultStore(tmp_path), result()
    card = first.model.model_copy(update={"seed": 1})
    others = [
        result(seed=1),
        result(config={"a": 2}),
        result(model=card),
        result(protocol="linear/patterns@2"),
        result(dataset=DatasetReference(name="patterns", fingerprint="cd" * 32, split_sizes={})),
    ]
    paths = {store.write(entry) for entry in (first, *others)}
    assert len(paths) == 6
    again = result(wall_seconds=99.0, dataset=first.dataset.model_copy(update={"split_sizes": {"train": 11}}))
    assert store.write(again) in paths
    assert len(list(store)) == 6


def test_records_cannot_be_edited_or_misspelt() -> None:
    entry = result()
    with pytest.raises(ValidationError):
        entry.seed = 3  # type: ignore[misc]
    for wrong in (
        {"primary_metric": "top5"},
        {"protocol": "linear/patterns"},
        {"task": "Linear probe"},
        {"note": "x"},
        {"metrics": {"top1": {"value": 1.0, "higher_is_better": True, "n": 0}}},
    ):
        with pytest.raises(ValidationError):
            result(**wrong)


def test_the_digest_of_settings_ignores_their_order() -> None:
    assert config_digest({"a": 1, "b": [2]}) == config_digest({"b": [2], "a": 1})
    assert config_digest({"a": 1}) != config_digest({"a": 2})
    assert len(config_digest({})) == 8


def test_what_is_no_record_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no result record at"):
        read_result(tmp_path / "absent.json")
    for content in (b"", b"{", b"{}", b"\xff\xfe", b'{"schema_version": 2}'):
        (tmp_path / "bad.json").write_bytes(content)
        with pytest.raises(
            UserError, match=r"bad\.json is not a result record of schema version 1"
        ) as caught:
            list(ResultStore(tmp_path))
        assert "\n" not in str(caught.value)


def test_records_in_the_making_and_folders_are_passed_over(tmp_path: Path) -> None:
    store = ResultStore(tmp_path)
    path = store.write(result())
    (path.parent / ".moco-x.json").write_text("{")
    (tmp_path / "folder.json").mkdir()
    assert [found for found, _ in store.items()] == [path]
    assert list(ResultStore(tmp_path / "absent")) == []


NOT_NUMBERS = [math.nan, math.inf, -math.inf, True, False]


@pytest.mark.parametrize("bad", NOT_NUMBERS)
def test_a_metric_is_a_finite_number(bad: float) -> None:
    for unit in ("percent", "nats", "count"):
        with pytest.raises(ValidationError):
            Metric.model_validate({"value": bad, "higher_is_better": True, "n": 10, "unit": unit})


@pytest.mark.parametrize("value", [-1e-9, -0.5, 100.0000001, 1e308])
def test_a_percentage_is_from_0_to_100(value: float) -> None:
    with pytest.raises(ValidationError, match="is not a percentage from 0 to 100"):
        Metric(value=value, higher_is_better=True, n=10)
    assert Metric(value=value, higher_is_better=True, n=10, unit="nats").value == value


def test_the_ends_of_the_range_are_percentages() -> None:
    assert [Metric(value=value, higher_is_better=True, n=1).value for value in (0, 100)] == [0, 100]
    for count in (0, -1, True, 1.5):
        with pytest.raises(ValidationError):
            Metric.model_validate({"value": 1.0, "higher_is_better": True, "n": count})


@pytest.mark.parametrize("bad", NOT_NUMBERS)
@pytest.mark.parametrize("field", ["wall_seconds", "images_per_second", "effective_lr", "per_class"])
def test_no_number_of_a_record_is_other_than_finite(field: str, bad: float) -> None:
    with pytest.raises(ValidationError):
        result(**{field: {"a": bad} if field == "per_class" else bad})


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize(
    "wrap", [lambda x: {"rate": x}, lambda x: {"rates": [0.1, x]}, lambda x: {"a": {"b": [x]}}]
)
def test_no_recorded_setting_is_other_than_finite(
    wrap: Callable[[float], dict[str, object]], bad: float
) -> None:
    with pytest.raises(ValidationError, match=r"setting (rate|rates\.1|a\.b\.0) is not a finite number"):
        result(config=wrap(bad))


@pytest.mark.parametrize("token", ["NaN", "Infinity", "-Infinity", "1e999", "null", "true", "101.0", "-3"])
def test_a_record_on_disk_with_another_value_is_one_line(tmp_path: Path, token: str) -> None:
    path = ResultStore(tmp_path).write(result())
    text = path.read_text()
    path.write_text(re.sub(r'("value": )[\d.]+', rf"\g<1>{token}", text))
    with pytest.raises(
        UserError, match=r"is not a result record of schema version 1: metrics\.top1"
    ) as caught:
        read_result(path)
    assert "\n" not in str(caught.value)


UNFIT = [
    "../../x",
    "a/b",
    "",
    "/x",
    "a\nb",
    "z" * 400,
    "\0",
    "..",
    " a",
    "a\u202eb",
    "\ud800",
    "a\u200b",
    "a\\b",
]


@pytest.mark.parametrize("name", [*UNFIT, ".hidden", "CON", "a:b", "a\\xf1", "ä" * 200])
def test_names_from_outside_never_leave_the_folder(tmp_path: Path, name: str) -> None:
    store, first = ResultStore(tmp_path / "results"), result()
    card = first.model.model_copy(update={"arm": name})
    data = first.dataset.model_copy(update={"name": name, "fingerprint": name})
    path = store.path_of(card, name, data, {}, 0) if "\ud800" not in name else store.root / "a" / "b" / "c"
    parts = path.relative_to(store.root).parts
    assert len(parts) == 3 and ".." not in parts and not any(part.startswith(".") for part in parts)
    for changes in ({"model": card}, {"dataset": data}):
        copy = first.model_copy(update=changes)
        if name in UNFIT:
            with pytest.raises(UserError, match=r"cannot be recorded: (model\.arm|dataset\.)") as caught:
                store.write(copy)
            assert "\n" not in str(caught.value)
        else:
            store.write(copy)
    assert [entry.name for entry in tmp_path.iterdir()] == ([] if name in UNFIT else ["results"])
    found = [(read.model.arm, read.dataset.name) for read in store]
    assert sorted(found) == ([] if name in UNFIT else sorted([(name, "patterns"), ("moco", name)]))


def test_names_that_look_alike_when_made_safe_have_records_of_their_own(tmp_path: Path) -> None:
    store, first = ResultStore(tmp_path), result()
    names = ("a*b", "a-b", "a?b", "a:b", 'a"b', "a<b", "CON", "con.x", ".a", "-a", "a" * 101, "a" * 102)
    for name in names:
        store.write(result(dataset=first.dataset.model_copy(update={"name": name})))
        store.write(result(model=first.model.model_copy(update={"arm": name})))
    assert len(list(store)) == 2 * len(names)


def test_ordinary_paths_stay_as_they_are(tmp_path: Path) -> None:
    first = result()
    path = ResultStore(tmp_path).write(first)
    name = f"moco-{first.model.digest}-{config_digest({'a': 1})}-seed0.json"
    assert path == tmp_path / "patterns-abababab" / "linear-patterns@1" / name
