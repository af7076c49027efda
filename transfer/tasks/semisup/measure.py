"""Which labels a semi-supervised run sees, and its measurement."""

from __future__ import annotations

from dataclasses import replace

import torch

from mmbench.data.manifest import index_digest
from mmbench.data.subsets import class_balanced_subset
from mmbench.records.store import LabelSubset
from mmbench.transfer.inputs.labels import committed_draw, listed_images, require_every_class
from mmbench.transfer.job import Measurement, TransferJob
from mmbench.transfer.tasks.semisup.settings import SemisupSettings
from mmbench.transfer.training.finetuning import finetune_and_measure


def measure(job: TransferJob, settings: SemisupSettings) -> Measurement:
    """Draw the labelled subset by the job's seed, finetune, measure once on the evaluated split.

    Raises:
        UserError: a list of labelled images that cannot be used.
    """
    test = job.images(job.evaluated)
    if job.labels_file is None:
        train = job.images("train")
        indices = class_balanced_subset(train.labels, settings.fraction, job.seed)
        labelled, source = train.subset(indices), f"class-balanced, drawn with seed {job.seed}"
        allowed = sum(round(settings.fraction * int(count)) for count in torch.bincount(train.labels))
        committed = committed_draw(job.dataset, settings.fraction, job.seed, len(train))
        if committed is not None:
            if committed != index_digest(indices):
                raise RuntimeError(f"the draw of seed {job.seed} is not the one that the manifest commits")
            source += ", as committed"
    else:
        train, indices = listed_images(job, job.labels_file)
        labelled, source = train.subset(indices), f"listed in {job.labels_file.name}"
        allowed = len(indices)
        require_every_class(labelled.labels, job.dataset, job.labels_file)
    measured = finetune_and_measure(job, labelled, test, settings)
    used = measured.split_sizes["train"]
    # A run that silently sees more labels is this protocol's classic error: count what was really used.
    if used > allowed:
        raise RuntimeError(f"{used} labels were used where {100 * settings.fraction:g}% are {allowed}")
    subset = LabelSubset(used=used, available=len(train), source=source, sha256=index_digest(indices))
    notes = (f"{used} of {len(train)} labels, {source}", *measured.notes)
    return replace(measured, notes=notes, labels=subset)
