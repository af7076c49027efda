"""`mmbench pretrain`: a thin shell over `mmbench.pretrain.engine.pretrain`."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import click
from rich.console import Console

from mmbench.cli.option_types import EPOCHS, SEED, THREADS
from mmbench.data import download_dataset
from mmbench.pretrain.config import resolve_config
from mmbench.pretrain.engine import pretrain as run_pretraining
from mmbench.pretrain.session import Requests
from mmbench.progress import progress_report
from mmbench.writable import require_writable

RESUBMIT = 75  # sysexits.h, EX_TEMPFAIL: the same command will succeed later


@contextlib.contextmanager
def signals_as_requests() -> Iterator[Requests]:
    """Ctrl-C and SIGTERM save and stop, SIGUSR1 saves and goes on; a second one stops at once.

    Before the first step and after the last one there is nothing to save, so a stop is heeded at once there.
    SIGTERM is what Slurm sends before it takes a machine back; it asks for a new submission too.
    """
    requests = Requests()

    def stop(number: int, frame: FrameType | None) -> None:
        at_once = requests.stop or requests.idle
        requests.stop = True
        if at_once:
            raise KeyboardInterrupt

    def save(number: int, frame: FrameType | None) -> None:
        requests.save = True

    def give_way(number: int, frame: FrameType | None) -> None:
        requests.resubmit = True
        stop(number, frame)

    wanted = {signal.SIGINT: stop, signal.SIGTERM: give_way, signal.SIGUSR1: save}
    before = {number: signal.signal(number, handler) for number, handler in wanted.items()}
    try:
        yield requests
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@click.command(
    epilog="Example: mmbench pretrain --method mixmask --data patterns --epochs 8 --out runs/mixmask"
)
@click.option("--method", required=True, help="Recipe: mixmask, moco, mscn, erase, simclr, ...")
@click.option("--framework", help="Another framework than the recipe's: moco, simclr, byol, simsiam.")
@click.option("--masking", help="Another masking: none, mixmask, unmix, unmix+mixmask, erase, mscn.")
@click.option("--arch", help="timm name of the backbone. Default: the recipe's.")
@click.option("--data", help="Data set, or path of an image folder. Default: the recipe's.")
@click.option(
    "--data-root", type=click.Path(path_type=Path, file_okay=False), default=Path("data"), show_default=True
)
@click.option("--epochs", type=EPOCHS, help="Default: the recipe's.")
@click.option("--seed", type=SEED, default=0, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Run folder.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option("--threads", type=THREADS, help="CPU threads. Default: torch's choice.")
@click.option("--compile", "compiled", is_flag=True, help="Let torch.compile speed the encoders up.")
@click.option("--download", is_flag=True, help="Fetch the data set from its authors if it is not there.")
@click.option("--set", "overrides", multiple=True, metavar="NAME=VALUE", help="Change a setting; repeatable.")
def pretrain(
    method: str,
    framework: str | None,
    masking: str | None,
    arch: str | None,
    data: str | None,
    data_root: Path,
    epochs: int | None,
    seed: int,
    out: Path,
    device: str,
    threads: int | None,
    compiled: bool,
    download: bool,
    overrides: tuple[str, ...],
) -> None:
    """Pretrain a backbone without labels.

    The same command goes on after an interruption. `kill -USR1` makes it save a training state at once.
    SIGTERM makes it save and leave with exit code 75: submit the same command again.

    Several GPUs or machines: `torchrun --nproc-per-node 8 -m mmbench pretrain ...`, or `accelerate launch`.
    """
    rank = int(os.environ.get("RANK", "0"))  # of the processes that torchrun started
    console = Console(stderr=not sys.stdout.isatty() and sys.stderr.isatty(), quiet=rank > 0)
    axes = {"framework.name": framework, "masking.name": masking}
    chosen = tuple(f"{axis}={name}" for axis, name in axes.items() if name is not None)
    chosen += ("compile=true",) if compiled else ()
    config = resolve_config(
        method,
        arch=arch,
        data=data,
        data_root=data_root,
        epochs=epochs,
        seed=seed,
        device=device,
        threads=threads,
        overrides=(*chosen, *overrides),
    )

    require_writable(out, "--out")

    def say(words: str) -> None:
        console.print(words, highlight=False, markup=False, soft_wrap=True)

    say(config.in_words())
    if download and rank == 0:
        download_dataset(config.data, data_root)
    with signals_as_requests() as requests:
        try:
            with progress_report(console, config.method) as report:
                folder = run_pretraining(config, out, report, requests=requests, say=say)
        except KeyboardInterrupt:
            if not requests.resubmit:
                raise
            say(f"stopped by SIGTERM; the same command goes on with the newest training state in {out}")
            sys.exit(RESUBMIT)
    say(f"{folder.root}: model.safetensors (timm), card.json, curves.png, views.png")
