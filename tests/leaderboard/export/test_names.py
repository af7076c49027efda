"""Names for MLflow: accepted by its rule, different, and the same wherever they need no change."""

import posixpath
import re

from hypothesis import given
from hypothesis import strategies as st

from mmbench.leaderboard.export.names import accepted_names, renamed_words

TRICKY = st.text("a@$#()[]/.: _é2", min_size=1, max_size=5)


def taken_by_mlflow(name: str) -> bool:
    """Apply the rule of MLflow 3.17, and that of file systems."""
    plain = posixpath.normpath(name)
    sound = plain == name and plain != "." and not plain.startswith(("..", "/"))
    return bool(re.fullmatch(r"[/\w.\- :]*", name)) and sound and len(name.encode()) <= 250


@given(st.sets(st.one_of(TRICKY, st.text(min_size=1), TRICKY.map(lambda end: "x" * 249 + end)), max_size=12))
def test_names_are_taken_and_differ(names: set[str]) -> None:
    answer = accepted_names(names)
    assert set(answer) == names and len(set(answer.values())) == len(names)
    assert all(taken_by_mlflow(name) for name in answer.values())
    assert not any("/" in name for name in answer.values())  # no name is a folder that another is a file of
    assert accepted_names(sorted(names, reverse=True)) == answer


def test_names_that_are_taken_stay_and_others_are_named() -> None:
    answer = accepted_names(["AP@50", "AP_50", "AP_50_2", "top1", "..a", "a/b", "."])
    assert answer == {
        **{"AP_50": "AP_50", "AP_50_2": "AP_50_2", "top1": "top1"},
        **{".": "_", "..a": "__a", "AP@50": "AP_50_3", "a/b": "a_b"},
    }
    words = renamed_words(answer)
    assert words is not None and words.endswith(": . as _; ..a as __a; AP@50 as AP_50_3; a/b as a_b")
    assert renamed_words(accepted_names(["top1", "AP"])) is None
