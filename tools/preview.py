"""`mmbench preview`: a figure of what a method does to images, without training anything."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mmbench.cli import options, paths
from mmbench.cli.next_step import next_step, passed_on
from mmbench.cli.paths import Place
from mmbench.errors import UserError
from mmbench.pretrain.recipes.files import scales
from mmbench.writable import require_no_input, require_writable

if TYPE_CHECKING:
    from torch import Tensor

    from mmbench.pretrain.planning import RunRequest

PHOTOGRAPH_SIZE = 160  # pixels a side at which image files are read and, by default, shown


def read_images(paths: Sequence[Path], size: int) -> Tensor:
    """Return the central squares of image files as uint8 (N, 3, size, size).

    Raises:
        UserError: a file is missing or is not an image.
    """
    import torch

    from mmbench.data.images.decoding import read_image

    squares = [torch.from_numpy(read_image(path, size).copy()) for path in paths]
    return torch.stack(squares).permute(0, 3, 1, 2)


def draw_preview(
    request: RunRequest, out: Path, *, images: Sequence[Path] = (), count: int = 8, seed: int = 0
) -> Path:
    """Draw views, mask and masked query of a method to `out` (PNG) and return its path.

    Args:
        request: method, scale, data and settings, as for a pretraining run.
        images: image files; without any, `count` train images of the data.
        seed: of the views and masks.

    Raises:
        UserError: unknown method, scale, setting or data set (near match named); unreadable images; `out` is
            one of the images, or lies in the folder of the data.
    """
    import torch

    from mmbench.pretrain.figures import draw_views
    from mmbench.pretrain.sources.base import spread
    from mmbench.pretrain.sources.opening import open_images
    from mmbench.pretrain.view_maker import ViewMaker
    from mmbench.tools.drawing_place import require_outside

    if out.suffix.lower() != ".png":
        raise UserError(f"{out} is not the name of a PNG; let --out end in .png")
    if images:
        require_no_input(out, "--out", images)
        config = request.resolved()
        pixels, image_size = read_images(images, PHOTOGRAPH_SIZE), PHOTOGRAPH_SIZE
    else:
        plan = request.plan()
        config = plan.config
        dataset = plan.dataset or open_images(config.data, config.data_root)
        require_outside(out, dataset, config.data, Path(config.data_root))
        image_size = dataset.image_size
        train = dataset.split("train").images
        pixels = train[spread(len(train), count)]
    maker = ViewMaker(config, config.image_size or image_size, torch.device("cpu"))
    draw_views(maker, pixels, torch.Generator().manual_seed(seed), out, config.method)
    return out


@click.command(epilog="Example: mmbench preview mixmask --data patterns --out mixmask.png")
@click.argument("method")
@click.option(
    "--scale", cls=options.Option, names=scales, help="Settings for images of a size. Default: by the data."
)
@click.option("--image", "images", type=Place(), multiple=True, help="Image file; repeatable.")
@options.data(
    type=paths.DATA, default="patterns", show_default=True, help="Data set or image folder, without --image."
)
@options.data_root()
@click.option(
    "--count", type=click.IntRange(2, 16), default=8, show_default=True, help="How many images of --data."
)
@options.seed(help="Seed of the views and masks.")
@options.overrides()
@options.out_file(required=True, help="PNG to write.")
def preview(
    method: str,
    scale: str | None,
    images: tuple[Path, ...],
    data: str,
    data_root: Path,
    count: int,
    seed: int,
    overrides: tuple[str, ...],
    out: Path,
) -> None:
    """Draw what METHOD does to images.

    METHOD is the name of a pretraining method, such as mixmask; `mmbench pretrain --list` shows all.
    """
    require_writable(out, "--out")
    from mmbench.pretrain.config import Given
    from mmbench.pretrain.planning import RunRequest

    given = Given(data=data, data_root=data_root, seed=seed)
    path = draw_preview(
        RunRequest(method, scale, overrides, given=given), out, images=images, count=count, seed=seed
    )
    click.echo(f"drawn: {path}")
    chosen = passed_on("scale", "data_root", "overrides")
    out_folder = f"runs/{method.partition('@')[0]}"
    next_step("pretrain", "--method", method, "--data", data, *chosen, "--out", out_folder)
