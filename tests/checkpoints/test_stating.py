"""What a user states on the command line is read in either unit, or refused in one line."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmbench.checkpoints.stating import stated_from
from mmbench.errors import UserError

BYTE = st.floats(1.5, 255)


@given(mean=st.tuples(BYTE, BYTE, BYTE), std=st.tuples(BYTE, BYTE, BYTE))
def test_numbers_of_0_to_255_become_those_of_0_to_1(
    mean: tuple[float, float, float], std: tuple[float, float, float]
) -> None:
    found = stated_from(mean=",".join(map(str, mean)), std=",".join(map(str, std)))
    assert found.mean == tuple(value / 255 for value in mean)
    assert found.std == tuple(value / 255 for value in std)


def test_numbers_of_0_to_1_stay() -> None:
    found = stated_from(mean="0.5, 0.4 ,0.3", std="0.2,0.2,1")
    assert (found.mean, found.std) == ((0.5, 0.4, 0.3), (0.2, 0.2, 1.0))


def test_caffes_std_of_1_goes_with_its_mean() -> None:
    assert stated_from(mean="103.53,116.28,123.675", std="1,1,1").std == (1 / 255, 1 / 255, 1 / 255)


@pytest.mark.parametrize(
    ("mean", "std", "words"),
    [
        ("1,2", "1,1,1", "three numbers"),
        ("a,b,c", "1,1,1", "three numbers"),
        ("nan,0,0", "1,1,1", "three numbers"),
        ("0,0,1e9", "1,1,1", "three numbers"),
        ("-1,0,0", "1,1,1", "three numbers"),
        ("0,0,0", "0,1,1", "above 0"),
        ("0.5,0.5,0.5", None, "go together"),
        (None, "1,1,1", "go together"),
        ("0.5,0.5,0.5", "58,57,57", "one unit"),
    ],
)
def test_what_is_not_valid_is_refused_in_one_line(mean: str | None, std: str | None, words: str) -> None:
    with pytest.raises(UserError, match=words) as error:
        stated_from(mean=mean, std=std)
    assert "\n" not in str(error.value)


@given(st.text(max_size=60))
def test_no_text_ends_in_a_traceback(text: str) -> None:
    try:
        stated_from(mean=text, std=text)
    except UserError as error:
        assert "\n" not in str(error).replace(text[:40], "")
