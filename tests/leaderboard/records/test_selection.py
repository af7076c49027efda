"""Which records and columns a board shows, and that what is left out is counted."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from mmbench.errors import UserError
from mmbench.leaderboard.records.comparable import comparable
from mmbench.leaderboard.records.frame import frame_of
from mmbench.leaderboard.records.load import load_frame
from mmbench.leaderboard.records.selection import FIELDS, select
from mmbench.records.store import Result

Make = Callable[..., Result]


@pytest.fixture(scope="module")
def frame(board_records: Path) -> pd.DataFrame:
    return load_frame(board_records)


@pytest.mark.parametrize(
    ("condition", "column", "expected"),
    [
        ("arm=moco", "arm", {"moco"}),
        (" arm = moco , mscn ", "arm", {"moco", "mscn"}),
        ("arm!=random,pixels", "arm", {"moco", "mscn", "erase", "mixmask"}),
        ("epochs=8", "arm", {"moco", "mscn", "erase", "mixmask"}),
        ("pretrain_data=unknown", "arm", {"random", "pixels"}),
        ("control=yes", "arm", {"random", "pixels"}),
        ("task=knn,detection", "task", {"knn", "detection"}),
        ("protocol=linear/patterns@1", "task", {"linear"}),
        ("pretrain_seed=1", "pretraining_seed", {1}),
        ("seed!=0", "transfer_seed", {1, 2, 3, 4, 5}),
    ],
)
def test_conditions(frame: pd.DataFrame, condition: str, column: str, expected: set[object]) -> None:
    found = select(frame, [condition])
    assert set(found[column].dropna()) == expected
    kept = [row for row in frame.itertuples() if getattr(row, column) in expected]
    if column != "pretraining_seed":
        assert len(found) == len(kept)
    left_out = frame["file"].nunique() - found["file"].nunique()
    (warning,) = found.attrs["warnings"]
    assert warning == f"Left out by --where {condition}: {left_out} of {frame['file'].nunique()} records."


def test_all_conditions_hold_and_nothing_is_selected_without_one(frame: pd.DataFrame) -> None:
    found = select(frame, ["arm=moco,mscn", "task=knn", "arm!=mscn"])
    assert set(found["arm"]) == {"moco"} and set(found["task"]) == {"knn"}
    assert select(frame) is frame


def test_a_value_with_a_comma_is_quoted(record: Make) -> None:
    pairs = [(arm, record("moco", card_changes={"arm": arm})) for arm in ("a,b", "a", "x=y")]
    frame = frame_of(pairs)
    assert set(select(frame, ['arm="a,b"'])["arm"]) == {"a,b"}
    assert set(select(frame, ['arm="a,b",a'])["arm"]) == {"a,b", "a"}
    assert set(select(frame, ["arm=x=y"])["arm"]) == {"x=y"}


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        ("arm", "is not a condition; write FIELD=VALUE"),
        ("arm=", "is not a condition"),
        ("arm=moco,", "is not a condition"),
        ("=moco", "is not a condition"),
        ("", "is not a condition"),
        ("epochs>=100", "is not a condition"),
        ("architecture=resnet18", "unknown field of --where 'architecture'; did you mean 'arch'?"),
        ("arm=mocco", "unknown arm in --where 'mocco'; did you mean 'moco'?"),
        ("arm!=moco,mscn,erase,mixmask,random,pixels", "leaves no record; there are erase, mixmask, moco"),
    ],
)
def test_a_condition_that_nothing_fits(frame: pd.DataFrame, condition: str, words: str) -> None:
    with pytest.raises(UserError) as caught:
        select(frame, [condition])
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_columns_in_the_order_of_their_names(frame: pd.DataFrame) -> None:
    found = select(frame, columns=["detection", "1% labels", "linear/*"])
    assert [task for task, _, _ in found.attrs["columns"]] == ["detection", "semisup", "linear"]
    assert set(found["task"]) == {"detection", "semisup", "linear"}
    assert set(found[found["task"] == "semisup"]["protocol"]) == {"semisup/patterns-1pct@1"}
    (warning,) = found.attrs["warnings"]
    assert warning.startswith("Left out by --columns: 3 columns (knn/patterns@1 on patterns; ")
    assert set(select(frame, columns=["mIoU"])["task"]) == {"segmentation"}
    assert len(select(frame, columns=["patterns"]).attrs["columns"]) == 6
    with pytest.raises(UserError, match="unknown column 'detecton'; did you mean 'detection'"):
        select(frame, columns=["detecton"])


def test_columns_of_a_data_set_with_a_comma(record: Make) -> None:
    plain = record("moco")
    named = plain.model_copy(update={"dataset": plain.dataset.model_copy(update={"name": "cats, dogs"})})
    frame = frame_of([("one", plain), ("two", named)])
    here = plain.dataset.name
    for columns, names in (
        (["cats, dogs"], ["cats, dogs"]),
        ([f"{here},cats, dogs"], [here, "cats, dogs"]),
        (["cats, dogs", here], ["cats, dogs", here]),
    ):
        assert [name for _, name, _ in select(frame, columns=columns).attrs["columns"]] == names
    with pytest.raises(UserError, match="unknown column 'cats'"):
        select(frame, columns=["cats,birds"])


def test_a_selection_comes_before_the_refusal(record: Make) -> None:
    old, new = record("moco"), record("moco", "linear/patterns@2", seed=1, card_changes={"arch": "resnet50"})
    frame = frame_of([("old", old), ("new", new)])
    with pytest.raises(UserError, match="versions @1, @2"):
        comparable(frame)
    found = comparable(select(frame, ["protocol=linear/patterns@2"]))
    assert set(found["row"]) == {"moco"}
    assert found.attrs["warnings"][0] == ("Left out by --where protocol=linear/patterns@2: 1 of 2 records.")


def test_every_field_is_a_column_of_the_frame(frame: pd.DataFrame) -> None:
    assert set(FIELDS.values()) <= set(frame.columns)
