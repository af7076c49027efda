"""Which data a name or a path stands for, looked at without opening them and without torch."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from mmbench.data.manifest import FOLDER
from mmbench.errors import UserError, unknown_name
from mmbench.file_names import printable
from mmbench.plugins import load_plugins
from mmbench.tasks import ANY_DATA, TASKS

OWN_FOLDER = "folder"  # `mmbench data` calls the data root's own folder so


@cache
def known_names() -> frozenset[str]:
    """Return the names of all data sets."""
    named = {name for task in TASKS.names() for name in TASKS.get(task).by_data if name != ANY_DATA}
    names = {OWN_FOLDER, *named, *(path.stem for path in FOLDER.glob("*.yaml"))}
    if load_plugins():  # only they can add more
        from mmbench.data.dataset import DATASETS

        names |= set(DATASETS.names())
    return frozenset(names)


def exists(path: Path) -> bool:
    """Return whether there is something at a path; a name that no file can have is not there."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def is_path(data: str) -> bool:
    """Return whether a data set is named by a path, as in `mmbench.data.load_dataset`."""
    return data not in known_names() and ("/" in data or exists(Path(data)))


def require_name(data: str) -> None:
    """Check that a data set has this name.

    Raises:
        UserError: none has; a near match is named.
    """
    if data not in known_names():
        raise unknown_name("data set", data, known_names())


def require_data(data: str) -> None:
    """Check that there is a data set of this name, or something at this path.

    Raises:
        UserError: neither; a near match is named.
    """
    if is_path(data):
        if not exists(Path(data)):
            raise absent(Path(data))
        return
    try:
        require_name(data)
    except UserError as error:
        raise UserError(f"{error}, and there is no such folder or list") from None


def absent(path: Path) -> UserError:
    """Return the error that there is no folder of data at a path."""
    return UserError(f"no data folder at {printable(path)}; check the path and --data-root")
