"""Pages of the documentation that are generated: protocols, recipes, command line, contributing, changelog.

`docs/hooks.py` adds them to the site that `make docs` builds; they are never written to the repository.
"""

from __future__ import annotations

import html
import inspect
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from mmbench.cli.commands import COMMANDS, root
from mmbench.leaderboard.records.comparability import markdown_table
from mmbench.pretrain.recipes.table import recipe_tables
from mmbench.tasks import TASKS, TaskSettings
from mmbench.tools.suite.planning.costs import costs_table
from mmbench.transfer.protocol import Protocol, protocols

ROOT = Path(__file__).resolve().parent.parent


def generated_pages() -> dict[str, str]:
    """Return every generated page: path below docs/ -> Markdown, in the order of the navigation."""
    return {**protocol_pages(), "recipes.md": recipe_page(), **command_pages(), **project_pages()}


def with_generated_parts(page: str) -> str:
    """Return a page with its generated parts in the place of the comments that ask for them."""
    for name, part in (("comparability", markdown_table), ("suites", costs_table)):
        mark = f"<!-- generated: {name} -->"
        page = page.replace(mark, part()) if mark in page else page
    return page


def project_pages() -> dict[str, str]:
    """Return the pages made of CONTRIBUTING.md and CHANGELOG.md, with links that work in the site."""
    pages = {}
    for name in ("CONTRIBUTING", "CHANGELOG"):
        text = (ROOT / f"{name}.md").read_text(encoding="utf-8")
        pages[f"{name.lower()}.md"] = text.replace("](docs/", "](")
    return pages


def command_pages() -> dict[str, str]:
    """Return a page per command, from the same text that `--help` shows."""
    links = "\n".join(f"| [`mmbench {name}`]({name}.md) | {line} |" for name, (_, line) in COMMANDS.items())
    pages = {"cli/index.md": f"# Command line\n\n| command | |\n|---|---|\n{links}\n"}
    context = click.Context(root, info_name="mmbench")
    for name in COMMANDS:
        command = root.get_command(context, name)
        assert command is not None
        pages[f"cli/{name}.md"] = "\n".join(_command(name, command, context, depth=1))
    return pages


def _command(name: str, command: click.Command, parent: click.Context, depth: int) -> Iterator[str]:
    """Yield the section of a command: help, usage, options, example, then its subcommands."""
    context = command.context_class(command, info_name=name, parent=parent, **command.context_settings)
    yield from (f"{'#' * depth} {context.command_path}", "")
    yield from (html.escape(inspect.cleandoc(command.help or ""), quote=False).replace("\b\n", ""), "")
    usage = " ".join(command.collect_usage_pieces(context))
    yield from ("```", f"{context.command_path} {usage}", "```", "")
    records = [parameter.get_help_record(context) for parameter in command.get_params(context)]
    options = [record for record in records if record is not None]
    if options:
        yield from ("| option | |", "|---|---|")
        # In code, the pipe of a choice needs no escape.
        yield from (f"| `{flags}` {_row(html.escape(_plain(text), quote=False))}" for flags, text in options)
        yield ""
    if command.epilog:
        yield from ("```", command.epilog.removeprefix("Example: "), "```", "")
    if isinstance(command, click.Group):
        for inner in command.list_commands(context):
            found = command.get_command(context, inner)
            if found is not None and not found.hidden:
                yield from _command(inner, found, context, depth + 1)


def recipe_page() -> str:
    """Return the page of recipes: every resolved value per scale and method, with its source."""
    return "\n".join(
        [
            "# Recipes",
            "",
            "A recipe is a method at a scale; see [pretraining](pretrain.md#recipes).",
            "These tables are generated from the files in `pretrain/recipes/`: the values that all methods",
            "of a scale share, then what each method adds or changes. *ours* marks a value without",
            "a published source, with the reason. How methods differ from their sources is",
            "[listed](#differences-from-the-sources) below the tables.",
            "",
            recipe_tables().replace("### ", "## "),
        ]
    )


def protocol_pages() -> dict[str, str]:
    """Return an overview of all protocols and a page per task, from the protocol files."""
    families: dict[str, dict[str, list[Protocol]]] = {}
    for protocol in protocols().values():
        families.setdefault(protocol.task, {}).setdefault(protocol.id.partition("@")[0], []).append(protocol)
    for versions in itertools.chain.from_iterable(by_name.values() for by_name in families.values()):
        versions.sort(key=lambda protocol: int(protocol.id.partition("@")[2]))
    order = sorted(families, key=lambda task: TASKS.get(task).column.order)
    pages = {"protocols/index.md": _protocol_index(order, families)}
    for task in order:
        pages[f"protocols/{task}.md"] = _task_page(task, families[task])
    return pages


def _protocol_index(order: Sequence[str], families: Mapping[str, Mapping[str, list[Protocol]]]) -> str:
    lines = [
        "# Protocols",
        "",
        "A protocol is a versioned YAML file that fixes how a task is run. A change that changes numbers",
        "is a new version; earlier versions still run.",
        "These pages are generated from the files in `transfer/protocols/`.",
        "**Bold** is what the task runs by default.",
        "",
        "| protocol | what is done | metric | what is chosen |",
        "|---|---|---|---|",
    ]
    for task in order:
        default = TASKS.get(task).default_protocol
        for name, versions in families[task].items():
            newest = versions[-1]
            shown = f"**`{newest.id}`**" if newest.id == default else f"`{newest.id}`"
            link = f"[{shown}]({task}.md#{_anchor(name)})"
            lines.append(
                _row(link, newest.title, f"`{newest.metric}` on {newest.split}", _plain(newest.selection))
            )
    return "\n".join([*lines, ""])


def _task_page(task: str, families: Mapping[str, list[Protocol]]) -> str:
    parts = [
        f"# {TASKS.get(task).column.label}",
        "",
        f"Run by `mmbench transfer --task {task} --protocol ID`.",
        "",
    ]
    for name, versions in families.items():
        parts += _family(name, versions, TASKS.get(task).default_protocol)
    return "\n".join(parts)


def _family(name: str, versions: Sequence[Protocol], default: str) -> Iterator[str]:
    """Yield the section of one protocol, all versions of it."""
    newest = versions[-1]
    yield from (f"## {name} {{ #{_anchor(name)} }}", "", f"{newest.title}.", "")
    yield from ("| property | |", "|---|---|")
    ids = ", ".join(f"`{version.id}`" for version in reversed(versions))
    yield _row("versions", ids + (" (the default of the task)" if newest.id == default else ""))
    yield _row("source", _plain(newest.source))
    yield _row("differs from the source", _plain(newest.differs))
    yield _row("what is chosen", _plain(newest.selection))
    yield _row("primary metric", f"`{newest.metric}`, on the {newest.split} split")
    if newest.image_size is not None:
        yield _row("written for", f"{newest.image_size} px")
    for earlier, later in itertools.pairwise(versions):
        yield _row(f"new in version {later.id.partition('@')[2]}", _changes(earlier, later))
    yield ""
    yield from _settings_table(newest)


def _changes(earlier: Protocol, later: Protocol) -> str:
    """Return what a version changed, in words and as `name: old -> new`."""
    before, after = earlier.model_dump(), later.model_dump()
    changed = [
        f"`{name}`: {_value(before[name])} → {_value(after[name])}"
        for name in before
        if name not in {"id", "change", "revisions", "settings"} and before[name] != after[name]
    ]
    changed += [
        f"`{name}`: {_value(before['settings'].get(name))} → {_value(value)}"
        for name, value in after["settings"].items()
        if before["settings"].get(name) != value
    ]
    return f"{_plain(later.change)} ({'; '.join(changed)})"


def _settings_table(protocol: Protocol) -> Iterator[str]:
    """Yield every resolved setting of a protocol: what the file states and what it leaves at its default."""
    model: type[TaskSettings] = TASKS.get(protocol.task).settings.variant(protocol.settings)
    values = model.model_validate(protocol.settings).model_dump(mode="json")
    meanings = setting_meanings(model)
    yield from ("| setting | value | |", "|---|---|---|")
    for name, value in values.items():
        meaning = meanings.get(name, "")
        if name not in protocol.settings:
            meaning = f"{meaning} *(default)*".strip()
        yield _row(f"`{name}`", _value(value), meaning)
    yield ""


def setting_meanings(model: type[Any]) -> dict[str, str]:
    """Return setting -> its meaning, from the "Attributes:" of the docstrings of a model and its bases."""
    found: dict[str, str] = {}
    for base in reversed(model.__mro__):
        section = re.search(r"^Attributes:\n((?:[ ].*\n?|\n)*)", inspect.cleandoc(base.__doc__ or ""), re.M)
        if section is None:
            continue
        entries = re.split(r"\n(?=    \S)", section.group(1).rstrip())
        for entry in entries:
            names, _, meaning = entry.strip().partition(":")
            for name in names.split(","):
                found[name.strip()] = _plain(meaning)
    return found


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _plain(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()


def _value(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "`true`" if value else "`false`"
    return f"`{value}`"


def _anchor(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower())
