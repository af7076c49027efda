"""The structure of the product code: imports, lengths of files, numbers of parameters.

Files are parsed, not imported, so that imports inside functions count as well.
"""

from __future__ import annotations

import ast
import functools
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import mmbench

ROOT = Path(__file__).resolve().parent.parent
TOP_LEVEL = ("pretrain", "transfer", "leaderboard", "tools")  # install as mmbench.pretrain, ...
STAGES = ("pretrain", "transfer", "leaderboard")
ABOVE_STAGES = ("mmbench.cli", "mmbench.tools", "mmbench.__main__", "mmbench.api")
# Modules whose functions the Python API exports: options by keyword do not count there.
PUBLIC_API = ("mmbench.api", "mmbench.checkpoints.conversion")
LONGEST_FILE = 300
MOST_PARAMETERS = 8
HEAVY = ("torch", "torchvision", "timm", "pandas", "sklearn", "scipy", "matplotlib")


@functools.cache
def product_files() -> dict[str, Path]:
    """Return the files of the product by dotted module name."""
    found = {}
    for folder in ("mmbench", *TOP_LEVEL):
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            if folder in TOP_LEVEL:
                parts = ("mmbench", *parts)
            found[".".join(parts).removesuffix(".__init__")] = path
    return found


@functools.cache
def parsed(module: str) -> ast.Module:
    return ast.parse(product_files()[module].read_text(encoding="utf-8"))


@functools.cache
def imports_of(module: str) -> frozenset[str]:
    """Return the product's modules that a module imports, at its top or inside functions."""
    files = product_files()
    found = set()
    for node in ast.walk(parsed(module)):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} has a relative import"
            for name in node.names:
                inner = f"{node.module}.{name.name}"
                found.add(inner if inner in files else str(node.module))
    return frozenset(found & files.keys() - {module})


def stage_of(module: str) -> str | None:
    part = f"{module}.".split(".")[1]
    return part if part in STAGES else None


def may_import(module: str, found: str) -> bool:
    """Return whether the layers allow it: command line, then stages, then the ground floor."""
    if module.startswith(ABOVE_STAGES) or module == "mmbench":
        return True
    if found.startswith("mmbench.cli."):  # the shared options
        return module.endswith("command")
    return not found.startswith(ABOVE_STAGES) and stage_of(found) in (None, stage_of(module))


def test_no_circle_of_imports() -> None:
    graph = {module: imports_of(module) for module in product_files()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


def test_stages_do_not_import_each_other_and_the_ground_floor_imports_none() -> None:
    wrong = [
        f"{module} imports {found}"
        for module in product_files()
        for found in sorted(imports_of(module))
        if not may_import(module, found)
    ]
    assert wrong == []


@pytest.mark.parametrize("path", product_files().values(), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_is_longer_than_300_lines(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST_FILE


def functions(module: str) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for node in ast.walk(parsed(module)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{module}.{node.name}", node


def is_click_command(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Return whether a function is decorated by click's `command`, or by a group's."""
    names = [item.func if isinstance(item, ast.Call) else item for item in node.decorator_list]
    return any(isinstance(name, ast.Attribute) and name.attr in ("command", "group") for name in names)


def parameters(module: str, node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return how many parameters count: those of click commands, and the API's options, do not."""
    if is_click_command(node):
        return 0
    arguments = node.args
    positional = [argument.arg for argument in (*arguments.posonlyargs, *arguments.args)]
    public = module.endswith(".api") or node.name in mmbench.__all__
    keyword_only = [] if public else arguments.kwonlyargs
    return len([name for name in positional if name not in ("self", "cls")]) + len(keyword_only)


def test_no_function_has_more_than_8_parameters() -> None:
    found = {
        name
        for module in product_files()
        for name, node in functions(module)
        if parameters(module, node) > MOST_PARAMETERS
    }
    assert found == set()


@pytest.mark.parametrize(
    "code",
    [
        "import mmbench",
        "import mmbench.cli.commands as main; main.root.main(['--help'], standalone_mode=False)",
    ],
)
def test_the_package_and_its_help_import_no_heavy_library(code: str) -> None:
    shown = f"{code}\nimport sys; print('loaded:', *[name for name in {HEAVY} if name in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", shown], capture_output=True, text=True, timeout=60)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.splitlines()[-1] == "loaded:"
