"""`fox-hpc logs`: what a site's job, or the relay, wrote."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import click

from ..errors import RecipeError, WorkspaceError
from ..record import RUN_ENDED, RunRecord, load_record
from .runs import DEFAULT_WORKSPACE, find_run, is_orphan

#: Seconds between two looks at a file that is followed.
LOOK_S = 0.3
RELAY = "relay"


@click.command("logs")
@click.argument("site")
@click.argument("run", required=False)
@click.option("-f", "--follow", is_flag=True, help="Go on until the site, or the run, has ended.")
@click.option("--err", "--stderr", "err", is_flag=True, help="What it wrote to stderr, instead of stdout.")
@click.option("--workspace", metavar="DIR", default=DEFAULT_WORKSPACE, type=Path, help="Where the runs are.")
def command(site: str, run: str | None, follow: bool, err: bool, workspace: Path) -> int:
    """Print what the job of SITE wrote, in its last attempt; the SITE "relay" is the relay.

    RUN is an id, the beginning of one, or a run folder; by default the newest.
    """
    folder = find_run(run, workspace)
    record = load_record(folder)
    if site != RELAY and site not in record.sites:
        raise RecipeError(f"{record.run} has no site {site!r}: {', '.join([*record.sites, RELAY])} are right")
    shown: dict[Path, int] = {}
    while True:
        ended = _has_ended(record, site)
        for file in log_files(folder, site, err=err):
            _print_new(file, shown)
        if ended or not follow:
            break
        time.sleep(LOOK_S)
        record = load_record(folder)
    if not shown:
        raise WorkspaceError(f"{site} of {record.run} has written no log yet ({_hint(record, site)})")
    if not err and not any(shown.values()) and any(_sizes(log_files(folder, site, err=True))):
        click.echo(f"fox-hpc: nothing on stdout; fox-hpc logs {site} --err shows its stderr", err=True)
    return 0


def log_files(folder: Path, site: str, *, err: bool) -> list[Path]:
    """Give the log files of a site's last attempt, or the relay's."""
    if site == RELAY:
        return [file for file in [folder / "relay.log"] if file.exists()]
    attempts = sorted((folder / "sites" / site).glob("attempt-*"), key=_number)
    return sorted(attempts[-1].glob("*_log.err" if err else "*_log.out")) if attempts else []


def _number(attempt: Path) -> int:
    digits = attempt.name.removeprefix("attempt-")
    return int(digits) if digits.isdigit() else 0


def _print_new(file: Path, shown: dict[Path, int]) -> None:
    """Print what a file got since the last time; `shown` counts its bytes."""
    if file not in shown and shown:
        click.echo(f"==> {file.parent.name}/{file.name} <==", err=True)
    with file.open("rb") as log:
        log.seek(shown.get(file, 0))
        while part := log.read(1 << 16):
            sys.stdout.buffer.write(part)
        shown[file] = log.tell()
    sys.stdout.buffer.flush()


def _has_ended(record: RunRecord, site: str) -> bool:
    if record.state in RUN_ENDED or is_orphan(record):
        return True
    # A preempted or lost job may come back as the next attempt; these do not.
    return site != RELAY and record.sites[site].state in ("DONE", "FAILED", "CANCELLED")


def _hint(record: RunRecord, site: str) -> str:
    if site == RELAY:
        return f"the run is {record.state}"
    state = record.sites[site]
    return f"its job {state.job_id} is {state.state}" if state.job_id else "it has no job"


def _sizes(files: list[Path]) -> Iterator[int]:
    return (file.stat().st_size for file in files)
