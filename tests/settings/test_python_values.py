from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from mmbench.checkpoints.card import Preprocessing
from mmbench.device import resolve_device
from mmbench.errors import UserError
from mmbench.home import home_path
from mmbench.settings.python_values import (
    optional_number,
    plain,
    require_one_of,
    require_texts,
    seeds_of,
    settings_of,
    whole_number,
)


def test_numpys_values_become_pythons_at_any_depth() -> None:
    given = {
        np.str_("a"): np.int64(5),
        "b": [np.float32(0.5), (np.bool_(True), None)],
        "c": {"d": np.arange(3), "e": np.array([[0.25]])},
        "f": "text",
    }
    found = plain(given)
    assert found == {"a": 5, "b": [0.5, (True, None)], "c": {"d": [0, 1, 2], "e": [[0.25]]}, "f": "text"}
    assert type(found["a"]) is int and type(found["b"][0]) is float and type(found["b"][1][0]) is bool
    assert type(next(iter(found))) is str and all(type(item) is int for item in found["c"]["d"])


@pytest.mark.parametrize("value", [7, np.int64(7), np.uint8(7), torch.tensor(7), np.array(7)])
def test_whole_numbers_of_any_library(value: Any) -> None:
    found = whole_number(value, "epochs", 7, 7)
    assert found == 7 and type(found) is int


@pytest.mark.parametrize("value", [True, np.bool_(True), 1.0, np.float64(1), "1", None, -1, 3, [1], 2**70])
def test_what_is_no_whole_number_of_the_range(value: Any) -> None:
    with pytest.raises(UserError, match=r"^epochs = .*: must be a whole number from 0 to 2$"):
        whole_number(value, "epochs", 0, 2)


def test_an_absent_number_stays_absent() -> None:
    assert optional_number(None, "workers", 0, 2) is None
    with pytest.raises(UserError, match="workers = 3"):
        optional_number(3, "workers", 0, 2)


@pytest.mark.parametrize("given", [[0, 1], (0, 1), range(2), np.arange(2), torch.arange(2), iter([0, 1])])
def test_seeds_of_any_sequence(given: Any) -> None:
    found = seeds_of(given)
    assert found == (0, 1) and all(type(seed) is int for seed in found)


def test_the_largest_seed_and_those_of_the_protocol() -> None:
    assert seeds_of([2**63 - 1]) == (2**63 - 1,)
    assert seeds_of(None) is None


@pytest.mark.parametrize("given", [0, np.int64(0), "01", b"01", np.array(0), 1.5])
def test_seeds_that_are_not_several(given: Any) -> None:
    with pytest.raises(UserError, match=r"seeds = .*must be several whole numbers, such as"):
        seeds_of(given)


@pytest.mark.parametrize("seed", [-1, 1.5, True, "0", 2**63, 2**64, None, np.float64(1)])
def test_what_is_no_seed(seed: Any) -> None:
    with pytest.raises(UserError, match=r"a seed = .*from 0 to 9223372036854775807"):
        seeds_of([0, seed])


def test_settings_by_name() -> None:
    assert settings_of(None, "overrides", "") == {}
    assert settings_of({np.str_("epochs"): np.int64(3)}, "overrides", "") == {"epochs": 3}
    for wrong in ("epochs=3", 3, [("epochs", 3)]):
        with pytest.raises(UserError, match=r'overrides = .*by name, such as {"epochs": 10}'):
            settings_of(wrong, "overrides", '"epochs": 10')
    with pytest.raises(UserError, match="3 is not the name of a setting"):
        settings_of({3: 4}, "overrides", '"epochs": 10')


def test_texts_are_text_or_absent() -> None:
    require_texts(arch="mixmask_resnet8", name=None)
    with pytest.raises(UserError, match=r"^name = 7: must be text$"):
        require_texts(arch=None, name=7)


def test_paths_and_devices_of_other_kinds_are_one_line() -> None:
    for wrong in (None, 7, b"results"):
        with pytest.raises(UserError, match="is not a path"):
            home_path(wrong)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="device 'None' cannot be used"):
        resolve_device(None)  # type: ignore[arg-type]


def test_a_preprocessing_takes_numpys_whole_numbers() -> None:
    found = Preprocessing(image_size=np.int64(32))  # type: ignore[arg-type]
    assert type(found.image_size) is int and found == Preprocessing(image_size=32)
    with pytest.raises(ValueError, match="image_size"):
        Preprocessing(image_size=True)


def test_one_of_a_few_values() -> None:
    require_one_of("online", "encoder", ("online", "momentum"))
    require_one_of(True, "verify", (True, "later"))
    for wrong in ("never", 1, None, ["later"]):
        with pytest.raises(UserError, match=r"verify = .*: must be one of True, 'later'"):
            require_one_of(wrong, "verify", (True, "later"))
