"""FoxExecutor: the relay on a login node. It submits and watches the jobs of its sites, and passes
messages between server and workers, of which it reads the envelope and nothing else.

Two threads: the I/O thread passes messages on; the main thread talks to the scheduler, which may be slow.
It imports neither numpy nor torch.
"""

from __future__ import annotations

import logging
import signal
import sys
import time
from pathlib import Path
from typing import Any

from ..environment import WorkerEnv, process_environ, scrubbed
from ..errors import FoxError, NotAllowed, WireError
from ..hpc.probe import candidate_hosts
from ..spec import RunSpec, load_spec
from ..wire import channel, codec, envelope
from ..wire.cell import relay_cell, worker_cell
from ..wire.keys import Keys, load_keys, load_public
from ..wire.link import Link
from ..wire.probe import first_reachable
from ..wire.zmq_link import ZmqIo, ZmqListener
from .jobs import SiteJob
from .keeper import JobKeeper
from .launcher import Launcher, attempt_folder, make_launcher
from .logs import tail
from .processes import when_owner_dies
from .relay_record import RelayRecord

log = logging.getLogger(__name__)

NAME = "relay"


class FoxExecutor:
    """One relay process, for one or more sites of one cluster."""

    def __init__(self, spec: RunSpec, launcher: Launcher) -> None:
        self.spec, self.launcher = spec, launcher
        record = RelayRecord(spec.folder)
        record.mend()
        self.keeper = JobKeeper(spec, launcher, record, self)
        self._record = record
        keys_dir = Path(spec.folder) / "keys"
        keys, public = load_keys(keys_dir, NAME), load_public(keys_dir)
        self._allowed = {site.name: public[site.name] for site in spec.sites}
        self.io = ZmqIo()
        self._down = self._listen(keys, record.port())
        record.add("listening", port=self._down.port)
        url = first_reachable(spec.server_urls, keys, public["server"])
        self._up = self.io.dial(url, NAME, self, keys, public["server"])

    def __repr__(self) -> str:
        return f"<FoxExecutor of {self.keeper!r}>"

    def _listen(self, keys: Keys, port: int) -> ZmqListener:
        """Listen where the relay before this one did, so that its workers come back."""
        try:
            return self.io.listen(self, keys, self._allowed, port=port)
        except WireError as error:
            log.warning("%s: workers of an earlier relay will not find this one", error)
            return self.io.listen(self, keys, self._allowed)

    def run(self) -> None:
        """Serve until `stop` was called and all jobs have ended."""
        self.keeper.run()
        self.io.close()

    def stop(self) -> None:
        """End: cancel every job that has not ended; callable from a signal handler and any thread."""
        self.keeper.later(self.keeper.stop)

    # The main thread; see keeper.Mouth.

    def submit(self, site: str, attempt: int) -> str:
        """See Mouth."""
        hosts = ["127.0.0.1"] if self.spec.scheduler == "local" else candidate_hosts()
        worker = WorkerEnv(
            parent_urls=self._down.urls(hosts),
            parent_fqcn=relay_cell(site),
            site_name=site,
            client_class=self.spec.client_class,
            run_dir=self.spec.folder,
            keys_dir=str(Path(self.spec.folder) / "keys"),
            attempt=attempt,
        )
        return self.launcher.submit(site, worker)

    def let_finish(self, site: str) -> None:
        """See Mouth."""
        target = worker_cell(site)
        head = envelope.seal("shutdown", channel.WORKER, origin=relay_cell(site), target=target)
        self._down.send(target, [head])

    def tell(self, job: SiteJob, *, final: bool, refused: str = "") -> None:
        """See Mouth."""
        folder = attempt_folder(self.spec.folder, job.site, job.attempt)
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
            "stderr_tail": tail(folder) if job.ended and job.state != "DONE" else "",
        }
        head = envelope.seal("event", channel.WORKER, origin=relay_cell(job.site), target="server")
        self._up.send("", [head, *codec.encode(news)])

    # The I/O thread: messages.

    def received(self, link: Link, peer: str, frames: list[Any]) -> None:
        """See Handler."""
        try:
            head = envelope.read(frames[0])
        except WireError as error:
            log.warning("a message from %s is dropped: %s", peer or "the server", error)
            return
        if link is self._up:
            self._from_server(head, frames)
        else:
            self._from_worker(head, peer, frames)

    def _from_server(self, head: envelope.Envelope, frames: list[Any]) -> None:
        site = head.target.partition(".")[0]
        if site not in self.keeper.jobs:
            log.warning("a message for %s, which is not here, is dropped", head.target)
        elif head.kind == "shutdown":
            todo = self.keeper.cancel if head.id == "cancel" else self.keeper.finish
            self.keeper.later(lambda: todo(site))
        else:
            self._down.send(head.target, frames)

    def _from_worker(self, head: envelope.Envelope, peer: str, frames: list[Any]) -> None:
        site = head.origin.partition(".")[0]
        job = self.keeper.jobs.get(site)
        if peer.partition(".")[0] != site:
            log.warning("%s", NotAllowed(f"{peer} speaks for {head.origin}"))
            return
        if job is None or head.attempt != job.attempt or job.ended:
            log.warning("%s of %s, attempt %d, comes too late", head.kind, head.origin, head.attempt)
            return
        if head.kind == "ready":
            job.ready = True
            self.keeper.later(lambda: self.keeper.note_ready(site, head.attempt))
        elif head.kind == "reply":
            job.answered_calls += 1
        self._up.send("", frames)

    def peer_changed(self, link: Link, peer: str, up: bool) -> None:
        """See Handler."""
        if link is self._up:
            if up:
                self._up.send("", [envelope.seal("join", channel.WORKER, origin=NAME, target="server")])
                self.keeper.later(self.keeper.tell_all)
            return
        job = self.keeper.jobs.get(peer.partition(".")[0])
        if job is not None and not job.ended:
            now = time.monotonic()
            job.lost_touch = None if up else now
            if not up:
                job.ready = False
                job.suspected(now)
                self.keeper.later(lambda: None)


def main() -> None:
    """Run as a process: `python -m fox_hpc.site.relay RUN_DIR`; ends when its stdin does."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        spec = load_spec(sys.argv[1])
        environ = scrubbed(process_environ())
        relay = FoxExecutor(spec, make_launcher(spec, environ))
    except FoxError as error:
        sys.exit(f"fox-hpc: {error}")
    signal.signal(signal.SIGTERM, lambda *_: relay.stop())
    when_owner_dies(relay.stop)
    relay.run()


if __name__ == "__main__":
    main()
