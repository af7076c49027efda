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


def load_frame(results: Path | Sequence[Path], *, skip_invalid: bool = False) -> pd.DataFrame:
    """Read every record below the folders `results`; see `frame_of` for the columns.

    A file may be named as well. Of several folders, the same record counts once. `frame.attrs["warnings"]`
    has a sentence for what is left out so.

    Args:
        skip_invalid: leave out files that are not records; `frame.attrs["skipped"]` has a line for each.

    Raises:
        UserError: a folder is missing or holds no record, or files in it are not records: a line for each.
    """
    folders = [results] if isinstance(results, Path) else list(results)
    pairs: list[tuple[str, Result, Path | None]] = []
    invalid: list[UserError] = []
    warnings: list[str] = []
    for folder in folders:
        if not folder.exists():
            raise UserError(
                f"no folder {folder}; `mmbench transfer` writes records, into results/ by default"
            )
        if not folder.is_dir():
            raise UserError(f"{folder} is a file; name the folder that holds the result records")
        records, faulty = ResultStore(folder).read_all()
        invalid += faulty
        if not records and not faulty:
            raise UserError(f"no result records below {folder}; `mmbench transfer` writes them")
        base = "" if len(folders) == 1 else f"{folder.name}/"
        pairs += [
            (base + path.relative_to(folder).as_posix(), found, path.absolute()) for path, found in records
        ]
    if invalid and not skip_invalid:
        raise _refusal(invalid)
    if not pairs:
        raise UserError(f"no result records below {folders[0]}; `mmbench transfer` writes them")
    frame = frame_of(((name, record) for name, record, _ in pairs), [path for _, _, path in pairs])
    frame.attrs["skipped"] = tuple(map(str, invalid))
    frame.attrs["warnings"] = tuple(warnings)
    return frame


def _refusal(invalid: Sequence[UserError]) -> UserError:
    """Return one error that lists every file that is not a record."""
    if len(invalid) == 1:
        return UserError(f"{invalid[0]}, or leave it out by --skip-invalid")
    lines = "; ".join(f"({place}) {error}" for place, error in enumerate(invalid, start=1))
    return UserError(f"{len(invalid)} files are not result records; --skip-invalid leaves them out: {lines}")


def frame_of(records: Iterable[tuple[str, Result]], paths: Sequence[Path | None] = ()) -> pd.DataFrame:
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
    pairs = list(records)
    places = list(paths) or [None] * len(pairs)
    rows = [
        row | {"path": None if path is None else str(path)}
        for (name, result), path in zip(pairs, places, strict=True)
        for row in _rows(name, result)
    ]
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
