"""`fox-hpc cancel`: end a run and its jobs."""

from __future__ import annotations

import time
from pathlib import Path

import click
import psutil

from ..errors import RunError
from ..record import RUN_ENDED, RunRecord, load_record
from .runs import DEFAULT_WORKSPACE, find_run, is_orphan, server_process
from .status import orphan_sentence

#: Seconds between two looks at the record.
LOOK_S = 0.1


@click.command("cancel")
@click.argument("run")
@click.option("--timeout", default=60.0, show_default=True, help="Seconds to wait for the run's end.")
@click.option("--workspace", metavar="DIR", default=DEFAULT_WORKSPACE, type=Path, help="Where the runs are.")
def command(run: str, timeout: float, workspace: Path) -> int:
    """End RUN (an id, the beginning of one, or a run folder) and its jobs, and wait until that is done.

    The run's own process does the work. If that is gone, or on another host, nothing is cancelled
    blindly, and the exit code is 1; a run that has ended already is no error.
    """
    folder = find_run(run, workspace)
    record = load_record(folder)
    if record.state in RUN_ENDED:
        click.echo(f"{record.run} has ended already: {record.state}")
        return 0
    process = server_process(record)
    if process is None:
        raise RunError(_unreachable(record))
    try:
        process.terminate()
    except psutil.NoSuchProcess:
        pass  # it ended between the two looks, and its record tells how
    except psutil.AccessDenied as error:
        raise RunError(f"process {record.pid} of {record.run} belongs to another user") from error
    record = _wait(folder, timeout)
    click.echo(f"{record.run}: {record.state}")
    return 0


def _unreachable(record: RunRecord) -> str:
    if is_orphan(record):
        return f"{orphan_sentence(record)}: nothing was cancelled; fox-hpc cleanup {record.folder} does that"
    return f"{record.run} runs on {record.host}: cancel it there"


def _wait(folder: Path, timeout: float) -> RunRecord:
    deadline = time.monotonic() + timeout
    while True:
        gone = server_process(load_record(folder)) is None
        # Read after the look at the process: one that ended well wrote its record before.
        record = load_record(folder)
        if record.state in RUN_ENDED:
            return record
        if gone:
            raise RunError(f"{orphan_sentence(record)}: it died before it could end its run")
        if time.monotonic() > deadline:
            raise RunError(f"{record.run} was told to end, and has not after {timeout:g} s")
        time.sleep(LOOK_S)
