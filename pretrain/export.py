"""What a finished run leaves: the backbone in timm's local-dir form, its card, and a page for people."""

from __future__ import annotations

import json
from typing import Any

from timm.models._hub import save_config_for_hf
from torch import nn

from mmbench.checkpoints.backbone import feature_width
from mmbench.checkpoints.card import OWN_IMAGES, HighPass, ModelCard
from mmbench.checkpoints.card_file import write_card
from mmbench.checkpoints.networks.options import equal_of_ours
from mmbench.checkpoints.target import metadata_of, write_safetensors
from mmbench.data import Dataset
from mmbench.distributed import process_count
from mmbench.file_names import counted
from mmbench.files import atomic_path, sha256_of, write_text
from mmbench.pretrain.recipe_digest import recipe_digest
from mmbench.pretrain.session import Spent
from mmbench.pretrain.settings import PRECISIONS
from mmbench.pretrain.trainer import Trainer
from mmbench.runs import RunFolder

README = """---
tags: [image-feature-extraction, timm, self-supervised-learning]
library_name: timm
---
# {arch}, pretrained by {method}

{arch} pretrained without labels on {data} for {epochs} (seed {seed}, {seconds:.0f} s) by mmbench,
recipe `{recipe}`: framework {framework}, masking {masking}. The weights are the query encoder's backbone,
without head, under torchvision's names.

```python
import mmbench, timm

# normalised images (N, 3, {size}, {size}) -> (N, {features})
model = timm.create_model("local-dir:PATH_OF_THIS_FOLDER", pretrained=True)
```

Preprocessing: RGB in [0, 1], {size} px, mean {mean}, std {std}{filter}.
Measure it with `mmbench transfer --task linear --checkpoint THIS_FOLDER --data {data}`.
"""


def model_card(trainer: Trainer, dataset: Dataset, spent: Spent) -> ModelCard:
    """Return the card of the finished weights."""
    config = trainer.config
    return ModelCard(
        arm=config.method,
        arch=config.arch,
        method=config.method,
        framework=config.framework["name"],
        masking=config.masking["name"],
        pretrain_data=dataset.name,
        pretrain_fingerprint=trainer.source.fingerprint,
        epochs=config.epochs,
        seed=config.seed,
        pretrain_seconds=round(spent.seconds, 2),
        pretrain_compute=spent.compute,
        pretrain_processes=process_count(),
        precision=_precision_words(trainer),
        recipe=config.recipe,
        recipe_digest=recipe_digest(trainer),
        preprocessing=trainer.views.preprocessing.model_copy(
            update={"crop_pct": round(trainer.source.crop_pct, 4)}
        ),
        source_format="run",
        origins={
            "method": f"recipe {config.recipe}",
            "preprocessing": "the pretraining's own",
            "crop_pct": OWN_IMAGES,
            "pretrain_seconds": "wall time of the training steps, all sittings added up",
            **_precision_origin(trainer),
        },
    )


def _precision_words(trainer: Trainer) -> str:
    """Return the precision, such as "float32"; of sessions in two of them both."""
    words = {short: name for name, short in reversed(PRECISIONS.items())}
    return " and ".join(words[short] for short in sorted(trainer.precisions))


def _precision_origin(trainer: Trainer) -> dict[str, str]:
    """Return what is to be known about the precision beside its name, if anything."""
    facts = []
    if len(trainer.precisions) > 1:
        facts.append("the sessions of this run computed in one each")
    if trainer.compiled:
        facts.append("computed by torch.compile, which rounds otherwise")
    return {"precision": "; ".join(facts)} if facts else {}


def write_timm_config(model: nn.Module, folder: RunFolder, card: ModelCard) -> None:
    """Write timm's config.json, which makes timm build a network that holds the high-pass filter.

    A network of timm's own that is none of ours has no place for it; then timm refuses the folder, since
    it does not know the keyword, instead of losing the filter.
    """
    preprocessing = card.preprocessing
    size = preprocessing.image_size
    recorded: dict[str, Any] = {
        "pretrained_cfg": {
            "tag": f"{card.method}_{card.pretrain_data}",
            "mean": list(preprocessing.mean),
            "std": list(preprocessing.std),
            "input_size": [3, size, size],
            "crop_pct": preprocessing.crop_pct,
        },
        "mmbench": {"preprocessing": preprocessing.model_dump(mode="json"), "card": folder.card.name},
    }
    if preprocessing.high_pass is not None:
        filter_ = preprocessing.high_pass
        recorded["model_args"] = {"high_pass": [filter_.kernel_size, filter_.sigma]}
        recorded["architecture"] = equal_of_ours(card.arch) or card.arch.partition(".")[0]
    with atomic_path(folder.hub_config) as temporary:
        save_config_for_hf(model, str(temporary), model_config=recorded)
        json.loads(temporary.read_text(encoding="utf-8"))


def export(trainer: Trainer, folder: RunFolder, dataset: Dataset, spent: Spent) -> ModelCard:
    """Write config.json, README.md, card.json and, last of all, model.safetensors; return the card."""
    model, config, preprocessing = trainer.framework.backbone, trainer.config, trainer.views.preprocessing
    card = model_card(trainer, dataset, spent)
    write_timm_config(model, folder, card)
    high_pass = preprocessing.high_pass
    words = README.format(
        arch=config.arch,
        method=config.method,
        data=dataset.name,
        epochs=counted(config.epochs, "epoch"),
        seed=config.seed,
        seconds=spent.seconds,
        recipe=config.recipe,
        framework=card.framework,
        masking=card.masking,
        size=preprocessing.image_size,
        features=feature_width(model),
        mean=preprocessing.mean,
        std=preprocessing.std,
        filter="" if high_pass is None else _filter_words(high_pass, config.arch),
    )
    write_text(folder.readme, words)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    with atomic_path(folder.weights) as temporary:
        # The same weights make the same file, however long they took.
        timeless = card.model_copy(update={"pretrain_seconds": None, "pretrain_compute": None})
        write_safetensors(tensors, temporary, metadata_of(card.arch, timeless))
        write_card(folder.card, card, sha256_of(temporary))
    return card


def _filter_words(filter_: HighPass, arch: str) -> str:
    """Return what the page says of the filter."""
    words = (
        f", then x - GaussianBlur(x) with kernel {filter_.kernel_size} and sigma {filter_.sigma:.3f}: these "
        "weights expect the filter at test time too. "
    )
    if equal_of_ours(arch) is None:
        return words + f"timm's {arch} has no place for it, so timm alone refuses this folder; use mmbench"
    return (
        words + "The network built from this folder holds the filter: give it normalised images and no more"
    )
