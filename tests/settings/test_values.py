"""Values of settings as text: what is read, what is refused, and that a refusal is one short line."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from mmbench.errors import UserError
from mmbench.runs import read_settings
from mmbench.settings.values import DEEPEST, MOST_DIGITS, parse_setting, parse_yaml, yaml_line, yaml_text

BOMB = "a: &a [x, x]\n" + "".join(
    f"{c}: &{c} [*{p}, *{p}]\n" for p, c in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("-3", -3),
        ("0.5", 0.5),
        (".5", 0.5),
        ("5.0e-4", 5e-4),
        ("true", True),
        ("no", False),
        ("null", None),
        ("", None),
        ("[1, 2]", [1, 2]),
        ("{a: 1, b: [x]}", {"a": 1, "b": ["x"]}),
        ("'3'", "3"),
        ("none", "none"),
        ("unmix+mixmask", "unmix+mixmask"),
        # What YAML 1.1 makes something else of: 8, 16, 5400, a date, 1000, a merged mapping.
        ("010", "010"),
        ("0x10", "0x10"),
        ("1:30", "1:30"),
        ("2020-01-01", "2020-01-01"),
        ("2020-01-01 10:00:00", "2020-01-01 10:00:00"),
        ("1_000", "1_000"),
        ("{<<: {a: 1}}", {"<<": {"a": 1}}),
    ],
)
def test_plain_values_are_read_and_text_stays_text(text: str, value: Any) -> None:
    assert parse_setting(f"name={text}") == ("name", value)
    assert type(parse_yaml(text)) is type(value)


def test_infinity_and_nan_are_read_for_the_types_to_refuse() -> None:
    assert parse_yaml("-.inf") == -math.inf
    assert math.isnan(parse_yaml(".nan"))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (BOMB, "aliases"),
        ("&a [*a]", "aliases"),
        ("&a 1", "aliases"),
        ("!!python/object/apply:os.system [ls]", "tag"),
        ("!!binary aGk=", "tag"),
        ("!!set {a}", "tag"),
        ("!!timestamp 2020-01-01", "tag"),
        ("[" * 3000, "levels"),
        ("{a: " * 2000, "levels"),
        ("- " * 3000, "levels"),
        ("9" * 5000, "5000 digits"),
        ("-" + "9" * (MOST_DIGITS + 1), "digits"),
        ("[1, " + "9" * 300 + "]", "300 digits"),
        ("x" * 10_001, "10001 characters"),
        ("{a: 1, a: 2}", "twice"),
        ("{1: 2}", "not text"),
        ("? [a]\n: b", "not text"),
        ("--- 1\n--- 2", "document"),
        ("a: b: c", "YAML"),
        ("[1,\t2", "YAML"),
        ("{", "YAML"),
        ("\0", "YAML"),
        ("\ud800", "YAML"),
        ("%YAML 9.9\n--- a", "YAML"),
        ("@a", "YAML"),
    ],
)
def test_what_is_not_plain_is_refused_in_one_short_line(text: str, reason: str) -> None:
    with pytest.raises(UserError, match=reason) as refused:
        parse_setting(f"optimiser.lr={text}")
    line = str(refused.value)
    assert "--set optimiser.lr: " in line
    assert line.isprintable() and len(line) < 300


@pytest.mark.parametrize("text", ["", "lr", "=3", " =3", "9" * 5000])
def test_a_setting_without_name_or_value_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="write it as name=value, such as epochs=10") as refused:
        parse_setting(text)
    assert len(str(refused.value)) < 300


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats(allow_nan=False) | st.text(),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
        max_leaves=12,
    )
)
def test_whatever_settings_are_written_is_read_back(value: Any) -> None:
    text = yaml.safe_dump(value, sort_keys=False)
    assert parse_yaml(text) == value


@given(st.text(max_size=200))
def test_any_text_is_a_value_or_refused(text: str) -> None:
    try:
        parse_setting(f"a={text}")
    except UserError as error:
        assert str(error).isprintable()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"- a\n- b\n",
        b"\xff\xfe\x00",
        b"[" * 3000,
        b"a: " + b"9" * 5000,
        BOMB.encode(),
        b"a: 1\na: 2\n",
        b"a: b: c",
    ],
)
def test_a_damaged_settings_file_is_one_line(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "settings.yaml"
    path.write_bytes(content)
    with pytest.raises(UserError, match="is damaged") as refused:
        read_settings(path)
    assert str(refused.value).isprintable()


def test_lists_as_deep_as_allowed_are_read() -> None:
    assert parse_yaml("[" * DEEPEST + "1" + "]" * DEEPEST)


# Texts of any kind, and those that look like numbers, switches, dates, null, merges and the rest of YAML.
TEXTS = st.text(st.characters(codec=None), max_size=200) | st.from_regex(
    r"[-+.,:_~=<>!&*?#|%@`'\"{}\[\] 0-9eExXoOiInNfFaAyYsStTrRuUlLzZ\t\n]{1,9}", fullmatch=True
)
SCALARS = (
    TEXTS
    | st.none()
    | st.booleans()
    | st.integers(-(10**23), 10**23)
    | st.floats(allow_nan=False)
    | st.sampled_from(["1.5e3", "1.0E5", ".5e3", "nO", "ofF", "yEs", "tRUE", "1e3", "0x10", "1:30", "", "~"])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


@given(VALUES)
@example("\xa0")
@example("a\x85b")
@example({"nO": ["1.5e3"]})
def test_what_is_written_is_read_back_equal(value: Any) -> None:
    """In every layout, and of the same types, which JSON tells apart where == does not."""
    texts = [yaml_text(value), yaml_text(value, width=40, ascii_only=True), yaml_line(value)]
    for text in texts:
        read = parse_yaml(text, len(text))
        assert read == value and json.dumps(read) == json.dumps(value)
    assert texts[1].isascii()
    assert "\n" not in texts[2]


def test_a_list_that_is_there_twice_is_written_twice() -> None:
    shared = ["a"]
    assert parse_yaml(yaml_text({"one": shared, "other": shared})) == {"one": ["a"], "other": ["a"]}
