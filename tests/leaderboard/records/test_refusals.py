"""What a board refuses to mix, and which files it tells the user to move."""

import datetime
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mmbench.errors import UserError
from mmbench.leaderboard.build import read_board
from mmbench.leaderboard.records.comparable import comparable
from mmbench.leaderboard.records.frame import frame_of
from mmbench.records.store import DatasetReference, Metric, Result, ResultStore

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


def test_a_pretraining_seed_counts_once(record: Make, write: Write) -> None:
    first = record("moco", card_changes={"source_sha256": "0" * 64})
    again = record("moco", card_changes={"source_sha256": "1" * 64}, created="2027-01-01T00:00:00Z")
    message = refused(write(first, again), first)
    assert "2 different weights of pretraining seed 0, and a seed counts once" in message


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ("2026-07-02T01:00:00Z", "2026-07-01T23:00:00-07:00"),  # five hours later
        ("2026-07-02T08:30:00+09:00", "2026-07-02T00:00:00.5Z"),
        ("2026-07-02T00:00:00Z", "2026-07-02T00:00:00.5Z"),
    ],
)
def test_the_newest_is_so_by_the_clock_in_every_time_zone(
    record: Make, write: Write, earlier: str, later: str
) -> None:
    assert datetime.datetime.fromisoformat(earlier) < datetime.datetime.fromisoformat(later)
    old, new = (
        record("moco", card_changes={"source_sha256": digit * 64}, created=created)
        for digit, created in (("0", earlier), ("1", later))
    )
    refused(write(old, new), old)


def test_of_equally_many_settings_those_of_the_newest_record_stay(record: Make, write: Write) -> None:
    old = record("moco", created="2026-07-02T01:00:00Z")
    new = record("mscn", created="2026-07-01T23:00:00-07:00", config={"weight_decays": [1.0]})
    refused(write(old, new), old)


def test_the_same_instant_in_another_time_zone_is_a_copy(record: Make) -> None:
    first = record("moco", created="2026-07-02T01:00:00Z")
    copy = record("moco", transfer_seed=77, created="2026-07-01T18:00:00-07:00")
    with pytest.raises(UserError, match="holds one record again under another seed"):
        comparable(frame_of([("a", first), ("b", copy)]))


def test_a_copied_record_is_not_a_second_run(record: Make, write: Write) -> None:
    root = write(record("moco"))
    [path] = root.rglob("*.json")
    (root / "copy.json").write_bytes(path.read_bytes())
    with pytest.raises(UserError, match="holds one run twice; to count it once, move these out"):
        read_board(root)


@pytest.mark.parametrize(("older", "newer"), [("a", "b"), ("b", "a")])
def test_of_one_run_that_was_measured_twice_the_newest_record_stays(
    record: Make, older: str, newer: str
) -> None:
    """Identical weights after a second training, whose card states another time of training."""
    first = record("moco")
    changes = {"created": first.created + datetime.timedelta(hours=1), "wall_seconds": 5.0}
    again = record("moco", **changes)
    with pytest.raises(UserError, match=f"holds one run twice; to count it once, .* folder: {older}$"):
        comparable(frame_of(sorted([(older, first), (newer, again)])))


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


def test_a_record_under_another_seed_number_is_a_copy(record: Make, write: Write) -> None:
    first = record("moco")
    for changes in ({"transfer_seed": 77}, {"card_changes": {"seed": 5, "source_sha256": "5" * 64}}):
        copy = record("moco", **changes)
        with pytest.raises(UserError, match="holds one record again under another seed; to count it once"):
            comparable(frame_of([("a", first), ("b", copy)]))
    later = record("moco", transfer_seed=77, created=first.created + datetime.timedelta(seconds=1))
    found = comparable(frame_of([("a", first), ("b", later)]))
    assert found.attrs["warnings"] == (
        "1 record has the value and the seconds of another one of the same cell, to the last digit, "
        "such as b: is it a copy?",
    )


def test_checkpoints_of_unknown_seed_need_names_of_their_own(record: Make) -> None:
    unknown = [
        record(
            "moco", seed=seed, value=70.0 + seed, card_changes={"seed": None, "source_sha256": f"{seed}" * 64}
        )
        for seed in (0, 1)
    ]
    with pytest.raises(
        UserError, match=r"row moco has 2 checkpoints whose pretraining seed is not known.*--arm NAME"
    ):
        comparable(frame_of([("a", unknown[0]), ("b", unknown[1])]))
    elsewhere = record("moco", "knn/patterns@1", seed=1, card_changes=dict(unknown[1].model))
    with pytest.raises(UserError, match="--arm NAME"):
        comparable(frame_of([("a", unknown[0]), ("b", elsewhere)]))
    beside = comparable(frame_of([("a", unknown[0]), ("b", record("moco", seed=1))]))
    assert beside.attrs["warnings"] == (
        "Not all pretraining seeds are known, so that one may count twice: moco.",
    )


def test_one_checkpoint_under_two_cards_is_one_pretraining(record: Make) -> None:
    """Older records have the digest of its file, newer ones that of its tensors."""

    def of(seed: int, **changes: Any) -> Result:
        facts = {"seed": None, "source_sha256": "1" * 64, "origins": {"file": f"/home/{seed}/moco.pth"}}
        return record("moco", transfer_seed=seed, value=60.0 + seed, card_changes={**facts, **changes})

    newer = of(2).model_copy(update={"weights_sha256": "a" * 64})
    moved = of(3, source_sha256="2" * 64).model_copy(update={"weights_sha256": "a" * 64})
    frame = comparable(frame_of([("a", of(0)), ("b", of(1)), ("c", newer), ("d", moved)]))
    assert set(frame["weights"]) == {"a" * 64}
    assert frame.attrs["warnings"] == ()
    with pytest.raises(UserError, match="holds one run twice"):
        comparable(frame_of([("a", of(0)), ("b", of(0, origins={}))]))
