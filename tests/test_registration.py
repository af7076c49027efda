"""The lazy hook: importing mmbench costs no torch, yet timm knows our models in any order of imports."""

import json
import subprocess
import sys

import pytest

ORDERS = [
    "import mmbench, timm",
    "import timm, mmbench",
    "import mmbench; from timm.models import list_models; import timm",
    "import mmbench.resnets, timm",
]


# A process for each order, forked from one that has what timm needs: importing torch takes the longest.
EACH = """
import json, os, sys
import torch, torchvision

assert not {"timm", "mmbench"} & sys.modules.keys()
for imports in json.loads(sys.argv[1]):
    child = os.fork()
    if child == 0:
        exec(f"{imports}; print(imports, timm.is_model('mixmask_resnet50'), sep='|', flush=True)")
        os._exit(0)
    os.waitpid(child, 0)
"""


@pytest.fixture(scope="module")
def answers() -> dict[str, str]:
    """What timm says of a model of ours, by the order of imports."""
    words = [sys.executable, "-c", EACH, json.dumps(ORDERS)]
    answer = subprocess.run(words, capture_output=True, text=True, check=True)
    return dict(line.split("|") for line in answer.stdout.splitlines())


@pytest.mark.parametrize("imports", ORDERS)
def test_models_are_registered_in_any_order_of_imports(imports: str, answers: dict[str, str]) -> None:
    assert answers[imports] == "True"


def test_help_imports_no_torch() -> None:
    code = (
        "import sys\nfrom mmbench.cli.commands import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit as stop:\n    assert stop.code == 0\n"
        "heavy = {'torch', 'timm', 'pandas', 'pydantic', 'numpy'} & sys.modules.keys()\n"
        "assert not heavy, heavy"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    assert "leaderboard" in answer.stdout
