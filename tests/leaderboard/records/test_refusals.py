"""What a board refuses to mix, and which files it tells the user to move."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mmbench.checkpoints.card import OWN_IMAGES, Preprocessing
from mmbench.errors import UserError
from mmbench.leaderboard.build import read_board
from mmbench.results import DatasetReference, Metric, Result, ResultStore

Make = Callable[..., Result]
Write = Callable[..., Path]


def refused(root: Path, *odd: Result) -> str:
    """Return the one line of the refusal; it must name exactly the files of `odd`."""
    with pytest.raises(UserError) as caught:
        read_board(root)
    message = str(caught.value)
    assert "\n" not in message
    store = ResultStore(root)
    for path, result in store.items():
        named = path.relative_to(root).as_posix() in message
        assert named == (result in odd), (named, path, message)
    return message


def test_two_versions_of_a_protocol(record: Make, write: Write) -> None:
    old = [record("moco", seed=seed) for seed in (0, 1)]
    new = record("mscn", "linear/patterns@2")
    message = refused(write(*old, new), *old)
    assert "protocol linear/patterns is here in versions @1, @2, which do not compare" in message
    assert "to rank by @2, move these out of the results folder" in message


def test_versions_do_not_mix_across_data_sets_either(record: Make, write: Write) -> None:
    other = DatasetReference(name="cifar10", fingerprint="c" * 64, split_sizes={})
    old = record("moco")
    refused(write(old, record("moco", "linear/patterns@2", dataset=other)), old)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"config": {"weight_decays": [1.0]}}, "2 different settings"),
        (
            {"dataset": DatasetReference(name="patterns", fingerprint="cd" * 32, split_sizes={})},
            "2 different data fingerprints (abababababab, cdcdcdcdcdcd)",
        ),
        (
            {
                "dataset": DatasetReference(
                    name="patterns", fingerprint="ab" * 32, split_sizes={}, evaluated_split="val"
                )
            },
            "2 different evaluated splits (test, val)",
        ),
        ({"primary_metric": "top5"}, "2 different primary metrics (top1, top5)"),
        (
            {
                "metrics": {
                    "top1": Metric(value=1.0, higher_is_better=False, n=10),
                    "top5": Metric(value=1.0, higher_is_better=True, n=10),
                }
            },
            "2 different directions",
        ),
    ],
)
def test_a_column_measured_in_two_ways(
    record: Make, write: Write, changes: dict[str, Any], words: str
) -> None:
    odd = record("mscn", **changes)
    message = refused(write(record("moco"), record("moco", seed=1), odd), odd)
    assert words in message
    assert "linear/patterns@1 on patterns" in message


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"epochs": 100}, "numbers of pretraining epochs (100, 8)"),
        ({"arch": "mixmask_resnet18"}, "architectures"),
        ({"pretrain_data": "cifar10"}, "pretraining data sets"),
        ({"masking": "erase"}, "maskings"),
    ],
)
def test_an_arm_of_two_kinds_of_weights(
    record: Make, write: Write, changes: dict[str, Any], words: str
) -> None:
    odd = record("moco", seed=2, card_changes=changes)
    message = refused(write(record("moco"), record("moco", seed=1), odd), odd)
    assert "arm moco in linear/patterns@1 on patterns has 2 different " + words in message


def test_an_arm_of_other_epochs_in_another_column(record: Make, write: Write) -> None:
    root = write(record("moco"), record("moco", "knn/patterns@1", card_changes={"epochs": 9}))
    with pytest.raises(UserError, match="arm moco has records of 8 and 9 pretraining epochs"):
        read_board(root)


def test_a_pretraining_seed_counts_once(record: Make, write: Write) -> None:
    first = record("moco", card_changes={"source_sha256": "0" * 64})
    again = record("moco", card_changes={"source_sha256": "1" * 64}, created="2027-01-01T00:00:00Z")
    message = refused(write(first, again), first)
    assert "2 different weights of pretraining seed 0, and a seed counts once" in message


def test_a_copied_record_is_not_a_second_run(record: Make, write: Write) -> None:
    root = write(record("moco"))
    [path] = root.rglob("*.json")
    (root / "copy.json").write_bytes(path.read_bytes())
    with pytest.raises(UserError, match="holds one run twice; to count it once, move these out"):
        read_board(root)


def test_a_long_list_of_files_is_cut(record: Make, write: Write) -> None:
    old = [record("moco", seed=seed) for seed in range(5)]
    with pytest.raises(UserError, match=r"and 2 more$"):
        read_board(write(*old, record("mscn", "linear/patterns@2")))


def test_an_unknown_baseline_gets_a_near_match(record: Make, write: Write) -> None:
    with pytest.raises(UserError, match=r"unknown baseline 'mocco'; did you mean 'moco'\?"):
        read_board(write(record("moco")), "mocco")


def test_other_data_sets_and_recipes_stand_side_by_side(record: Make, write: Write) -> None:
    other = DatasetReference(name="cifar10", fingerprint="c" * 64, split_sizes={})
    root = write(
        record("moco"), record("moco", dataset=other), record("moco", "semisup/patterns-1pct@1", value=1.0)
    )
    labels = [column.label for column in read_board(root).columns]
    assert labels == ["Linear, cifar10", "Linear, patterns", "1% labels"]


def test_a_crop_share_that_describes_the_pretraining_alone_is_no_difference(
    record: Make, write: Write
) -> None:
    """Older cards do not have it; of weights that state it, it changes what is evaluated."""
    plain = Preprocessing(image_size=32)
    stated = plain.model_copy(update={"crop_pct": 0.8})
    own = {"preprocessing": stated, "origins": {"crop_pct": OWN_IMAGES}}
    seeds = (
        record("moco", seed=0, card_changes={"preprocessing": plain}),
        record("moco", seed=1, card_changes=own),
    )
    (row,) = read_board(write(*seeds)).rows
    assert row.arm == "moco"
    assert "different preprocessings" in refused(
        write(*seeds, record("moco", seed=2, card_changes={"preprocessing": stated})),
        record("moco", seed=2, card_changes={"preprocessing": stated}),
    )
