"""`mmbench pretrain`: a thin shell over `plan` and `pretrain`."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource
from rich.console import Console

from mmbench.cli import options, paths
from mmbench.cli.next_step import next_step
from mmbench.cli.paths import Place
from mmbench.errors import UserError
from mmbench.launched import launched_rank
from mmbench.pretrain.recipes.files import methods, scales
from mmbench.pretrain.recipes.table import grid_lines
from mmbench.progress import progress_report
from mmbench.writable import require_writable

if TYPE_CHECKING:
    from mmbench.pretrain.config import Given, Overrides
    from mmbench.pretrain.planning import RunPlan

RESUBMIT = 75  # sysexits.h, EX_TEMPFAIL: the same command will succeed later


def _frameworks() -> list[str]:
    from mmbench.pretrain.framework import FRAMEWORKS

    return FRAMEWORKS.names()


def _maskings() -> list[str]:
    from mmbench.pretrain.masking import MASKINGS

    return MASKINGS.names()


def _list(ctx: click.Context, option: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        click.echo("\n".join(grid_lines()))
        ctx.exit()


@click.command(
    epilog="Example: mmbench pretrain --method mixmask --data patterns --epochs 8 --out runs/mixmask"
)
@click.option("--method", cls=options.Option, names=methods, help="Pretraining method.")
@click.option(
    "--scale", cls=options.Option, names=scales, help="Settings for images of a size. Default: by the data."
)
@click.option(
    "--framework", cls=options.Option, names=_frameworks, help="In place of the method's framework."
)
@click.option("--masking", cls=options.Option, names=_maskings, help="In place of the method's masking.")
@options.arch(help="timm name of the backbone. Default: the scale's.")
@options.data(type=paths.DATA, help="Data set, or path of an image folder. Default: the scale's.")
@options.data_root()
@options.epochs(help="Default: the scale's.")
@options.seed()
@options.config_path()
@options.overrides()
@options.out(type=Place(), help="Run folder.")
@options.device()
@options.threads()
@click.option(
    "--compile",
    "compiled",
    is_flag=True,
    help="Let torch.compile speed the encoders up: compiles for minutes at first, then from its cache.",
)
@click.option("--download", is_flag=True, help="Fetch the data set from its authors if it is not there.")
@click.option(
    "--list", is_flag=True, is_eager=True, expose_value=False, callback=_list, help="Show all recipes."
)
@click.option("--dry-run", is_flag=True, help="Show the settings and the expected cost; write nothing.")
@click.pass_context
def pretrain(
    ctx: click.Context,
    /,
    method: str | None,
    scale: str | None,
    framework: str | None,
    masking: str | None,
    config: Path | None,
    overrides: tuple[str, ...],
    out: Path | None,
    compiled: bool,
    download: bool,
    dry_run: bool,
    **given: Any,
) -> None:
    """Pretrain a backbone without labels.

    A recipe is a method at a scale; --list shows all. The same command goes on after an interruption.
    `kill -USR1` makes it save a training state at once. SIGTERM makes it save and leave with exit code 75:
    submit the same command again.

    Several GPUs or machines: `torchrun --nproc-per-node 8 -m mmbench pretrain ...`, or `accelerate launch`.
    """
    from mmbench.data import DATASETS
    from mmbench.data.preparing import NotPreparedError, writing_nothing
    from mmbench.pretrain.api import with_axes
    from mmbench.pretrain.engine import pretrain as run_pretraining
    from mmbench.pretrain.planning import RunRequest, recipe_begun
    from mmbench.pretrain.settings_file import read_settings_file
    from mmbench.pretrain.signals import signals_as_requests
    from mmbench.pretrain.sources.opening import is_there
    from mmbench.runs import RunFolder

    rank = launched_rank()
    console = Console(stderr=not sys.stdout.isatty() and sys.stderr.isatty(), quiet=rank > 0)

    def say(text: str) -> None:
        console.print(text, highlight=False, markup=False, soft_wrap=True)

    stated = {} if config is None else read_settings_file(config)
    changes = with_axes((*(["compile=true"] if compiled else []), *overrides), framework, masking)
    _require_one_value(ctx, given, changes)
    begun = None if out is None else recipe_begun(RunFolder(out))
    request = RunRequest(method, scale, changes, stated, _given(ctx, given, stated), begun=begun)
    if method is None and not {"method", "recipe"} & stated.keys():
        raise click.MissingParameter(ctx=ctx, param_type="option", param_hint="'--method'")
    if out is None and not dry_run:
        raise click.MissingParameter(ctx=ctx, param_type="option", param_hint="'--out'")
    if out is not None:
        require_writable(out, "--out")
    try:
        with writing_nothing() if dry_run else contextlib.nullcontext():
            if download and (dry_run or rank == 0):
                from mmbench.data import download_dataset

                download_dataset(*request.data())
            plan = request.plan()
            for line in plan.lines:
                say(line)
            if dry_run or out is None:
                from mmbench.pretrain.dry_run import dry_run as describe

                describe(plan, out, say)
                return
    except NotPreparedError as missing:  # which only a dry run meets
        say(str(missing))
        return
    with signals_as_requests() as requests:
        try:
            with progress_report(console, plan.config.method) as report:
                folder = run_pretraining(
                    plan.config, out, report, dataset=plan.reusable_data, requests=requests, say=say
                )
        except KeyboardInterrupt:
            if not requests.resubmit:
                raise
            say(f"stopped by SIGTERM; the same command goes on with the newest training state in {out}")
            sys.exit(RESUBMIT)
    say(f"{folder.root}: model.safetensors (timm), card.json, curves.png, views.png")
    data, root = plan.config.data, plan.config.data_root
    if rank == 0 and (data in DATASETS.names() or is_there(data, root)):  # a finished run's may be gone
        next_step(*following(folder.root, plan))


def following(run: Path, plan: RunPlan) -> tuple[object, ...]:
    """Return the words of a command that measures the run on its own data, or embeds them without labels."""
    from mmbench.data.folder import UNLABELLED

    root = plan.config.data_root
    place = ("--data", plan.config.data, *(() if Path(root) == Path("data") else ("--data-root", root)))
    if plan.dataset is not None and plan.dataset.classes == UNLABELLED:
        return ("embed", "--checkpoint", run, *place, "--out", "features.npy")
    return ("transfer", "--task", "knn", "--checkpoint", run, *place)


def _given(ctx: click.Context, given: dict[str, Any], stated: dict[str, Any]) -> Given:
    """Return the options that were typed; others only where the settings file does not state them."""
    typed: Given = {}
    for name, value in given.items():
        source = ctx.get_parameter_source(name)
        if source is ParameterSource.COMMANDLINE or (value is not None and name not in stated):
            typed[name] = value  # type: ignore[literal-required]
    return typed


def _require_one_value(ctx: click.Context, given: dict[str, Any], changes: Overrides) -> None:
    """Refuse a setting that an option and `--set` give two values.

    Raises:
        UserError: there is one.
    """
    from mmbench.pretrain.config import override_pairs

    for name, value in override_pairs(changes):
        typed = ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE
        if typed and given.get(name) is not None and str(given[name]) != str(value):
            option = f"--{name.replace('_', '-')}"
            raise UserError(
                f"{option} {given[name]} and --set {name}={value} disagree; leave one of them out"
            )
