"""The settings of a folder in YOLO layout: data.yaml."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from mmbench.data.annotated.walking import read_names
from mmbench.data.lists.text_lists import text_of
from mmbench.errors import UserError, shown
from mmbench.file_names import printable

SETTINGS = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml")
MOST_CLASSES = 100_000
VALUES_PER_KEYPOINT = (2, 3)  # x and y, or x, y and visibility
NOTHING = ("", "~", "null", "Null", "NULL")  # YAML's spellings of a value that is not there


def settings_file(root: Path) -> Path | None:
    """Return the file of a YOLO folder that names classes and splits, None if there is none.

    Raises:
        UserError: several files could be it.
    """
    for name in SETTINGS:
        if (root / name).is_file():
            return root / name
    found = [path for path in sorted([*root.glob("*.yaml"), *root.glob("*.yml")]) if _is_settings(path)]
    if len(found) > 1:
        raise UserError(
            f"{printable(root)} has {len(found)} files with YOLO's settings ({found[0].name} and "
            f"{found[1].name}); keep one of them, or call it data.yaml"
        )
    return found[0] if found else None


def _is_settings(path: Path) -> bool:
    try:
        content = read_settings(path)
    except UserError:
        return False
    return bool({"names", "nc"} & content.keys()) and "train" in content


def read_settings(path: Path) -> dict[str, Any]:
    """Return the content of data.yaml.

    Raises:
        UserError: it cannot be read, or is not a YAML mapping.
    """
    text = text_of(path)
    try:
        # Every value stays text: a class called "no" or "007" is not a truth value or a number.
        content = yaml.load(text, Loader=yaml.BaseLoader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = "" if mark is None else f", line {mark.line + 1}"
        reason = getattr(error, "problem", None) or "it cannot be parsed"
        raise UserError(f"{printable(path)}{where} is not valid YAML ({reason})") from None
    if not isinstance(content, dict):
        raise UserError(f"{printable(path)} has no settings such as names and train")
    return {key: value for key, value in content.items() if isinstance(key, str) and value not in NOTHING}


def class_names(content: Mapping[str, Any], path: Path) -> tuple[str, ...]:
    """Return the classes that the settings name, in the order of labels.

    Args:
        content: of the file.
        path: of the file.

    Raises:
        UserError: they are not a list or a mapping from 0; a name is missing or there twice; nc differs.
    """
    names, stated = content.get("names"), content.get("nc")
    count = int(stated) if isinstance(stated, str) and stated.isascii() and stated.isdigit() else None
    if isinstance(names, str) and (path.parent / names).is_file():
        names = read_names(path.parent / names)
    if isinstance(names, dict):
        try:
            numbered = {int(key): value for key, value in names.items()}
        except (TypeError, ValueError):
            numbered = {}
        if sorted(numbered) != list(range(len(names))):
            raise UserError(
                f"{printable(path)}: the keys of names are not the numbers 0 to {len(names) - 1}, one each"
            )
        names = [numbered[key] for key in sorted(numbered)]
    if names is None and count is not None and 0 < count <= MOST_CLASSES:
        names = [f"class{number}" for number in range(count)]
    is_list = isinstance(names, list | tuple) and all(isinstance(name, str) for name in names)
    if not is_list or not names:
        raise UserError(f"{printable(path)}: names is not a list of class names; write names: [cat, dog]")
    classes = tuple(" ".join(name.split()) for name in names)
    if stated is not None and count != len(classes):
        raise UserError(f"{printable(path)}: nc is {shown(stated)}, but there are {len(classes)} names")
    twice = [name for place, name in enumerate(classes) if name in classes[:place]]
    if twice or "" in classes:
        what = f"names the class '{twice[0]}' twice" if twice else "has a class without a name"
        raise UserError(f"{printable(path)} {what}; every class needs a name of its own")
    return classes


def keypoint_shape(content: Mapping[str, Any], path: Path) -> tuple[int, int] | None:
    """Return the number of keypoints per object and of values per keypoint, None if objects have none.

    Args:
        content: of the file.
        path: of the file.

    Raises:
        UserError: kpt_shape is not such a pair.
    """
    stated = content.get("kpt_shape")
    if stated is None:
        return None
    words = stated if isinstance(stated, list) else []
    if len(words) == 2 and all(isinstance(word, str) and word.isascii() and word.isdigit() for word in words):
        count, values = map(int, words)
        if count and values in VALUES_PER_KEYPOINT:
            return count, values
    raise UserError(
        f"{printable(path)}: kpt_shape is {shown(stated)}; write the number of keypoints and 2 or 3 values "
        "for each, such as [17, 3]"
    )
