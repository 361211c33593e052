"""The login node's half of `doctor`'s small job: submit it as a site's, answer its nodes, watch it end."""

from __future__ import annotations

import queue
import shlex
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from ..environment import WorkerEnv, scrubbed
from ..errors import SchedulerError
from ..hpc.dialect import ENDED, JobInfo
from ..hpc.probe import candidate_hosts
from ..hpc.resources import HpcConfig
from ..site.launcher import Launcher, attempt_folder, make_launcher
from ..site.logs import tail
from ..site.probe_job import Report, Request, await_file, report_file, request_file, seen_file
from ..spec import RunSpec, SiteSpec, save_spec, write_atomically
from ..wire.keys import load_keys, load_public, make_keys
from ..wire.link import Link
from ..wire.zmq_link import ZmqIo

SITE = "site-1"
#: A probe that runs longer than this is stuck.
RUN_S = 180.0
#: The limit that its job asks for, in minutes.
TIME_LIMIT = "10"
#: Between two looks at the queue.
LOOKS_S = (0.3, 0.5, 1.0, 2.0, 3.0, 5.0)
#: After the job's end its reports may take so long to be seen here.
LATE_S = 30.0


class Stopped(Exception):
    """Somebody asked for the end of the examination."""


@dataclass
class Probed:
    """What became of the job.

    Args:
        refused: the scheduler's words if it did not take the job.
        info: the last that the scheduler said of it.
        waited_s: how long it was pending; None if it never ran.
        gave_up: why it was cancelled before its end, "" if it was not.
    """

    urls: tuple[str, ...] = ()
    refused: str = ""
    job_id: str = ""
    info: JobInfo | None = None
    waited_s: float | None = None
    gave_up: str = ""
    reports: list[Report] = field(default_factory=list)
    stderr_tail: str = ""


class Desk:
    """Answers what the nodes ask. What takes time is left to `serve`, so that clocks are compared well."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._asked: queue.SimpleQueue[tuple[Link, str, str, int]] = queue.SimpleQueue()

    def received(self, link: Link, peer: str, frames: list[Any]) -> None:
        """See Handler."""
        asked = msgspec.json.decode(bytes(frames[0]))
        if asked["kind"] == "time":
            _answer(link, peer, at=time.time())
        else:
            self._asked.put((link, peer, asked["kind"], asked["node"]))

    def peer_changed(self, link: Link, peer: str, up: bool) -> None:
        """See Handler; the scheduler tells how the job ended."""

    def serve(self, until: float) -> None:
        """Answer questions until then."""
        while (left := until - time.monotonic()) > 0:
            try:
                link, peer, kind, node = self._asked.get(timeout=left)
            except queue.Empty:
                return
            ours, theirs = seen_file(self._folder, "login", node), seen_file(self._folder, "node", node)
            if kind == "look":
                _answer(link, peer, there=theirs.exists())
            elif kind == "wrote":
                _answer(link, peer, saw_s=await_file(theirs))
            else:
                ours.write_bytes(b"from the login node")
                _answer(link, peer)


def _answer(link: Link, peer: str, **fields: object) -> None:
    link.send(peer, [msgspec.json.encode(fields)])


def make_probe_spec(folder: Path, run: str, scheduler: str, config: HpcConfig) -> RunSpec:
    """Describe a run of one site, whose ranks are `site.probe_job`, one on each node."""
    # Within a container its own python is meant, which has no path out here.
    python = shlex.split(config.python)[-1] if config.python else sys.executable
    run_cmd = f"srun {shlex.quote(python)} -m fox_hpc.site.probe_job {shlex.quote(str(folder))}"
    return RunSpec(
        run=run,
        job_name="doctor",
        folder=str(folder),
        sites=(SiteSpec(SITE, run_cmd, config.as_mapping()),),
        min_clients=1,
        client_class="",
        python=sys.executable,
        scheduler=scheduler,
        server_urls=(),
    )


def probe(
    spec: RunSpec,
    environ: Mapping[str, str],
    *,
    torch: bool,
    pending_s: float,
    stopped: Callable[[], bool],
) -> Probed:
    """Run the job to its end; whatever happens, it is not left behind.

    Raises:
        Stopped: `stopped` said so; the job was cancelled.
        SchedulerError: the job could not be cancelled; it ends by its time limit.
    """
    folder = Path(spec.folder)
    (folder / "seen").mkdir()
    write_atomically(request_file(folder), msgspec.json.encode(Request(torch)))
    save_spec(spec)
    make_keys(folder / "keys", ["relay", SITE])
    public = load_public(folder / "keys")
    io, desk = ZmqIo(), Desk(folder)
    try:
        link = io.listen(desk, load_keys(folder / "keys", "relay"), {SITE: public[SITE]})
        probed = Probed(urls=link.urls(candidate_hosts()))
        launcher = make_launcher(spec, scrubbed(environ))
        try:
            probed.job_id = launcher.submit(SITE, _worker(spec, probed.urls))
        except SchedulerError as error:
            probed.refused = str(error)
            return probed
        _to_its_end(probed, launcher, desk, pending_s, stopped)
    finally:
        io.close()
    _collect(probed, folder, spec)
    return probed


def _worker(spec: RunSpec, urls: tuple[str, ...]) -> WorkerEnv:
    return WorkerEnv(
        parent_urls=urls,
        parent_fqcn=f"{SITE}.app",
        site_name=SITE,
        client_class="",
        run_dir=spec.folder,
        keys_dir=str(Path(spec.folder) / "keys"),
    )


def _to_its_end(
    probed: Probed, launcher: Launcher, desk: Desk, pending_s: float, stopped: Callable[[], bool]
) -> None:
    ended = False
    try:
        ended = _watch(probed, launcher, desk, pending_s, stopped)
    finally:
        if not ended:
            launcher.cancel([probed.job_id])


def _watch(
    probed: Probed, launcher: Launcher, desk: Desk, pending_s: float, stopped: Callable[[], bool]
) -> bool:
    """Look at the job until it has ended (True) or takes too long (False)."""
    began = time.monotonic()
    running: float | None = None
    looks, next_look = 0, began + LOOKS_S[0]
    while not stopped():
        desk.serve(min(next_look, time.monotonic() + 0.2))
        now = time.monotonic()
        if now >= next_look:
            next_look = now + LOOKS_S[min(looks, len(LOOKS_S) - 1)]
            looks += 1
            probed.info = launcher.poll([probed.job_id]).get(probed.job_id, probed.info)
        state = probed.info.state if probed.info else "PENDING"
        if running is None and state != "PENDING":
            running = now
            probed.waited_s = running - began
        if state in ENDED:
            return True
        if running is None and now - began > pending_s:
            reason = probed.info.reason if probed.info else "the scheduler says nothing of it"
            probed.gave_up = f"it was still PENDING ({reason or 'no reason given'}) after {pending_s:g} s"
            return False
        if running is not None and now - running > RUN_S:
            probed.gave_up = f"it had run for {RUN_S:g} s"
            return False
    raise Stopped


def _collect(probed: Probed, folder: Path, spec: RunSpec) -> None:
    nodes = int(spec.site(SITE).hpc.get("nodes_per_client", 1))
    clean = probed.info is not None and probed.info.state == "DONE"
    deadline = time.monotonic() + (LATE_S if clean else 1.0)
    for node in range(nodes):
        path = report_file(folder, node)
        if await_file(path, max(0.0, deadline - time.monotonic())) is not None:
            probed.reports.append(msgspec.json.decode(path.read_bytes(), type=Report))
    probed.stderr_tail = tail(attempt_folder(folder, SITE, 1))
