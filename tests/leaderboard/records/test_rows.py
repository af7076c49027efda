"""Names of rows: what an arm is split by, what is assumed, and that names are unique and short."""

from collections.abc import Callable, Sequence
from typing import Any

import hypothesis.strategies as st
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings

from mmbench.checkpoints.card import OWN_IMAGES, Preprocessing
from mmbench.leaderboard.records.comparable import comparable
from mmbench.leaderboard.records.frame import frame_of
from mmbench.records.store import Result

Make = Callable[..., Result]


def named(*results: Result) -> pd.DataFrame:
    return comparable(frame_of([(f"{place}.json", result) for place, result in enumerate(results)]))


def rows_of(*results: Result) -> list[str]:
    """Return the name of the row of each record."""
    frame = named(*results)
    return [str(frame.loc[frame["file"] == f"{place}.json", "row"].iloc[0]) for place in range(len(results))]


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"arch": "resnet50"}, ["moco (mixmask_resnet8)", "moco (resnet50)"]),
        ({"epochs": 9}, ["moco (8 epochs)", "moco (9 epochs)"]),
        ({"preprocessing": Preprocessing(image_size=224)}, ["moco (32 px)", "moco (224 px)"]),
        ({"framework": "simclr", "masking": "grid", "epochs": 9}, ["moco (moco)", "moco (simclr)"]),
        ({"pretrain_data": "imagenet"}, ["moco (on patterns)", "moco (on imagenet)"]),
        ({"arch_options": {"stem_padding": 2}}, ["moco (no options)", "moco (stem_padding 2)"]),
        ({"source_format": "random"}, ["moco (pretrained)", "moco (control)"]),
    ],
)
def test_an_arm_of_two_kinds_of_weights_has_two_rows_in_every_column(
    record: Make, changes: dict[str, Any], names: list[str]
) -> None:
    protocols = ("knn/patterns@1", "linear/patterns@1")
    first = [record("moco", protocol) for protocol in protocols]
    second = [record("moco", protocol, seed=1, card_changes=changes) for protocol in protocols]
    assert rows_of(*first, *second) == [names[0], names[0], names[1], names[1]]
    assert rows_of(first[0], second[1]) == names  # in different columns too
    (sentence, *_) = named(*first, *second).attrs["warnings"]
    assert sentence.startswith("The records of moco are of weights or images that differ") and all(
        name in sentence for name in names
    )


def test_only_facts_that_tell_rows_apart_are_named(record: Make) -> None:
    kinds = [("resnet50", 8), ("resnet50", 100), ("resnet18", 8)]
    results = [
        record("moco", seed=seed, card_changes={"arch": arch, "epochs": epochs, "masking": arch})
        for seed, (arch, epochs) in enumerate(kinds)
    ]
    assert rows_of(*results, record("mscn")) == [
        "moco (resnet50, 8 epochs)",
        "moco (resnet50, 100 epochs)",
        "moco (resnet18, 8 epochs)",
        "mscn",
    ]


def test_an_unknown_fact_is_that_of_the_same_weights_or_of_an_arm_that_agrees(record: Make) -> None:
    old = record("moco")
    new = record("moco", "knn/patterns@1", card_changes={"precision": "float32"})
    frame = named(old, new)
    assert set(frame["row"]) == {"moco"} and frame.attrs["warnings"] == ()  # seed 0: the same weights
    other = record("moco", seed=1, value=60.0, card_changes={"precision": "float32"})
    frame = named(old, other)
    assert set(frame["row"]) == {"moco"}
    assert frame.attrs["warnings"] == (
        "Some records of moco do not say their precision; it is taken to be that of the others.",
    )
    third = record("moco", seed=2, card_changes={"precision": "bfloat16"})
    assert rows_of(old, other, third) == ["moco (precision unknown)", "moco (float32)", "moco (bfloat16)"]


def test_a_control_is_split_only_where_one_column_holds_two(record: Make) -> None:
    def control(protocol: str, size: int, seed: int = 0) -> Result:
        return record(
            "random", protocol, seed, card_changes={"preprocessing": Preprocessing(image_size=size)}
        )

    apart = [control("knn/patterns@1", 32), control("detection/patterns@1", 96)]
    assert rows_of(*apart) == ["random", "random"]
    assert rows_of(*apart, control("knn/patterns@1", 96, 1)) == [
        "random (32 px)",
        "random (96 px)",
        "random (96 px)",
    ]
    assert rows_of(apart[0], record("random", seed=1, card_changes={"arch": "resnet50"})) == [
        "random (mixmask_resnet8)",
        "random (resnet50)",
    ]


def test_a_crop_share_that_describes_the_pretraining_alone_is_no_difference(record: Make) -> None:
    """Older cards do not have it; of weights that state it, it changes what is evaluated."""
    plain = Preprocessing(image_size=32)
    stated = plain.model_copy(update={"crop_pct": 0.8})
    own = {"preprocessing": stated, "origins": {"crop_pct": OWN_IMAGES}}
    seeds = [
        record("moco", seed=0, card_changes={"preprocessing": plain}),
        record("moco", seed=1, card_changes=own),
    ]
    assert rows_of(*seeds) == ["moco", "moco"]
    assert rows_of(*seeds, record("moco", seed=2, card_changes={"preprocessing": stated})) == [
        "moco (no stated crop)",
        "moco (no stated crop)",
        "moco (crop 0.8)",
    ]


def test_facts_that_look_equal_when_cut_get_a_digest(record: Make) -> None:
    names = rows_of(
        *(record("moco", seed=s, card_changes={"pretrain_data": f"{'x' * 60}{s}"}) for s in (0, 1))
    )
    assert len(set(names)) == 2
    assert all(name.startswith(f"moco (on {'x' * 36}…, ") and len(name) < 70 for name in names)


def test_an_arm_that_is_called_like_another_row_keeps_its_own_row(record: Make) -> None:
    results = [
        record("moco"),
        record("moco", seed=1, card_changes={"arch": "resnet50"}),
        record("mscn", card_changes={"arm": "moco (resnet50)"}),
    ]
    names = rows_of(*results)
    assert names[0] == "moco (mixmask_resnet8)" and names[2] == "moco (resnet50)"
    assert names[1].startswith("moco (resnet50) [") and len(set(names)) == 3


FACTS: dict[str, Sequence[Any]] = {
    "arm": ("moco", "mscn"),
    "arch": ("resnet18", "resnet50"),
    "epochs": (8, 100, None),
    "framework": ("moco", "simclr", None),
    "precision": ("float32", "bfloat16", None),
    "pretrain_data": ("patterns", None),
}


@given(
    st.lists(st.fixed_dictionaries({k: st.sampled_from(v) for k, v in FACTS.items()}), min_size=1, max_size=8)
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_row_holds_two_known_values_and_known_equals_share_one(
    record: Make, cards: list[dict[str, Any]]
) -> None:
    results = [record("moco", seed=s, value=50.0 + s, card_changes=card) for s, card in enumerate(cards)]
    names = rows_of(*results)
    for name in set(names):
        for fact in FACTS:
            own = [card[fact] for card, row in zip(cards, names, strict=True) if row == name]
            assert len({value for value in own if value is not None}) <= 1
    for card, row in zip(cards, names, strict=True):
        assert row.startswith(card["arm"])
        for other, its in zip(cards, names, strict=True):
            if card == other:
                assert row == its
