"""Result records as one tidy table: one row per record and metric."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from mmbench.checkpoints.card import OWN_IMAGES, ModelCard
from mmbench.errors import UserError
from mmbench.results import CUSTOM, Result, ResultStore, config_digest

CONTROL_FORMATS = ("random", "pixels")


def load_frame(results: Path, *, skip_invalid: bool = False) -> pd.DataFrame:
    """Read every record below `results`; see `frame_of` for the columns.

    Args:
        skip_invalid: leave out files that are not records; `frame.attrs["skipped"]` has a line for each.

    Raises:
        UserError: the folder is missing or holds no record, or files in it are not records: a line for each.
    """
    if not results.exists():
        raise UserError(f"no folder {results}; `mmbench transfer` writes records, into results/ by default")
    if not results.is_dir():
        raise UserError(f"{results} is a file; name the folder that holds the result records")
    records, invalid = ResultStore(results).read_all()
    if invalid and not skip_invalid:
        raise _refusal(invalid)
    if not records:
        raise UserError(f"no result records below {results}; `mmbench transfer` writes them")
    frame = frame_of((path.relative_to(results).as_posix(), result) for path, result in records)
    frame.attrs["skipped"] = tuple(map(str, invalid))
    return frame


def _refusal(invalid: Sequence[UserError]) -> UserError:
    """Return one error that lists every file that is not a record."""
    if len(invalid) == 1:
        return UserError(f"{invalid[0]}, or leave it out by --skip-invalid")
    lines = "; ".join(f"({place}) {error}" for place, error in enumerate(invalid, start=1))
    return UserError(f"{len(invalid)} files are not result records; --skip-invalid leaves them out: {lines}")


def frame_of(records: Iterable[tuple[str, Result]]) -> pd.DataFrame:
    """Return one row per record and metric, from pairs of a name (a path) and a record.

    Columns: file (the name), arm, control, task, dataset, fingerprint, split, protocol, recipe (the protocol
    without its version), version, config (JSON), config_digest, metric, primary, value, higher_is_better,
    unit, images (that the metric was computed on), transfer_seed, pretraining_seed, row (name of the row:
    the arm, and what distinguishes it from other rows of that arm), weights (their identity: the SHA-256
    of their tensors or else of their file), labels (digest of those used), what is known about the
    weights, provenance.

    Raises:
        UserError: there are no records.
    """
    rows = [row for name, result in records for row in _rows(name, result)]
    if not rows:
        raise UserError("there are no result records to build a leaderboard from")
    frame = pd.DataFrame(rows)
    for name in ("pretraining_seed", "pretrain_epochs"):  # beside a missing one they would become floats
        numbers: list[Any] = [row[name] for row in rows]
        frame[name] = pd.array(numbers, dtype="Int64")
    return frame


def _preprocessing(card: ModelCard) -> str:
    """Return what evaluation does to images; a crop share that describes the pretraining is left out."""
    own = card.origins.get("crop_pct") == OWN_IMAGES
    applied = card.preprocessing.model_copy(update={"crop_pct": None}) if own else card.preprocessing
    return applied.model_dump_json()


def _rows(file: str, result: Result) -> list[dict[str, object]]:
    card, provenance = result.model, result.provenance
    recipe, _, version = result.protocol.removesuffix(CUSTOM).partition("@")
    if result.protocol.endswith(CUSTOM):
        recipe += CUSTOM  # not a version of the protocol, but another one
    high_pass = card.preprocessing.high_pass
    common: dict[str, object] = {
        "file": file,
        "arm": card.arm,
        "control": card.source_format in CONTROL_FORMATS,
        "task": result.task,
        "dataset": result.dataset.name,
        "fingerprint": result.dataset.fingerprint,
        "split": result.dataset.evaluated_split,
        "split_sizes": json.dumps(result.dataset.split_sizes, sort_keys=True),
        "protocol": result.protocol,
        "recipe": recipe,
        "version": int(version),
        "config": json.dumps(result.config, sort_keys=True, default=str),
        "config_digest": config_digest(result.config),
        "transfer_seed": result.seed,
        "pretraining_seed": card.seed,
        "row": card.arm,
        "weights": result.weights_sha256 or card.source_sha256 or f"card {card.digest}",
        "framework": card.framework,
        "pretrain_recipe": card.recipe,
        "pretrain_recipe_digest": card.recipe_digest,
        "pretrain_fingerprint": card.pretrain_fingerprint,
        "pretrain_precision": card.precision,
        "pretrain_compute_kind": None if card.pretrain_compute is None else card.pretrain_compute.kind,
        "pretrain_compute": None if card.pretrain_compute is None else card.pretrain_compute.seconds,
        "image_size": card.preprocessing.image_size,
        "labels": None if result.labels is None else result.labels.sha256,
        "compute_kind": None if result.compute is None else result.compute.kind,
        "compute": None if result.compute is None else result.compute.seconds,
        "outcomes": None if result.outcomes is None else result.outcomes.sha256,
        "arch": card.arch,
        "method": card.method,
        "masking": card.masking,
        "pretrain_data": card.pretrain_data,
        "pretrain_epochs": card.epochs,
        "pretrain_seconds": card.pretrain_seconds,
        "high_pass": None
        if high_pass is None
        else f"kernel {high_pass.kernel_size}, sigma {high_pass.sigma:.2g}",
        "preprocessing": _preprocessing(card),
        "effective_lr": result.effective_lr,
        "wall_seconds": result.wall_seconds,
        "images_per_second": result.images_per_second,
        "created": result.created.isoformat(),
        "mmbench": provenance.mmbench,
        "git_sha": provenance.git_sha,
        "git_dirty": provenance.git_dirty,
        "python": provenance.python,
        "packages": json.dumps(provenance.packages, sort_keys=True),
        "platform": provenance.platform,
        "processor": provenance.processor,
        "cpu_count": provenance.cpu_count,
        "threads": provenance.threads,
        "device": provenance.device,
        "receipt_id": result.receipt_id,
        "notes": json.dumps(result.notes),
    }
    return [
        {
            **common,
            "metric": name,
            "primary": name == result.primary_metric,
            "value": metric.value,
            "higher_is_better": metric.higher_is_better,
            "unit": metric.unit,
            "images": metric.n,
            "interval_low": None if metric.interval is None else metric.interval[0],
            "interval_high": None if metric.interval is None else metric.interval[1],
        }
        for name, metric in sorted(result.metrics.items())
    ]
