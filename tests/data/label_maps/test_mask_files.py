"""Facts about mask files: exact counts, and unchanged files are not opened twice."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from own_masks import write
from PIL import Image

from mmbench.data.file_facts import fact_database, file_cache
from mmbench.data.file_facts.content_hashes import content_digests
from mmbench.data.label_maps import mask_files
from mmbench.data.label_maps.mask_files import mask_facts
from mmbench.data.label_maps.palettes import packed, unpacked, voc_palette
from mmbench.data.label_maps.pixels import mask_pixels, read_labels
from mmbench.data.label_maps.types import Coding
from mmbench.errors import UserError


@pytest.fixture
def _stored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fact_database, "WORTH_KEEPING_SECONDS", -1.0)
    monkeypatch.setattr(file_cache, "UNSETTLED_SECONDS", -1000.0)


@pytest.mark.usefixtures("_stored")
def test_unchanged_files_are_opened_once_and_changed_ones_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write(tmp_path)
    paths = [f"segmentation/train/{number}.png" for number in range(4)]
    (root / paths[3]).write_bytes(b"not an image")
    first, opened = mask_facts(root, [*paths, "missing.png", ""]), list[object]()
    monkeypatch.setattr(
        mask_files, "mask_pixels", lambda image: (opened.append(image), mask_pixels(image))[1]
    )
    again = mask_facts(root, paths)
    digests = content_digests(root, paths)
    assert not opened and first["missing.png"] is None and "" not in first and len(set(digests)) == 4
    for path in paths[:3]:
        before, after = first[path], again[path]
        assert before is not None and after is not None and after.size == (24, 16)
        assert before.values.tolist() == after.values.tolist() == [0, 1, 2, 3]
        pixels = np.asarray(Image.open(root / path))
        assert after.counts.tolist() == [int((pixels == value).sum()) for value in range(4)]
    damaged = again[paths[3]]
    assert damaged is not None and damaged.problem == "not an image" and not damaged.usable
    Image.fromarray(np.full((16, 24), 7, np.uint8)).save(root / paths[0])
    changed = mask_facts(root, paths)[paths[0]]
    assert changed is not None and changed.values.tolist() == [7] and len(opened) == 1


def png(bits: int, kind: int, rows: list[bytes], width: int) -> bytes:
    """Return a PNG file of a bit depth and colour type that Pillow does not write."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        )

    head = struct.pack(">IIBBBBB", width, len(rows), bits, kind, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


@pytest.mark.parametrize(("bits", "row"), [(2, bytes([0b00011011])), (4, bytes([0x01, 0x23]))])
def test_grey_of_few_bits_is_not_scaled(tmp_path: Path, bits: int, row: bytes) -> None:
    path = tmp_path / "mask.png"
    path.write_bytes(png(bits, 0, [row] * 2, 4))
    labels = read_labels(path, Coding("values", {value: value for value in range(4)}))
    assert labels.tolist() == [[0, 1, 2, 3]] * 2


def test_colours_of_16_bits_are_unclear_and_not_cut(tmp_path: Path) -> None:
    (tmp_path / "mask.png").write_bytes(png(16, 2, [struct.pack(">12H", *range(12))], 4))
    fact = mask_facts(tmp_path, ["mask.png"])["mask.png"]
    assert fact is not None and fact.unclear == "colours of 16 bits"


@pytest.mark.parametrize("mode", ["L", "P", "RGB"])
def test_a_damaged_mask_is_refused(tmp_path: Path, mode: str) -> None:
    """Pillow decodes a PNG to look for its EXIF tag, and says only then that it is damaged."""
    values = np.random.default_rng(0).integers(0, 20, (40, 30)).astype(np.uint8)
    Image.fromarray(values).convert(mode).save(tmp_path / "a.png")
    content = bytearray((tmp_path / "a.png").read_bytes())
    content[-100] ^= 1
    (tmp_path / "a.png").write_bytes(content)
    facts = mask_facts(tmp_path, ["a.png"])["a.png"]
    assert facts is not None and "broken data stream" in facts.problem
    with pytest.raises(UserError, match="broken data stream"):
        read_labels(tmp_path / "a.png", Coding("values", {value: value for value in range(20)}))


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from(["L", "P", "RGB", "16"]),
    st.sampled_from(["values", "colours"]),
)
def test_facts_and_pixels_agree_with_a_loop(seed: int, mode: str, kind: str) -> None:
    generator = np.random.default_rng(seed)
    values = generator.integers(0, 20, (5, 7)).astype(np.uint8)
    colours = voc_palette()
    image = Image.fromarray(values.astype(np.uint16) if mode == "16" else values)
    if mode == "P":
        image.putpalette([channel for colour in colours for channel in colour])
    if mode == "RGB":
        image = Image.fromarray(np.array(colours, np.uint8)[values])
    stream = io.BytesIO()
    image.save(stream, "PNG")
    stream.seek(0)
    facts = mask_files._facts(stream, 0)  # type: ignore[arg-type]
    fact = mask_files._unpacked(facts["label_maps"])
    # a table for half of the values, or of their colours
    shown = colours if mode in ("P", "RGB") else [(value, value, value) for value in range(256)]
    table = {packed(shown[v]) if kind == "colours" else v: v // 2 for v in range(10)}
    labels, elements = fact.labels(Coding(kind, table))  # type: ignore[arg-type]
    for value, label, element, count in zip(fact.values, labels, elements, fact.counts, strict=True):
        original = [colours.index(unpacked(int(value)))] if mode == "RGB" else [int(value)]
        assert count == int((values == original[0]).sum())
        if kind == "colours":
            assert element == packed(shown[original[0]])
            assert label == (original[0] // 2 if original[0] < 10 else -1)
        elif mode != "RGB":
            assert label == (original[0] // 2 if original[0] < 10 else -1)
