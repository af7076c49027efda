"""`mmbench data`: list, prepare, check and show data sets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import cast

import click
import yaml
from rich.console import Console
from rich.progress import Progress

from mmbench.cli import options
from mmbench.cli.next_step import next_step
from mmbench.data import DATASETS, download_dataset, load_dataset
from mmbench.data.content_hashes import DATABASE
from mmbench.data.dataset import DOWNLOADERS
from mmbench.data.manifest import manifest, require_manifest
from mmbench.data.patterns.prepare import PatternsConfig, prepare, read_manifest
from mmbench.data.types import Split
from mmbench.errors import UserError
from mmbench.leftovers import OLD, scratch_folder
from mmbench.processes import cores
from mmbench.tools.contact_sheet import draw_images, draw_scenes
from mmbench.tools.data_check import check_dataset
from mmbench.writable import require_writable

Report = Callable[[int, int, str], None]


def prepare_dataset(
    name: str,
    root: Path,
    *,
    seed: int = 0,
    force: bool = False,
    download: bool = False,
    report: Report | None = None,
) -> str:
    """Prepare the data set `name` in `root/name`; return one line about what was done.

    Patterns are rendered (again with `force`: the old folder stays until the new one is complete). Other
    data sets are downloaded with `download` where their authors offer them; otherwise their files must be
    there, and the error says how to get them.

    Args:
        name: a registered data set.
        root: the folder with one folder per data set.
        seed: seed of the rendering.
        force: render again.
        download: download the data set.
        report: called with (done, total, message).

    Raises:
        UserError: unknown name; missing files; a folder that holds something else; a full disk.
    """
    DATASETS.get(name)
    target = root / name
    if name != "patterns":
        if download:
            download_dataset(name, root)
        found = load_dataset(name, root)
        return f"{found.name} is ready in {found.root}: {len(found.classes)} classes"
    if target.exists() and not force:
        there = read_manifest(target)["config"]["seed"]
        if there != seed:
            raise UserError(
                f"{target} was rendered with seed {there}, not {seed}; add --force to render it again"
            )
        return f"{name} is ready in {target} (seed {seed}); nothing to do"
    config = PatternsConfig(seed=seed)
    if target.exists():
        _replace(target, lambda fresh: prepare(fresh, config, report, processes=cores()))
    else:
        prepare(target, config, report, processes=cores())
    load_dataset.cache_clear()
    return f"{name} is ready in {target} (seed {seed})"


def _replace(target: Path, render: Callable[[Path], None]) -> None:
    """Replace the folder `target` by what `render` writes; it stays until the new one is complete.

    Raises:
        UserError: `target` holds files that are not rendered data, which must not be deleted.
    """
    found = [entry.name for entry in target.iterdir()] if target.is_dir() else [target.name]
    known = {"patterns.json", "scenes", "train", "val", "test"}
    if any(entry not in known and not entry.startswith(DATABASE) for entry in found):
        raise UserError(
            f"{target} holds files that are not Patterns data; move them, or choose another --data-root"
        )
    with scratch_folder(target) as beside:
        render(beside / "new")
        target.rename(beside / OLD)  # put back if what follows fails
        (beside / "new").rename(target)


@click.group()
def data() -> None:
    """List, prepare, check and show data sets."""


@data.command("prepare", epilog="Example: mmbench data prepare patterns")
@click.argument("name")
@options.data_root()
@options.seed(help="Seed of the rendering.")
@click.option("--force", is_flag=True, help="Render again and replace the old files.")
@click.option("--download", is_flag=True, help="Download the data set, where its authors offer it.")
def prepare_command(name: str, data_root: Path, seed: int, force: bool, download: bool) -> None:
    """Prepare the data set NAME: render Patterns, download others, or check that their files are there."""
    require_writable(data_root, "--data-root")
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task(name, total=None)
        line = prepare_dataset(
            name,
            data_root,
            seed=seed,
            force=force,
            download=download,
            report=lambda done, total, words: progress.update(
                bar, completed=done, total=total, description=words
            ),
        )
    click.echo(line)
    next_step("data", "check", name, *_at(data_root))


def _at(data_root: Path) -> tuple[object, ...]:
    """Return the option that names a data root, where it is not the default one."""
    return () if data_root == Path("data") else ("--data-root", data_root)


@data.command("check", epilog="Example: mmbench data check patterns")
@click.argument("name")
@options.data_root()
def check_command(name: str, data_root: Path) -> None:
    """Check the data set NAME, or the image folder at that path: files, labels and annotations."""
    facts, problems = check_dataset(name, data_root)
    for fact in facts:
        click.echo(fact)
    if problems:
        for problem in problems:
            click.echo(f"problem: {problem}", err=True)
        raise UserError(f"{name}: {len(problems)} problems, the first is: {problems[0]}")
    click.echo(f"{name} is complete")
    method = ("pretrain", "--method", "mixmask", "--data", name, *_at(data_root))
    next_step(*method, "--out", "runs/mixmask")


def data_set_table() -> list[tuple[str, ...]]:
    """Return a header and one row per data set: classes, images per split, metric, val split, source.

    A dash stands for what depends on the files.
    """
    rows: list[tuple[str, ...]] = [
        ("name", "classes", "train", "val", "test", "metric", "val split is", "source")
    ]
    for name in DATASETS.names():
        found = manifest(name)
        if found is None:
            rows.append((name, "-", "-", "-", "-", "top1", "its own, or held out", "your files"))
            continue
        sizes = [found.splits[split].images for split in ("train", "val", "test")]
        numbers = ["-" if number is None else str(number) for number in (found.classes, *sizes)]
        way = "--download" if name in DOWNLOADERS.names() else "your files"
        rows.append(
            (
                name,
                *numbers,
                found.metric,
                found.splits["val"].describe(),
                "rendering" if name == "patterns" else way,
            )
        )
    return rows


@data.command("list", epilog="Example: mmbench data list")
def list_command() -> None:
    """Print all data sets: classes, images per split, metric, origin of the val split, and source."""
    rows = data_set_table()
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = [
            cell.rjust(width) if 1 <= column <= 4 else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        click.echo("  ".join(cells).rstrip())
    next_step("data", "prepare", "patterns")


@data.command("manifest", epilog="Example: mmbench data manifest flowers102")
@click.argument("name")
def manifest_command(name: str) -> None:
    """Print the manifest of the data set NAME: source, splits, sizes and hashes."""
    DATASETS.get(name)
    facts = require_manifest(name).model_dump(mode="json", exclude_defaults=True)
    click.echo(yaml.safe_dump(facts, sort_keys=False, allow_unicode=True, width=100).rstrip())


@data.command("show", epilog="Example: mmbench data show patterns --out patterns.png")
@click.argument("name")
@options.data_root()
@options.out_file(required=True, help="PNG to write.")
@click.option(
    "--split",
    type=click.Choice(["train", "val", "test"]),
    default="train",
    show_default=True,
    help="Split to show.",
)
@click.option("--scenes", is_flag=True, help="Show the scenes, with boxes and masks, instead of the images.")
@click.option("--columns", type=click.IntRange(1, 40), default=None, help="Images per row.")
def show_command(
    name: str, data_root: Path, out: Path, split: str, scenes: bool, columns: int | None
) -> None:
    """Draw a contact sheet of the data set NAME: one row per class, or scenes with boxes and masks."""
    require_writable(out, "--out")
    chosen = cast(Split, split)
    dataset = load_dataset(name, data_root)
    if scenes:
        draw_scenes(dataset.require_scenes(), chosen, out, columns=columns or 5)
    else:
        draw_images(dataset, chosen, out, columns=columns or 12)
    click.echo(f"drawn: {out}")
    next_step("data", "check", name, *_at(data_root))
