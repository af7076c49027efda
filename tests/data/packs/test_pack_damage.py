"""Packs that are damaged, incomplete or foreign are refused in one line; writing leaves nothing half done."""

from __future__ import annotations

import errno
import io
import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from packable import everything, header, packed, smooth, stored, write_folders
from PIL import Image

from mmbench.data import load_dataset
from mmbench.data.packs import writing
from mmbench.data.packs.header import PackHeader, write_header
from mmbench.data.packs.writing import UnreadableImagesError
from mmbench.errors import UserError
from mmbench.files import HashedWriter
from mmbench.tools.data_check import check_dataset


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("whole")
    packed(write_folders(root / "pets"), root / "pack")
    return root / "pack"


@pytest.fixture
def pack(whole: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    shutil.copytree(whole, tmp_path / "pack")
    return tmp_path / "pack"


def change_header(pack: Path, change: Callable[[dict], object]) -> None:
    content = header(pack)
    change(content)
    (pack / "pack.json").write_text(json.dumps(content))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


def overwrite(path: Path, start: int) -> None:
    """Zero 400 bytes; the size stays."""
    content = bytearray(path.read_bytes())
    content[start : start + 400] = bytes(400)
    path.write_bytes(content)


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "a missing file": (
        lambda pack: (pack / "val-00000.arrow").unlink(),
        r"val-00000.arrow of the packed copy is missing; copy it too, or pack the data again",
    ),
    "a truncated file": (
        lambda pack: cut(pack / "train-00000.arrow"),
        r"train-00000.arrow has \d+ bytes instead of \d+; copy it again",
    ),
    "a missing header": (
        lambda pack: (pack / "pack.json").unlink(),
        r"is a packed copy without its pack.json; pack the data again",
    ),
    "half a header": (
        lambda pack: (pack / "pack.json").write_text('{"format": "mmbench pack", "ver'),
        r"pack.json is damaged; pack",
    ),
    "a header that is a list": (lambda pack: (pack / "pack.json").write_text("[]"), r"pack.json is damaged"),
    "a header without splits": (
        lambda pack: change_header(pack, lambda content: content.pop("splits")),
        r"pack.json is damaged \(splits: Field required\)",
    ),
    "an edited header": (
        lambda pack: change_header(pack, lambda content: content.update(classes=["dog", "cat"])),
        r"pack.json was changed after it was written",
    ),
    "a path in the header": (
        lambda pack: change_header(
            pack, lambda content: content["splits"]["val"]["shards"][0].update(file="../x")
        ),
        r"pack.json is damaged \(splits.val.shards.0.file",
    ),
    "a newer version": (
        lambda pack: change_header(pack, lambda content: content.update(version=2, news=[1])),
        r"is a packed copy of format 2, and this mmbench reads format 1; use a newer mmbench",
    ),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_that_is_seen_at_once(pack: Path, kind: str) -> None:
    damage, words = DAMAGE[kind]
    damage(pack)
    with pytest.raises(UserError, match=words) as caught:
        load_dataset(str(pack))
    assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match=words):
        check_dataset(str(pack), pack.parent)


@pytest.mark.parametrize("start", [0, -400])
def test_a_file_of_zeros_at_its_ends(pack: Path, start: int) -> None:
    path = pack / "train-00000.arrow"
    overwrite(path, start % path.stat().st_size)
    with pytest.raises(UserError, match=r"train-00000.arrow is damaged \(.*\); copy it again"):
        load_dataset(str(pack)).labels("train")


def test_files_of_another_pack(pack: Path, tmp_path: Path) -> None:
    """Same size, same number of images: the fingerprint tells."""
    folders = write_folders(tmp_path / "pets")
    for path in (folders / "val").glob("*/*.png"):
        turned = Image.open(path).transpose(Image.Transpose.ROTATE_180)
        turned.save(path)
    content = bytearray((pack / "val-00000.arrow").read_bytes())
    place = content.index(b"cat/0.png")
    content[place : place + 3] = b"cow"
    (pack / "val-00000.arrow").write_bytes(content)
    dataset = load_dataset(str(pack))
    assert dataset.files["val"]().paths[0] == "cow/0.png"
    with pytest.raises(UserError, match=r"names, labels or digests in .* are not those that were packed"):
        _ = dataset.fingerprint


def test_a_split_with_fewer_images_than_stated(pack: Path) -> None:
    """A header whose checksum is right, of another pack."""
    content = header(pack)
    content["splits"]["val"]["shards"][0]["images"] += 1
    content.pop("digest")
    write_header(pack, PackHeader.model_validate(content))
    with pytest.raises(UserError, match=r"val-00000.arrow has 4 images instead of 5"):
        load_dataset(str(pack)).labels("val")


def test_check_finds_a_flipped_byte_in_an_image(pack: Path) -> None:
    image = stored(load_dataset(str(pack)))["dog/3.png"]
    path = pack / "train-00000.arrow"
    content = bytearray(path.read_bytes())
    content[content.index(image) + len(image) // 2] ^= 1
    path.write_bytes(content)
    load_dataset.cache_clear()
    _, problems = check_dataset(str(pack), pack.parent)
    first = "dog/3.png is not the image that was packed; copy it again, or pack the data again"
    assert [line for line in problems if line.endswith(first)]
    assert [line for line in problems if "train-00000.arrow was changed after it was written" in line]
    assert not [line for line in problems if "val" in line]


def test_check_finds_every_flipped_byte(pack: Path) -> None:
    """Wherever it is: in an image, a name, an offset, a label, Arrow's own tables, or between them."""
    path = pack / "val-00000.arrow"
    good = path.read_bytes()
    places = random.Random(0).sample(range(len(good)), 60)
    for place in places:
        content = bytearray(good)
        content[place] ^= 0x10
        path.write_bytes(content)
        load_dataset.cache_clear()
        try:
            _, problems = check_dataset(str(pack), pack.parent)
        except UserError as error:
            problems = [str(error)]
        assert any("val" in line or "packed" in line for line in problems), place
    path.write_bytes(good)
    load_dataset.cache_clear()
    assert check_dataset(str(pack), pack.parent)[1] == []


def test_an_image_that_went_bad_is_named_with_advice(pack: Path) -> None:
    image = stored(load_dataset(str(pack)), "val")["cat/1.png"]
    path = pack / "val-00000.arrow"
    content = path.read_bytes()
    path.write_bytes(content.replace(image, image[:40] + bytes(len(image) - 40)))
    load_dataset.cache_clear()
    with pytest.raises(UserError, match=r"pack/cat/1.png cannot be read as an image .*; pack the data again"):
        load_dataset(str(pack)).split("val")


def test_a_foreign_pack_json_is_no_pack(tmp_path: Path) -> None:
    folders = write_folders(tmp_path / "pets")
    (folders / "pack.json").write_text('{"name": "something else"}')
    assert load_dataset(str(folders)).name == "pets"
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="has no class folders and no images"):
        load_dataset(str(tmp_path / "empty"))


def test_layouts_are_not_for_packs(pack: Path) -> None:
    with pytest.raises(UserError, match=r"--layout is for a folder of images, and .* is a packed copy"):
        load_dataset(str(pack), layout="folder")


def test_a_pack_is_replaced_by_force_only_and_other_folders_never(pack: Path, tmp_path: Path) -> None:
    folders, before = write_folders(tmp_path / "pets"), everything(pack)
    with pytest.raises(UserError, match=r"is a packed copy already; add --force to replace it"):
        packed(folders, pack, 20)
    assert everything(pack) == before
    assert packed(folders, pack, 20, force=True).name == "pets-20px"
    (pack / "train-00000.arrow").write_bytes(b"half")
    (pack / "pack.json").unlink()  # what is left of a pack can be replaced too
    load_dataset.cache_clear()
    assert packed(folders, pack, 30, force=True).name == "pets-30px"
    with pytest.raises(UserError, match="is the packed copy that is read"):
        packed(pack, pack, 10, force=True)
    (pack / "notes.txt").write_text("mine")
    for force in (False, True):
        with pytest.raises(UserError, match="holds files that are no packed copy"):
            packed(folders, pack, 20, force=force)
    assert (pack / "notes.txt").read_text() == "mine"
    with pytest.raises(UserError, match="is a file; choose a folder for --out"):
        packed(folders, pack / "notes.txt", 20)
    (tmp_path / "empty").mkdir()
    assert packed(folders, tmp_path / "empty").name == "pets-40px"


@pytest.mark.parametrize("after", [0, 3000])
def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch, after: int) -> None:
    folders = write_folders(tmp_path / "pets")
    written = 0
    write = HashedWriter.write

    def fail(self: HashedWriter, data: bytes) -> int:
        nonlocal written
        written += len(data)
        if written > after:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(self, data)

    monkeypatch.setattr(HashedWriter, "write", fail)
    with pytest.raises(OSError, match="No space left") as caught:
        packed(folders, tmp_path / "pack")
    assert caught.value.errno == errno.ENOSPC
    assert [path.name for path in tmp_path.iterdir()] == ["pets"]
    monkeypatch.undo()
    before = everything(packed(folders, tmp_path / "pack").root)
    monkeypatch.setattr(HashedWriter, "write", fail)
    with pytest.raises(OSError, match="No space left"):
        packed(folders, tmp_path / "pack", 20, force=True)
    assert everything(tmp_path / "pack") == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pack", "pets"]


def test_an_interrupted_packing_leaves_nothing(tmp_path: Path, monkeypatch) -> None:
    folders = write_folders(tmp_path / "pets")

    def stop(done: int, total: int, words: str) -> None:
        assert (total, words) == (20, "packing train" if done <= 10 else "packing val")
        if done == 12:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        packed(folders, tmp_path / "pack", report=stop)
    assert [path.name for path in tmp_path.iterdir()] == ["pets"]


def test_images_that_cannot_be_read(tmp_path: Path) -> None:
    folders = write_folders(tmp_path / "pets")
    cut_short, no_image = folders / "train" / "cat" / "1.png", folders / "test" / "dog" / "0.png"
    cut_short.write_bytes(cut_short.read_bytes()[:500])
    no_image.write_bytes(no_image.read_bytes()[:8] + bytes(30))
    load_dataset.cache_clear()
    words = r"2 of 20 images in .*pets cannot be read \(cat/1.png, dog/0.png\); fix or remove them, or leave"
    with pytest.raises(UnreadableImagesError, match=words) as caught:
        packed(folders, tmp_path / "pack")
    assert len(caught.value.lines) == 2 and f"{cut_short} cannot be read" in caught.value.lines[0]
    assert [path.name for path in tmp_path.iterdir()] == ["pets"]
    pack = packed(folders, tmp_path / "pack", skip_unreadable=True)
    assert "cat/1.png" not in stored(pack) and len(stored(pack)) == 9
    assert pack.labels("train").tolist() == [0] * 4 + [1] * 5
    assert header(pack.root)["splits"]["train"]["unreadable"] == ["cat/1.png"]
    assert "2 images that cannot be read were left out when it was packed" in pack.remarks
    assert header(pack.root)["source"]["fingerprint"] == load_dataset(str(folders)).fingerprint


def test_nothing_readable_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bad").mkdir()
    stream = io.BytesIO()
    smooth(50, 50).save(stream, "PNG")
    (tmp_path / "bad" / "a.png").write_bytes(stream.getvalue()[:400])
    with pytest.raises(UserError, match=r"none of the 1 images in .*bad can be read"):
        packed(tmp_path / "bad", tmp_path / "pack", skip_unreadable=True)
    assert [path.name for path in tmp_path.iterdir()] == ["bad"]


def test_the_limits_of_files_are_those_that_are_documented() -> None:
    assert (writing.SHARD_BYTES, writing.BATCH_BYTES) == (256 * 2**20, 16 * 2**20)
