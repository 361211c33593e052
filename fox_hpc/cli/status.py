"""`fox-hpc status`: what is known of a run, or of all runs."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.table import Table
from rich.text import Text

from ..errors import FoxError
from ..hpc.resources import HpcConfig
from ..record import RunRecord, load_record
from ..spec import load_spec
from . import options
from .dryrun import hours
from .leftover import read_facts, submitted_at
from .runs import find_run, is_orphan, json_line, outcome, run_folders
from .times import SiteTimes, site_times
from .view import clock, doing, head, make_console, rounds, state_text, trouble_lines

COLUMNS = ("site", "scheduler", "job", "state", "nodes", "attempt", "queued", "for", "left", "heard", "does")


@click.command("status")
@click.argument("run", required=False)
@click.option("--all", "every", is_flag=True, help="List all runs instead, newest first.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one object a line.")
@options.workspace
def command(run: str | None, every: bool, as_json: bool, workspace: Path) -> int:
    """Show RUN: an id, the beginning of one, or a run folder; by default the newest.

    Of each site: its job, state and nodes, how long it waited in the queue, for how long it has been in
    its state, how much of its time limit is left, how long ago the scheduler was last heard of it, and
    what it does, or the scheduler's reason for its state.
    """
    if every and run is not None:
        raise click.UsageError("--all lists all runs: name none beside it")
    folders = run_folders(workspace) if every else [find_run(run, workspace)]
    records = [load_record(folder) for folder in folders]
    if as_json:
        for record in records:
            click.echo(json_line(_fields(record)))
    elif every:
        make_console().print(_list(records))
    else:
        _show(records[0])
    return 0


def _times(record: RunRecord) -> dict[str, SiteTimes]:
    """Work out each site's times; what a run did not write down is left out."""
    submitted: dict[str, float] = {}
    limits: dict[str, float] = {}
    try:
        submitted = submitted_at(read_facts(Path(record.folder)))
        for site in load_spec(record.folder).sites:
            if limit := HpcConfig.from_mapping(site.hpc).time_limit:
                limits[site.name] = 3600 * hours(limit)
    except FoxError:
        # A simulated run has no jobs, and a folder that was moved or cut short still has a record to show.
        limits = {}
    now = time.time()
    return {
        name: site_times(record, site, now, submitted=submitted.get(name), limit_s=limits.get(name))
        for name, site in record.sites.items()
    }


def _fields(record: RunRecord) -> dict[str, Any]:
    """Give all that is known, in the words of `submit --json` as far as that has them."""
    times = _times(record)
    known = msgspec.to_builtins(record)
    sites = {name: {**known["sites"][name], **msgspec.to_builtins(times[name])} for name in record.sites}
    return {**known, **outcome(record), "sites": sites, "process_gone": is_orphan(record)}


def _show(record: RunRecord) -> None:
    console = make_console()
    console.print(head(record, time.time()))
    console.print(_sites(record))
    for sentence in [*trouble_lines(record, time.time()), *record.notices]:
        console.print(Text(sentence), soft_wrap=True)
    for site, why in record.failures.items():
        console.print(Text(f"{site}: {why}"), soft_wrap=True)
    if record.error:
        console.print(Text(record.error), soft_wrap=True)
    if is_orphan(record):
        console.print(Text(orphan_sentence(record), style="bold red"), soft_wrap=True)


def _sites(record: RunRecord) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    right = COLUMNS[6:10]
    for column in COLUMNS:
        table.add_column(column, no_wrap=column != "does", justify="right" if column in right else "left")
    for name, times in _times(record).items():
        site = record.sites[name]
        spans = (times.queued_s, times.in_state_s, times.left_s, times.answered_s)
        table.add_row(
            name,
            site.scheduler,
            site.job_id,
            state_text(site),
            site.nodes,
            str(site.attempts or ""),
            *("" if span is None else clock(span) for span in spans),
            doing(site),
        )
    return table


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
