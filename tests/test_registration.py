"""The lazy hook: importing mmbench costs no torch, yet timm knows our models in any order of imports."""

import subprocess
import sys

import pytest

ORDERS = [
    "import mmbench, timm",
    "import timm, mmbench",
    "import mmbench; from timm.models import list_models; import timm",
]


@pytest.mark.parametrize("imports", ORDERS)
def test_models_are_registered_in_any_order_of_imports(imports: str) -> None:
    code = f"{imports}; print(timm.is_model('mixmask_resnet50'))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "True"


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
