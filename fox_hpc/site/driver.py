"""The driver: the small process on a job's first node that starts the ranks and tells how they ended."""

from __future__ import annotations

import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import msgspec

from ..environment import process_environ
from ..errors import FoxError
from ..hpc.resources import HpcConfig
from ..spec import load_spec, write_atomically
from . import launch_line
from .exit_codes import EXIT_NO_START
from .processes import end_tree, when_owner_dies


class Ended(msgspec.Struct):
    """What the driver leaves behind in `ended.json`: the last witness of a job's end."""

    exit_code: int
    host: str
    at: float


def ended_file(folder: Path) -> Path:
    """Where the driver's last word lies."""
    return folder / "ended.json"


def read_ended(folder: Path) -> Ended | None:
    """Read the driver's last word, if there is one."""
    try:
        return msgspec.json.decode(ended_file(folder).read_bytes(), type=Ended)
    except (OSError, msgspec.MsgspecError):
        return None


def forget_ended(folder: Path) -> None:
    """Take away the word of an earlier start of the same job."""
    ended_file(folder).unlink(missing_ok=True)


def drive(run_dir: str, site: str, attempt: int) -> None:
    """Start the site's ranks, wait for them, and exit as they did; never returns."""
    folder = Path(run_dir) / "sites" / site / f"attempt-{attempt}"
    code = EXIT_NO_START
    try:
        command, environ = _command(run_dir, site)
        code = _run(command, environ)
    except FoxError as error:
        print(f"fox-hpc: {error}", file=sys.stderr)  # noqa: T201 - this is the job's stderr
    finally:
        word = Ended(code, socket.gethostname(), time.time())
        write_atomically(ended_file(folder), msgspec.json.encode(word))
        sys.stdout.flush()
        sys.stderr.flush()
    sys.exit(code)


def _command(run_dir: str, site: str) -> tuple[list[str], dict[str, str]]:
    spec = load_spec(run_dir)
    environ = process_environ()
    environ |= _master(environ)
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


def _run(command: list[str], environ: Mapping[str, str]) -> int:
    try:
        child = subprocess.Popen(command, env=dict(environ), stdin=subprocess.DEVNULL)
    except OSError as error:
        print(f"fox-hpc: cannot start {command[0]}: {error.strerror}", file=sys.stderr)  # noqa: T201
        return EXIT_NO_START
    # submitit has made this process deaf to TERM; the ranks must hear it, and this process must outlive
    # them, so that the scheduler finds the job ended by its own signal.
    signal.signal(signal.SIGTERM, lambda *_: child.terminate())
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
