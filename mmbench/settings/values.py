"""Values of settings as text: `--set name=value`, and the settings.yaml of a run folder.

Only plain YAML is read: no anchors and aliases (a few lines can expand to gigabytes), no tags, no dates, no
numbers to base 8 or 60, no repeated keys, and nothing deep or long.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from typing import Any

import yaml

from mmbench.errors import UserError, shown, typed

LONGEST_VALUE = 10_000  # characters
LONGEST_FILE = 1_000_000
DEEPEST = 20  # levels of lists and mappings
MOST_DIGITS = 25


class _Refused(yaml.YAMLError):
    """Valid YAML that settings do not allow; the message says what."""


class _PlainLoader(yaml.SafeLoader):
    """Reads null, true and false, decimal numbers, text, lists and mappings."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Return a mapping whose keys are distinct strings."""
        found: dict[Hashable, Any] = {}
        for key_node, value_node in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise _Refused(f"the key {shown(key)} is not text")
            if key in found:
                raise _Refused(f"the key {shown(key)} is there twice")
            found[key] = self.construct_object(value_node, deep=True)
        return found


_PlainLoader.yaml_implicit_resolvers = {}  # nothing inherited


def _resolve(tag: str, pattern: str, first: str) -> None:
    _PlainLoader.add_implicit_resolver(
        f"tag:yaml.org,2002:{tag}", re.compile(f"(?:{pattern})$", re.ASCII), list(first)
    )


_resolve("bool", "(?i:true|false|yes|no|on|off)", "tTfFyYnNoO")
_resolve("null", "~|null|Null|NULL|", "~nN\0")
_PlainLoader.yaml_implicit_resolvers[""] = _PlainLoader.yaml_implicit_resolvers.get("\0", [])
_resolve("int", "[-+]?(?:0|[1-9][0-9]*)", "-+0123456789")
_resolve(
    "float",
    r"[-+]?(?:(?:0|[1-9][0-9]*)\.[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]{1,3})?"
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
    "-+.0123456789",
)


def _construct_int(loader: _PlainLoader, node: yaml.ScalarNode) -> int:
    if len(node.value) > MOST_DIGITS:
        raise _Refused(f"a number of {len(node.value)} digits")
    return int(node.value)


def _construct_float(loader: _PlainLoader, node: yaml.ScalarNode) -> float:
    return float(node.value.lower().replace(".inf", "inf").replace(".nan", "nan"))


def _construct_map(loader: _PlainLoader, node: yaml.MappingNode) -> dict[Hashable, Any]:
    return loader.construct_mapping(node)


def _construct_list(loader: _PlainLoader, node: yaml.SequenceNode) -> list[Any]:
    return [loader.construct_object(item, deep=True) for item in node.value]


for _tag, _construct in (
    ("int", _construct_int),
    ("float", _construct_float),
    ("map", _construct_map),
    ("seq", _construct_list),
):
    _PlainLoader.add_constructor(f"tag:yaml.org,2002:{_tag}", _construct)


def parse_yaml(text: str, longest: int = LONGEST_FILE) -> Any:
    """Return the value of a plain YAML text.

    Raises:
        ValueError: it is not valid YAML, or not plain YAML; the message is a short line.
    """
    if len(text) > longest:
        raise ValueError(f"it has {len(text)} characters, and at most {longest} are read")
    try:
        _refuse_what_is_not_plain(text)
        return yaml.load(text, Loader=_PlainLoader)
    except _Refused as error:
        raise ValueError(str(error)) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "it cannot be parsed"
        raise ValueError(f"it is not valid YAML ({str(problem).partition(chr(10))[0]})") from None


def _refuse_what_is_not_plain(text: str) -> None:
    """Check the parser's events, which takes neither recursion nor memory, before anything is built."""
    depth = documents = 0
    for event in yaml.parse(text, Loader=_PlainLoader):
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise _Refused("anchors and aliases are not read")
        tag = getattr(event, "tag", None)
        if tag is not None and tag != "!":
            raise _Refused(f"the tag {shown(tag)} is not read")
        documents += isinstance(event, yaml.DocumentStartEvent)
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise _Refused(f"it is more than {DEEPEST} levels deep")
        if documents > 1:
            raise _Refused("it is more than one document")


class _PlainDumper(yaml.SafeDumper):
    """Writes what `_PlainLoader` reads: text is quoted that either YAML 1.1 or we take for something else."""

    def ignore_aliases(self, data: Any) -> bool:
        """Write a list that is there twice twice, as no aliases are read."""
        return True

    def choose_scalar_style(self) -> str:
        """Return how a scalar is quoted; several lines in one, with their ends escaped."""
        style: str = super().choose_scalar_style()
        assert self.analysis is not None
        return '"' if style == "'" and self.analysis.multiline else style


_PlainDumper.yaml_implicit_resolvers = {
    first: [
        *_PlainLoader.yaml_implicit_resolvers.get(first, []),
        *yaml.SafeDumper.yaml_implicit_resolvers.get(first, []),
    ]
    for first in {**_PlainLoader.yaml_implicit_resolvers, **yaml.SafeDumper.yaml_implicit_resolvers}
}


def yaml_text(value: Any, *, width: int = 80, ascii_only: bool = False) -> str:
    """Return plain YAML values as a text of which `parse_yaml` reads them again.

    Args:
        width: of its lines, which only spaces divide.
        ascii_only: escape all other characters, even half of one, as a file name that is not UTF-8 has.
    """
    return _dumped(value, width=width, allow_unicode=not ascii_only)


def yaml_line(value: Any) -> str:
    """Return a plain YAML value as one line, as it is typed after `--set NAME=`; see `yaml_text`.

    >>> yaml_line({"name": "1.5e3", "epochs": 3, "switches": [True, "nO"]})
    "{name: '1.5e3', epochs: 3, switches: [true, 'nO']}"
    """
    text = _dumped(value, width=10**9, allow_unicode=True, default_flow_style=True)
    return text.removesuffix("...\n").rstrip("\n")


def _dumped(value: Any, **options: Any) -> str:
    text: str = yaml.dump(value, Dumper=_PlainDumper, sort_keys=False, **options)
    return text


def parse_setting(text: str, example: str = "epochs=10") -> tuple[str, Any]:
    """Return name and value of "name=value" as it is typed after `--set`.

    Args:
        text: what was typed.
        example: a setting to show in the error message.

    Raises:
        UserError: it is not of this form, or the value is not a plain YAML value.
    """
    name, equals, value = text.partition("=")
    name = name.strip()
    if not equals or not name:
        raise UserError(f"--set {typed(text)}: write it as name=value, such as {example}")
    try:
        return name, parse_yaml(value, LONGEST_VALUE)
    except ValueError as error:
        raise UserError(f"--set {typed(name)}: {shown(value)} is not a valid value: {error}") from None


def parse_settings_texts(texts: Sequence[str], example: str = "epochs=10") -> dict[str, Any]:
    """Return the settings of several "name=value" texts; the last of the same name counts.

    Raises:
        UserError: see `parse_setting`.
    """
    return dict(parse_setting(text, example) for text in texts)
