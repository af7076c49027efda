"""`mmbench leaderboard verify` and `add`."""

from __future__ import annotations

from pathlib import Path

import click

from mmbench.cli.next_step import next_step
from mmbench.cli.paths import Place
from mmbench.errors import one_line
from mmbench.file_names import counted

FOUND = 1  # exit code where a record is wrong


@click.command(epilog="Example: mmbench leaderboard verify demo/results")
@click.argument("results", type=Place(), nargs=-1, required=True)
@click.option("--strict", is_flag=True, help="Count warnings as errors.")
def verify(results: tuple[Path, ...], strict: bool) -> None:
    """Check the records below RESULTS: digests, paths, per-image outcomes and plausibility.

    Metrics are computed anew from per-image outcomes; which are not is said. Nothing is changed. The exit
    code is 0 without errors, 1 with errors, 2 for bad input.
    """
    from mmbench.leaderboard.verify.records import verify as check

    report = check(results)
    for problem in report.problems:
        click.echo(one_line(f"{problem.level}: {problem.file}: {problem.reason}"))
    not_anew = [f"{name} ({counted(number, 'record')})" for name, number in report.not_recomputed]
    if report.without_outcomes:
        not_anew.append(f"{counted(report.without_outcomes, 'record')} without per-image outcomes")
    if not_anew:
        click.echo(one_line(f"not computed anew: {'; '.join(not_anew)}", 1000))
    errors, warnings = report.of("error"), report.of("warning")
    click.echo(
        f"{counted(report.records, 'record')}, {report.recomputed} computed anew from per-image outcomes: "
        f"{counted(len(errors), 'error')}, {counted(len(warnings), 'warning')}"
    )
    if errors or (strict and warnings):
        click.get_current_context().exit(FOUND)
    next_step("leaderboard", "build", *results, "--out", "board")


@click.command(epilog="Example: mmbench leaderboard add from-ann/ --to results")
@click.argument("files", type=Place(), nargs=-1, required=True)
@click.option("--to", type=Place(), required=True, help="Results folder to add them to.")
def add(files: tuple[Path, ...], to: Path) -> None:
    """Check records that someone else sent, and file them in a results folder.

    FILES are records, or folders that hold some; per-image outcomes are taken from beside them. All are
    checked before the first is written. A record that is there already counts once, and none is replaced; its
    per-image outcomes are added where they are missing.
    """
    from mmbench.leaderboard.add import add_records
    from mmbench.writable import require_writable

    require_writable(to, "--to")
    added = add_records(files, to)
    for problem in added.warnings:
        click.echo(one_line(f"warning: {problem.file}: {problem.reason}"), err=True)
    for path in (*added.written, *added.completed):
        click.echo(one_line(str(path)))
    known = f", {added.known} already there" if added.known else ""
    if added.completed:
        known += f", per-image outcomes added to {len(added.completed)} of these"
    click.echo(f"{counted(len(added.written), 'record')} added{known}", err=True)
    next_step("leaderboard", "show", to)
