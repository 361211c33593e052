"""The driver: the small process on a job's first node that starts the ranks and tells how they ended."""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from ..environment import job_id_of, process_environ
from ..errors import FoxError
from ..hpc.nodes import job_nodes
from ..hpc.resources import HpcConfig
from ..spec import load_spec
from . import launch_line
from .exit_codes import EXIT_NO_START
from .node_starts import plan_starts, run_starts
from .processes import adopt_orphans, end_tree, end_with_children, when_owner_dies
from .words import DRAIN_FILE, ENDING_SIGNALS, Ended, forget_words, leave_word, was_ended_from_outside

_TERM_WAIT_S = 30.0
_told_to_end = threading.Event()


def drive(run_dir: str, site: str, attempt: int, *, owned: bool = False) -> None:
    """Start the site's ranks, wait for them, and exit as they did; never returns.

    Args:
        owned: no scheduler ends what is left when this process is killed: the ranks have to see it.
    """
    # submitit has made this process deaf to TERM. An order to end that comes while the ranks are prepared is
    # kept for them: without that the job would go on until its scheduler kills it.
    for signum in ENDING_SIGNALS:
        signal.signal(signum, lambda *_: _told_to_end.set())
    gc.freeze()  # see worker
    folder = Path(run_dir) / "sites" / site / f"attempt-{attempt}"
    code = EXIT_NO_START
    try:
        forget_words(folder)
        commands, environ = _commands(run_dir, site, folder, owned=owned)
        # The warning of a time limit or a preemption to come. LSF sends it to all processes of a job: those
        # that are started from here on are deaf to it, and the ranks look for the file instead.
        signal.signal(signal.SIGUSR2, signal.SIG_IGN)
        if owned:
            adopt_orphans()
        code = run_starts(
            commands,
            environ,
            folder,
            on_start=lambda: signal.signal(signal.SIGUSR2, lambda *_: (folder / DRAIN_FILE).touch()),
            told=_told_to_end,
            owned=owned,
        )
        if owned:
            end_tree(os.getpid(), itself=False)
    except FoxError as error:
        print(f"fox-hpc: {error}", file=sys.stderr)  # noqa: T201 - this is the job's stderr
    finally:
        told = _told_to_end.is_set() or was_ended_from_outside(folder)
        leave_word(folder, "ended", Ended(code, socket.gethostname(), time.time(), told))
        sys.stdout.flush()
        sys.stderr.flush()
    if was_ended_from_outside(folder):
        # Slurm ends a step before it ends its job: a driver that leaves in between makes a preempted
        # job a failed one, which nobody starts again (slurm.conf, GraceTime).
        _told_to_end.wait(_TERM_WAIT_S)
    sys.exit(code)


def _commands(
    run_dir: str, site: str, folder: Path, *, owned: bool
) -> tuple[list[list[str]], dict[str, str]]:
    """Give the commands that start the ranks of all nodes, and the environment for them."""
    spec = load_spec(run_dir)
    environ = process_environ()
    nodes = job_nodes(environ, _read) or [socket.gethostname()]
    environ |= _master(nodes) | _deadline(environ)
    environ["FOX_JOB_ID"] = str(os.getpid()) if owned else job_id_of(environ)
    environ.setdefault("PYTHONUNBUFFERED", "1")
    # Slurm's name for the number of nodes is the one that recipes use, under any scheduler.
    line = launch_line.split(spec.site(site).run_cmd, {**environ, "SLURM_NNODES": str(len(nodes))})
    # Without a scheduler nothing is asked of one, and neither is a cluster's container there.
    config = HpcConfig() if owned else HpcConfig.from_mapping(spec.site(site).hpc)
    python = config.rank_python(spec.python)
    owner = ["--with-owner"] * owned
    adapter = [*python, "-m", "fox_hpc.site.adapter", *owner, spec.training_module or "-", *line.inner]
    if not line.step:
        return [adapter], environ
    if environ.get("FOX_LAUNCHER", "srun") == "srun":
        return [[*launch_line.step_words(line, environ), *adapter]], environ
    starts = plan_starts(line.step, adapter, nodes, environ, config, folder)
    return [list(start.argv) for start in starts], environ


def _read(path: str) -> str:
    return Path(path).read_text()


def _master(nodes: list[str]) -> dict[str, str]:
    """Say where the ranks meet: this node, and a port that is free on it now."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        port = probe.getsockname()[1]
    return {
        "FOX_NNODES": str(len(nodes)),
        "MASTER_ADDR": _address(nodes[0]),
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
    """Give this node's name if it leads here, else the address that leads out of this node.

    A name that is unknown, or another machine's (a fake node may be called like a real one), does not.
    """
    if _is_here(name):
        return name
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("198.51.100.1", 9))  # sends nothing: asks the routing table
            return str(probe.getsockname()[0])
        except OSError:
            return "127.0.0.1"


def _is_here(name: str) -> bool:
    try:
        for family, kind, protocol, _, address in socket.getaddrinfo(name, 0, type=socket.SOCK_STREAM):
            with socket.socket(family, kind, protocol) as probe:
                probe.bind(address)
                return True
    except OSError:
        return False
    return False


def main() -> None:
    """Run as a process: `python -m fox_hpc.site.driver RUN_DIR SITE ATTEMPT [--with-owner]`."""
    run_dir, site, attempt, *rest = sys.argv[1:]
    if rest == ["--with-owner"]:
        when_owner_dies(end_with_children)
    drive(run_dir, site, int(attempt), owned=rest == ["--with-owner"])


if __name__ == "__main__":
    main()
