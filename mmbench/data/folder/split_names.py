"""Which folder names mean train, val or test, in their common spellings."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from mmbench.data.types import Split
from mmbench.errors import UserError
from mmbench.file_names import printable

# "eval" is the test split beside a val split or alone, and the val split beside a test split.
WORDS = {
    "train": "train",
    "training": "train",
    "trn": "train",
    "trainval": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "validate": "val",
    "dev": "val",
    "development": "val",
    "test": "test",
    "testing": "test",
    "tests": "test",
    "tst": "test",
    "eval": "eval",
    "evaluation": "eval",
}
# Words without information about the content of a folder.
FILLERS = frozenset(
    {
        *("the", "of", "set", "sets", "data", "dataset", "datasets", "split", "splits", "part"),
        *("image", "images", "imgs", "img", "pictures", "pics", "photos", "photo", "jpg", "jpeg"),
        *("png", "px", "crops", "folder", "dir"),
    }
)
_COMPOUND = re.compile(rf"({'|'.join(sorted(WORDS, key=len, reverse=True))})_?({'|'.join(sorted(FILLERS))})")


class AmbiguousSplits(UserError):  # noqa: N818 - it is a refusal like every UserError
    """It is unclear which images are for training."""


def _words(name: str) -> list[str]:
    """Return the words of a folder name in lower case: "TrainSet_2017" has train and set."""
    text = unicodedata.normalize("NFKC", name)
    text = re.sub(r"(?<=[^\W\dA-Z_])(?=[A-Z])", " ", text).casefold()
    words: list[str] = []
    for word in re.findall(r"[^\W\d_]+", text):
        compound = _COMPOUND.fullmatch(word)
        words += [word] if compound is None or word in WORDS else list(compound.groups())
    return words


def _meaning(name: str) -> tuple[str | None, tuple[str, ...]]:
    """Return the split that a name means, and its other words."""
    words = _words(name)
    meant = {WORDS[word] for word in words if word in WORDS}
    others = tuple(word for word in words if word not in WORDS and word not in FILLERS and len(word) > 1)
    if meant == {"train", "val"}:  # trainval: what is trained on
        meant = {"train"}
    return (meant.pop() if len(meant) == 1 else None), others


def splits_among(names: Sequence[str]) -> dict[str, Split]:
    """Return which of the folder names that lie side by side mean which split.

    A name may hold other words where the other splits hold the same: seg_train beside seg_test.

    >>> splits_among(["Training", "Testing", "notes"])
    {'Training': 'train', 'Testing': 'test'}
    >>> splits_among(["train station", "bus"])
    {}
    """
    meanings = {name: _meaning(name) for name in names}
    found: dict[str, str] = {}
    for name, (split, others) in meanings.items():
        if split is None:
            continue
        alike = {other for other, words in meanings.values() if words == others and other}
        if not others or ("train" in alike and len(alike) > 1):
            found[name] = split
    evaluation: Split = "val" if "test" in found.values() and "val" not in found.values() else "test"
    resolved: dict[str, Split] = {
        name: evaluation if split == "eval" else split  # type: ignore[misc]
        for name, split in found.items()
    }
    return resolved


def require_one_each(splits: dict[str, Split], where: str) -> None:
    """Check that no two folders claim the same split.

    Raises:
        AmbiguousSplits: two do.
    """
    for split in ("train", "val", "test"):
        names = [name for name, meant in splits.items() if meant == split]
        if len(names) > 1:
            shown = " and ".join(printable(name) for name in names[:3])
            raise AmbiguousSplits(
                f"{where} has {len(names)} folders for the {split} split ({shown}); "
                "keep one, or rename the others"
            )
