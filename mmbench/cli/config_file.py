"""`--config FILE`: the values of a command's options from a YAML file, and the file that repeats a run.

    task: knn,linear
    checkpoint: runs/mixmask
    data: patterns
    seeds: [0, 1, 2]
    set: {temperature: 0.1}

A key is the name of an option, with or without its aliases, `-` or `_`. The value is what the file's
characters say, as if they were typed: `data: 2024.10` names the folder 2024.10. It is checked as if it was
typed. The command line wins over the file, the file over the environment; `--set` adds to the
`set` of the file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import yaml
from click.core import ParameterSource

from mmbench.errors import UserError, shown, unknown_name
from mmbench.files import write_text
from mmbench.settings.values import LONGEST_FILE, parse_yaml, yaml_line, yaml_text

OWN = ("config", "help", "version")  # options that a file cannot hold


def read_config(ctx: click.Context, option: click.Parameter, path: Path | None) -> Path | None:
    """Read the file into the command's defaults; the callback of `--config`.

    Raises:
        UserError: no such file, not a mapping, an unknown option (near match named) or a value that it
            does not take.
    """
    if path is None or ctx.resilient_parsing:
        return path
    known = _options(ctx.command)
    values: dict[str, Any] = {}
    for key, (value, node) in _mapping(path).items():
        parameter = known.get(key.lstrip("-").replace("-", "_"))
        if parameter is None:
            names = {_name(found) for found in known.values()}
            raise UserError(f"{path}: {unknown_name('option', key, names)}")
        if str(parameter.name) in values:
            raise UserError(f"{path}: {key} is given twice, by two spellings")
        if value is None:
            continue
        texts = _texts(value, node, parameter, f"{path}: {key}")
        try:
            parameter.type_cast_value(ctx, texts)
        except click.BadParameter as error:
            raise UserError(f"{path}: {key} = {shown(value)}: {error.message}") from None
        values[str(parameter.name)] = texts
    ctx.default_map = {**(ctx.default_map or {}), **values}
    return path


def write_config(path: Path, ctx: click.Context, **changed: Any) -> None:
    """Write the file that repeats a run: every option of the command with a value, defaults included.

    Args:
        ctx: of the command, as `click.get_current_context()` returns it.
        changed: values that take the place of the options' own, by parameter name; None leaves one out.

    Raises:
        OSError: the file cannot be written.
    """
    values: dict[str, Any] = {}
    for parameter in dict.fromkeys(_options(ctx.command).values()):
        name = str(parameter.name)
        value = changed[name] if name in changed else ctx.params.get(name)
        automatic = parameter.is_flag and ctx.get_parameter_source(name) is ParameterSource.DEFAULT
        if value is None or value == () or automatic:
            continue
        values[_name(parameter)] = _plain(value)
    text = yaml_text(values, width=100)
    write_text(path, f"# {ctx.command_path} --config {path.name}\n{text}")


def _mapping(path: Path) -> dict[str, tuple[Any, yaml.Node]]:
    """Return each key's value, and the node of the file that it was read from."""
    try:
        with path.open(encoding="utf-8") as stream:
            text = stream.read(LONGEST_FILE + 1)
        values = parse_yaml(text)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise UserError(f"--config {path} cannot be read: {reason}") from None
    except ValueError as error:
        raise UserError(f"--config {path}: {error}") from None
    if not isinstance(values, dict):
        raise UserError(f"--config {path}: write a line such as `data: patterns` for each option")
    node = yaml.compose(text, Loader=yaml.SafeLoader)  # which parse_yaml has found to be plain YAML
    assert isinstance(node, yaml.MappingNode)
    nodes = {key.value: inner for key, inner in node.value}
    return {key: (value, nodes[key]) for key, value in values.items()}


def _options(command: click.Command) -> dict[str, click.Option]:
    """Return the command's options by every spelling, with `_` for `-`."""
    found: dict[str, click.Option] = {}
    for parameter in command.params:
        if isinstance(parameter, click.Option) and parameter.name not in OWN:
            for spelling in (parameter.name, *parameter.opts, *getattr(parameter, "aliases", ())):
                found[str(spelling).lstrip("-").replace("-", "_")] = parameter
    return found


def _name(option: click.Option) -> str:
    """Return the key of an option: its first spelling."""
    return option.opts[0].lstrip("-").replace("-", "_")


def _texts(value: Any, node: yaml.Node, option: click.Option, where: str) -> Any:
    """Return a value of the file as it would be typed; of numbers, true and false their own characters."""
    commas = bool(getattr(option, "commas", False))
    if option.multiple and isinstance(value, dict):
        return [f"{name}={_setting(inner)}" for name, inner in value.items()]
    if isinstance(value, list) and (option.multiple or commas):
        if any(isinstance(item, list | dict) or item is None for item in value):
            raise UserError(f"{where} = {shown(value)}: write a list of plain values")
        texts = [str(item.value) for item in node.value]
        return ",".join(texts) if commas else texts
    if isinstance(value, list | dict):
        raise UserError(f"{where} = {shown(value)}: write one plain value")
    return [str(node.value)] if option.multiple else str(node.value)


def _setting(value: Any) -> str:
    """Return a YAML value as it is typed after `--set NAME=`: on one line; text stays as it is."""
    return value if isinstance(value, str) else yaml_line(value)


def _plain(value: Any) -> Any:
    """Return an option's value as YAML holds it."""
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value
