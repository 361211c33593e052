"""`fox-hpc fake up`: a shell, or one command, with a fake scheduler on PATH."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Sequence
from types import FrameType

import click

from ..environment import process_environ
from ..errors import SchedulerError
from ..fake import FakeCluster


@click.group("fake")
def command() -> None:
    """A scheduler for machines that have none: real programs, whose jobs really run here."""


@command.command("up")
@click.option("--dialect", type=click.Choice(["slurm", "pbs", "lsf"]), default="slurm", show_default=True)
@click.option("--nodes", type=click.IntRange(min=1), default=4, show_default=True, help="How many nodes.")
@click.option("--cpus", type=click.IntRange(min=1), default=4, show_default=True, help="CPUs of each node.")
@click.option("--gpus", type=click.IntRange(min=0), default=2, show_default=True, help="GPUs of each node.")
@click.argument("argv", metavar="[-- COMMAND...]", nargs=-1, type=click.UNPROCESSED)
def up(dialect: str, nodes: int, cpus: int, gpus: int, argv: tuple[str, ...]) -> int:
    """Run COMMAND, or a shell, with the scheduler's commands on PATH; then take the cluster down.

    The exit code is the command's own; 127 if it cannot be started.
    """
    cluster = FakeCluster(dialect=dialect, nodes=nodes, cpus=cpus, gpus=gpus, accounts=(), qos=())
    try:
        cluster.up()
    except RuntimeError as error:
        raise SchedulerError(str(error)) from error
    try:
        environ = {**process_environ(), **cluster.env}
        if not argv:
            click.echo(f"a fake {dialect} of {nodes} nodes is on PATH; leave this shell to end it", err=True)
        return run_in_foreground(argv or (environ.get("SHELL", "/bin/sh"),), environ)
    finally:
        cluster.down()


def run_in_foreground(argv: Sequence[str], environ: dict[str, str]) -> int:
    """Run a command on this terminal and give its exit code as a shell would.

    Ctrl-C is the command's business, which the terminal tells of it; TERM and HUP are passed on.
    """
    child: subprocess.Popen[bytes] | None = None
    early: list[int] = []

    def pass_on(signum: int, frame: FrameType | None) -> None:
        if child is not None:
            child.send_signal(signum)
        else:
            early.append(signum)

    before = {signum: signal.signal(signum, pass_on) for signum in (signal.SIGTERM, signal.SIGHUP)}
    before[signal.SIGINT] = signal.signal(signal.SIGINT, lambda signum, frame: None)
    try:
        child = subprocess.Popen(argv, env=environ)
        # The command may run, and tell so, before it is known here whom to pass a signal on to.
        for signum in early:
            child.send_signal(signum)
        code = child.wait()
    except OSError as error:
        click.echo(f"fox-hpc: {argv[0]}: {error.strerror}", err=True)
        return 127
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
    return code if code >= 0 else 128 - code
