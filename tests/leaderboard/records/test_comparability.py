"""The table of comparability: it has every field of a record, and each has the effect that it states."""

import hashlib
import json
import types
import typing
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from mmbench.compute_time import ComputeTime
from mmbench.device import NO_BFLOAT16
from mmbench.errors import UserError
from mmbench.leaderboard.records.comparability import TABLE, markdown_table
from mmbench.leaderboard.records.comparable import comparable
from mmbench.leaderboard.records.effects import Effect, Field
from mmbench.leaderboard.records.frame import FALLBACK, frame_of
from mmbench.records.image_outcomes import ImageOutcomes
from mmbench.records.store import LabelSubset, Result
from mmbench.tools.documentation import with_generated_parts

Make = Callable[..., Result]


def leaves(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Yield the dotted names of everything that a record can hold."""
    for name, field in model.model_fields.items():
        yield from leaves_of(field.annotation, prefix + name)


def leaves_of(annotation: Any, path: str) -> Iterator[str]:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        yield from leaves_of(arguments[0], path)
    elif origin in (typing.Union, types.UnionType):
        parts = [part for part in arguments if part is not type(None)]
        inner = [found for part in parts for found in leaves_of(part, path)]
        yield from dict.fromkeys(inner)
    elif origin is dict:
        yield from [path] if arguments[1] is Any else leaves_of(arguments[1], f"{path}.*")
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield from leaves(annotation, f"{path}.")
    else:
        yield path


def test_the_table_has_every_field_of_a_record_and_no_other() -> None:
    assert sorted(leaves(Result)) == sorted({field.path for field in TABLE})
    parts = [(field.path, field.part) for field in TABLE]
    assert len(set(parts)) == len(parts)
    alone = {field.path for field in TABLE if not field.part}
    assert not alone & {field.path for field in TABLE if field.part}


# What a record that differs in one field has there; "*" stands for the key that is given with it.
OTHER: dict[tuple[str, str], Any] = {
    ("schema_version", ""): 2,
    ("task", ""): "finetune",
    ("dataset.name", ""): "cifar10",
    ("protocol", "name"): "semisup/patterns-2pct@1",
    ("protocol", "version"): "semisup/patterns-1pct@2",
    ("dataset.fingerprint", ""): "cd" * 32,
    ("dataset.split_sizes.*", ""): ("test", 99),
    ("dataset.evaluated_split", ""): "val",
    ("config", ""): {"fraction": 0.01, "epochs": 61},
    ("primary_metric", ""): "top5",
    ("metrics.*.value", ""): ("top1", 12.5),
    ("metrics.*.interval", ""): ("top1", [1.0, 90.0]),
    ("metrics.*.higher_is_better", ""): ("top5", False),
    ("metrics.*.unit", ""): ("top5", "nats"),
    ("metrics.*.n", ""): ("top5", 10),
    ("model.arm", ""): "other",
    ("model.source_format", "control or trained weights"): "random",
    ("model.source_format", "format of trained weights"): "timm",
    ("model.arch", ""): "resnet50",
    ("model.arch_options.*", ""): ("stem_padding", 3),
    ("model.framework", ""): "simclr",
    ("model.method", ""): "other",
    ("model.masking", ""): "grid",
    ("model.pretrain_data", ""): "imagenet",
    ("model.epochs", ""): 9,
    ("model.preprocessing.image_size", ""): 224,
    ("model.preprocessing.high_pass.kernel_size", ""): 5,
    ("model.preprocessing.high_pass.sigma", ""): 0.7000001,
    ("model.preprocessing.crop_pct", ""): 0.875,
    ("model.preprocessing.mean", ""): [0.5, 0.5, 0.5],
    ("model.preprocessing.std", ""): [0.5, 0.5, 0.5],
    ("model.precision", ""): "bfloat16",
    ("model.recipe", ""): "mixmask-cifar100@1",
    ("model.recipe_digest", ""): "ef" * 32,
    ("model.pretrain_fingerprint", ""): "ff" * 32,
    ("model.origins.*", "recipe"): ("method", "recipe other@1"),
    ("model.origins.*", "everything else"): ("seed", "asked for"),
    ("model.seed", ""): 7,
    ("model.source_sha256", ""): "99" * 32,
    ("weights_sha256", ""): "98" * 32,
    ("seed", ""): 8,
    ("created", ""): "2026-08-01T12:00:00Z",
    ("model.pretrain_seconds", ""): 99.0,
    ("model.pretrain_compute.seconds", ""): 99.0,
    ("model.pretrain_compute.kind", ""): "gpu",
    ("model.pretrain_processes", ""): 2,
    ("wall_seconds", ""): 99.0,
    ("compute.seconds", ""): 99.0,
    ("compute.kind", ""): "gpu",
    ("images_per_second", ""): 99.0,
    ("per_class.*", ""): ("dots", 50.0),
    ("effective_lr", ""): 123.0,
    ("labels.sha256", ""): "97" * 32,
    ("labels.used", ""): 41,
    ("labels.available", ""): 4001,
    ("labels.source", ""): "a file",
    ("framing", ""): "28 px files, resized to 32 px",
    ("receipt_id", ""): "0123456789ab",
    ("outcomes.sha256", ""): "96" * 32,
    ("outcomes.images", ""): 1999,
    ("notes", "fallback to float32"): [NO_BFLOAT16],
    ("notes", "everything else"): ["BN statistics recalibrated on train"],
    ("provenance.mmbench", ""): "0.2.0",
    ("provenance.packages.*", ""): ("torch", "1.0"),
    ("provenance.device", ""): "NVIDIA H100",
    ("provenance.git_sha", ""): "f" * 40,
    ("provenance.git_dirty", ""): True,
    ("provenance.python", ""): "3.12.1",
    ("provenance.platform", ""): "Darwin",
    ("provenance.processor", ""): "another",
    ("provenance.cpu_count", ""): 64,
    ("provenance.threads", ""): 32,
}


def full(record: Make, arm: str, seed: int) -> dict[str, Any]:
    """Return a record in which every optional field is stated."""
    result = record(
        arm,
        "semisup/patterns-1pct@1",
        seed,
        50.0 + seed,
        card_changes={
            "arch_options": {"stem_padding": 2},
            "precision": "float32",
            "recipe_digest": "ab" * 32,
            "pretrain_fingerprint": "aa" * 32,
            "pretrain_compute": ComputeTime(kind="cpu", seconds=30.0 + seed),
            "pretrain_processes": 1,
            "origins": {"method": f"recipe {arm}@1", "seed": "the file"},
        },
        labels=LabelSubset(used=40, available=4000, source="drawn", sha256="cd" * 32),
        compute=ComputeTime(kind="cpu", seconds=10.0),
        framing="28 px files, fed whole at 32 px",
        effective_lr=0.05,
        weights_sha256=hashlib.sha256(f"{arm} {seed}".encode()).hexdigest(),
        outcomes=ImageOutcomes(sha256="ee" * 32, images=2000),
        per_class={"dots": 40.0},
    )
    values: dict[str, Any] = json.loads(result.model_dump_json())
    values["metrics"]["top5"] = {"value": 80.0, "higher_is_better": True, "n": 2000, "unit": "percent"}
    values["model"]["preprocessing"]["high_pass"] = {"kernel_size": 3, "sigma": 0.7}
    values["wall_seconds"] = 12.0 + seed
    return values


def with_other(values: dict[str, Any], path: str, other: Any) -> dict[str, Any]:
    """Return a copy in which one field has another value."""
    values = json.loads(json.dumps(values))
    if "*" in path:
        path, other = path.replace("*", other[0]), other[1]
    *parents, last = path.split(".")
    place = values
    for name in parents:
        place = place[name]
    place[last] = other
    return values


def outcome(base: list[dict[str, Any]], *odd: dict[str, Any]) -> tuple[set[str], int, tuple[str, ...]]:
    """Return the rows, the number of columns and the warnings of records."""
    results = [(f"{place}.json", Result.model_validate(each)) for place, each in enumerate([*base, *odd])]
    frame = comparable(frame_of(results))
    columns = frame.drop_duplicates(["task", "dataset", "protocol"])
    return set(frame["row"]), len(columns), frame.attrs["warnings"]


@pytest.mark.parametrize("field", TABLE, ids=lambda field: f"{field.path} {field.part}".strip())
def test_a_record_that_differs_in_one_field_has_the_stated_effect(record: Make, field: Field) -> None:
    base = [full(record, arm, seed) for arm in ("moco", "mscn") for seed in (0, 1)]
    alike = full(record, "moco", 2)
    odd = with_other(alike, field.path, OTHER[field.path, field.part])
    assert odd != alike
    rows, columns, warnings = outcome(base, alike)
    assert (rows, columns, warnings) == ({"moco", "mscn"}, 1, ())
    try:
        found = outcome(base, odd)
    except (UserError, ValidationError):
        assert field.effect is Effect.REFUSED
        return
    expected = {
        Effect.ROWS: (3, 1),
        Effect.COLUMNS: (2, 2),
        Effect.WARNED: (2, 1),
        Effect.SAME: (2, 1),
        Effect.VALUE: (2, 1),
    }
    assert (len(found[0]), found[1]) == expected[field.effect]
    if field.effect is Effect.WARNED:
        assert len(found[2]) == 1
        assert field.words.removesuffix("s") in found[2][0] or field.fact == "labels"
    elif field.effect in (Effect.SAME, Effect.VALUE, Effect.COLUMNS):
        assert found[2] == ()


def test_every_row_fact_splits_a_row_of_trained_weights_only(record: Make) -> None:
    """Nothing was pretrained for a control, so facts of a pretraining leave its row whole."""
    facts = [field for field in TABLE if field.effect is Effect.ROWS and field.kind == "pretraining"]
    base = [full(record, "random", seed) for seed in (0, 1)]
    for field in facts:
        if field.path in ("model.arm", "model.origins.*"):
            continue
        here = with_other(full(record, "random", 2), field.path, OTHER[field.path, field.part])
        there = {**here, "task": "finetune"}
        assert outcome(base, there)[0] == {"random"}, field.path


def test_the_note_of_a_fallback_is_recognised() -> None:
    assert NO_BFLOAT16.startswith(FALLBACK)


def test_the_documentation_shows_the_table() -> None:
    page = with_generated_parts("text\n<!-- generated: comparability -->\nmore")
    assert page == f"text\n{markdown_table()}\nmore"
    for field in TABLE:
        part = f" ({field.part})" if field.part else ""
        assert f"| `{field.path}`{part} | {field.effect} | {field.why} |" in page.splitlines()
