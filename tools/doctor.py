"""`mmbench doctor`: checks the installation and suggests fixes."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import click

from mmbench.cli import options
from mmbench.cli.next_step import next_step
from mmbench.errors import UserError
from mmbench.tools import doctor_checks as core
from mmbench.tools import doctor_optional_checks as optional
from mmbench.tools.doctor_checks import Check, Finding, run_check

MARKS = {"ok": ("ok", "green"), "absent": ("absent", "yellow"), "problem": ("PROBLEM", "bold red")}

# What is checked, in the order of the report: name, command that fixes what the check raises, check.
CHECKS: tuple[tuple[str, str | None, Check], ...] = (
    ("python", None, core.check_python),
    ("mmbench", None, core.check_mmbench),
    ("core libraries", "pip install --upgrade --force-reinstall mmbench", core.check_libraries),
    ("torch", core.TORCH_FIX, core.check_torch),
    ("torchvision", core.TORCH_FIX, core.check_torchvision),
    ("timm", "pip install --upgrade timm", core.check_timm),
    ("CPU", core.TORCH_FIX, core.check_processor),
    ("CUDA", core.TORCH_FIX, core.check_cuda),
    ("disk", None, core.check_disk),
    ("detectron2", core.DETECTION_FIX, optional.check_detectron2),
    ("mmseg", core.SEGMENTATION_FIX, optional.check_mmseg),
    ("imagecodecs", core.PNG_FIX, optional.check_imagecodecs),
)


def diagnose() -> list[Finding]:
    """Run every check and return the findings; a check that raises is a finding, too."""
    return [run_check(name, fix, check) for name, fix, check in CHECKS]


def suite_findings(spec: str, out: Path | None = None) -> list[Finding]:
    """Return what a suite needs of this machine, its data opened.

    Args:
        spec: a shipped name, a YAML file, or the folder of a suite that was begun.
        out: the suite's folder; None means one of its name.

    Raises:
        UserError: no such suite, or one that cannot be meant.
    """
    from mmbench.tools.suite.held import suite_and_folder
    from mmbench.tools.suite.planning.data_requirements import opened
    from mmbench.tools.suite.planning.overview import workers_of
    from mmbench.tools.suite.planning.plan import done_cells, found_states, plan_of
    from mmbench.tools.suite.planning.requirements import requirements

    suite, folder = suite_and_folder(spec, out)
    plan = plan_of(suite)
    found = requirements(plan, folder, workers_of(suite), done_cells(found_states(plan, folder)))
    return opened(found, suite.data_root or folder.data)


def print_table(findings: list[Finding]) -> None:
    """Print the findings as a table; as plain lines if rich itself is broken."""
    try:
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text
    except Exception:
        for finding in findings:
            click.echo(f"{MARKS[finding.status][0]:8} {finding.name}: {finding.detail}")
            if finding.fix:
                click.echo(f"         -> {finding.fix}")
        return
    table = Table(title="mmbench doctor", title_justify="left")
    table.add_column("what", no_wrap=True)
    table.add_column("state", no_wrap=True)
    table.add_column("found", overflow="fold")
    for finding in findings:
        word, style = MARKS[finding.status]
        found = Text(finding.detail)
        if finding.fix:
            found.append(f"\n-> {finding.fix}", style="bold")
        table.add_row(finding.name, Text(word, style=style), found)
    Console().print(table)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
@click.option("--suite", "spec", metavar="SUITE", help="Check as well what a suite needs of this machine.")
@options.out(default=None, help="Folder of the suite. Default: the suite's name.")
def doctor(as_json: bool, spec: str | None, out: Path | None) -> int:
    """Check your installation and suggest fixes.

    Each check runs the real thing: torch's gradients, torchvision's operators, our backbones, and a forward
    pass of a tiny model in Detectron2 and in mmsegmentation. Exit code 1 if something that is installed does
    not work; a missing optional library is only noted. With --suite also if something that the suite needs
    is missing: its data are opened, and disk and memory are compared with its plan.
    """
    if out is not None and spec is None:
        raise UserError("--out is the folder of a suite; add --suite, or omit it")
    needed = [] if spec is None else suite_findings(spec, out)  # an unknown suite ends before the checks
    findings = [*diagnose(), *needed]
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(finding) for finding in findings], indent=2))
    else:
        print_table(findings)
    problems = sum(finding.status == "problem" for finding in findings)
    if not as_json:
        click.echo(
            f"{problems} to fix, with the commands above."
            if problems
            else "Everything that is installed works."
            if spec is None
            else f"Everything that is installed works, and nothing is missing for suite {spec}."
        )
        if not problems:
            where = () if out is None else ("--out", out)
            next_step(*(("demo", "--out", "demo") if spec is None else ("suite", "run", spec, *where)))
    return 1 if problems else 0
