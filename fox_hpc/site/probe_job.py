"""What `fox-hpc doctor` starts on each node of a small job: `python -m fox_hpc.site.probe_job RUN_DIR`.

It comes the way that a site's ranks come, dials the login node as they would, tries the shared folder
and the other nodes, and leaves `report-<node>.json`. It judges nothing.
"""

from __future__ import annotations

import importlib.metadata
import platform
import queue
import socket
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from ..environment import WorkerEnv, process_environ
from ..errors import LinkClosed, WireError, WorkspaceError
from ..spec import write_atomically
from ..wire.keys import load_keys, load_public
from ..wire.link import Link
from ..wire.probe import first_reachable
from ..wire.zmq_link import ZmqIo
from .probe_meeting import Meeting, meet, try_exclusive, try_rename, try_torch

#: For each address of the login node to answer.
REACH_S = 20.0
#: For a file that one host wrote to be seen by the other.
SEE_S = 30.0
PINGS = 5


class Report(msgspec.Struct):
    """What one node found; times in seconds, None where there was none to take.

    Args:
        url: the login node's address that answered first; `unreached` says why none did.
        skew_s: this node's clock less the login node's; right to half of `rtt_s`.
        login_saw_s: until a file of this node was seen on the login node; `saw_login_s` the reverse.
        round_s: a round over TCP between the nodes; `unmet` says why there was none.
        won: which of the files that all nodes tried to create this one got.
        reads: how often a file was read while it was replaced; `torn`, `missing` and `broken` of them
            found a mix of two versions, no file, or an error.
    """

    node: int
    host: str
    python: str
    fox_hpc: str
    url: str = ""
    reached_s: float | None = None
    unreached: str = ""
    skew_s: float | None = None
    rtt_s: float | None = None
    login_saw_s: float | None = None
    saw_login_s: float | None = None
    round_s: float | None = None
    unmet: str = ""
    won: list[int] = []
    reads: int = 0
    torn: int = 0
    missing: int = 0
    broken: str = ""
    torch: str = ""
    torch_s: float | None = None
    torch_error: str = ""


class Request(msgspec.Struct):
    """What the login node wants to know beside the usual; `probe.json` in the run folder."""

    torch: bool = False


def request_file(folder: Path) -> Path:
    """Where the request lies."""
    return folder / "probe.json"


def report_file(folder: Path, node: int) -> Path:
    """Where a node's report lies."""
    return folder / f"report-{node}.json"


def seen_file(folder: Path, writer: str, node: int) -> Path:
    """A file that the node, or the login node, writes for the other to see."""
    return folder / "seen" / f"{writer}-{node}"


def our_version() -> str:
    """Give the version of fox-hpc that is installed here, "" for a bare folder on the path."""
    try:
        return importlib.metadata.version("fox-hpc")
    except importlib.metadata.PackageNotFoundError:
        return ""


def await_file(path: Path, timeout_s: float = SEE_S) -> float | None:
    """Wait until a file of another host is seen here; say how long that took, None if it never was."""
    began = time.monotonic()
    while not path.exists():
        if time.monotonic() - began > timeout_s:
            return None
        time.sleep(0.005)
    return time.monotonic() - began


class Caller:
    """Asks the login node, one question after the other."""

    def __init__(self, io: ZmqIo, url: str, name: str, keys: Any, public: str) -> None:
        self._answers: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._link = io.dial(url, name, self, keys, public)

    def ask(self, kind: str, node: int) -> dict[str, Any]:
        """Ask and wait for the answer; raises LinkClosed if none comes."""
        self._link.send("", [msgspec.json.encode({"kind": kind, "node": node})])
        try:
            return self._answers.get(timeout=REACH_S + SEE_S)
        except queue.Empty:
            raise LinkClosed("the login node stopped answering") from None

    def received(self, link: Link, peer: str, frames: list[Any]) -> None:
        """See Handler."""
        self._answers.put(msgspec.json.decode(bytes(frames[0])))

    def peer_changed(self, link: Link, peer: str, up: bool) -> None:
        """See Handler; a link that breaks shows in the answer that does not come."""


def examine(worker: WorkerEnv, environ: Mapping[str, str]) -> Report:
    """Try everything that a site's ranks will need."""
    folder, node = Path(worker.run_dir), int(environ.get("FOX_NODE_RANK", "0"))
    host = environ.get("SLURMD_NODENAME") or socket.gethostname()
    report = Report(node, host, platform.python_version(), our_version())
    try:
        _way_back(report, worker, folder)
    except (WireError, WorkspaceError, OSError) as error:
        report.unreached = report.unreached or str(error)
    nodes = int(environ.get("FOX_NNODES", "1"))
    if nodes > 1:
        try:
            with meet(node, nodes, environ["MASTER_ADDR"], int(environ["MASTER_PORT"])) as meeting:
                report.round_s = meeting.round_s()
                _together(report, meeting, folder)
        except OSError as error:
            report.unmet = str(error)
    return report


def _way_back(report: Report, worker: WorkerEnv, folder: Path) -> None:
    keys_dir = Path(worker.keys_dir)
    keys, public = load_keys(keys_dir, worker.site_name), load_public(keys_dir)["relay"]
    began = time.monotonic()
    report.url = first_reachable(worker.parent_urls, keys, public, timeout_s=REACH_S)
    report.reached_s = time.monotonic() - began
    io = ZmqIo()
    try:
        caller = Caller(io, report.url, f"{worker.site_name}.node.{report.node}", keys, public)
        _compare_clocks(report, caller)
        _look_at_each_other(report, caller, folder)
    finally:
        io.close()


def _compare_clocks(report: Report, caller: Caller) -> None:
    for _ in range(PINGS):
        before = time.time()
        at = caller.ask("time", report.node)["at"]
        after = time.time()
        # The quickest answer is the one whose halves differ least.
        if report.rtt_s is None or after - before < report.rtt_s:
            report.rtt_s, report.skew_s = after - before, (before + after) / 2 - at


def _look_at_each_other(report: Report, caller: Caller, folder: Path) -> None:
    ours, theirs = seen_file(folder, "node", report.node), seen_file(folder, "login", report.node)
    # Each looks before the other writes: a file system may remember for a while that nothing was there.
    caller.ask("look", report.node)
    with ours.open("xb") as file:
        file.write(b"from a node")
    report.login_saw_s = caller.ask("wrote", report.node)["saw_s"]
    theirs.exists()
    caller.ask("write", report.node)
    report.saw_login_s = await_file(theirs)


def _together(report: Report, meeting: Meeting, folder: Path) -> None:
    report.won = try_exclusive(meeting, folder)
    report.reads, report.torn, report.missing, report.broken = try_rename(meeting, folder)
    if msgspec.json.decode(request_file(folder).read_bytes(), type=Request).torch:
        report.torch, report.torch_s, report.torch_error = try_torch(meeting)


def main() -> None:
    """Examine this node and leave the report."""
    report = examine(WorkerEnv.read(process_environ()), process_environ())
    write_atomically(report_file(Path(sys.argv[1]), report.node), msgspec.json.encode(report))


if __name__ == "__main__":
    main()
