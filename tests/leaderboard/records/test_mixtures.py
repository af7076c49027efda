"""Four sound records and an odd one: same cell, a further row, a warning or a refusal, never silence."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mmbench.errors import UserError
from mmbench.leaderboard.records.comparable import comparable
from mmbench.leaderboard.records.load import load_frame
from mmbench.records.store import Result

Make = Callable[..., Result]


@dataclass(frozen=True)
class Mixture:
    """One odd record beside two of moco and two of mscn.

    Attributes:
        changes: dotted name of a field -> its value in the odd record.
        rows: of the board; none where it is refused.
        columns: of the board.
        says: parts of the warnings, or of the refusal.
        make: how the odd record is made.
    """

    name: str
    changes: dict[str, Any]
    rows: tuple[str, ...] = ("moco", "mscn")
    columns: int = 1
    says: tuple[str, ...] = ()
    arm: str = "moco"
    protocol: str = "linear/patterns@1"
    seed: int = 2

    @property
    def refused(self) -> bool:
        return not self.rows


def split(*words: str) -> tuple[str, ...]:
    return (*(f"moco ({word})" for word in words), "mscn")


ERASE = ("erase", "moco", "mscn")
RESNET = split("mixmask_resnet8", "resnet50")
DATA = split("on patterns", "on imagenet")
PERCENT = "is not a percentage from 0 to 100"
METRICS = {"x-top1": {"value": 90.0, "higher_is_better": True, "n": 10, "unit": "percent"}}
MIXTURES = [
    Mixture("nothing", {}),
    Mixture("protocol version", {}, (), protocol="linear/patterns@2", says=("versions @1, @2",)),
    Mixture("arch within an arm", {"model.arch": "resnet50"}, RESNET),
    Mixture("arch of another arm", {"model.arch": "resnet50"}, ERASE, arm="erase"),
    Mixture("arch elsewhere", {"model.arch": "resnet50"}, RESNET, 2, protocol="knn/patterns@1"),
    Mixture("framework", {"model.framework": "simclr"}, split("moco", "simclr")),
    Mixture("data within an arm", {"model.pretrain_data": "imagenet"}, DATA),
    Mixture(
        "data of another arm",
        {"model.pretrain_data": "imagenet"},
        ERASE,
        arm="erase",
        says=("The pretrained rows have different pretraining data sets (imagenet, patterns).",),
    ),
    Mixture("data elsewhere", {"model.pretrain_data": "imagenet"}, DATA, 2, protocol="knn/patterns@1"),
    Mixture(
        "method and masking elsewhere",
        {"model.method": "other", "model.masking": "grid"},
        split("method moco", "method other"),
        2,
        protocol="knn/patterns@1",
    ),
    Mixture("fingerprint unknown", {"model.pretrain_fingerprint": "ff" * 32}, says=("pretrain fingerprint",)),
    Mixture("recipe of an origin", {"model.origins": {"method": "recipe mixmask@1"}}, says=("recipe",)),
    Mixture("control in an arm", {"model.source_format": "random"}, split("pretrained", "control")),
    Mixture("image size", {"model.preprocessing.image_size": 224}, split("32 px", "224 px")),
    Mixture(
        "image size of another arm",
        {"model.preprocessing.image_size": 224},
        ERASE,
        arm="erase",
        says=("The pretrained rows have different image sizes (224, 32).",),
    ),
    Mixture("fingerprint", {"dataset.fingerprint": "cd" * 32}, (), says=("data fingerprints",)),
    Mixture("split", {"dataset.evaluated_split": "val"}, (), says=("evaluated splits (test, val)",)),
    Mixture("train size", {"dataset.split_sizes": {"train": 40, "val": 2000}}, (), says=("split sizes",)),
    Mixture("images", {"metrics.top1.n": 10}, (), says=("numbers of evaluated images (10, 2000)",)),
    Mixture("settings", {"config": {"weight_decays": [9]}}, (), says=("weight_decays: [0.1] or [9]",)),
    Mixture("learning rate", {"effective_lr": 123.0}, says=("4 records of 1 column do not state",)),
    Mixture(
        "fallback",
        {"notes": ["computed in float32: this CPU has no bfloat16"]},
        says=("Different number formats in 1 column", "within 1 cell, such as that of moco"),
    ),
    Mixture(
        "device", {"provenance.device": "NVIDIA H100"}, says=("cpu (4 records), NVIDIA H100 (1 record)",)
    ),
    Mixture("torch", {"provenance.packages.torch": "1.0"}, says=("torch 2.15.0 (4 records), torch 1.0",)),
    Mixture("percent above 100", {"metrics.top1.value": 150.0}, (), says=("metrics.top1",)),
    Mixture("percent below 0", {"metrics.top1.value": -5.0}, (), says=("metrics.top1",)),
    Mixture("unit", {"metrics.top1.unit": "nats"}, (), says=("2 different units (nats, percent)",)),
    Mixture("space in a name", {"model.arm": "moco "}, (), says=("model.arm",)),
    Mixture(
        "case of a name", {"model.arm": "MoCo"}, ("MoCo", "moco", "mscn"), says=("look alike: MoCo, moco",)
    ),
    Mixture(
        "a Cyrillic letter in a name",
        {"model.arm": "m\u043eco"},
        ("moco", "mscn", "m\u043eco"),
        says=("look alike: moco, m\\u043eco",),
    ),
    Mixture("the weights of another seed", {"model.source_sha256": "*"}, says=("seeds 0, 2",)),
    Mixture("two tasks of one protocol", {"task": "finetune"}, columns=2),
    Mixture("two data sets", {"dataset.name": "patterns-x"}, columns=2),
    Mixture(
        "primary metric", {"metrics": METRICS, "primary_metric": "x-top1"}, (), says=("primary metrics",)
    ),
]


@pytest.mark.parametrize("mixture", MIXTURES, ids=lambda mixture: mixture.name)
def test_nothing_is_averaged_in_silence(record: Make, tmp_path: Path, mixture: Mixture) -> None:
    sound = [
        record(arm, seed=seed, value=value + seed)
        for arm, value in (("moco", 70.0), ("mscn", 60.0))
        for seed in (0, 1)
    ]
    written = [json.loads(result.model_dump_json()) for result in sound]
    odd = json.loads(record(mixture.arm, mixture.protocol, mixture.seed, 90.0).model_dump_json())
    for path, value in mixture.changes.items():
        *parents, last = path.split(".")
        place = odd
        for name in parents:
            place = place[name]
        place[last] = written[0]["model"]["source_sha256"] if value == "*" else value
    for number, values in enumerate([*written, odd]):
        (tmp_path / f"{number:02d}.json").write_text(json.dumps(values), encoding="utf-8")
    if mixture.refused:
        with pytest.raises(UserError) as caught:
            comparable(load_frame(tmp_path))
        message = str(caught.value)
        assert "\n" not in message
        assert ("04.json" in message) != (mixture.name == "protocol version")  # the newest version stays
    else:
        frame = comparable(load_frame(tmp_path))
        assert set(frame["row"]) == set(mixture.rows)
        assert len(frame.drop_duplicates(["task", "dataset", "protocol"])) == mixture.columns
        message = " ".join(frame.attrs["warnings"])
        split_rows = any("(" in row for row in mixture.rows)
        assert split_rows == ("weights or images that differ" in message)
        assert bool(mixture.says) or split_rows == bool(message)
    for words in mixture.says:
        assert words in message


def test_labels_that_differ_between_rows_or_are_not_said(record: Make, tmp_path: Path) -> None:
    def with_labels(arm: str, digest: str | None) -> Result:
        values = json.loads(record(arm, "semisup/patterns-1pct@1", value=50.0).model_dump_json())
        if digest is not None:
            values["labels"] = {"used": 40, "available": 4000, "source": "drawn", "sha256": digest * 64}
        return Result.model_validate(values)

    def said(*digests: str | None) -> str:
        folder = tmp_path / "-".join(map(str, digests))
        folder.mkdir()
        for arm, digest in zip(("moco", "mscn"), digests, strict=True):
            (folder / f"{arm}.json").write_text(with_labels(arm, digest).model_dump_json(), encoding="utf-8")
        return " ".join(comparable(load_frame(folder)).attrs["warnings"])

    assert said("a", "a") == "" and said(None, None) == ""
    assert "The rows of 1 column saw different sets of labels" in said("a", "b")
    assert "1 record of columns with few labels without a digest" in said("a", None)
