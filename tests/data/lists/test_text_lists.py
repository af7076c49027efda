"""Lists of files in every form in which people save them, for labels and for pretraining."""

import codecs
import os
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mmbench.data import load_dataset, load_images
from mmbench.data.annotated.walking import read_names
from mmbench.data.annotated.yolo_settings import read_settings
from mmbench.data.label_maps.own_class_lines import classes_of_lines
from mmbench.data.lists.label_lists import labelled_indices
from mmbench.data.lists.listed_names import ImageNames, NamedPart
from mmbench.data.lists.text_lists import numbered_lines, read_items, require_once
from mmbench.errors import UserError

PATHS = ("cat/a 1.png", "cat/b,2.png", "dog/c.png", os.fsdecode(b"dog/caf\xe9.png"), "é/é.png", "dog/5.png")
ITEMS = ["cat/a 1.png", "dog/c.png", "dog/5.png"]


def indices(path: Path, content: bytes | str, paths: tuple[str, ...] = PATHS) -> list[int]:
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogateescape"))
    names = ImageNames([NamedPart("train", "", paths)], Path("train"), asked=1)
    return labelled_indices(path, names, len(paths)).tolist()


FORMS = {
    "plain": "\n".join(ITEMS).encode(),
    "mark": b"\xef\xbb\xbf" + "\r\n".join(ITEMS).encode(),
    "mark before a comment": b"\xef\xbb\xbf# ours\r\n" + "\r\n".join(ITEMS).encode(),
    "utf-16": "\r\n".join(ITEMS).encode("utf-16"),
    "utf-16 big": b"\xfe\xff" + "\r\n".join(ITEMS).encode("utf-16-be"),
    "utf-16 without a mark": "\r\n".join(ITEMS).encode("utf-16-le"),
    "utf-16 big without a mark": "\r\n".join(ITEMS).encode("utf-16-be"),
    "utf-32": "\n".join(ITEMS).encode("utf-32"),
    "old Macintosh": "\r".join(ITEMS).encode(),
    "two lists joined": b"\xef\xbb\xbfcat/a 1.png\n\xef\xbb\xbfdog/c.png\r\n\xef\xbb\xbfdog/5.png\n",
    "back-slashes": "\r\n".join(ITEMS).replace("/", "\\").encode(),
    "from a drive": "\r\n".join(f"C:\\data\\train\\{item}" for item in ITEMS).replace("/", "\\").encode(),
    "double quotes": "\n".join(f'"{item}"' for item in ITEMS).encode(),
    "single quotes": "\n".join(f"'{item}'" for item in ITEMS).encode(),
    "blanks": "\n".join(f"  {item} \t" for item in ITEMS).encode(),
    "labels": "\n".join(f"{item} 0" for item in ITEMS).encode(),
    "table": ("filename,label\n" + "\n".join(f"{item},dog" for item in ITEMS)).encode(),
    "quoted table": ('"label";"path"\r\n' + "\r\n".join(f'"x";"{item}"' for item in ITEMS)).encode(),
    "tabs": "\n".join(f"7\t{item}" for item in ITEMS).encode(),
    "table of two names": ("image,path\n" + "\n".join(f"{Path(i).name},{i}" for i in ITEMS)).encode(),
    "a label that is an image": ("label,path\n" + "\n".join(f"dog/5.png,{item}" for item in ITEMS)).encode(),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_names_the_same_images(tmp_path: Path, form: str) -> None:
    assert indices(tmp_path / "list.txt", FORMS[form]) == [0, 2, 5]


def test_a_comma_in_a_name_is_part_of_it(tmp_path: Path) -> None:
    assert indices(tmp_path / "list.txt", "cat/b,2.png\n") == [1]
    assert indices(tmp_path / "list.txt", '"cat/b,2.png",0\n') == [1]


def test_bytes_that_are_not_utf_8(tmp_path: Path) -> None:
    assert indices(tmp_path / "list.txt", b"dog/caf\xe9.png\ncat/a 1.png\n") == [0, 3]
    with pytest.raises(UserError, match=r"line 1: 'dog/th\\xe9\.png' is not an image") as error:
        indices(tmp_path / "list.txt", b"dog/th\xe9.png\n")
    str(error.value).encode()  # can be printed


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("listed", ["NFC", "NFD"])
def test_accents_in_either_form(tmp_path: Path, form: str, listed: str) -> None:
    paths = (unicodedata.normalize(form, "é/é.png"), "e/e.png")
    assert indices(tmp_path / "list.txt", unicodedata.normalize(listed, "é/é.png"), paths) == [0]


@pytest.mark.parametrize(
    "content", [b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\1\2\3", bytes(100), b"\xff\xfe\0", b"a\0b" * 9]
)
def test_what_is_no_text_is_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "list.txt").write_bytes(content)
    with pytest.raises(UserError, match=r"list\.txt") as error:
        labelled_indices(tmp_path / "list.txt", None, 3)
    assert "\n" not in str(error.value)


@given(content=st.binary(max_size=60))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.txt"
    path.write_bytes(content)
    try:
        items = read_items(path, "list")
    except UserError as error:
        assert "\n" not in str(error)
    else:
        assert items and all(item.strip() for _, item in items)


def test_indices_in_a_table(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_bytes(b"\xef\xbb\xbfindex,label\r\n4,cat\r\n0,dog\r\n")
    assert labelled_indices(tmp_path / "list.txt", None, 7).tolist() == [0, 4]


@pytest.mark.parametrize("table", ["label,index\n0,4\n1,2\n", "class;image_id\n5;2\n5;4\n", "2,cat\n4,dog\n"])
def test_labels_of_a_table_are_not_indices(tmp_path: Path, table: str) -> None:
    (tmp_path / "list.txt").write_text(table)
    assert labelled_indices(tmp_path / "list.txt", None, 7).tolist() == [2, 4]


@pytest.mark.parametrize("line", ["0,4,2", "0\t4", "0 4", "0;4", "0 4 2", "id,index\n0,4"])
def test_several_indices_on_a_line_are_refused(tmp_path: Path, line: str) -> None:
    (tmp_path / "list.txt").write_text(f"{line}\n")
    with pytest.raises(UserError, match=r"line \d: .*(one per line|one index per line)"):
        labelled_indices(tmp_path / "list.txt", None, 7)


@pytest.mark.parametrize("line", ["dog/c.png,dog/5.png", "dog/c.png\tdog/5.png", "'dog/c.png';'cat/a 1.png'"])
def test_several_images_on_a_line_are_refused(tmp_path: Path, line: str) -> None:
    with pytest.raises(UserError, match=r"line 2: .* names several images; write one per line"):
        indices(tmp_path / "list.txt", f"dog/5.png\n{line}\n")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    for name in ("in/a.png", "in/b b.png", "other/c.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (8, 8), (len(name), 0, 0)).save(tmp_path / name)
    return tmp_path


def test_a_list_is_enough_to_pretrain(images: Path) -> None:
    listing = images / "in" / "list.txt"
    listing.write_bytes("a.png\r\n.\\b b.png\r\n../other/c.png\r\na.png\r\n".encode("utf-16"))
    dataset = load_images(listing)
    files = dataset.files["train"]()
    assert [(files.root / path).resolve() for path in files.paths] == [
        images / "in" / "a.png",
        images / "in" / "b b.png",
        images / "other" / "c.png",
    ]
    assert list(dataset.splits) == ["train"] and dataset.name == "list"
    assert any("all 3 images" in line for line in dataset.remarks)
    assert any("named more than once and used once: 1 (a.png)" in line for line in dataset.remarks)
    assert len(dataset.split("train")) == 3
    listing.write_text(f"{images}/other/c.png\n")
    assert len(load_images(listing).files["train"]()) == 1
    assert len(load_dataset(str(listing)).files["train"]()) == 1


def test_one_file_in_two_spellings_is_used_once(images: Path) -> None:
    (images / "in" / "list.txt").write_text("a.png\n./a.png\n../in/a.png\nb b.png\n")
    dataset = load_images(images / "in" / "list.txt")
    assert list(dataset.files["train"]().paths) == ["a.png", "b b.png"]
    assert any("used once: 2 (./a.png, ../in/a.png)" in line for line in dataset.remarks)


def test_several_files_on_a_line_are_refused(images: Path) -> None:
    (images / "list.txt").write_text("in/a.png,other/c.png\n")
    with pytest.raises(UserError, match=r"line 1: .* names several images; write one per line"):
        load_images(images / "list.txt")


def test_a_list_of_missing_files_is_one_line(images: Path) -> None:
    (images / "list.txt").write_text("in/a.png\nin/x.png\n\nin\nin/y.png\n")
    with pytest.raises(UserError, match=r"line 2: no file 'in/x\.png' in .* \(3 of 4 are missing\)") as error:
        load_images(images / "list.txt")
    assert "\n" not in str(error.value)


def test_numbered_lines_without_blank_ones_and_marks(tmp_path: Path) -> None:
    listing = tmp_path / "list.txt"
    listing.write_bytes("\ufeff a \r\n\r\n\ufeffb c\n \t\nd".encode())
    assert numbered_lines(listing) == [(1, "a"), (3, "b c"), (5, "d")]
    listing.write_bytes("caf\u00e9".encode("latin-1"))
    with pytest.raises(UserError, match=r"list\.txt is not text in UTF-8 or UTF-16; save it as UTF-8"):
        numbered_lines(listing)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_every_list_is_read_in_every_encoding(tmp_path: Path, encoding: str) -> None:
    def write(name: str, text: str) -> Path:
        mark = codecs.BOM_UTF16_BE if encoding == "utf-16-be" else b""
        (tmp_path / name).write_bytes(mark + text.encode(encoding))
        return tmp_path / name

    listing = write("list.txt", "caf\u00e9 1.png\r\n\r\nb.png\r\n")
    assert numbered_lines(listing) == read_items(listing, "list") == [(1, "caf\u00e9 1.png"), (3, "b.png")]
    assert read_names(write("classes.txt", "caf\u00e9\ncat\n")) == ("caf\u00e9", "cat")
    assert [found.value for found in classes_of_lines(write("labels.txt", "0: sky\n1: tree\n"))] == [0, 1]
    stated = read_settings(write("data.yaml", "train: images\nnames: [cat, dog]\n"))
    assert stated == {"train": "images", "names": ["cat", "dog"]}


def test_labels_of_boxes_are_read_in_utf_16(tmp_path: Path) -> None:
    """Beside the images too, where a text file is one of labels if it looks like one."""
    for split in ("train", "test"):
        (tmp_path / split).mkdir()
        Image.new("RGB", (40, 20), (50 * len(split), 0, 0)).save(tmp_path / split / f"{split}.png")
        line = "0 0.5 0.5 0.5 0.5\r\n"
        (tmp_path / split / f"{split}.txt").write_bytes(line.encode("utf-16"))
    (tmp_path / "classes.txt").write_bytes("cat\r\n".encode("utf-16"))
    data = load_dataset(str(tmp_path)).require_annotated()
    (image,) = data.split("test").images
    assert data.layout == "YOLO" and data.classes == ("cat",)
    assert [thing.box for thing in image.instances] == [(10, 5, 30, 15)]


def test_a_file_with_zero_bytes_is_no_text(tmp_path: Path) -> None:
    for content in (b"\x89PNG\0\0\0\rIHDR", b"a\n\0", b"\xff\xfea"):
        (tmp_path / "list.txt").write_bytes(content)
        with pytest.raises(UserError, match="is not text in UTF-8 or UTF-16"):
            numbered_lines(tmp_path / "list.txt")


def test_a_list_names_each_image_once(tmp_path: Path) -> None:
    require_once(tmp_path, [(1, "a"), (3, "b")])
    with pytest.raises(UserError, match="line 5: 'a' is in line 1 too; each image has one line"):
        require_once(tmp_path, [(1, "a"), (3, "b"), (5, "a"), (6, "b")])
