"""One retrieval probe from an encoder to numbers."""

from __future__ import annotations

from torch import Tensor

from mmbench.neighbours import CHUNK
from mmbench.transfer.dense.probes.evaluation import evaluate, measurement
from mmbench.transfer.dense.probes.memory import build_memory
from mmbench.transfer.dense.probes.memory_plan import planned
from mmbench.transfer.dense.probes.preparation import prepared
from mmbench.transfer.dense.probes.retrieval import retrieved
from mmbench.transfer.dense.probes.retrieval_settings import RetrievalSettings
from mmbench.transfer.job import Measurement, TransferJob

GPU_CHUNK = 8192  # positions per comparison on a GPU: 0.5 GiB of similarities


def retrieval_probe(job: TransferJob, settings: RetrievalSettings) -> Measurement:
    """Build a memory of training patches, and score the labels that it gives to the evaluated images.

    Nothing is trained. Processes that work together share the images of both; each holds the whole memory.

    Raises:
        UserError: the images or the encoder do not fit, or the memory does not fit the machine.
    """
    ready = prepared(job, settings)
    plan = planned(job, ready, settings)
    memory = build_memory(job, ready, settings, plan)
    chunk = GPU_CHUNK if job.device.type == "cuda" else CHUNK

    def classify(maps: Tensor) -> Tensor:
        return retrieved(maps, memory, settings.neighbours, settings.temperature, chunk=chunk)

    outcomes = evaluate(job, ready, classify)
    return measurement(
        job,
        ready,
        outcomes,
        notes=(*plan.lines(), *memory.notes),
        images_seen=plan.draws,
        from_bank=settings.augmentation == "none",
    )
