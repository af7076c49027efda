"""What the shipped suites cost on paper, as a table for the documentation."""

from __future__ import annotations

from mmbench.tools.suite.definition.suite_file import read_suite, shipped_suites
from mmbench.tools.suite.planning.cell import PretrainWork, TransferWork
from mmbench.tools.suite.planning.estimate import rough_seconds
from mmbench.tools.suite.planning.overview import duration
from mmbench.tools.suite.planning.plan import plan_of
from mmbench.tools.suite.planning.requirements import GB, disk_bytes, memory_bytes


def costs_table() -> str:
    """Return a row for each shipped suite in Markdown: cells, time of one worker, disk and memory."""
    lines = [
        "| suite | pretrainings | transfers | one core | one GPU | runs and records | data | memory |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name in shipped_suites():
        cells = plan_of(read_suite(name)).cells
        works = [cell.work for cell in cells]
        core, gpu = (sum(rough_seconds(work, on_gpu=on_gpu) for work in works) for on_gpu in (False, True))
        left, data = disk_bytes(cells, None)
        row = [
            f"`{name}`",
            sum(isinstance(work, PretrainWork) for work in works),
            sum(isinstance(work, TransferWork) for work in works),
            duration(core),
            duration(gpu),
            f"{left / GB:.1f} GB",
            f"{data / GB:.1f} GB",
            f"{memory_bytes(cells) / GB:.1f} GB",
        ]
        lines.append(f"| {' | '.join(map(str, row))} |")
    return "\n".join(lines)
