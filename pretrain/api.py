"""`run_pretraining`: the Python entry to pretraining."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mmbench.data import Dataset
from mmbench.device import device_name
from mmbench.errors import UserError, shown
from mmbench.home import home_path, path_text
from mmbench.one_call import one_call
from mmbench.own_state import own_state
from mmbench.pretrain.acceleration import own_accelerate
from mmbench.pretrain.config import Given, Overrides
from mmbench.pretrain.engine import pretrain
from mmbench.pretrain.planning import RunRequest, recipe_begun
from mmbench.pretrain.session import Report
from mmbench.pretrain.settings_file import read_settings_file
from mmbench.runs import RunFolder
from mmbench.settings.python_values import plain, require_callables, require_texts, settings_of
from mmbench.writable import require_writable

logger = logging.getLogger("mmbench.pretrain")


@own_state()
@own_accelerate()
@one_call()
def run_pretraining(
    method: str | None = None,
    data: str | Path | None = None,
    *,
    out: str | Path,
    scale: str | None = None,
    framework: str | None = None,
    masking: str | None = None,
    arch: str | None = None,
    epochs: int | None = None,
    seed: int | None = None,
    device: str | None = None,
    threads: int | None = None,
    data_root: str | Path | None = None,
    dataset: Dataset | None = None,
    config: str | Path | Mapping[str, Any] | None = None,
    overrides: Overrides = (),
    report: Report | None = None,
    say: Callable[[str], None] = logger.warning,
) -> RunFolder:
    """Pretrain a backbone without labels; the same as `mmbench pretrain`.

    Called again with the same settings, it goes on with an interrupted run and returns a finished one.
    Neither the caller's state of torch nor its seeds change the weights, and both are left as they were. In
    one process one call at a time computes; calls in other threads wait.

        folder = mmbench.run_pretraining("mixmask", "patterns", out="runs/mixmask", epochs=8)
        folder.weights  # model.safetensors, which timm reads

    Args:
        method: name of a method ("mixmask"), or of a recipe with its scale ("mixmask-imagenet"). None takes
            the one that `config` states.
        data: name of a data set, or path of an image folder or of a list of images.
        out: the run folder.
        scale: "small-images", "cifar100", "tiny-imagenet" or "imagenet"; None takes the one that fits the
            data.
        framework: another framework than the method's, such as "simclr".
        masking: another masking than the method's, such as "mixmask".
        arch: timm name of the backbone.
        epochs: passes over the training images.
        seed: of everything that is drawn; 0 by default.
        device: "auto" (default), "cpu", "cuda" or "cuda:N".
        threads: CPU threads; None leaves torch's choice. Bit-exact repetition needs the same number.
        data_root: folder with one folder per data set; "data" by default.
        dataset: images that are open already, used instead of `data`, which then only names them. Without
            `data` they are called by their name, or by their folder where it is your own.
        config: a settings file, such as another run's settings.yaml, or its content.
        overrides: other settings, {"optimiser.lr": 0.001} or ["optimiser.lr=0.001"]; they win over `config`.
        report: called after each step with (steps done, steps in all, text with loss, rate and speed).
        say: called with each line that a user should see, the first of which names recipe and scale.

    Returns:
        The run folder, with the finished weights, their card and the curves.

    Raises:
        UserError: bad settings, data, architecture or folder; not enough disk; a loss that is not finite.
    """
    out = home_path(out, "out")
    stated: Mapping[str, Any] = {}
    if isinstance(config, Mapping):
        stated = settings_of(config, "config", '"epochs": 10')
    elif config is not None:
        stated = read_settings_file(home_path(config, "config"))
    require_texts(method=method, scale=scale, framework=framework, masking=masking, arch=arch)
    require_callables(say=say, report=say if report is None else report)
    overrides = _overrides(overrides)
    given = Given(
        arch=arch,
        data=None if data is None else path_text(data, "data"),
        data_root=None if data_root is None else home_path(data_root, "data_root"),
        epochs=plain(epochs),
        seed=plain(seed),
        device=None if device is None else device_name(device),
        threads=plain(threads),
    )
    if not isinstance(dataset, Dataset | None):
        raise UserError(f"dataset = {shown(dataset)}: must be a Dataset; name data by `data`")
    changes, begun = with_axes(overrides, framework, masking), recipe_begun(RunFolder(out))
    request = RunRequest(method, scale, changes, stated, given, dataset, begun)
    require_writable(out, "out")
    plan = request.plan()
    for line in plan.lines:
        say(line)
    return pretrain(plan.config, out, report, dataset=dataset or plan.reusable_data, say=say)


def _overrides(overrides: Any) -> Overrides:
    """Return changed settings, as texts or by name.

    Raises:
        UserError: they are something else.
    """
    if isinstance(overrides, list | tuple) and all(isinstance(text, str) for text in overrides):
        return overrides
    return settings_of(overrides, "overrides", '"optimiser.lr": 0.001')


def with_axes(overrides: Overrides, framework: str | None, masking: str | None) -> Overrides:
    """Return overrides that choose a framework or a masking first."""
    axes = {"framework.name": framework, "masking.name": masking}
    chosen = {name: value for name, value in axes.items() if value is not None}
    if isinstance(overrides, Mapping):
        return {**chosen, **overrides}
    return (*(f"{name}={value}" for name, value in chosen.items()), *overrides)
