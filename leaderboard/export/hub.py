"""A row of the board as a model card of the Hugging Face Hub, whose metadata hold the results."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mmbench.errors import UserError, unknown_name
from mmbench.file_names import printable
from mmbench.files import write_text
from mmbench.leaderboard.board import Board, Cell, Column, Row
from mmbench.leaderboard.render.wording import MISSING, count, metric_words, score, spread

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

# Names of the Hub (huggingface.co/tasks) for our tasks; others keep their own name.
HUB_TASKS = {
    **dict.fromkeys(("knn", "linear", "logreg", "lowshot", "semisup", "finetune"), "image-classification"),
    "detection": "object-detection",
    "segmentation": "image-segmentation",
    "dense": "image-segmentation",
}
HUB_METRICS = {"top1": "accuracy", "mIoU": "mean_iou"}  # huggingface.co/metrics
README = "README.md"


def write_model_card(board: Board, row_name: str, out: Path, notes: Sequence[str] = ()) -> Path:
    """Write README.md with the results of a row into the folder `out`, and return its path.

    Args:
        board: of the records.
        row_name: the row.
        out: the folder.
        notes: sentences about the records, which stand below the table.

    Raises:
        UserError: the board has no such row (near match named), or the folder has a README.md.
    """
    row = next((row for row in board.rows if row.name == row_name), None)
    if row is None:
        raise unknown_name("row", row_name, [row.name for row in board.rows])
    path = out / README
    if path.exists():
        raise UserError(f"{path} exists and is never replaced; choose another --out and merge the two")
    write_text(path, model_card(board, row, notes))
    return path


def model_card(board: Board, row: Row, notes: Sequence[str] = ()) -> str:
    """Return a model card: metadata with a model index, the same results as a table, and notes."""
    from huggingface_hub import ModelCardData

    cells = [(column, cell) for column in board.columns if (cell := board.cell(row, column)) is not None]
    results = [_result(column, cell) for column, cell in cells]
    facts = ("mmbench", row.arch, row.framework, row.masking)
    data = ModelCardData(
        model_name=row.name,
        library_name="timm",
        pipeline_tag="image-feature-extraction",
        tags=sorted({fact for fact in facts if fact}),
        eval_results=results,
    )
    weights = (
        "one pretraining" if row.weights == 1 else f"{row.weights} pretrainings, of which the mean is given"
    )
    lines = [
        "| task | data | protocol | metric | mean | n |",
        "| --- | --- | --- | --- | --: | --: |",
        *(
            f"| {_escaped(column.task)} | {_escaped(column.dataset)} | `{column.protocol}` "
            f"| {_escaped(metric_words(column))} "
            f"| {score(cell.summary.mean, column)} {spread(cell, column)} | {count(cell.summary)} |"
            for column, cell in cells
        ),
    ]
    if notes:
        lines += ["", "Notes:", "", *(f"- {_escaped(printable(note))}" for note in notes)]
    return (
        f"---\n{data.to_yaml()}\n---\n\n# {_escaped(row.name)}\n\n"
        f"{_escaped(row.arch)}, {_escaped(row.method or 'method unknown')}, pretrained on "
        f"{_escaped(row.pretrain_data or MISSING)}, {MISSING if row.epochs is None else row.epochs} epochs; "
        f"{weights}. Measured with mmbench.\n\n" + "\n".join(lines) + "\n"
    )


def _result(column: Column, cell: Cell) -> EvalResult:
    """Return a cell as huggingface_hub has it."""
    from huggingface_hub import EvalResult

    summary = cell.summary
    facts: dict[str, object] = {
        "protocol": column.protocol,
        "unit": column.unit,
        "images": column.images,
        "runs": summary.runs,
        "pretrainings": summary.pretrainings,
    }
    if summary.std is not None:
        facts["std"] = summary.std
    if summary.interval is not None:
        facts |= {"ci95": [summary.interval.low, summary.interval.high], "ci95_over": summary.interval.basis}
    return EvalResult(
        task_type=HUB_TASKS.get(column.task, column.task),
        task_name=column.label,
        dataset_type=column.dataset,
        dataset_name=column.dataset,
        dataset_config=column.protocol,  # the Hub groups results by task, data set, config and split
        dataset_split=column.split,
        dataset_revision=column.fingerprint,
        metric_type=HUB_METRICS.get(column.metric, column.metric),
        metric_name=f"{column.metric}, {column.protocol}",
        metric_value=summary.mean,
        metric_args=facts,
    )


def _escaped(text: str) -> str:
    """Return text that Markdown shows as it is, within a table too."""
    return "".join(f"\\{letter}" if letter in "\\`*_{}[]<>()#+!|~&" else letter for letter in text)
