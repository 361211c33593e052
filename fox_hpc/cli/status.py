"""`fox-hpc status`: what is known of a run, or of all runs."""

from __future__ import annotations

import time
from pathlib import Path

import click
from rich.table import Table
from rich.text import Text

from ..record import RunRecord, load_record
from .runs import DEFAULT_WORKSPACE, find_run, is_orphan, json_line, outcome, run_folders
from .view import make_console, render, rounds


@click.command("status")
@click.argument("run", required=False)
@click.option("--all", "every", is_flag=True, help="List all runs instead, newest first.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one object a line.")
@click.option("--workspace", metavar="DIR", default=DEFAULT_WORKSPACE, type=Path, help="Where the runs are.")
def command(run: str | None, every: bool, as_json: bool, workspace: Path) -> int:
    """Show RUN: an id, the beginning of one, or a run folder; by default the newest."""
    if every and run is not None:
        raise click.UsageError("--all lists all runs: name none beside it")
    folders = run_folders(workspace) if every else [find_run(run, workspace)]
    records = [load_record(folder) for folder in folders]
    if as_json:
        for record in records:
            click.echo(json_line(outcome(record)))
    elif every:
        make_console().print(_list(records))
    else:
        _show(records[0])
    return 0


def _show(record: RunRecord) -> None:
    console = make_console()
    console.print(render(record, time.time()))
    for sentence in record.notices:
        console.print(Text(sentence), soft_wrap=True)
    for site, why in record.failures.items():
        console.print(Text(f"{site}: {why}"), soft_wrap=True)
    if record.error:
        console.print(Text(record.error), soft_wrap=True)
    if is_orphan(record):
        console.print(Text(orphan_sentence(record), style="bold red"), soft_wrap=True)


def orphan_sentence(record: RunRecord) -> str:
    """Say that a run's server is gone, and which jobs it may have left."""
    jobs = [
        f"{site.scheduler} job {site.job_id}"
        for site in record.sites.values()
        if site.job_id and site.state in ("PENDING", "RUNNING")
    ]
    left = f"; it may have left {', '.join(jobs)}" if jobs else ""
    return f"{record.run} says {record.state}, but its process {record.pid} is gone{left}"


def _list(records: list[RunRecord]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for column in ("run", "state", "env", "sites", "round", "started"):
        table.add_column(column, no_wrap=True)
    for record in records:
        started = time.strftime("%Y-%m-%d %H:%M", time.localtime(record.started))
        state = f"{record.state} (process gone)" if is_orphan(record) else record.state
        table.add_row(record.run, state, record.env, str(len(record.sites)), rounds(record), started)
    return table
