"""The driver: the small process on a job's first node that starts the ranks and tells how they ended."""

from __future__ import annotations

import os
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from ..environment import process_environ
from ..errors import FoxError
from ..hpc.resources import HpcConfig
from ..spec import load_spec
from . import launch_line
from .exit_codes import EXIT_NO_START
from .processes import end_tree, when_owner_dies
from .words import DRAIN_FILE, Ended, forget_words, leave_word, was_ended_from_outside

_TERM_WAIT_S = 30.0
_told_to_end = threading.Event()


def drive(run_dir: str, site: str, attempt: int) -> None:
    """Start the site's ranks, wait for them, and exit as they did; never returns."""
    folder = Path(run_dir) / "sites" / site / f"attempt-{attempt}"
    code = EXIT_NO_START
    try:
        forget_words(folder)
        command, environ = _command(run_dir, site)
        code = _run(command, environ, folder)
    except FoxError as error:
        print(f"fox-hpc: {error}", file=sys.stderr)  # noqa: T201 - this is the job's stderr
    finally:
        leave_word(folder, "ended", Ended(code, socket.gethostname(), time.time()))
        sys.stdout.flush()
        sys.stderr.flush()
    if was_ended_from_outside(folder):
        # Slurm ends a step before it ends its job: a driver that leaves in between makes a preempted
        # job a failed one, which nobody starts again (slurm.conf, GraceTime).
        _told_to_end.wait(_TERM_WAIT_S)
    sys.exit(code)


def _command(run_dir: str, site: str) -> tuple[list[str], dict[str, str]]:
    spec = load_spec(run_dir)
    environ = process_environ()
    environ |= _master(environ) | _deadline(environ)
    # A home folder on the login node may hold other versions of the same packages.
    environ.setdefault("PYTHONUNBUFFERED", "1")
    line = launch_line.split(spec.site(site).run_cmd, environ)
    config = HpcConfig.from_mapping(spec.site(site).hpc)
    python = shlex.split(config.python) if config.python else [spec.python]
    step = launch_line.step_words(line, environ)
    adapter = [*python, "-m", "fox_hpc.site.adapter", spec.training_module or "-", *line.inner]
    return [*step, *adapter], environ


def _master(environ: Mapping[str, str]) -> dict[str, str]:
    """Say where the ranks meet: this node, and a port that is free on it now."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        port = probe.getsockname()[1]
    return {
        "FOX_NNODES": environ.get("SLURM_NNODES", "1"),
        "MASTER_ADDR": _address(environ.get("SLURMD_NODENAME", "")),
        "MASTER_PORT": str(port),
    }


def _deadline(environ: Mapping[str, str]) -> dict[str, str]:
    """Say when the ranks should stop by themselves: some time before the scheduler stops them."""
    limit = environ.get("FOX_TIME_LIMIT_S")
    if not limit:
        return {}
    lead_s = float(environ.get("FOX_SIGNAL_LEAD_S", "0"))
    return {"FOX_SOFT_DEADLINE": str(time.time() + float(limit) - lead_s)}


def _address(name: str) -> str:
    """Give this node's name if it can be looked up, else the address that leads out of it."""
    if name:
        try:
            socket.getaddrinfo(name, None)
        except OSError:
            pass
        else:
            return name
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("198.51.100.1", 9))  # sends nothing: asks the routing table
            return str(probe.getsockname()[0])
        except OSError:
            return "127.0.0.1"


def _run(command: list[str], environ: Mapping[str, str], folder: Path) -> int:
    try:
        child = subprocess.Popen(command, env=dict(environ), stdin=subprocess.DEVNULL)
    except OSError as error:
        print(f"fox-hpc: cannot start {command[0]}: {error.strerror}", file=sys.stderr)  # noqa: T201
        return EXIT_NO_START

    def end(*_: object) -> None:
        _told_to_end.set()
        child.terminate()

    # submitit has made this process deaf to TERM; the ranks must hear it, and this process must outlive
    # them, so that the scheduler finds the job ended by its own signal.
    signal.signal(signal.SIGTERM, end)
    # The warning of a time limit or a preemption to come; the ranks look for the file.
    signal.signal(signal.SIGUSR2, lambda *_: (folder / DRAIN_FILE).touch())
    code = child.wait()
    return code if code >= 0 else 128 - code


def _end_with_ranks() -> None:
    end_tree(os.getpid(), itself=False)
    os._exit(1)


def main() -> None:
    """Run as a process: `python -m fox_hpc.site.driver RUN_DIR SITE ATTEMPT [--with-owner]`."""
    run_dir, site, attempt, *rest = sys.argv[1:]
    if rest == ["--with-owner"]:
        when_owner_dies(_end_with_ranks)
    drive(run_dir, site, int(attempt))


if __name__ == "__main__":
    main()
