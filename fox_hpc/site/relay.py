"""FoxExecutor: the relay on a login node. It submits and watches the jobs of its sites, and passes
messages between server and workers, of which it reads the envelope and nothing else.

Two threads: the I/O thread passes messages on; the main thread talks to the scheduler, which may be slow.
It imports neither numpy nor torch.
"""

from __future__ import annotations

import gc
import logging
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..environment import WorkerEnv, process_environ, scrubbed
from ..errors import FoxError, NotAllowed, WireError, WorkspaceError
from ..hpc.probe import candidate_hosts
from ..spec import RunSpec, load_spec
from ..wire import channel, codec, envelope
from ..wire.cell import relay_cell, worker_cell
from ..wire.data_pump import DataPump
from ..wire.keys import load_keys, load_public, make_keys
from ..wire.link import Link
from ..wire.names import site_of
from ..wire.zmq_link import ZmqIo, ZmqListener
from .door import Door
from .jobs import SiteJob
from .keeper import JobKeeper
from .launcher import Launcher, attempt_folder, make_launcher
from .logs import tail
from .processes import when_owner_dies
from .relay_record import RelayRecord
from .words import ENDING_SIGNALS

log = logging.getLogger(__name__)

NAME = "relay"


class FoxExecutor:
    """One relay process, for one or more sites of one cluster.

    Args:
        door: the way to the server, on the same I/O thread.
    """

    def __init__(self, spec: RunSpec, launcher: Launcher, io: ZmqIo, door: Door) -> None:
        self.spec, self.launcher, self.io, self.door = spec, launcher, io, door
        #: Why this relay ends, as far as it was told: "over" is the run's own end.
        self.ended = ""
        #: Called on the I/O thread whenever the server listens (again).
        self.on_welcomed: Callable[[], None] = lambda: None
        record = self._record = RelayRecord(spec.folder)
        record.mend()
        self.keeper = JobKeeper(spec, launcher, record, self)
        self._touched: set[tuple[str, int]] = set()
        self._keys = load_keys(Path(spec.folder) / "keys", NAME)
        self._allowed = self._allowed_before()
        ports = spec.relay.ports
        # Workers of an earlier relay come back to its port, maybe before `listen` returns: it is made last.
        free = [port for port in range(ports[0], ports[1] + 1) if port != record.port()] if ports else [0]
        self._pump = DataPump(io, host=spec.relay.listen, ports=free)
        io.links.append(self._pump)
        self._down = self._listen(record.port())
        record.add("listening", port=self._down.port)

    def __repr__(self) -> str:
        return f"<FoxExecutor of {self.keeper!r}>"

    @property
    def port(self) -> int:
        """Where workers find this relay."""
        return self._down.port

    def _allowed_before(self) -> dict[str, str]:
        """Give the keys of the attempts that an earlier relay has submitted."""
        allowed = {}
        for site, job in self.keeper.jobs.items():
            folder = self._attempt_keys(site, job.attempt)
            try:
                allowed[site] = load_public(folder)[site]
            except WorkspaceError:
                log.debug("%s has no keys of an earlier relay", site)
            except (NotAllowed, KeyError) as error:
                log.warning("the keys in %s are not used: %s", folder, error)
        return allowed

    def _attempt_keys(self, site: str, attempt: int) -> Path:
        return attempt_folder(self.spec.folder, site, attempt) / "keys"

    def _listen(self, port: int) -> ZmqListener:
        """Listen where the relay before this one did, so that its workers come back."""
        relay = self.spec.relay
        try:
            return self.io.listen(
                self, self._keys, self._allowed, host=relay.listen, port=port, ports=relay.ports
            )
        except WireError as error:
            if not port:
                raise
            log.warning("%s: workers of an earlier relay will not find this one", error)
            return self.io.listen(self, self._keys, self._allowed, host=relay.listen, ports=relay.ports)

    def run(self) -> None:
        """Serve until `stop` was called and all jobs have ended."""
        self.door.enter(self, self.spec.run)
        self.keeper.run()
        self.io.close()

    def leave(self) -> None:
        """Note that sites whose jobs have ended may come back to this run, in another attempt."""
        for site, job in self.keeper.jobs.items():
            if job.ended and job.job_id:
                self._record.add("left", site, job.attempt)

    def stop(self, why: str = "asked") -> None:
        """End: cancel every job that has not ended; callable from a signal handler and any thread."""
        self.ended = self.ended or why
        self.keeper.later(self.keeper.stop)

    # The main thread; see keeper.Mouth.

    def submit(self, site: str, attempt: int) -> str:
        """See Mouth."""
        keys_dir = self._attempt_keys(site, attempt)
        keys_dir.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # A pair for this attempt alone: with the next one it is worth nothing any more.
        make_keys(keys_dir, [site], known={NAME: self._keys.public, "server": self.door.server_key})
        self._allowed[site] = load_public(keys_dir)[site]
        self._down.allow(self._allowed)
        self.io.call_soon(lambda: self._pump.refuse(site))
        worker = WorkerEnv(
            parent_urls=self._urls(),
            parent_fqcn=relay_cell(site),
            site_name=site,
            client_class=self.spec.client_class,
            run_dir=self.spec.folder,
            keys_dir=str(keys_dir),
            attempt=attempt,
        )
        return self.launcher.submit(site, worker)

    def _urls(self) -> tuple[str, ...]:
        """Say where workers may find this relay."""
        chosen = [one if "://" in one else self._down.urls([one])[0] for one in self.spec.relay.advertise]
        local = self.spec.scheduler == "local"
        found = (self._down.url,) if local else self._down.urls(candidate_hosts())
        return tuple(dict.fromkeys([*chosen, *found]))

    def let_finish(self, site: str) -> None:
        """See Mouth."""
        self._say(self._down, "shutdown", site)

    def _say(self, link: Link, kind: str, site: str, id: str = "") -> None:
        """Tell a site's rank 0 what does not come from the server."""
        target = worker_cell(site)
        head = envelope.seal(kind, channel.WORKER, id=id, origin=relay_cell(site), target=target)
        link.send(target, [head])

    def tell(self, job: SiteJob, *, final: bool, refused: str = "") -> None:
        """See Mouth."""
        folder = attempt_folder(self.spec.folder, job.site, job.attempt)
        tells = self.spec.owner.errors == "full" and job.ended and job.state != "DONE"
        news: dict[str, Any] = {
            "site": job.site,
            "scheduler": self.spec.scheduler,
            "job_id": job.job_id,
            "attempts": job.attempt,
            "state": job.state,
            "ready": job.ready,
            "reason": job.reason,
            "nodes": job.nodes,
            "exit_code": job.exit_code,
            "log": str(folder),
            "refused": refused,
            "final": final,
            "stderr_tail": tail(folder) if tells else "",
            "answered": job.answered and time.time() - (time.monotonic() - job.answered),
            "trouble": "" if final else self.keeper.trouble,
        }
        head = envelope.seal("event", channel.WORKER, origin=relay_cell(job.site), target="server")
        self.door.say([head, *codec.encode(news)])
        if job.ready and not news["ready"]:
            # The worker came meanwhile, and the server heard of it first: this must not be the last word.
            self.tell(job, final=final, refused=refused)

    # The I/O thread: the server; see door.Guest.

    def welcomed(self) -> None:
        """See Guest."""
        if self.door.data_address is not None:
            self._pump.lead_to(self.door.data_address)
        self.keeper.later(self.keeper.tell_all)
        for site in self.keeper.jobs:
            # What a worker has said while the door was shut stayed here: it says that again.
            self._say(self._down, "welcome", site)
        self.on_welcomed()

    def turned_away(self, words: str) -> None:
        """See Guest."""
        log.warning("%s: this relay ends its jobs", words)
        self.stop(words)

    def told(self, head: envelope.Envelope, frames: list[Any]) -> None:
        """See Guest."""
        site = site_of(head.target)
        if head.kind == "shutdown" and head.id == "over":
            self.stop("over")
        elif site not in self.keeper.jobs or head.origin != "server":
            log.warning("a message of %s for %s, which is not here, is dropped", head.origin, head.target)
        elif head.kind == "shutdown":
            todo = self.keeper.cancel if head.id == "cancel" else self.keeper.finish
            self.keeper.later(lambda: todo(site))
        else:
            self._down.send(head.target, frames)

    # The I/O thread: workers.

    def received(self, link: Link, peer: str, frames: list[Any]) -> None:
        """See Handler."""
        try:
            head = envelope.read(frames[0])
        except WireError as error:
            self.io.refusals.note("unreadable", peer, f"a message from {peer}: {error}")
            return
        if self._is_welcome(head, peer):
            self._from_worker(head, frames)

    def _is_welcome(self, head: envelope.Envelope, peer: str) -> bool:
        """Tell whether a worker may say this: for itself, to the server, in the attempt that is on."""
        job = self.keeper.jobs.get(site_of(peer))
        kind = words = ""
        if head.origin != peer:
            kind, words = "name of another", f"{peer} speaks for {head.origin}"
        elif head.target != "server":
            kind, words = (
                "target out of reach",
                f"{peer} says {head.kind} to {head.target}, not to the server",
            )
        elif job is None or head.attempt != job.attempt or job.ended:
            kind, words = "stale attempt", f"{head.kind} of {peer}, attempt {head.attempt}, comes too late"
        if kind:
            self.io.refusals.note(kind, f"{peer} {head.attempt}", words)
        return not kind

    def _from_worker(self, head: envelope.Envelope, frames: list[Any]) -> None:
        job = self.keeper.jobs[site_of(head.origin)]
        if head.kind == "ready":
            job.ready = True
            self._pump.admit(job.site, head.id)
            self.keeper.later(lambda: self.keeper.note_ready(job.site, head.attempt))
        elif head.kind == "reply":
            job.answered_calls += 1
        self.door.say(frames)

    def peer_changed(self, link: Link, peer: str, up: bool) -> None:
        """See Handler."""
        job = self.keeper.jobs.get(site_of(peer))
        if job is None or job.ended:
            return
        if up:
            # Also before the scheduler has said that it took the job: that may come after the job's begin.
            self._say(link, "data", job.site, str(self._pump.port))
        if job.state == "NEW":
            return
        if up:
            self._touched.add((job.site, job.attempt))
            job.lost_touch = None
        elif job.ready or (job.site, job.attempt) in self._touched:
            # Else it is the worker of an earlier attempt that goes, and says nothing of this one.
            job.ready, job.lost_touch = False, time.monotonic()
            job.suspected(job.lost_touch)
            self.keeper.later(lambda: None)


def main() -> None:
    """Run as a process: `python -m fox_hpc.site.relay RUN_DIR`; ends when its stdin does."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        spec = load_spec(sys.argv[1])
        keys_dir, io = Path(spec.folder) / "keys", ZmqIo()
        keys, server_key = load_keys(keys_dir, NAME), load_public(keys_dir)["server"]
        door = Door(io, spec.server_urls, NAME, keys, server_key, [site.name for site in spec.sites])
        relay = FoxExecutor(spec, make_launcher(spec, scrubbed(process_environ())), io, door)
    except FoxError as error:
        sys.exit(f"fox-hpc: {error}")
    # A scheduler that ends the job this runs in tells every process of it.
    for signum in ENDING_SIGNALS:
        signal.signal(signum, lambda *_: relay.stop())
    when_owner_dies(relay.stop)
    relay.run()


if __name__ == "__main__":
    gc.freeze()  # see worker
    main()
