"""The data that a suite needs: found, incomplete or missing, and what fixes it."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path

from mmbench.data.downloads import DOWNLOADS
from mmbench.data.manifest import manifest
from mmbench.data.names import OWN_FOLDER, exists, is_path
from mmbench.data.needed_files import NOT_DOWNLOADED, Place, place_of
from mmbench.errors import UserError
from mmbench.file_names import listed
from mmbench.tools.doctor_checks import Finding
from mmbench.tools.suite.definition.data_facts import RENDERED
from mmbench.tools.suite.planning.cell import Cell

DATA = "data "  # begins the name of a finding about a data set


def data_findings(cells: Iterable[Cell], root: Path) -> Iterator[Finding]:
    """Yield a finding for each data set of a plan; no file is opened.

    Args:
        root: the folder with one folder per data set.
    """
    for name in dict.fromkeys(cell.work.data for cell in cells if cell.work.kind == "data"):
        place = located(name, root)
        if not place.missing:
            yield Finding(f"{DATA}{name}", "ok", f"found in {place.folder}")
        elif name in RENDERED and not exists(place.folder):
            yield Finding(f"{DATA}{name}", "ok", "rendered by the run")
        else:
            detail = f"not found in {_expected(name, root)}"
            if place.begun or _holds_something(_expected(name, root)):
                are = "is" if len(place.missing) == 1 else "are"
                detail = f"incomplete: {listed(place.missing)} {are} missing from {place.folder}"
            yield Finding(f"{DATA}{name}", "problem", detail, _fix(name, root, place))


def located(name: str, root: Path) -> Place:
    """Return where a data set is; of your own folders and other packages' data whether anything is."""
    if (place := place_of(name, root)) is not None:
        return place
    path = _expected(name, root)
    there = _holds_something(path)
    return Place(path, there, () if there else ("all",))


def _expected(name: str, root: Path) -> Path:
    return Path(name) if is_path(name) and name != OWN_FOLDER else root / name


def _holds_something(path: Path) -> bool:
    try:
        return path.is_file() or (path.is_dir() and any(path.iterdir()))
    except OSError:
        return False


def _fix(name: str, root: Path, place: Place) -> str:
    """Return the command, or what to put where and the command that then checks it."""
    where = "" if root == Path("data") else f" --data-root {shlex.quote(str(root))}"
    if name in RENDERED:
        return f"mmbench data prepare {name} --force{where}"
    if name in DOWNLOADS and not set(place.missing) <= set(NOT_DOWNLOADED):
        fetch = f"mmbench data prepare {name} --download{where}"
        # torchvision fetches nothing where its folder is there already
        inner = place.folder / place.missing[0].partition("/")[0]
        return f"remove {inner}, then: {fetch}" if inner.is_dir() else fetch
    if is_path(name) or name == OWN_FOLDER:
        what = "your images"
    else:
        known = manifest(name)
        what = "its files, as docs/data.md says," if known is None else known.obtain
    return f"put {what} into {_expected(name, root)}, then: mmbench data check {name}{where}"


def opened(findings: Iterable[Finding], root: Path) -> list[Finding]:
    """Return the findings with those about data replaced by what opening the data set shows."""
    return [
        _opened(finding, root) if finding.name.startswith(DATA) and finding.status == "ok" else finding
        for finding in findings
    ]


def _opened(finding: Finding, root: Path) -> Finding:
    name = finding.name.removeprefix(DATA)
    if located(name, root).missing:
        return finding  # the run renders it
    from mmbench.data import load_dataset
    from mmbench.data.quick_check import quick_check

    try:
        dataset = load_dataset(name, root)
        remarks = (*dataset.remarks, *(quick_check(dataset) if dataset.splits else ()))
    except UserError as error:
        return Finding(finding.name, "problem", str(error), f"mmbench data check {name} --data-root {root}")
    words = "; ".join((f"{len(dataset.classes)} classes in {dataset.root}", *remarks))
    return Finding(finding.name, "ok", words)
