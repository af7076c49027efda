"""What one call keeps is not there in the next, in another thread, or after a change of folder."""

import inspect
import os
import threading
from pathlib import Path

import pytest

from mmbench.one_call import once_per_call, one_call


def test_values_are_kept_within_a_call_only() -> None:
    made: list[int] = []

    @once_per_call(2)
    def double(number: int, *, more: int = 0) -> int:
        """Return the double."""
        made.append(number)
        return 2 * number + more

    assert double.__doc__ == "Return the double."
    assert list(inspect.signature(double).parameters) == ["number", "more"]
    assert [double(1), double(1)] == [2, 2] and made == [1, 1]  # no call is going on
    for _ in range(2):
        made.clear()
        with one_call():
            assert [double(1), double(1), double(1, more=5)] == [2, 2, 7] and made == [1, 1]
            with one_call():  # a part of the outer one
                double(1)
            assert made == [1, 1]
            double(2)  # the third: 1 with more=5 was used longest ago
            double(1)
            assert made == [1, 1, 2]
            double(1, more=5)
            assert made == [1, 1, 2, 1]
            double.cache_clear()
            double(1)
            assert made == [1, 1, 2, 1, 1]


def test_errors_are_not_kept_and_end_the_call() -> None:
    answers = iter([ValueError("first"), "second", "third"])

    @once_per_call(4)
    def read() -> str:
        answer = next(answers)
        if isinstance(answer, ValueError):
            raise answer
        return answer

    with pytest.raises(ValueError), one_call():
        with pytest.raises(ValueError, match="first"):
            read()
        assert read() == read() == "second"
        raise ValueError
    assert read() == "third"


def test_a_relative_path_means_another_place_in_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = once_per_call(4)(lambda name: Path(name).read_text(encoding="utf-8"))
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "file").write_text(folder, encoding="utf-8")
    with one_call():
        for folder in ("a", "b", "a"):
            monkeypatch.chdir(tmp_path / folder)
            assert read("file") == folder


def test_threads_have_calls_of_their_own() -> None:
    identity = once_per_call(4)(lambda: object())
    found: list[list[object]] = []

    def work() -> None:
        with one_call():
            found.append([identity(), identity()])

    with one_call():
        mine = identity()
        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert identity() is mine
    assert all(first is second for first, second in found)
    assert len({id(first) for first, _ in found} | {id(mine)}) == 4


def test_the_tests_themselves_run_outside_of_a_call() -> None:
    identity = once_per_call(4)(lambda: (os.getpid(), object()))
    assert identity() is not identity()
