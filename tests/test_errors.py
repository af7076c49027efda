import pickle

from mmbench.errors import MissingExtraError, unknown_name


def test_near_match_is_suggested_and_known_names_listed() -> None:
    message = str(unknown_name("task", "lineer", ["knn", "linear"]))
    assert message == "unknown task 'lineer'; did you mean 'linear'? (known: knn, linear)"


def test_far_names_get_no_suggestion() -> None:
    assert "did you mean" not in str(unknown_name("task", "zzzz", ["knn", "linear"]))


def test_of_many_names_those_of_the_same_kind_are_listed() -> None:
    many = [f"{kind}/p{number}" for kind in ("knn", "linear") for number in range(20)]
    message = str(unknown_name("protocol", "knn/p99", many))
    assert all(f"knn/p{number}" in message for number in range(20))
    assert "linear/" not in message
    assert message.endswith(", and 20 more)")
    message = str(unknown_name("protocol", "zzz", many))
    assert message.count("/p") == 30
    assert message.endswith(", and 10 more)")


def test_missing_extra_survives_a_process_border() -> None:
    error = MissingExtraError("detectron2", "detection", "pip install it")
    copy = pickle.loads(pickle.dumps(error))
    assert str(copy) == str(error) and copy.library == "detectron2"
    assert "\n" not in str(error)
