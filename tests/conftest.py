"""What tests of data and of transfer share: manifests of small stand-ins, and images."""

import os
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest
import yaml
from PIL import Image

from mmbench.data import manifest

# annotated_layouts, published_layouts, packable, forked, used_memory, calling
for folder in ("data/annotated", "data/label_maps", "data/packs", "processes", "cli"):
    sys.path.insert(0, str(Path(__file__).parent / folder))


# No test measures time, also where a machine is busy.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

# Marker of tests -> the programs that they need, what is not tested without, and Debian's packages.
PROGRAMS = {
    "browser": (("chromium",), "The page was NOT tested in a browser", "chromium"),
    "tex": (
        ("pdflatex", "xelatex"),
        "The LaTeX tables were NOT compiled",
        "texlive-latex-base texlive-latex-recommended texlive-xetex",
    ),
}
MISSING = {
    marker: [program for program in programs if shutil.which(program) is None]
    for marker, (programs, _, _) in PROGRAMS.items()
}
# Files of few tests that take 15 s and more. Only the time of a whole run depends on this.
LONG = {
    "docs/test_examples.py",
    "pretrain/test_kill.py",
    "pretrain/test_kill_workers.py",
    "pretrain/test_two_processes.py",
    "test_registration.py",
    "tools/demo/test_demo.py",
    "tools/suite/test_engine.py",
    "transfer/dense/detection/test_detection_continuation.py",
    "transfer/dense/detection/test_detection_processes.py",
    "transfer/dense/detection/test_published_runs.py",
    "transfer/dense/segmentation/test_segmentation_continuation.py",
    "transfer/dense/segmentation/test_segmentation_processes.py",
    "transfer/dense/segmentation/test_segmentation_published_runs.py",
    "transfer/test_two_probes.py",
}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out tests of programs that are not installed; the summary says so.

    Of several processes each takes the next file: the long ones come first, so that none waits for another
    at the end. Then come those of many tests, as xdist would have it.
    """
    left_out = [
        item
        for item in items
        if any(missing and item.get_closest_marker(marker) for marker, missing in MISSING.items())
    ]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
    if hasattr(config, "workerinput"):
        tests = Counter(item.path for item in items)
        long = {Path(__file__).parent / name for name in LONG}
        items.sort(key=lambda item: (item.path not in long, -tests[item.path], item.path))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what was not tested as a program is missing."""
    for marker, (_, what, packages) in PROGRAMS.items():
        if missing := MISSING[marker]:
            line = f"{what}: no {' and no '.join(missing)} (on Debian: apt-get install {packages})"
            terminalreporter.write_line(line, yellow=True)


@pytest.fixture(autouse=True)
def threads_of_torch() -> Iterator[None]:
    """Undo a test's choice of threads: with the 700 of one, all later tests of the process would crawl."""
    before = sys.modules["torch"].get_num_threads() if "torch" in sys.modules else None
    yield
    if "torch" in sys.modules:
        import torch

        usual = before or int(os.environ.get("OMP_NUM_THREADS", "0")) or os.cpu_count() or 1
        if torch.get_num_threads() != usual:
            torch.set_num_threads(usual)


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Write the manifest of a small stand-in and read it, by the real parser, in place of the committed one.

    Sizes of splits that are not given, and hashes of draws and of files, are left open.
    """

    def write(
        name: str,
        *,
        classes: int,
        official: dict[str, int],
        images: dict[str, int] | None = None,
        draws: dict[str, object] | None = None,
        files: dict[str, str] | None = None,
    ) -> None:
        facts = yaml.safe_load((committed / f"{name}.yaml").read_text())
        facts |= {"classes": classes, "official": official, "files": files or {}, "draws": draws}
        for split, rule in facts["splits"].items():
            rule["images"] = (images or {}).get(split)
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(facts))
        manifest._read.cache_clear()

    committed = manifest.FOLDER
    folder = tmp_path / "manifests"
    shutil.copytree(committed, folder, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(manifest, "FOLDER", folder)
    return write


@pytest.fixture(scope="session")
def image() -> Callable[..., Path]:
    """Write a JPEG of one grey level; its folder is made."""

    def write(path: Path, level: int = 128, size: tuple[int, int] = (24, 16)) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, (level, level, level)).save(path, "JPEG")
        return path

    return write
