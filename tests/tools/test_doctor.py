"""The doctor finds what is broken, says how to fix it, and survives it."""

from __future__ import annotations

import importlib.metadata
import json
import sys
from pathlib import Path

import pytest
import torch
import torchvision
from click.testing import CliRunner

from mmbench.tools import doctor_checks
from mmbench.tools.doctor import CHECKS, diagnose, doctor
from mmbench.tools.doctor_checks import (
    DETECTION_FIX,
    PNG_FIX,
    SEGMENTATION_FIX,
    TORCH_FIX,
    Finding,
    run_check,
)

OPTIONAL = [("detectron2", DETECTION_FIX), ("mmseg", SEGMENTATION_FIX), ("imagecodecs", PNG_FIX)]


def found(name: str) -> Finding:
    """Run the one check called `name` as the doctor does."""
    return next(run_check(*entry) for entry in CHECKS if entry[0] == name)


def forget(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    """Make Python import `package` anew; what was loaded comes back after the test."""
    for module in [name for name in sys.modules if name == package or name.startswith(f"{package}.")]:
        monkeypatch.delitem(sys.modules, module)


def test_everything_works_here() -> None:
    findings = {finding.name: finding for finding in diagnose()}
    assert [finding.name for finding in findings.values()] == [name for name, _, _ in CHECKS]
    assert [finding for finding in findings.values() if finding.status == "problem"] == []
    for name in ("detectron2", "mmseg"):
        assert findings[name].status == "ok"
        assert "forward pass" in findings[name].detail
        assert findings[name].fix is None
    assert findings["imagecodecs"].status == "ok"
    assert torch.__version__ in findings["torch"].detail
    assert f"pandas {importlib.metadata.version('pandas')}" in findings["core libraries"].detail


@pytest.mark.parametrize(("name", "fix"), OPTIONAL)
def test_absent_extra_is_noted_with_its_command(name: str, fix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, name, None)  # this is how Python marks a module as not there
    finding = found(name)
    assert (finding.status, finding.fix) == ("absent", fix)


@pytest.mark.parametrize(("name", "fix"), OPTIONAL)
def test_broken_extra_is_a_problem(
    name: str, fix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / name
    package.mkdir()
    (package / "__init__.py").write_text("raise ImportError('half of me is missing')\n")
    forget(monkeypatch, name)
    monkeypatch.syspath_prepend(str(tmp_path))
    finding = found(name)
    assert finding == Finding(name, "problem", "ImportError: half of me is missing", fix)


def test_torchvision_of_another_torch_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*arguments: object) -> None:
        raise RuntimeError("operator torchvision::nms does not exist")

    monkeypatch.setattr(torchvision.ops, "nms", missing)
    finding = found("torchvision")
    assert finding.status == "problem"
    assert "was not built for torch" in finding.detail
    assert finding.fix == TORCH_FIX


def test_wrong_nms_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torchvision.ops, "nms", lambda *arguments: torch.tensor([0, 1, 2]))
    assert found("torchvision").status == "problem"


def test_another_png_decoder_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    import imagecodecs

    decode = imagecodecs.spng_decode
    monkeypatch.setattr(imagecodecs, "spng_decode", lambda content: decode(content) ^ 1)
    assert found("imagecodecs") == Finding(
        "imagecodecs", "problem", f"{imagecodecs.__version__}: other pixels than Pillow's", PNG_FIX
    )


def test_unregistered_backbones_are_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    import timm

    monkeypatch.setattr(timm, "list_models", lambda *arguments: [])
    assert found("timm").status == "problem"


def test_missing_core_library_is_named_with_its_requirement(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        doctor_checks, "core_requirements", lambda: ["click>=8.1", "no-such-library>=2", "pandas>=900"]
    )
    finding = found("core libraries")
    assert finding.status == "problem"
    assert "no-such-library: not installed" in finding.detail
    assert "does not satisfy" in finding.detail
    assert finding.fix is not None
    assert "'no-such-library>=2'" in finding.fix
    assert "'pandas>=900'" in finding.fix
    assert "click" not in finding.fix


def test_full_disk_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_checks, "LEAST_FREE_GIB", 1e12)
    assert found("disk").status == "problem"


def test_old_python_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_checks, "LEAST_PYTHON", (9, 0))
    assert found("python").status == "problem"


def test_exit_code_and_output_follow_the_findings(monkeypatch: pytest.MonkeyPatch) -> None:
    """One check that dies, even by SystemExit, leaves the others alone and makes the exit code 1."""

    def dies() -> Finding:
        print("noise")
        raise SystemExit("gone")

    fine = ("fine", None, lambda: Finding("fine", "ok", "works"))
    note = ("note", None, lambda: Finding("note", "absent", "not installed", "pip install note"))
    bad = ("bad", "pip install bad", dies)

    def outcome(*checks: object, arguments: tuple[str, ...] = ()) -> tuple[int, str]:
        monkeypatch.setattr("mmbench.tools.doctor.CHECKS", checks)
        result = CliRunner().invoke(doctor, arguments, standalone_mode=False)
        return result.return_value, result.output

    code, text = outcome(fine, note)
    assert code == 0
    assert "pip install note" in text
    code, text = outcome(bad, fine, note)
    assert code == 1
    assert "pip install bad" in text
    assert "works" in text
    assert "noise" not in text
    code, text = outcome(bad, fine, arguments=("--json",))
    assert code == 1
    assert [item["status"] for item in json.loads(text)] == ["problem", "ok"]


def test_a_broken_rich_still_gets_a_report(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("rich.console", "rich.table", "rich.text"):
        monkeypatch.setitem(sys.modules, name, None)
    problem = ("x", "mend x", lambda: Finding("x", "problem", "broken", "mend x"))
    monkeypatch.setattr("mmbench.tools.doctor.CHECKS", (problem,))
    result = CliRunner().invoke(doctor, standalone_mode=False)
    assert result.return_value == 1
    assert "PROBLEM  x: broken" in result.output
    assert "-> mend x" in result.output
