"""`--dry-run` of a detection: everything is built as for a training, and nothing is trained."""

from __future__ import annotations

from mmbench.transfer.dense.detection.preparation import prepared
from mmbench.transfer.dense.detection.run import evaluation_loader, ready_trainer
from mmbench.transfer.dense.detection.settings import DetectionSettings
from mmbench.transfer.job import TransferJob


def dry_run_lines(job: TransferJob, settings: DetectionSettings) -> list[str]:
    """Prepare a run, build its detector and prove that the backbone arrives; return a line for each fact.

    Raises:
        UserError: see `prepared`; a tensor of the backbone does not arrive.
    """
    with prepared(job, settings) as ready:
        cfg = ready.cfg
        _, arrived = ready_trainer(job, ready)
        with ready.trying():
            evaluation_loader(cfg, ready.test)
    solver = cfg.SOLVER
    drops = f", falling at {', '.join(map(str, solver.STEPS))}" if solver.STEPS else ""
    return [
        *ready.notes,
        arrived,
        f"{solver.MAX_ITER} iterations of {solver.IMS_PER_BATCH} of {len(ready.train)} images, learning rate "
        f"{solver.BASE_LR:g} after {solver.WARMUP_ITERS} iterations of warm-up{drops}",
        f"scored for {', '.join(ready.tasks)} on {len(ready.test)} images of {ready.splits.name}",
    ]
