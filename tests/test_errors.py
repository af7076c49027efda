import pickle

from mmbench.errors import MissingExtraError, unknown_name


def test_near_match_is_suggested_and_known_names_listed() -> None:
    message = str(unknown_name("task", "lineer", ["knn", "linear"]))
    assert message == "unknown task 'lineer'; did you mean 'linear'? (known: knn, linear)"


def test_far_names_get_no_suggestion() -> None:
    assert "did you mean" not in str(unknown_name("task", "zzzz", ["knn", "linear"]))


def test_missing_extra_survives_a_process_border() -> None:
    error = MissingExtraError("detectron2", "detection", "pip install it")
    copy = pickle.loads(pickle.dumps(error))
    assert str(copy) == str(error) and copy.library == "detectron2"
    assert "\n" not in str(error)
