"""`--dry-run` of a dense probe: everything is checked, and nothing is fitted."""

from __future__ import annotations

from mmbench.transfer.dense.probes.linear_settings import LinearProbeSettings
from mmbench.transfer.dense.probes.memory_plan import planned
from mmbench.transfer.dense.probes.preparation import prepared
from mmbench.transfer.dense.probes.retrieval_settings import RetrievalSettings
from mmbench.transfer.dense.probes.settings import DenseProbeSettings
from mmbench.transfer.dense.probes.training import plan_of
from mmbench.transfer.job import TransferJob


def dry_run_lines(job: TransferJob, settings: DenseProbeSettings) -> list[str]:
    """Prepare a probe and return a line for each fact.

    Raises:
        UserError: see `prepared`; the training images do not fit the probe.
    """
    ready = prepared(job, settings)
    plan: list[str] = []
    if isinstance(settings, LinearProbeSettings):
        plan = plan_of(ready, settings)
    elif isinstance(settings, RetrievalSettings):
        plan = planned(job, ready, settings).lines()
    return [*ready.notes, *plan, f"scored on {len(ready.test.scenes)} images of {ready.splits.name}"]
