"""`fox-hpc attach`: watch a run from elsewhere, by what it writes down."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import click

from ..errors import RunError
from ..record import RUN_ENDED, RunRecord, load_record
from . import options
from .ending import wait_for_ending
from .report import say_line
from .runs import find_run, is_orphan, json_line, outcome
from .signals import Interrupts
from .status import orphan_sentence
from .summary import print_summary
from .view import View, make_console, make_view

#: Seconds between two looks at the record.
LOOK_S = 0.3


@click.command("attach")
@click.argument("run", required=False)
@click.option(
    "--json", "as_json", is_flag=True, help="End stdout with one JSON object; the rest goes to stderr."
)
@options.workspace
def command(run: str | None, as_json: bool, workspace: Path) -> int:
    """Watch RUN until it ends: an id, the beginning of one, or a run folder; by default the newest.

    The exit code is the run's own. Ctrl-C detaches again, with exit code 0; the run goes on
    (`fox-hpc cancel` ends it).
    """
    folder = find_run(run, workspace)
    console = make_console(stderr=as_json)
    with Interrupts() as stop:
        view = make_view(console)
        try:
            record = _watch(folder, view, stop)
        finally:
            view.close()
    if stop.count:
        click.echo(f"detached: {record.run} goes on; fox-hpc attach {folder} comes back to it", err=as_json)
        return 0 if stop.signum == signal.SIGINT else stop.exit_code
    if record.state not in RUN_ENDED:
        raise RunError(f"{orphan_sentence(record)}: fox-hpc cleanup {folder} ends what it left")
    ending = wait_for_ending(record)
    print_summary(console, record, ending.scalars)
    if record.error:
        say_line(record.error)
    if as_json:
        click.echo(json_line(outcome(record)))
    return ending.exit_code


def _watch(folder: Path, view: View, stop: Interrupts) -> RunRecord:
    """Show the run until it ends, its process is gone, or somebody wants to leave."""
    while True:
        record = load_record(folder)
        gone = is_orphan(record)
        if gone:
            # Read after the look at the process: one that ended well wrote its record before.
            record = load_record(folder)
        view.update(record)
        if gone or stop.count or record.state in RUN_ENDED:
            return record
        time.sleep(LOOK_S)
