"""ComputeTime: what a computation cost, comparable between a busy and an idle machine."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from mmbench.records.fields import Duration


class ComputeTime(BaseModel):
    """Seconds of the processor or of GPUs that a computation used, all of its processes together.

    Attributes:
        kind: "cpu": seconds of processor time, user and system; "gpu": seconds that a GPU was held, times the
            number of GPUs.
        seconds: the time; wall time is recorded beside it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["cpu", "gpu"]
    seconds: Duration
