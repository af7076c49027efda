"""The digest of everything that decides a pretraining's weights, apart from its data and seed."""

from __future__ import annotations

from mmbench.pretrain.settings import LATER_SETTINGS, RUNTIME_SETTINGS
from mmbench.pretrain.sources.files import FileSource
from mmbench.pretrain.trainer import Trainer
from mmbench.verification import content_digest

# Names, which change nothing; what stands on the card beside the digest; the layout of tensors in memory; and
# what is replaced by what it came to in this run.
LEFT_OUT = ("method", "recipe", "data", "seed", "channels_last", "accumulation")


def recipe_digest(trainer: Trainer) -> str:
    """Return the SHA-256 of the settings that change the weights, as they were in this run.

    Runs of one method with equal settings have the same digest, whatever their data, seed, folders, workers
    and logs. Another number of images that batch norm sees at a time is another digest, and so are crops of
    files instead of crops of images that were decoded once.
    """
    config, effective = trainer.config.model_dump(mode="json"), trainer.effective()
    settings = {name: value for name, value in config.items() if name not in (*RUNTIME_SETTINGS, *LEFT_OUT)}
    settings |= {name: effective[name] for name in ("image_size", "images_per_pass", "precision")}
    settings["loading"] = "files" if isinstance(trainer.source, FileSource) else "memory"
    for name, before in LATER_SETTINGS.items():
        if settings[name] == before:
            del settings[name]  # the digest is that of runs of earlier versions
    return content_digest(settings)
