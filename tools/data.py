"""`mmbench data`: list, prepare, check, pack and show data sets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import cast

import click
from rich.console import Console
from rich.progress import Progress

from mmbench.cli import options, paths
from mmbench.cli.next_step import next_step
from mmbench.data.types import SPLITS, Split
from mmbench.errors import UserError
from mmbench.file_names import counted
from mmbench.settings.values import yaml_text
from mmbench.tasks import TASKS
from mmbench.tools.data_pack import pack_command
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

    Data sets such as Patterns are generated (again with `force`: the old folder stays until the
    new one is complete). Of the files of VOC2012 with SBD and of Cityscapes label maps are made. Others are
    downloaded with `download` where their authors offer it, and otherwise must be there; the error says how
    to get them.

    Args:
        name: a registered data set.
        root: the folder with one folder per data set.
        seed: seed of the generation.
        force: make files again that are there.
        download: download the data set.
        report: called with (done, total, message).

    Raises:
        UserError: unknown name; options that do not apply; files that are missing; a folder that holds
            something else; a full disk.
    """
    from mmbench.data import DATASETS, download_dataset, load_dataset
    from mmbench.data.dataset import GENERATORS, PREPARERS

    DATASETS.get(name)
    if name in GENERATORS.names():
        line = GENERATORS.get(name)(root / name, seed=seed, force=force, report=report)
        load_dataset.cache_clear()
        return line
    if seed:
        raise UserError(
            f"data set '{name}' is not generated, so --seed does not apply; omit it "
            f"(it is for {', '.join(GENERATORS.names())})"
        )
    if name in PREPARERS.names() and not download:
        line = PREPARERS.get(name)(root / name, force=force, report=report)
        load_dataset.cache_clear()
        return line
    if force:
        raise UserError(
            f"no files of data set '{name}' are made, so --force does not apply; omit it "
            f"(it is for {', '.join([*GENERATORS.names(), *PREPARERS.names()])})"
        )
    if download:
        download_dataset(name, root)
    found = load_dataset(name, root)
    return f"{found.name} is ready in {found.root}: {len(found.classes)} classes"


@click.group()
def data() -> None:
    """List, prepare, check, pack and show data sets."""


@data.command("prepare", epilog="Example: mmbench data prepare patterns")
@click.argument("name", type=paths.DATA_SET)
@options.data_root()
@options.seed(help="Seed of the rendering.")
@click.option("--force", is_flag=True, help="Make the files again and replace the old ones.")
@click.option("--download", is_flag=True, help="Download the data set, where its authors offer it.")
def prepare_command(name: str, data_root: Path, seed: int, force: bool, download: bool) -> None:
    """Prepare the data set NAME: render Patterns, make label maps of VOC's and Cityscapes' files, download.

    Of others it checks that their files are there.
    """
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


def _at(data_root: Path, layout: str | None = None) -> tuple[object, ...]:
    """Return the options that say where and how data lie, where those are not the default ones."""
    stated = () if layout is None else ("--layout", layout)
    return (*stated, *(() if data_root == Path("data") else ("--data-root", data_root)))


@data.command("check", epilog="Example: mmbench data check patterns")
@click.argument("name", type=paths.DATA)
@options.data_root()
@options.layout()
def check_command(name: str, data_root: Path, layout: str | None) -> None:
    """Check the data set NAME, or the folder at that path: files, labels and annotations.

    A folder may hold images with boxes in COCO, VOC or YOLO layout, images with label maps, class folders, or
    a packed copy, of which every byte is compared with what was packed.
    """
    from mmbench.data import load_dataset
    from mmbench.data.official import NOT_COMPARABLE
    from mmbench.tools.data_check import check_dataset

    facts, problems = check_dataset(name, data_root, layout)
    for fact in facts:
        click.echo(fact)
    if problems:
        for problem in problems:
            click.echo(f"problem: {problem}", err=True)
        raise UserError(f"{name}: {counted(len(problems), 'problem')}, the first is: {problems[0]}")
    partial = any(NOT_COMPARABLE in fact for fact in facts)
    click.echo(f"{name} is in order, and a part of what is published" if partial else f"{name} is complete")
    place, dataset = _at(data_root, layout), load_dataset(name, data_root, layout)
    if dataset.splits:  # the pretraining takes the images, whatever their layout
        root = _at(data_root)
        next_step("pretrain", "--method", "mixmask", "--data", name, "--out", "runs/mixmask", *root)
    else:
        task = "segmentation" if dataset.annotated is None and dataset.scenes is None else "detection"
        protocol = TASKS.get(task).protocol_on(name)
        next_step("transfer", "--protocol", protocol, "--checkpoint", "runs/mixmask", "--data", name, *place)


data.add_command(pack_command)


@data.command("list", epilog="Example: mmbench data list")
def list_command() -> None:
    """Print all data sets: classes, images per split, metric, origin of the val split, and source."""
    from mmbench.tools.data_list import NUMBERS, data_set_table

    rows = data_set_table()
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = [
            cell.rjust(width) if column in NUMBERS else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        click.echo("  ".join(cells).rstrip())
    next_step("data", "prepare", "patterns")


@data.command("manifest", epilog="Example: mmbench data manifest flowers102")
@click.argument("name", type=paths.DATA_SET)
def manifest_command(name: str) -> None:
    """Print the manifest of the data set NAME: source, splits, sizes and hashes."""
    from mmbench.data import DATASETS
    from mmbench.data.manifest import require_manifest

    DATASETS.get(name)
    facts = require_manifest(name).model_dump(mode="json", exclude_defaults=True)
    click.echo(yaml_text(facts, width=100).rstrip())


@data.command("show", epilog="Example: mmbench data show patterns --out patterns.png")
@click.argument("name", type=paths.DATA)
@options.data_root()
@options.out_file(required=True, help="PNG to write.")
@click.option(
    "--split",
    type=click.Choice(SPLITS),
    default="train",
    show_default=True,
    help="Split to show.",
)
@click.option(
    "--boxes",
    cls=options.Option,
    aliases=("--scenes",),
    is_flag=True,
    help="Show boxes, of a data set that also has classes of images.",
)
@click.option("--masks", is_flag=True, help="Show label maps, of a data set that also has boxes or classes.")
@click.option("--columns", type=click.IntRange(1, 40), default=None, help="Images per row.")
@options.layout()
def show_command(
    name: str,
    data_root: Path,
    out: Path,
    split: str,
    boxes: bool,
    masks: bool,
    columns: int | None,
    layout: str | None,
) -> None:
    """Draw a contact sheet of the data set NAME, or of the folder at that path.

    It has one row per class; or images with their boxes and keypoints, or with their label maps.
    """
    from mmbench.data import load_dataset
    from mmbench.tools.annotated_sheet import draw_annotated
    from mmbench.tools.contact_sheet import draw_images, draw_scenes
    from mmbench.tools.drawing_place import require_outside
    from mmbench.tools.label_map_sheet import draw_label_maps

    require_writable(out, "--out")
    chosen = cast(Split, split)
    dataset = load_dataset(name, data_root) if layout is None else load_dataset(name, data_root, layout)
    require_outside(out, dataset, name, data_root)
    if boxes and masks:
        raise UserError("--boxes and --masks draw two different sheets; give one of them")
    has_boxes = dataset.annotated is not None or dataset.scenes is not None
    if masks or not (boxes or dataset.splits or has_boxes or dataset.label_maps is None):
        draw_label_maps(dataset.require_label_maps(), chosen, out, columns=columns or 5)
    elif dataset.splits and not boxes:
        draw_images(dataset, chosen, out, columns=columns or 12)
    elif dataset.scenes is not None and dataset.annotated is None:
        draw_scenes(dataset.scenes, chosen, out, columns=columns or 5)
    else:
        draw_annotated(dataset.require_annotated(), chosen, out, columns=columns or 5)
    click.echo(f"drawn: {out}")
    next_step("data", "check", name, *_at(data_root, layout))
