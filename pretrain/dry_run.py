"""`mmbench pretrain --dry-run`: what would be run, where each value is from, and what it would cost."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

from mmbench.data.manifest import manifest
from mmbench.data.preparing import NotPreparedError
from mmbench.errors import UserError
from mmbench.file_names import printable
from mmbench.pretrain.cost import expected_cost
from mmbench.pretrain.planning import RunPlan
from mmbench.pretrain.preparation import load_newest, prepare, require_room
from mmbench.pretrain.recipes.recipe import flat
from mmbench.pretrain.recipes.table import same, source_text, value_text
from mmbench.pretrain.scale_choice import known_facts
from mmbench.pretrain.settings import PretrainConfig
from mmbench.pretrain.sources.opening import chosen_loading, is_there
from mmbench.runs import RunFolder


def dry_run(plan: RunPlan, out: Path | None, say: Callable[[str], None]) -> None:
    """Say the resolved settings and the expected cost; within `writing_nothing`, nothing is written.

    Of data that a run would render, unpack or fetch first, and of data that are not there, the manifest
    states the number.

    Args:
        out: the run folder, where one is chosen.

    Raises:
        UserError: the run could not start.
    """
    for line in (*settings_lines(plan), ""):
        say(line)
    config = plan.config
    folder = None if out is None else RunFolder(out)
    try:
        ready = prepare(config, folder, plan.reusable_data, say)
    except NotPreparedError as missing:
        say(str(missing))
        _say_stated(config, folder, say)
        return
    except UserError:
        if not is_there(config.data, config.data_root):
            with contextlib.suppress(UserError):  # what is said is why the run could not start
                _say_stated(config, folder, say)
        raise
    if ready is None:
        return
    if folder is not None:
        load_newest(ready, folder, say, tidy=False)
    source = ready.trainer.source  # its images stay in the device's memory, as they do in the run
    del ready
    for line in expected_cost(config, len(source), source.image_size).lines(config):
        say(line)


def _say_stated(config: PretrainConfig, folder: RunFolder | None, say: Callable[[str], None]) -> None:
    """Say the expected cost by what the manifest of the data states, if it does.

    Raises:
        UserError: the run could not start.
    """
    known, facts = manifest(config.data), known_facts(config.data)
    if known is None or facts is None:
        return
    size = config.image_size or known.image_size
    chosen_loading(config, config.data, None if known.in_memory else facts.images, size)
    say(f"the images of {printable(config.data)} are not here; the manifest states their number")
    cost = expected_cost(config, facts.images, size)
    for line in cost.lines(config):
        say(line)
    if folder is not None:
        require_room(config, folder, cost.state_bytes)


def settings_lines(plan: RunPlan) -> list[str]:
    """Return the resolved settings as lines "name = value  [source]"."""
    recipe = plan.recipe
    sources = recipe.sources()
    alone = PretrainConfig.model_validate({**recipe.settings, "method": recipe.arm, "recipe": recipe.id})
    recipes_own = dict(flat(alone.model_dump(mode="json")))
    shown = plan.config.model_dump(mode="json", exclude={"method", "recipe"})  # the first line names them
    lines = []
    for name, value in flat(shown):
        if not same(recipes_own.get(name), value):
            source = "yours"
        else:
            source = source_text(sources[name]) if name in sources else "default"
        lines.append(f"{name} = {value_text(value)}  [{source}]")
    return lines
