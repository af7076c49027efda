"""Folders as people have them: what is recognised, what is refused, and what is said of either."""

import io
import os
import re
import stat
import unicodedata
from pathlib import Path

import pytest
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mmbench.data import load_images
from mmbench.data.file_facts.content_hashes import DATABASE
from mmbench.data.folder import load_folder
from mmbench.data.folder.scan import scan
from mmbench.data.folder.split_names import splits_among
from mmbench.errors import UserError


def png(level: int = 0) -> bytes:
    stream = io.BytesIO()
    Image.new("L", (6, 6), level % 256).save(stream, "PNG")
    return stream.getvalue()


def tree(root: Path, images: dict[str, int]) -> Path:
    """Write so many images into each folder; the numbers in their names are theirs alone."""
    number = 0
    root.mkdir(parents=True, exist_ok=True)
    for name, count in images.items():
        (root / name).mkdir(parents=True, exist_ok=True)
        for _ in range(count):
            (root / name / f"{number:03d}.png").write_bytes(png(number))
            number += 1
    return root


def sizes(root: Path, *, labelled: bool = True) -> dict[str, int]:
    return {split: len(find()) for split, find in load_folder(root, labelled=labelled).files.items()}


def said(root: Path, *, labelled: bool = True) -> str:
    lines = load_folder(root, labelled=labelled).remarks
    assert all("\n" not in line for line in lines)
    return " | ".join(lines)


def refused(root: Path, *, labelled: bool = True) -> str:
    with pytest.raises(UserError) as error:
        load_folder(root, labelled=labelled)
    assert "\n" not in str(error.value)
    return str(error.value)


def splits_of(*names: str) -> dict[str, int]:
    """Three classes of 6 images in each folder."""
    return {f"{name}/{kind}": 6 for name in names for kind in ("cat", "dog", "eel")}


@pytest.mark.parametrize(
    ("train", "other", "what"),
    [
        ("Training", "Testing", "test"),
        ("Train", "Valid", "val"),
        ("training", "validation", "val"),
        ("TRAIN", "TEST", "test"),
        ("training_set", "test_set", "test"),
        ("TrainSet", "DevSet", "val"),
        ("train2017", "val2017", "val"),
        ("trainval", "eval", "test"),
        ("seg_train/seg_train", "seg_test/seg_test", "test"),
        ("images/Train Images", "images/Validation-Images", "val"),
    ],
)
def test_splits_in_any_spelling(tmp_path: Path, train: str, other: str, what: str) -> None:
    tree(tmp_path, splits_of(train, other))
    dataset = load_folder(tmp_path)
    assert dataset.classes == ("cat", "dog", "eel")
    assert sizes(tmp_path) == {"train": 15, "val": 3, "test": 18}  # 15% of each class, at least one image
    name = Path(other).parts[0 if other.startswith("seg") else -1]
    assert f"{name}/ is {what}" in said(tmp_path)


def test_three_splits_in_other_spellings_are_taken_as_they_are(tmp_path: Path) -> None:
    tree(tmp_path, splits_of("train", "valid", "Test"))
    dataset = load_folder(tmp_path)
    assert sizes(tmp_path) == {"train": 18, "val": 18, "test": 18}
    assert dataset.files["val"]().root == tmp_path / "valid"
    assert "train/ is train, valid/ is val, Test/ is test" in said(tmp_path)


def test_exact_names_need_no_words(tmp_path: Path) -> None:
    tree(tmp_path, splits_of("train", "val", "test"))
    assert load_folder(tmp_path).remarks == ()


@pytest.mark.parametrize("names", [("train", "val", "validation"), ("train", "Train", "test")])
def test_two_folders_for_one_split(tmp_path: Path, names: tuple[str, ...]) -> None:
    tree(tmp_path, splits_of(*names))
    assert "2 folders for the" in refused(tmp_path)


def test_two_folders_for_val_do_not_hinder_training_on_train(tmp_path: Path) -> None:
    tree(tmp_path, splits_of("train", "val", "dev", "validation"))
    assert "3 folders for the val split" in refused(tmp_path)
    assert sizes(tmp_path, labelled=False) == {"train": 18}


@pytest.mark.parametrize("names", [("test",), ("Testing", "Valid")])
def test_splits_without_train(tmp_path: Path, names: tuple[str, ...]) -> None:
    tree(tmp_path, splits_of(*names))
    for labelled in (True, False):  # test images are not trained on by accident
        assert "no train folder" in refused(tmp_path, labelled=labelled)


@pytest.mark.parametrize("name", ["train", "test", "valid"])
def test_a_class_with_the_name_of_a_split(tmp_path: Path, name: str) -> None:
    tree(tmp_path, {name: 8, "bus": 8, "car": 8})
    assert load_folder(tmp_path).classes == tuple(sorted((name, "bus", "car")))
    assert f"{name}/ is read as a class" in said(tmp_path)


def test_a_split_beside_classes(tmp_path: Path) -> None:
    tree(tmp_path, {"cat": 8, "dog": 8, "test/cat": 4, "test/dog": 4})
    assert "may be a split or a class" in refused(tmp_path)


def test_words_that_only_contain_the_name_of_a_split() -> None:
    assert splits_among(["training shoes", "test tubes", "trainers", "devices"]) == {}
    assert splits_among(["val", "test", "train", "eval"])["eval"] == "test"
    assert splits_among(["eval", "test", "train"]) == {"eval": "val", "test": "test", "train": "train"}


@given(
    name=st.sampled_from(["train", "training", "val", "valid", "validation", "dev", "test", "testing"]),
    filler=st.sampled_from(["", "set", "_set", "-data", " images", "_split", "2017", "_224", " (1)"]),
    style=st.sampled_from([str.lower, str.upper, str.title, str.capitalize]),
)
@settings(max_examples=100, deadline=None)
def test_case_and_fillers_change_nothing(name: str, filler: str, style: object) -> None:
    expected = {"t": "test" if name.startswith("te") else "train", "v": "val", "d": "val"}[name[0]]
    written = style(name + filler)  # type: ignore[operator]
    assert splits_among([written]) == {written: expected}


def test_wrappers_are_entered_and_said(tmp_path: Path) -> None:
    tree(tmp_path / "one", splits_of("images"))
    tree(tmp_path / "two", splits_of("x/archive/train", "x/archive/test"))
    flat = tree(tmp_path / "three", dict.fromkeys(("cat", "dog", "eel"), 6))
    assert load_folder(tmp_path / "one").files["val"]().paths == load_folder(flat).files["val"]().paths
    assert "looked for inside images/" in said(tmp_path / "one")
    assert sizes(tmp_path / "two")["test"] == 18
    assert "inside x/archive/" in said(tmp_path / "two")


def test_a_folder_of_other_files_beside_a_wrapper_is_said_an_empty_one_may_be_a_class(tmp_path: Path) -> None:
    tree(tmp_path, splits_of("images"))
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "0.xml").write_text("<a/>")
    assert load_folder(tmp_path).classes == ("cat", "dog", "eel")
    assert "folders without images: 1 (annotations/)" in said(tmp_path)
    (tmp_path / "annotations" / "deep").mkdir()
    (tmp_path / "annotations" / "0.xml").rename(tmp_path / "annotations" / "deep" / "0.xml")
    assert load_folder(tmp_path).classes == ("cat", "dog", "eel")
    (tmp_path / "annotations" / "deep" / "0.xml").unlink()
    assert "'annotations' has no images" in refused(tmp_path)


def test_splits_inside_the_classes(tmp_path: Path) -> None:
    tree(tmp_path, {f"{kind}/{split}": 6 for kind in ("cat", "dog") for split in ("Train", "test", "notes")})
    dataset = load_folder(tmp_path)
    assert dataset.classes == ("cat", "dog")
    test = dataset.files["test"]()
    assert {path.split("/")[1] for path in test.paths} == {"test"} and test.labels.tolist() == [0] * 6 + [
        1
    ] * 6
    words = said(tmp_path)
    assert "Train/ is train, test/ is test" in words
    assert "images in folders beside the splits: 12 (cat/notes/ 6, dog/notes/ 6)" in words
    assert {path.split("/")[-2] for path in load_folder(tmp_path, labelled=False).files["train"]().paths} == {
        "Train"
    }


def test_splits_inside_some_classes_only(tmp_path: Path) -> None:
    tree(tmp_path, {"cat/train": 6, "cat/test": 6, "dog": 6})
    for labelled in (True, False):
        assert "divide all classes alike" in refused(tmp_path, labelled=labelled)


@pytest.mark.parametrize("inside", [("a", "b"), ("2023", "2024"), ("left", "right", "both")])
def test_classes_that_all_hold_the_same_folders(tmp_path: Path, inside: tuple[str, ...]) -> None:
    tree(tmp_path, {f"{outer}/{inner}": 4 for outer in ("x", "y", "z") for inner in inside})
    assert "all hold the same folders" in refused(tmp_path)
    assert sizes(tmp_path, labelled=False) == {"train": 12 * len(inside)}


def test_one_folder_inside_every_class_is_no_question(tmp_path: Path) -> None:
    tree(tmp_path, {"n01/images": 8, "n02/images": 8})
    assert load_folder(tmp_path).classes == ("n01", "n02")
    assert "inside class folders" not in said(tmp_path)


def test_folders_inside_classes_are_not_classes_which_is_said(tmp_path: Path) -> None:
    tree(tmp_path, {"animals/cat": 8, "animals/dog": 8, "cars": 8})
    assert load_folder(tmp_path).classes == ("animals", "cars")
    assert "16 images in 2 folders inside class folders (animals/cat, animals/dog)" in said(tmp_path)


def test_loose_images_beside_a_folder(tmp_path: Path) -> None:
    tree(tmp_path, {"": 60, "masks": 12})
    assert "60 images in" in refused(tmp_path) and "beside 1 folder (masks)" in refused(tmp_path)
    assert sizes(tmp_path, labelled=False) == {"train": 72}
    words = said(tmp_path, labelled=False)
    assert "all 72 images" in words and "12 of them lie in folders named like label maps" in words


def test_few_loose_images_beside_class_folders(tmp_path: Path) -> None:
    tree(tmp_path, {"": 3, "cat": 10, "dog": 10})
    assert sum(sizes(tmp_path).values()) == 20
    assert "images beside folders: 3 (000.png, 001.png, 002.png)" in said(tmp_path)
    assert sizes(tmp_path, labelled=False) == {"train": 23}
    assert "images lie beside the folders" in said(tmp_path, labelled=False)


def test_images_and_their_masks_are_not_two_classes(tmp_path: Path) -> None:
    tree(tmp_path, {"images": 10, "masks": 10})
    assert "not classes" in refused(tmp_path)
    assert "10 of them lie in folders named like label maps" in said(tmp_path, labelled=False)


@pytest.mark.parametrize("depth", ["", "images", "2023/05", "a/b/c/d"])
def test_images_without_classes_at_any_depth_are_enough_to_pretrain(tmp_path: Path, depth: str) -> None:
    tree(tmp_path, {depth: 9})
    found = load_folder(tmp_path, labelled=False)
    assert sizes(tmp_path, labelled=False) == {"train": 9} and found.classes == ("unlabelled",)
    assert "without labels" in said(tmp_path, labelled=False)


def test_pretraining_on_labelled_folders_sees_the_same_images_as_before(tmp_path: Path) -> None:
    tree(tmp_path, {"cat": 20, "dog": 20})
    with_labels, without = load_folder(tmp_path), load_folder(tmp_path, labelled=False)
    assert with_labels.files["train"]().paths == without.files["train"]().paths
    assert len(without.files["train"]()) == 28


def test_unlabelled_test_images_do_not_hinder_pretraining(tmp_path: Path) -> None:
    tree(tmp_path, {"train/cat": 8, "train/dog": 8, "test": 30})
    assert "test has no class folders but 30 images" in refused(tmp_path)
    assert sizes(tmp_path, labelled=False) == {"train": 16}


def test_hidden_and_system_files_are_never_classes(tmp_path: Path) -> None:
    tree(
        tmp_path,
        {"cat": 8, "dog": 8, ".ipynb_checkpoints": 2, "@eaDir/cat": 3, "__MACOSX": 1, "lost+found": 0},
    )
    tree(tmp_path, {"dog/.thumbnails": 4})
    for name in ("cat/._1.png", "cat/Thumbs.db", ".DS_Store", "dog/desktop.ini"):
        (tmp_path / name).write_bytes(b"x")
    assert load_folder(tmp_path).classes == ("cat", "dog") and sum(sizes(tmp_path).values()) == 16
    words = said(tmp_path)
    assert "hidden or system folders: 5 (.ipynb_checkpoints/ with 2 files" in words
    assert "@eaDir/ with 3 files" in words
    assert "hidden or system files: 4" in words


def test_our_own_database_is_not_mentioned(tmp_path: Path) -> None:
    tree(tmp_path, {"cat": 8, "dog": 8})
    before = load_folder(tmp_path).remarks
    for name in (DATABASE, f"{DATABASE}-journal"):
        (tmp_path / name).write_bytes(b"x")
    assert load_folder(tmp_path).remarks == before


def test_what_is_not_a_file_or_holds_nothing(tmp_path: Path) -> None:
    tree(tmp_path, {"cat": 8, "dog": 8})
    os.mkfifo(tmp_path / "cat" / "pipe.png")  # opening it would wait for ever
    os.mkfifo(tmp_path / "dog" / "pipe")
    (tmp_path / "cat" / "away.png").symlink_to(tmp_path / "nowhere.png")
    (tmp_path / "cat" / "self.png").symlink_to(tmp_path / "cat" / "self.png")
    (tmp_path / "dog" / "empty.jpg").touch()
    (tmp_path / "dog" / "half.jpg.part").write_bytes(png())
    (tmp_path / "cat" / "folder.jpg").mkdir()
    assert sum(sizes(tmp_path).values()) == 16
    words = said(tmp_path)
    assert "pipes, sockets and devices: 2 (cat/pipe.png, dog/pipe)" in words
    assert "broken links: 2 (cat/away.png, cat/self.png)" in words
    assert "empty files: 1 (dog/empty.jpg)" in words
    assert "unfinished downloads and temporary files: 1" in words


def test_folders_named_like_images(tmp_path: Path) -> None:
    tree(tmp_path, {"a.jpg": 8, "b.png": 8})
    (tmp_path / "c.jpg").mkdir()
    assert load_folder(tmp_path).classes == ("a.jpg", "b.png")
    assert "2 folders with an image's name: a.jpg, b.png" in said(tmp_path)
    assert "empty folders with an image's name: 1 (c.jpg/)" in said(tmp_path)


def test_links_to_files_and_folders_are_followed(tmp_path: Path) -> None:
    store = tree(tmp_path / "store", {"2023": 20, "2024": 60})
    data = tree(tmp_path / "data", {"a": 20, "b": 20})
    for part in ("2023", "2024"):
        (data / "a" / part).symlink_to(store / part, target_is_directory=True)
    (data / "b" / "one.png").symlink_to(store / "2023" / "000.png")
    (data / "loop").symlink_to(data, target_is_directory=True)
    (data / "a" / "up").symlink_to(data / "a", target_is_directory=True)
    top, left_out = scan(data)
    assert sorted(top.below()) == sorted(
        path.removeprefix(f"{data}/") for path, _ in torchvision.datasets.ImageFolder(ignoring(data)).samples
    )
    assert left_out.total("links to a folder that they lie in") == 2
    assert sum(sizes(data).values()) == 20 + 80 + 21
    outer = tmp_path / "outer"
    outer.mkdir()
    for name in "ab":
        (outer / name).symlink_to(data / name, target_is_directory=True)
    assert sizes(outer) == sizes(data)


def ignoring(data: Path) -> str:
    """Remove the loops, which torchvision would follow for ever; return the folder."""
    for link in ("loop", "a/up"):
        (data / link).unlink()
        (data / link).symlink_to(data / link)  # leads nowhere
        (data / link).unlink()
    return str(data)


def test_links_that_multiply_folders_end_in_one_line(tmp_path: Path) -> None:
    for level in range(12):
        (tmp_path / f"d{level}").mkdir()
        for name in "xy":
            (tmp_path / f"d{level}" / name).symlink_to(tmp_path / f"d{level + 1}", target_is_directory=True)
    tree(tmp_path, {"d12": 1})
    assert "links" in refused(tmp_path / "d0")


def test_images_are_known_by_content_where_their_names_do_not_tell(tmp_path: Path) -> None:
    tree(tmp_path, {"a": 4, "b": 4})
    grey = Image.new("L", (6, 6), 7)
    for name, kind in (("x.jfif", "JPEG"), ("x.gif", "GIF"), ("x.avif", "AVIF"), ("x.jp2", "JPEG2000")):
        grey.convert("RGB").save(tmp_path / "a" / name, kind)
    grey.save(tmp_path / "a" / "x.ico", "ICO")
    for name in ("none", "x.dat", "x.JPG_large", "x.txt"):
        (tmp_path / "b" / name).write_bytes(png())
    (tmp_path / "b" / "UPPER.PNG").write_bytes(png())
    others = {
        "notes.txt": b"words",
        "t.csv": b"a,b\n1,2\n",
        "p.pdf": b"%PDF-1.4\n",
        "v.mp4": b"\0\0\0\x18ftypmp42\0\0\0\0",
        "v.mpg": b"\0\0\x01\xba\x44" + bytes(40),
        "h.heic": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
    }
    grey.save(tmp_path / "b" / "camera.nef", "TIFF")  # the thumbnail of a camera's file
    for name, content in others.items():
        (tmp_path / "b" / name).write_bytes(content)
    found = [path for path in scan(tmp_path)[0].below() if "x." in path or "none" in path or "UPPER" in path]
    assert len(found) == 5 + 5
    assert "files that are not images: 5 (.txt, .pdf, .csv, ...)" in said(tmp_path)
    assert "images in formats that cannot be read: 2 (.nef, .heic)" in said(tmp_path)
    dataset = load_folder(tmp_path)
    assert (
        sum(len(dataset.split(split)) for split in ("train", "val", "test")) == 8 + 10
    )  # all can be decoded


def test_usual_names_are_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree(tmp_path, {"a": 8, "b": 8})

    def fail(*arguments: object, **options: object) -> None:
        raise AssertionError("opened")

    monkeypatch.setattr(Image, "open", fail)
    assert sum(sizes(tmp_path).values()) == 16


def test_files_and_folders_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree(tmp_path, {"a": 8, "b": 8})
    (tmp_path / "a" / "000.png").chmod(0)
    monkeypatch.setattr(os, "access", lambda path, mode: bool(Path(path).stat().st_mode & stat.S_IROTH))
    assert sum(sizes(tmp_path).values()) == 15
    assert "files without permission to read: 1 (a/000.png)" in said(tmp_path)
    real = os.scandir

    def scandir(path: Path) -> object:
        if Path(path).name == "b":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert "b cannot be read (Permission denied)" in refused(tmp_path)


def composed_and_decomposed(word: str) -> tuple[str, str]:
    return unicodedata.normalize("NFC", word), unicodedata.normalize("NFD", word)


def test_two_spellings_of_an_accent_are_one_class(tmp_path: Path) -> None:
    composed, decomposed = composed_and_decomposed("café")
    between = tree(
        tmp_path / "between", {f"train/{composed}": 8, "train/tea": 8, f"val/{decomposed}": 4, "val/tea": 4}
    )
    assert load_folder(between).classes == (composed, "tea") and sizes(between)["test"] == 8
    within = tree(tmp_path / "within", {composed: 8, decomposed: 8, "tea": 8})
    assert load_folder(within).classes == (composed, "tea")
    for root in (between, within):
        assert "1 class in two Unicode spellings, read as one" in said(root)


def test_case_alone(tmp_path: Path) -> None:
    tree(tmp_path / "between", {"train/Cat": 8, "train/dog": 8, "val/cat": 4, "val/dog": 4})
    assert "differ in classes by case or blanks alone: 'cat' for 'Cat'" in refused(tmp_path / "between")
    tree(tmp_path / "within", {"Cat": 8, "cat": 8})
    assert "differ in case or blanks alone; they are two classes" in said(tmp_path / "within")


def test_classes_that_differ_between_splits(tmp_path: Path) -> None:
    tree(tmp_path, {"train/a": 8, "train/b": 8, "train/c": 8, "val/a": 4, "val/d": 4})
    words = refused(tmp_path)
    assert "val" in words and "b, c, d" in words and "train: b, c" in words and "val: d" in words
    assert sizes(tmp_path, labelled=False) == {"train": 24}


def test_names_that_are_no_text(tmp_path: Path) -> None:
    tree(tmp_path, {"a": 8, "b": 8, "line\nbreak": 8})
    (tmp_path / "b").rename(tmp_path / os.fsdecode(b"ni\xf1o"))
    (tmp_path / "a" / "003.png").rename(tmp_path / "a" / os.fsdecode(b"caf\xe9.png"))
    dataset = load_folder(tmp_path)
    assert dataset.classes == ("a", "line\\nbreak", "ni\\xf1o")
    assert all(name.isprintable() for name in dataset.classes)
    assert sum(len(dataset.split(split)) for split in ("train", "val", "test")) == 24
    assert len(dataset.fingerprint) == 64


def test_files_of_well_formed_folders_come_in_the_order_of_sorted_paths(tmp_path: Path) -> None:
    """The order, on which drawn splits depend: that of `sorted` over pathlib's paths, class by class."""
    tree(tmp_path, {"b": 3, "b/in": 2, "b-2": 3, "B": 4, "a/deep/er": 3, "a": 2})
    (tmp_path / "b" / "in.png").write_bytes(png())
    (tmp_path / "b" / "in-2.png").write_bytes(png())
    expected = [
        path.relative_to(tmp_path).as_posix()
        for kind in sorted(entry.name for entry in tmp_path.iterdir())
        for path in sorted((tmp_path / kind).rglob("*.png"))
    ]
    dataset = load_folder(tmp_path, labelled=True)
    parts = [dataset.files[split]() for split in ("train", "val", "test")]
    both = sorted(path for part in parts for path in part.paths)
    assert both == sorted(expected)
    whole = scan(tmp_path)[0]
    found = [path for folder in whole.folders for path in folder.below()]
    assert found == expected


def test_images_to_learn_from_without_labels(tmp_path: Path) -> None:
    tree(tmp_path, {"x": 3})
    assert len(load_images(tmp_path).files["train"]()) == 3


NAMES = st.sampled_from(
    [
        "train",
        "Test",
        "val",
        "validation",
        "cat",
        "dog",
        "Dog",
        "images",
        "masks",
        "2023",
        "x.jpg",
        ".git",
        "é",
    ]
)
TREES = st.recursive(
    st.integers(0, 5), lambda inner: st.dictionaries(NAMES, inner, max_size=4), max_leaves=12
)


def grow(root: Path, content: int | dict[str, object]) -> None:
    root.mkdir(parents=True)
    if isinstance(content, int):
        for number in range(content):
            (root / f"{number}.png").write_bytes(b"x")
        (root / "notes.txt").write_text("x")
    else:
        for name, inner in content.items():
            grow(root / name, inner)  # type: ignore[arg-type]


@given(content=TREES)
@settings(max_examples=200, deadline=None)
def test_every_image_is_used_or_counted(tmp_path_factory: pytest.TempPathFactory, content: object) -> None:
    root = tmp_path_factory.mktemp("tree") / "data"
    grow(root, content)  # type: ignore[arg-type]
    top = scan(root)[0]
    present = sum(path.is_file() for path in root.rglob("*.png") if ".git" not in path.parts)
    assert top.total() == present
    for labelled in (True, False):
        try:
            dataset = load_folder(root, labelled=labelled)
            parts = [find() for find in dataset.files.values()]
        except UserError as error:
            assert "\n" not in str(error)
            continue
        used = [str(part.root / path) for part in parts for path in part.paths]
        assert len(set(used)) == len(used) and all(Path(path).is_file() for path in used)
        if labelled:
            words = " ".join(dataset.remarks)
            counts = re.findall(
                r"(?:images beside folders|images in folders beside the splits): (\d+)", words
            )
            assert len(used) + sum(map(int, counts)) == present
        assert all(len(part.paths) == len(part.labels) for part in parts)
        assert len(set(dataset.classes)) == len(dataset.classes)
