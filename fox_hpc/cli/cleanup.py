"""`fox-hpc cleanup`: end the jobs that dead runs have left behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..errors import RunError, SchedulerError
from ..record import SITE_ENDED, load_record
from . import options
from .report import say_line
from .runs import find_run, json_line, run_folders
from .sweep import Job, Sweep, end, look


@click.command("cleanup")
@click.argument("run", required=False)
@click.option("--all", "every", is_flag=True, help="Every run of the workspace whose process is gone.")
@click.option("--dry-run", is_flag=True, help="Show what would be cancelled; change nothing.")
@click.option(
    "--timeout", default=60.0, show_default=True, help="Seconds to wait for the end of cancelled jobs."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one object for each run and line.")
@options.workspace
def command(
    run: str | None, every: bool, dry_run: bool, timeout: float, as_json: bool, workspace: Path
) -> int:
    """Cancel the jobs of RUN that nobody has seen the end of, and write their end down.

    RUN is an id, the beginning of one, or a run folder. A run whose process lives is never touched, nor
    one that ran on another host; only jobs that the run's own record names are.
    """
    if (run is None) == (not every):
        raise click.UsageError("name one run, or give --all")
    folders = run_folders(workspace) if every else [find_run(run, workspace)]
    troubles = []
    found = 0
    for folder in folders:
        try:
            sweep = _sweep(folder, dry_run, timeout)
        except SchedulerError as error:
            troubles.append(f"{folder.name}: {error}")
            continue
        if run is not None and sweep.kept:
            raise RunError(f"{sweep.record.run} is left alone: {sweep.kept}")
        if not (every and sweep.idle):
            found += not sweep.idle
            click.echo(json_line(_fields(sweep)) if as_json else "\n".join(_lines(sweep, dry_run)))
        if sweep.trouble:
            troubles.append(f"{sweep.record.run}: {sweep.trouble}")
    if every and not found and not troubles and not as_json:
        click.echo(f"nothing is left behind in {workspace}")
    for trouble in troubles:
        say_line(trouble)
    return 3 if troubles else 0


def _sweep(folder: Path, dry_run: bool, timeout: float) -> Sweep:
    sweep, launcher = look(folder, load_record(folder))
    if not (dry_run or sweep.kept or sweep.idle):
        end(folder, sweep, launcher, timeout)
    return sweep


def _lines(sweep: Sweep, dry_run: bool) -> list[str]:
    run = sweep.record.run
    if sweep.kept:
        return [f"{run} is left alone: {sweep.kept}"]
    if not sweep.jobs:
        return [f"{run}: no job is left"]
    return [f"{run}: {job.attempt}: {_did(job, dry_run)}" for job in sweep.jobs]


def _did(job: Job, dry_run: bool) -> str:
    if not job.job_id:
        return "the scheduler knows no such job"
    found = f"as {job.job_id}, " if not job.attempt.job_id else ""
    if job.was in SITE_ENDED:
        return f"{found}has ended already: {job.was}"
    was = f"{found}was {job.was or 'in an unknown state'}"
    if dry_run:
        return f"{was}: would be cancelled"
    return f"{was}, is {job.now}" if job.now else f"{was}, and may still be there"


def _fields(sweep: Sweep) -> dict[str, Any]:
    return {
        "run": sweep.record.run,
        "state": sweep.record.state,
        "folder": sweep.record.folder,
        "left_alone": sweep.kept,
        "trouble": sweep.trouble,
        "jobs": [
            {
                "site": job.attempt.site,
                "attempt": job.attempt.attempt,
                "job_name": job.attempt.job_name,
                "job_id": job.job_id,
                "was": job.was,
                "now": job.now,
            }
            for job in sweep.jobs
        ],
    }
