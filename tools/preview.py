"""`mmbench preview`: a picture of what a method does to images, without training anything."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click
import torch
from torch import Tensor

from mmbench.cli import options
from mmbench.cli.next_step import next_step
from mmbench.data import load_dataset, load_images
from mmbench.data.decoding import read_image
from mmbench.data.opening import image_path
from mmbench.errors import UserError
from mmbench.pretrain.config import resolve_config
from mmbench.pretrain.figures import draw_views
from mmbench.pretrain.sources.base import spread
from mmbench.pretrain.view_maker import ViewMaker
from mmbench.writable import require_writable

PICTURE_SIZE = 160  # side at which photographs are read; their views are as large


def read_images(paths: Sequence[Path], size: int) -> Tensor:
    """Return the central squares of image files as uint8 (N, 3, size, size).

    Raises:
        UserError: a file is missing or no image.
    """
    squares = [torch.from_numpy(read_image(path, size).copy()) for path in paths]
    return torch.stack(squares).permute(0, 3, 1, 2)


def draw_preview(
    method: str,
    out: Path,
    *,
    images: Sequence[Path] = (),
    data: str = "patterns",
    data_root: Path = Path("data"),
    count: int = 8,
    seed: int = 0,
    overrides: Sequence[str] = (),
) -> Path:
    """Draw views, mask and masked query of `method` to `out` (PNG) and return its path.

    Args:
        images: image files; without any, `count` train images of `data`.

    Raises:
        UserError: unknown method, setting or data set (near match named); unreadable images.
    """
    config = resolve_config(method, data=data, data_root=data_root, seed=seed, overrides=overrides)
    if out.suffix.lower() != ".png":
        raise UserError(f"{out} is no name of a PNG; let --out end in .png")
    if images:
        pixels, image_size = read_images(images, PICTURE_SIZE), PICTURE_SIZE
    else:
        path = image_path(data, data_root)
        dataset = load_dataset(data, data_root) if path is None else load_images(path)
        image_size = dataset.image_size
        train = dataset.split("train").images
        pixels = train[spread(len(train), count)]
    maker = ViewMaker(config, config.image_size or image_size, torch.device("cpu"))
    draw_views(maker, pixels, torch.Generator().manual_seed(seed), out, config.method)
    return out


@click.command(epilog="Example: mmbench preview mixmask --data patterns --out mixmask.png")
@click.argument("method")
@click.option(
    "--image", "images", type=click.Path(path_type=Path), multiple=True, help="Image file; repeatable."
)
@options.data(default="patterns", show_default=True, help="Data set or image folder, without --image.")
@options.data_root()
@click.option(
    "--count", type=click.IntRange(2, 16), default=8, show_default=True, help="How many images of --data."
)
@options.seed(help="Seed of the views and masks.")
@options.overrides()
@options.out_file(required=True, help="PNG to write.")
def preview(
    method: str,
    images: tuple[Path, ...],
    data: str,
    data_root: Path,
    count: int,
    seed: int,
    overrides: tuple[str, ...],
    out: Path,
) -> None:
    """Draw what METHOD does to images."""
    require_writable(out, "--out")
    path = draw_preview(
        method,
        out,
        images=images,
        data=data,
        data_root=data_root,
        count=count,
        seed=seed,
        overrides=overrides,
    )
    click.echo(f"drawn: {path}")
    next_step("pretrain", "--method", method, "--data", data, "--out", f"runs/{method.partition('@')[0]}")
