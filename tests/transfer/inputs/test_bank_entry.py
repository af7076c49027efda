"""Entries of the feature bank are verified: damage anywhere gives the same numbers again, and is reported."""

import fcntl
import functools
import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from running import run_task

from mmbench.checkpoints.backbone import Backbone
from mmbench.data import Dataset
from mmbench.errors import UserError
from mmbench.records.store import ResultStore
from mmbench.transfer.compute import Compute
from mmbench.transfer.inputs import bank_entry
from mmbench.transfer.inputs import feature_bank as bank_module
from mmbench.transfer.inputs import features as features_module
from mmbench.transfer.inputs.bank_entry import (
    DamagedEntryError,
    EntryFacts,
    EntryWriter,
    read_entry,
    sidecar_of,
)
from mmbench.transfer.inputs.feature_bank import FeatureBank
from mmbench.transfer.inputs.images import MemoryImages

COMPUTE = Compute(torch.device("cpu"))


def written(path: Path, values: np.ndarray, pieces: int = 7) -> Path:
    """Write an entry in pieces of a few rows."""
    writer = EntryWriter(EntryFacts(path, values.shape, str(values.dtype)))
    with writer.opened():
        for start in range(writer.done, len(values), pieces):
            writer.append(values[start : start + pieces])
        writer.save()
    writer.finish()
    return path


def values_of(rows: int, width: int = 33) -> np.ndarray:
    return np.random.default_rng(rows).normal(size=(rows, width)).astype(np.float32)


@settings(max_examples=40, deadline=None)
@given(rows=st.integers(1, 60), pieces=st.integers(1, 30), block=st.integers(16, 5000))
def test_an_entry_comes_back_and_is_a_plain_npy_file(
    tmp_path_factory: pytest.TempPathFactory, rows: int, pieces: int, block: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bank_entry, "BLOCK", block)
        values = values_of(rows)
        path = written(tmp_path_factory.mktemp("entry") / "a.npy", values, pieces)
        found = read_entry(path, rows, "float32", verify=True)
        assert found is not None and np.array_equal(found.numpy(), values)
        assert np.array_equal(np.load(path), values)
        assert len(json.loads(sidecar_of(path).read_text())["crc32"]) == -(-path.stat().st_size // block)


def test_a_flipped_byte_anywhere_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bank_entry, "BLOCK", 1000)
    values = values_of(40)
    path = written(tmp_path / "a.npy", values)
    files = [path, sidecar_of(path)]
    whole = {file: file.read_bytes() for file in files}
    drawn = random.Random(0)
    places = [(path, place) for place in range(130)]  # the header and the first number
    places += [(file, drawn.randrange(len(whole[file]))) for file in files for _ in range(100)]
    noticed = 0
    for file, place in places:
        changed = bytearray(whole[file])
        changed[place] ^= drawn.randrange(1, 256)
        file.write_bytes(changed)
        try:
            found = read_entry(path, 40, "float32", verify=True)
        except DamagedEntryError:
            noticed += 1
        else:  # white space of the sidecar
            assert file != path and found is not None and np.array_equal(found.numpy(), values)
        file.write_bytes(whole[file])
    assert noticed >= 230
    assert read_entry(path, 40, "float32", verify=True) is not None


DAMAGES: dict[str, Callable[[Path], object]] = {
    "data": lambda path: flip(path, 5000),
    "header": lambda path: flip(path, 30),
    "last byte": lambda path: flip(path, -1),
    "sidecar": lambda path: flip(sidecar_of(path), -40),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-100]),
    "too long": lambda path: path.write_bytes(path.read_bytes() + b"\0"),
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "other dtype": lambda path: np.save(path, np.load(path).astype(np.float64)),
    "other type, same size": lambda path: np.save(path, np.load(path).view(np.int32)),
    "other order": lambda path: np.save(path, np.asfortranarray(np.load(path))),
    "other shape": lambda path: np.save(path, np.load(path).reshape(60, -1)),
    "older version": lambda path: sidecar_of(path).unlink(),
    "another entry": lambda path: exchange(path),
}


def flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 8
    path.write_bytes(content)


def exchange(path: Path) -> None:
    other = written(path.with_name("b.npy"), values_of(120, 128))
    other.replace(path)
    sidecar_of(other).replace(sidecar_of(path))


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_never_reaches_a_number_and_is_noted(
    backbone: Backbone, gratings: Dataset, tmp_path: Path, damage: str
) -> None:
    def measure(folder: str) -> tuple[object, str]:
        bank = FeatureBank(tmp_path / "bank")
        result = run_task(
            *("knn", backbone, gratings, ResultStore(tmp_path / folder)),
            work=tmp_path / "work",
            overrides={"neighbours": 5},
            bank=bank,
        )
        return result.metrics, " ".join(result.notes)

    expected, notes = measure("first")
    assert "again" not in notes
    path = max((tmp_path / "bank").glob("*.npy"), key=lambda file: file.stat().st_size)
    DAMAGES[damage](path)
    found, notes = measure("second")
    assert found == expected
    assert f"features were computed again: {path.name} in the bank is damaged or outdated" in notes
    found, notes = measure("third")
    assert found == expected and "again" not in notes and "came from the feature bank" in notes


@pytest.mark.parametrize("damage", ["none", "part", "cut", "sidecar"])
def test_an_unfinished_entry_is_verified_before_it_is_continued(
    backbone: Backbone, gratings: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    monkeypatch.setattr(bank_module, "PIECE", 32)
    monkeypatch.setattr(features_module, "pass_over", functools.partial(features_module.pass_over, batch=16))
    images = MemoryImages(gratings.split("train"), 16)
    whole = FeatureBank(tmp_path / "whole").features(backbone, images, COMPUTE)

    def stop(done: int, total: int) -> None:
        if done == 80:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        FeatureBank(tmp_path / "parts").features(backbone, images, COMPUTE, stop)
    (part,) = (tmp_path / "parts").glob("*.part")
    if damage == "part":
        flip(part, 2000)
    elif damage == "cut":
        part.write_bytes(part.read_bytes()[:2000])
    elif damage == "sidecar":
        flip(sidecar_of(part), -30)
    rest = FeatureBank(tmp_path / "parts")
    assert torch.equal(rest.features(backbone, images, COMPUTE), whole)
    assert rest.computed == (56 if damage == "none" else 120)
    assert ["computed from the start" in note for note in rest.take_notes()] == [True] * (damage != "none")
    assert rest.take_notes() == ()


def test_links_in_the_bank_are_replaced_and_never_written_through(
    backbone: Backbone, gratings: Dataset, tmp_path: Path
) -> None:
    images, outside = MemoryImages(gratings.split("train"), 16), tmp_path / "outside"
    expected = FeatureBank(tmp_path / "bank").features(backbone, images, COMPUTE).clone()
    (path,) = (tmp_path / "bank").glob("*.npy")
    outside.write_bytes(b"precious")
    for name in (path, sidecar_of(path), path.with_suffix(".part")):
        name.unlink(missing_ok=True)
        name.symlink_to(outside)
    assert torch.equal(FeatureBank(tmp_path / "bank").features(backbone, images, COMPUTE), expected)
    assert outside.read_bytes() == b"precious"
    assert not path.is_symlink() and not sidecar_of(path).is_symlink()
    # A sound entry that lies elsewhere may be read through a link.
    shutil.move(path, outside)
    path.symlink_to(outside)
    bank = FeatureBank(tmp_path / "bank")
    assert torch.equal(bank.features(backbone, images, COMPUTE), expected) and bank.computed == 0


def test_a_lock_that_is_a_link_is_refused_in_one_line(
    backbone: Backbone, gratings: Dataset, tmp_path: Path
) -> None:
    images = MemoryImages(gratings.split("train"), 16)
    bank = FeatureBank(tmp_path / "bank")
    bank.root.mkdir()  # type: ignore[union-attr]
    (tmp_path / "outside").write_text("precious")
    lock = tmp_path / "bank" / f"{bank.address(backbone, images, COMPUTE)}.lock"
    lock.symlink_to(tmp_path / "outside")
    with pytest.raises(UserError, match=r"it is a symbolic link"):
        bank.features(backbone, images, COMPUTE)
    assert (tmp_path / "outside").read_text() == "precious"


def test_parts_that_no_run_can_continue_are_removed_and_those_of_living_runs_stay(
    backbone: Backbone, gratings: Dataset, tmp_path: Path
) -> None:
    bank = tmp_path / "bank"
    bank.mkdir()
    for name in ("dead", "living", "goes-on"):
        (bank / f"{name}.part").write_bytes(b"x")
    sidecar_of(bank / "goes-on.part").write_text("{}")
    with (bank / "living.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        FeatureBank(bank).features(backbone, MemoryImages(gratings.split("train"), 16), COMPUTE)
    assert sorted(path.name for path in bank.glob("*.part")) == ["goes-on.part", "living.part"]
