"""`mmbench data pack`: a packed copy of image data, for network file systems."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.progress import Progress

from mmbench.cli import options, paths
from mmbench.cli.next_step import next_step
from mmbench.cli.values import WholeNumber
from mmbench.errors import UserError
from mmbench.file_names import counted, printable
from mmbench.processes import cores
from mmbench.writable import require_writable

if TYPE_CHECKING:
    from mmbench.data import Dataset
    from mmbench.data.packs.header import PackFormat, PackHeader

MOST_NAMED = 5  # images whose fault is printed


@click.command("pack", epilog="Example: mmbench data pack food101 --out packs/food101 --short-side 256")
@click.argument("name", type=paths.DATA)
@options.data_root()
@options.out(required=True, help="Folder to write.")
@click.option(
    "--short-side",
    type=options.IMAGE_SIZE,
    required=True,
    help="Pixels to which the short side of larger images is reduced; none is enlarged.",
)
@click.option(
    "--format",
    "kind",
    type=click.Choice(["jpeg", "webp", "png"]),
    default="jpeg",
    show_default=True,
    help="Format of the images; PNG loses nothing.",
)
@click.option("--quality", type=WholeNumber(1, 100), help="Quality of JPEG or WebP. Default: 95.")
@click.option("--skip-unreadable", is_flag=True, help="Leave out images that cannot be read.")
@click.option("--force", is_flag=True, help="Replace a packed copy that is there.")
@options.workers(help="Processes that encode images. Default: one per core.")
@options.layout()
def pack_command(
    name: str,
    data_root: Path,
    out: Path,
    short_side: int,
    kind: PackFormat,
    quality: int | None,
    skip_unreadable: bool,
    force: bool,
    workers: int | None,
    layout: str | None,
) -> None:
    """Pack the images of the data set NAME, or of the folder or list at that path, into few large files.

    The folder can be given as --data to every command. It is a data set of its own: its results are not
    those of the original.
    """
    require_writable(out, "--out")
    if quality is not None and kind == "png":
        raise UserError("--quality is for JPEG and WebP, and PNG loses nothing; omit it")
    from mmbench.data import load_dataset
    from mmbench.data.packs.encoding import QUALITY
    from mmbench.data.packs.header import Encoding
    from mmbench.data.packs.writing import UnreadableImagesError, write_pack

    encoding = Encoding(
        short_side=short_side, format=kind, quality=None if kind == "png" else quality or QUALITY
    )
    dataset = images_of(name, data_root, layout)
    for remark in dataset.remarks:
        click.echo(remark, err=True)
    console = Console(stderr=True)
    try:
        with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
            bar = progress.add_task(name, total=None)
            header = write_pack(
                dataset,
                out,
                encoding,
                force=force,
                skip_unreadable=skip_unreadable,
                processes=cores() if workers is None else workers,
                report=lambda done, total, words: progress.update(
                    bar, completed=done, total=total, description=words
                ),
            )
    except UnreadableImagesError as error:
        for line in error.lines[:MOST_NAMED]:
            click.echo(f"problem: {line}", err=True)
        if len(error.lines) > MOST_NAMED:
            click.echo(f"problem: {len(error.lines) - MOST_NAMED} more images cannot be read", err=True)
        raise
    load_dataset.cache_clear()
    for line in summary(header, out):
        click.echo(line)
    next_step("data", "check", out)


def images_of(name: str, root: Path, layout: str | None) -> Dataset:
    """Return the data set to pack: with labels if there are some, else its images.

    Raises:
        UserError: unknown name, or no images.
    """
    from dataclasses import replace

    from mmbench.data import load_dataset, load_images
    from mmbench.data.opening import image_path
    from mmbench.data.plain_images import plain_images

    try:
        return plain_images(load_dataset(name, root, layout))
    except UserError as error:
        path = image_path(name, root)
        if layout is not None or path is None or not path.exists():
            raise
        try:
            found = load_images(path)
        except UserError:
            raise error from None
        return replace(found, remarks=(*found.remarks, f"packed without labels: {error}"))


def summary(header: PackHeader, out: Path) -> list[str]:
    """Return what was packed, one line per split, and what it is called."""
    lines = []
    for split, facts in header.splits.items():
        size = sum(shard.bytes for shard in facts.shards) / 2**20
        lines.append(
            f"{split}: {counted(facts.images, 'image')} in {counted(len(facts.shards), 'file')}, {size:.1f} "
            f"MiB: {facts.reencoded} encoded again, {facts.images - facts.reencoded} kept as they were, "
            f"{len(facts.unreadable)} that cannot be read left out"
        )
    return [
        *lines,
        f"{header.name} is packed in {printable(out)}; it is not the data set {header.source.name}",
    ]
