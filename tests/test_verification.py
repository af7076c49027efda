"""Flipped bytes in states, weights, cards and records: the same content, the one before, or a refusal."""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from mmbench.checkpoints.backbone import random_backbone
from mmbench.checkpoints.card import ModelCard, Preprocessing
from mmbench.checkpoints.card_file import read_card, write_card
from mmbench.checkpoints.files.opening import open_checkpoint
from mmbench.checkpoints.reading import read_checkpoint
from mmbench.errors import UserError
from mmbench.files import sha256_of
from mmbench.leaderboard.records.load import load_frame
from mmbench.records.store import Result, ResultStore, read_result
from mmbench.runs import RunFolder
from mmbench.tools.inspect_checkpoint import describe
from mmbench.verification import content_digest, is_damaged, with_digest, zip_damage

PLACES = 60
RECORD = Path(__file__).parent / "leaderboard" / "golden" / "knn-pixels-schema1.json"


def result(**changes: object) -> Result:
    return Result.model_validate_json(RECORD.read_text()).model_copy(update=changes)


def damaged(path: Path, places: int = PLACES, seed: int = 0) -> Iterator[int]:
    """Change one byte of a file after the other, spread over all of it; the whole file is back at the end."""
    whole, drawn = path.read_bytes(), random.Random(seed)
    for index in range(places):
        place = min(len(whole) - 1, int((index + drawn.random()) * len(whole) / places))
        changed = bytearray(whole)
        changed[place] ^= drawn.randrange(1, 256)
        path.write_bytes(changed)
        yield place
    path.write_bytes(whole)


def same(first: dict[str, Any], second: dict[str, Any]) -> bool:
    return first.keys() == second.keys() and all(
        torch.equal(value, second[name]) if isinstance(value, torch.Tensor) else value == second[name]
        for name, value in first.items()
    )


def test_a_training_state_with_a_flipped_byte_is_skipped_or_the_same(tmp_path: Path) -> None:
    folder, generator = RunFolder(tmp_path), torch.Generator().manual_seed(0)
    old = {"step": 1, "lr": 0.5, "weights": torch.randn(200, generator=generator)}
    new = {"step": 2, "lr": 0.25, "weights": torch.randn(200, generator=generator)}
    first, second = folder.save_state(old, 1), folder.save_state(new, 2)
    skipped = 0
    for place in damaged(second, places=400):
        said: list[str] = []
        newest = folder.newest_state(said.append)
        assert newest is not None
        state = folder.load_state(newest, torch.device("cpu"))
        assert same(state, old if said else new), place
        assert newest == (first if said else second)
        skipped += bool(said)
        for moved in folder.training.glob("*.unreadable"):
            moved.unlink()
    assert skipped > 200  # the rest are padding, times and sizes of which the archive keeps a copy
    assert folder.newest_state(print) == second


def test_torch_checkpoints_with_a_flipped_byte_are_refused_or_the_same(tmp_path: Path) -> None:
    tensors = {"conv.weight": torch.arange(300.0), "bn.bias": torch.ones(3)}
    path = tmp_path / "weights.pth"
    torch.save(tensors, path)
    refused = 0
    for place in damaged(path, places=400):
        try:
            found = open_checkpoint(path).tensors
        except UserError as error:
            assert "\n" not in str(error)
            refused += 1
        else:
            assert same(found, tensors), place
    assert refused > 200
    assert same(open_checkpoint(path).tensors, tensors)


def test_files_without_checksums_are_read(tmp_path: Path) -> None:
    torch.serialization.set_crc32_options(compute_crc32=False)
    try:
        torch.save({"w": torch.arange(5.0)}, tmp_path / "a.pth")
    finally:
        torch.serialization.set_crc32_options(compute_crc32=True)
    assert zip_damage(tmp_path / "a.pth") is None
    assert open_checkpoint(tmp_path / "a.pth").tensors["w"].tolist() == [0, 1, 2, 3, 4]
    torch.save({"w": torch.arange(5.0)}, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert open_checkpoint(tmp_path / "old.pth").tensors["w"].tolist() == [0, 1, 2, 3, 4]


@pytest.fixture
def run_folder(tmp_path: Path) -> RunFolder:
    """A finished run: weights and the card that belongs to them."""
    folder = RunFolder(tmp_path / "run")
    folder.root.mkdir()
    backbone = random_backbone("mixmask_resnet8", 0, Preprocessing(image_size=32))
    save_file({name: tensor.clone() for name, tensor in backbone.state_dict.items()}, folder.weights)
    card = ModelCard(arm="moco", arch="mixmask_resnet8", seed=0, preprocessing=Preprocessing(image_size=32))
    write_card(folder.card, card, sha256_of(folder.weights))
    return folder


def test_weights_of_a_run_with_a_flipped_byte_are_refused(run_folder: RunFolder) -> None:
    for named in (run_folder.root, run_folder.weights):
        for _ in damaged(run_folder.weights):
            with pytest.raises(UserError) as caught:
                read_checkpoint(named)
            assert "\n" not in str(caught.value)
        assert read_checkpoint(named).verified is True


def test_a_card_with_a_flipped_byte_is_refused_or_the_same(run_folder: RunFolder) -> None:
    whole, refused = read_checkpoint(run_folder.root).backbone.card, 0
    for place in damaged(run_folder.card, places=300):
        try:
            assert read_checkpoint(run_folder.root).backbone.card == whole, place  # white space
        except UserError as error:
            assert "\n" not in str(error)
            refused += 1
    assert refused > 200


def test_weights_of_another_run_are_refused(run_folder: RunFolder, tmp_path: Path) -> None:
    other = random_backbone("mixmask_resnet8", 1).state_dict
    save_file({name: tensor.clone() for name, tensor in other.items()}, run_folder.weights)
    with pytest.raises(UserError, match=r"model\.safetensors is damaged or was replaced: its SHA-256"):
        read_checkpoint(run_folder.root)


def test_an_edited_card_is_refused_until_its_digest_is_removed(run_folder: RunFolder) -> None:
    values = json.loads(run_folder.card.read_text())
    values["preprocessing"]["mean"][0] = 0.486
    run_folder.card.write_text(json.dumps(values))
    with pytest.raises(UserError, match="digest differs from its content"):
        read_checkpoint(run_folder.root)
    del values["digest"]
    run_folder.card.write_text(json.dumps(values))
    read = read_checkpoint(run_folder.root)
    assert read.backbone.card.preprocessing.mean[0] == 0.486 and read.verified is False


def test_a_card_of_an_older_version_is_read_as_not_verified(run_folder: RunFolder) -> None:
    card = read_card(run_folder.card).card
    run_folder.card.write_text(card.model_dump_json())
    read = read_checkpoint(run_folder.root)
    assert read.verified is False and read.backbone.card.arm == "moco"
    assert str(describe(read)["verified"]).startswith("not verified")
    write_card(run_folder.card, card, sha256_of(run_folder.weights))
    assert (
        describe(read_checkpoint(run_folder.root))["verified"] == "card.json and weights match their digests"
    )


def test_a_record_with_a_flipped_byte_is_refused_or_the_same(tmp_path: Path) -> None:
    store, whole = ResultStore(tmp_path), result(notes=("π and ρ",), effective_lr=1e-5)
    path = store.write(whole)
    refused = 0
    for place in damaged(path, places=500):
        try:
            assert read_result(path) == whole, place  # white space
        except UserError as error:
            assert "\n" not in str(error)
            refused += 1
    assert refused > 300
    assert read_result(path) == whole


def test_a_damaged_record_is_refused_by_the_board_and_by_every_reader(tmp_path: Path) -> None:
    path = ResultStore(tmp_path).write(result())
    values = json.loads(path.read_text())
    values["metrics"]["top1"]["value"] += 1
    path.write_text(json.dumps(values))
    line = "is damaged: its digest differs from its content; restore it, or delete it"
    for read in (lambda: read_result(path), lambda: load_frame(tmp_path)):
        with pytest.raises(UserError, match=line):
            read()
    with pytest.raises(ValueError, match="its digest differs"):
        Result.model_validate_json(path.read_text())


def test_formatting_and_older_records_are_accepted(tmp_path: Path) -> None:
    whole = result(notes=("π",))
    path = ResultStore(tmp_path).write(whole)
    values = json.loads(path.read_text())
    for text in (
        json.dumps(values),
        json.dumps(dict(reversed(values.items())), indent=7, ensure_ascii=True),
        json.dumps({name: value for name, value in values.items() if name != "digest"}),
    ):
        path.write_text(text)
        assert read_result(path) == whole
    assert "digest" not in json.loads(whole.model_dump_json())


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.text(), plain, max_size=5))
def test_a_digest_survives_json_and_notices_every_change(values: dict[str, Any]) -> None:
    kept = json.loads(json.dumps(with_digest(values)))
    assert not is_damaged(kept)
    assert content_digest(kept) == content_digest(values)
    assert is_damaged({**kept, "one more": 1})
    for name in set(kept) - {"digest"}:
        assert is_damaged({key: value for key, value in kept.items() if key != name})
