"""`mmbench doctor`: checks the installation and suggests fixes."""

from __future__ import annotations

import dataclasses
import json

import click

from mmbench.cli.next_step import next_step
from mmbench.tools.doctor_checks import CHECKS, Finding, run_check

MARKS = {"ok": ("ok", "green"), "absent": ("absent", "yellow"), "problem": ("PROBLEM", "bold red")}


def diagnose() -> list[Finding]:
    """Run every check and return the findings; a check that raises is a finding, too."""
    return [run_check(name, fix, check) for name, fix, check in CHECKS]


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
def doctor(as_json: bool) -> int:
    """Check your installation and suggest fixes.

    Each check runs the real thing: torch's gradients, torchvision's operators, our backbones, and a forward
    pass of a tiny model in Detectron2 and in mmsegmentation. Exit code 1 if something that is installed does
    not work; a missing optional library is only noted.
    """
    findings = diagnose()
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
        )
        if not problems:
            next_step("demo", "--out", "demo")
    return 1 if problems else 0
