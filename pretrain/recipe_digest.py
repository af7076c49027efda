"""The digest of everything that decides a pretraining's weights, apart from its data and seed."""

from __future__ import annotations

from mmbench.distributed import process_count
from mmbench.pretrain.settings import RUNTIME_SETTINGS, as_earlier
from mmbench.pretrain.sources.files import FileSource
from mmbench.pretrain.trainer import Trainer
from mmbench.verification import content_digest

# Names, which change nothing; what stands on the card beside the digest; the layout of tensors in memory; and
# what is replaced by what it came to in this run.
LEFT_OUT = ("method", "recipe", "data", "seed", "channels_last", "accumulation")


def recipe_digest(trainer: Trainer) -> str:
    """Return the SHA-256 of the settings that change the weights, as they were in this run.

    Runs of one method with equal settings have the same digest, whatever their data, seed, folders, workers
    and logs. Another number of images that share batch-norm statistics or are compared is another digest, so
    is another shuffling of keys, and so are crops of files instead of crops of images that were decoded once.
    Processes and accumulated parts count by these alone. A run that went on in another precision has a
    digest of its own.
    """
    config, effective = trainer.config.model_dump(mode="json"), trainer.effective()
    settings = {name: value for name, value in config.items() if name not in (*RUNTIME_SETTINGS, *LEFT_OUT)}
    settings |= {"image_size": effective["image_size"], "precision": "+".join(sorted(trainer.precisions))}
    settings |= _together(trainer)
    settings["loading"] = "files" if isinstance(trainer.source, FileSource) else "memory"
    return content_digest(as_earlier(settings, {}))  # the digest is that of runs of earlier versions


def _together(trainer: Trainer) -> dict[str, int]:
    """Return how many images of a step share statistics, have keys shuffled, are compared, share a mask.

    A whole batch in one process is what digests of all versions mean; the others state where they differ.
    """
    config, framework, norms = trainer.config, trainer.framework, trainer.config.batch_norm
    part, whole = trainer.part_size, config.batch_size
    passing = part * process_count()  # images that pass at the same time
    shared = passing if norms.synchronised else part
    facts = {"images_per_pass": shared}
    if norms.shuffle and framework.shuffles_keys:
        shuffled, usually = passing * (norms.groups > 1), whole * (norms.splits > 1)
        if shuffled != usually:
            facts["keys_shuffled"] = shuffled
    if framework.negatives_in_pass and passing != whole:
        facts["images_compared"] = passing
    if config.masking.get("per_sample") is False and part != shared:
        facts["images_masked_alike"] = part
    return facts
