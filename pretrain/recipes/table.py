"""Recipes for people: the grid of methods and scales, the resolved values with their sources."""

from __future__ import annotations

from typing import Any

from mmbench.pretrain.recipes.files import OURS, Earlier, Scale, Statement, methods, scales
from mmbench.pretrain.recipes.recipe import Recipe, flat, recipe


def grid_lines() -> list[str]:
    """Return the grid of methods and scales as lines of text, with the sources of the methods."""
    columns = list(scales())
    width = max(map(len, methods())) + 2
    lines = ["".join(["method".ljust(width), *(name.ljust(len(name) + 3) for name in columns)]).rstrip()]
    for method in methods().values():
        cells = [
            ("tried" if recipe(method, scale).tried else "-").ljust(len(name) + 3)
            for name, scale in scales().items()
        ]
        lines.append("".join([method.name.ljust(width), *cells]).rstrip())
    lines += [
        "",
        "Every pair can be run. tried: run to its end by us; -: resolves and trains, not run to its end.",
        "",
    ]
    lines += [f"{scale.name}: {scale.title} ({', '.join(scale.data)})" for scale in scales().values()]
    lines.append("")
    lines += [
        f"{method.name}: {method.title}. Source: {_source_of(recipe(method, scales()['imagenet']))}"
        for method in methods().values()
    ]
    return lines


def _source_of(found: Recipe) -> str:
    """Return the first published source that the method itself states."""
    return next(
        (
            part.source
            for part in found.method.stated
            if part.source != OURS and part.holds_at(found.scale.name)
        ),
        OURS,
    )


def recipe_tables() -> str:
    """Return Markdown: for each scale the values that its methods share, and what each method adds.

    How scales and methods differ from their sources stands with the scale, and in a list at the end.
    """
    lines = ["### Differences from the sources", ""]
    lines += [f"- `{method.name}`: {method.differs}." for method in methods().values()]
    return "\n".join([*(_scale_table(scale) for scale in scales().values()), *lines, ""])


def _scale_table(scale: Scale) -> str:
    title = f"{scale.title[0].upper()}{scale.title[1:]}"
    low, high = scale.side
    fits = (
        f"up to {high} px" if low == 0 else f"{low} px and more" if high > 10_000 else f"{low} to {high} px"
    )
    count = f", at least {scale.images:,} images" if scale.images else ""
    lines = [
        f"### Scale `{scale.name}`",
        "",
        f"{title}. Data sets: {', '.join(f'`{name}`' for name in scale.data)}; fits images of {fits}{count}.",
        "",
        *((f"Differences from the source: {scale.differs}.", "") if scale.differs else ()),
        *(line for earlier in scale.earlier for line in (_earlier_line(scale, earlier), "")),
        "| recipe | run to its end | values | source |",
        "|---|---|---|---|",
    ]
    shared = recipe(methods()["moco"], scale)
    lines += _rows(
        "all", "", shared, [name for name, part in shared.sources().items() if part in scale.stated]
    )
    for method in methods().values():
        found = recipe(method, scale)
        own = [name for name, statement in found.sources().items() if statement not in scale.stated]
        lines += _rows(f"`{found.id}`", "yes" if found.tried else "no", found, own)
    return "\n".join([*lines, ""])


def _earlier_line(scale: Scale, earlier: Earlier) -> str:
    """Return what the recipes of an earlier version do otherwise."""
    back = scale.version - earlier.version
    example = recipe(methods()["moco"], scale).id.partition("@")[0]
    which = "The version before" if back == 1 else f"{back} versions before"
    return f"{which} (`{example}@{earlier.version}`) can still be followed: {earlier.why}."


def _rows(head: str, tried: str, found: Recipe, names: list[str]) -> list[str]:
    """Return one row for each source, with the values that it gives."""
    sources, values = found.sources(), dict(flat(found.settings))
    by_source: dict[str, list[str]] = {}
    for name in names:
        text = f"`{name}={value_text(values[name])}`"
        by_source.setdefault(source_text(sources[name]), []).append(text)
    rows = [f"{', '.join(texts)} | {source} |" for source, texts in by_source.items()]
    return [
        f"| {head} | {tried} | {row}" if not position else f"| | | {row}" for position, row in enumerate(rows)
    ]


def source_text(statement: Statement) -> str:
    """Return the source of a statement, with the reason where the values are ours."""
    return f"{statement.source}: {statement.why}" if statement.why else statement.source


def same(first: Any, second: Any) -> bool:
    """Return whether two values are equal; YAML has lists where settings have tuples."""
    if isinstance(first, list | tuple) and isinstance(second, list | tuple):
        return list(first) == list(second)
    return bool(first == second)


def value_text(value: Any) -> str:
    """Return a value as `--set` takes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(value_text, value))}]"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
