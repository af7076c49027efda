"""`mmbench pretrain --dry-run`: what would be run, where each value is from, and what it would cost."""

from __future__ import annotations

from mmbench.file_names import printable
from mmbench.pretrain.cost import expected_cost
from mmbench.pretrain.knn_monitor import require_measurable
from mmbench.pretrain.planning import RunPlan
from mmbench.pretrain.recipes.recipe import flat
from mmbench.pretrain.recipes.table import same, source_text, value_text
from mmbench.pretrain.scale_choice import facts_of, known_facts
from mmbench.pretrain.settings import PretrainConfig
from mmbench.pretrain.sources.opening import is_there, open_as_trained, reads_files


def dry_run(plan: RunPlan) -> list[str]:
    """Return the resolved settings and the expected cost as lines of text; nothing is written.

    Raises:
        UserError: the run could not start.
    """
    return [*settings_lines(plan), "", *cost_lines(plan)]


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


def cost_lines(plan: RunPlan) -> list[str]:
    """Return the expected cost as lines of text.

    Raises:
        UserError: the run could not start; or data that are neither there nor described by a manifest.
    """
    config, stated = plan.config, known_facts(plan.config.data)
    here = plan.dataset is not None or is_there(config.data, config.data_root)
    if not here and stated is not None and stated.side is not None:  # opening may render or download them
        line = f"the images of {printable(config.data)} are not here; the manifest states their number"
        size = config.image_size or stated.side
        return [line, *expected_cost(config, stated.images, size).lines(config)]
    dataset = plan.dataset or open_as_trained(config.data, config.data_root, bool(config.knn_every))
    reads_files(config, dataset)
    if config.knn_every:
        require_measurable(dataset)
    size = config.image_size or dataset.image_size
    return expected_cost(config, facts_of(dataset).images, size).lines(config)
