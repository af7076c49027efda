"""Which keypoints change places in a mirrored image: what names say, and what a data set says of them."""

from __future__ import annotations

import json
import string
from pathlib import Path
from typing import Any

import pytest
from annotated_layouts import write_json
from PIL import Image

from mmbench.data import load_dataset
from mmbench.data.annotated.mirrored_keypoints import mirrors_of
from mmbench.data.annotated.named_coco import KEYPOINTS


@pytest.mark.parametrize(
    "eyes",
    [
        ("left_eye", "right_eye"),
        ("Left Eye", "Right Eye"),
        ("LEFT_EYE", "RIGHT_EYE"),
        ("LeftEye", "RightEye"),
        ("lefteye", "righteye"),
        ("eye-left", "eye-right"),
        ("L_eye", "R_eye"),
        ("l_eye", "r_eye"),
        ("eye_l", "eye_r"),
        ("eye.L", "eye.R"),
        ("l eye 1", "r eye 1"),
        ("LEye", "REye"),
        ("lEye", "rEye"),
        ("eyeL", "eyeR"),
        ("L1", "R1"),
        ("bright left", "bright right"),
        ("Left Eye", "right_eye"),
    ],
)
def test_usual_spellings(eyes: tuple[str, str]) -> None:
    left, right = eyes
    for names in (("nose", left, right), (right, "nose", left)):
        found = mirrors_of(names)
        assert (found.pairs, found.one_sided, found.known) == ((eyes,), (), True)
        assert found.remarks() == (f"keypoints that change places in mirrored images: {left} and {right}",)


@pytest.mark.parametrize(
    "names",
    [
        ("kp1", "kp2", "kp3"),
        ("nose", "tail"),
        ("lip", "rip"),
        ("cleft", "bright"),
        ("eye", "ear"),
        tuple(f"point_{letter}" for letter in string.ascii_lowercase),
        tuple(string.ascii_uppercase),
    ],
)
def test_names_without_sides_are_no_pairs_and_say_so(names: tuple[str, ...]) -> None:
    found = mirrors_of(names)
    assert (found.pairs, found.one_sided, found.known) == ((), (), False)
    (line,) = found.remarks()
    assert line.startswith(f"no left and right among the keypoints ({names[0]}, {names[1]}")


def test_a_side_without_a_partner() -> None:
    found = mirrors_of(["left_eye", "right_eye", "ear_r"])
    assert (found.pairs, found.one_sided, found.known) == ((("left_eye", "right_eye"),), ("ear_r",), False)
    assert "keypoints with a side and without a partner: ear_r;" in found.remarks()[1]


def test_all_sides_of_a_name_change() -> None:
    """The left corner of the left eye is the right corner of the right eye in a mirror."""
    names = [f"{eye}_eye_{corner}_corner" for eye in ("left", "right") for corner in ("left", "right")]
    assert mirrors_of(names).pairs == ((names[0], names[3]), (names[1], names[2]))


def test_one_keypoint_cannot_change_places_and_two_names_of_one_partner_are_no_pair() -> None:
    assert mirrors_of(["nose"]).known and mirrors_of(["nose"]).remarks() == ()
    assert mirrors_of([]).known
    assert mirrors_of(["left_eye", "right_eye", "Right Eye"]).pairs == ()


def write_keypoints(root: Path, names: tuple[str, ...] | None, points: int) -> Path:
    """A folder in COCO layout with one image and one animal in train and in val."""
    category: dict[str, Any] = {"id": 1, "name": "dog"}
    if names is not None:
        category["keypoints"] = list(names)
    thing = {
        "id": 1,
        "image_id": 1,
        "category_id": 1,
        "bbox": [4, 4, 20, 20],
        "area": 400,
        "iscrowd": 0,
        "keypoints": [8, 9, 2] * points,
    }
    for number, split in enumerate(("train", "val")):
        folder = root / "images" / split
        folder.mkdir(parents=True)
        Image.new("RGB", (32, 32), (90 * number, 0, 0)).save(folder / f"{split}.png")
        image = {"id": 1, "file_name": f"{split}.png", "width": 32, "height": 32}
        (root / "annotations").mkdir(exist_ok=True)
        write_json(
            root / "annotations" / f"{split}.json",
            {"images": [image], "annotations": [thing], "categories": [category]},
        )
    return root


def test_a_data_set_says_which_keypoints_change_places(tmp_path: Path) -> None:
    names = ("nose", "L_eye", "R_eye")
    data = load_dataset(str(write_keypoints(tmp_path / "dogs", names, 3))).require_annotated()
    assert data.keypoints == names and data.keypoint_flips == (("L_eye", "R_eye"),)
    assert "keypoints that change places in mirrored images: L_eye and R_eye" in data.remarks
    data = load_dataset(str(write_keypoints(tmp_path / "cats", ("kp1", "kp2"), 2))).require_annotated()
    assert data.keypoint_flips == ()
    assert any("no left and right among the keypoints (kp1, kp2)" in line for line in data.remarks)


def test_keypoints_without_names_are_not_used_and_said_so(tmp_path: Path) -> None:
    data = load_dataset(str(write_keypoints(tmp_path / "dogs", None, 2))).require_annotated()
    assert data.keypoints == () and any("no category lists their names" in line for line in data.remarks)
    assert data.split("val").images[0].instances[0].keypoints is None
    root = write_keypoints(tmp_path / "boxes", None, 2)
    for path in (root / "annotations").iterdir():
        content = json.loads(path.read_text())
        content["annotations"][0].pop("keypoints")
        write_json(path, content)
    assert not any("keypoint" in line for line in load_dataset(str(root)).require_annotated().remarks)


def test_cocos_own_keypoints_are_known() -> None:
    """Their names are published: records of COCO state nothing about them."""
    found = mirrors_of(KEYPOINTS)
    assert found.known and len(found.pairs) == 8
    assert [name for name in KEYPOINTS if name not in {one for pair in found.pairs for one in pair}] == [
        "nose"
    ]


def test_names_that_several_keypoints_have_are_said_and_nothing_is_mirrored() -> None:
    found = mirrors_of(("nose", "left_hand", "right_hand", "foot", "foot", "foot"))
    assert (found.pairs, found.repeated, found.known) == ((("left_hand", "right_hand"),), ("foot",), False)
    assert found.remarks()[1:] == (
        "keypoints of one name: foot; they are told apart by their places, so all files must list the names "
        "in the same order, and a training on keypoints does not mirror images",
    )
    assert len(mirrors_of(("foot", "foot")).remarks()) == 1
