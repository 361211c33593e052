"""FoxExecutor: the relay on a login node. It submits and watches the jobs of its sites, and passes
messages between server and workers, of which it reads the envelope and nothing else.

Two threads: the I/O thread passes messages on; the main thread talks to the scheduler, which may be slow.
It imports neither numpy nor torch.
"""

from __future__ import annotations

import logging
import queue
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..environment import WorkerEnv, process_environ, scrubbed
from ..errors import FoxError, NotAllowed, SchedulerError, SubmitError, WireError
from ..hpc.probe import candidate_hosts
from ..hpc.resources import HpcConfig
from ..spec import RunSpec, load_spec
from ..wire import channel, codec, envelope
from ..wire.cell import relay_cell, worker_cell
from ..wire.keys import load_keys, load_public
from ..wire.link import Link
from ..wire.probe import first_reachable
from ..wire.zmq_link import ZmqIo
from .driver import read_ended
from .jobs import SiteJob
from .launcher import Launcher, attempt_folder, job_name, make_launcher
from .logs import tail
from .processes import when_owner_dies
from .relay_record import RelayRecord

log = logging.getLogger(__name__)

NAME = "relay"
#: How long a relay that ends tries to see its jobs end.
GIVE_UP_S = 20.0
#: Between two looks for the driver's last word, while a job is thought to have ended …
_QUICK_S = 0.2
#: … and the longest sleep of a relay that watches nothing.
_IDLE_S = 5.0


class FoxExecutor:
    """One relay process, for one or more sites of one cluster."""

    def __init__(self, spec: RunSpec, launcher: Launcher) -> None:
        self.spec, self.launcher = spec, launcher
        self.record = RelayRecord(spec.folder)
        self.jobs = {site.name: SiteJob(site.name) for site in spec.sites}
        self._todo: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._over: float | None = None
        self._uncancelled: set[str] = set()

        keys_dir = Path(spec.folder) / "keys"
        keys, public = load_keys(keys_dir, NAME), load_public(keys_dir)
        allowed = {site.name: public[site.name] for site in spec.sites}
        self.io = ZmqIo()
        self._down = self.io.listen(self, keys, allowed)
        url = first_reachable(spec.server_urls, keys, public["server"])
        self._up = self.io.dial(url, NAME, self, keys, public["server"])

    def __repr__(self) -> str:
        states = ", ".join(f"{site} {job.state}" for site, job in self.jobs.items())
        return f"<FoxExecutor {self.spec.run} · {states}>"

    # The main thread: the scheduler.

    def run(self) -> None:
        """Submit every site's job and watch it, until `stop` was called and all jobs have ended."""
        for site in self.jobs:
            self._todo.put(lambda site=site: self._submit(site))  # type: ignore[misc]
        while not self._may_go():
            try:
                self._todo.get(timeout=self._idle_s())()
            except queue.Empty:
                self._watch()
        self.io.close()

    def _idle_s(self) -> float:
        """Say how long there is nothing to do: a relay on a login node should sleep."""
        watched = [job for job in self.jobs.values() if job.watched]
        if self._over is not None or any(job.suspect for job in watched):
            return _QUICK_S
        now = time.monotonic()
        return max(0.0, min([job.next_look - now for job in watched], default=_IDLE_S))

    def _may_go(self) -> bool:
        if self._over is None:
            return False
        # Jobs that a scheduler out of reach cannot cancel end by themselves: their lease is not renewed.
        return all(job.ended for job in self.jobs.values()) or time.monotonic() > self._over + GIVE_UP_S

    def stop(self) -> None:
        """End: cancel every job that has not ended; callable from a signal handler and any thread."""
        self._todo.put(self._stop)

    def _stop(self) -> None:
        self._over = self._over or time.monotonic()
        for site in self.jobs:
            self._cancel(site)

    def _submit(self, site: str) -> None:
        job = self.jobs[site]
        if job.ended:
            return
        worker = self._worker_env(site)
        self.record.add("submitting", site, job.attempt, job_name=job_name(self.spec, site, job.attempt))
        try:
            job_id = self.launcher.submit(site, worker)
        except SchedulerError as error:
            # What may have been taken all the same keeps its open line, and is looked for by its name.
            if not (isinstance(error, SubmitError) and error.transient):
                self.record.add("refused", site, job.attempt)
            config = HpcConfig.from_mapping(self.spec.site(site).hpc)
            why = f"{error}\n({site} asked for {config.asked()})"
            job.state, job.reason = "FAILED", why
            self._tell(site, refused=why)
            return
        self.record.add("submitted", site, job.attempt, job_id=job_id)
        job.submitted(job_id, time.monotonic())
        self._tell(site)

    def _worker_env(self, site: str) -> WorkerEnv:
        local = self.spec.scheduler == "local"
        hosts = ["127.0.0.1"] if local else candidate_hosts()
        return WorkerEnv(
            parent_urls=self._down.urls(hosts),
            parent_fqcn=relay_cell(site),
            site_name=site,
            client_class=self.spec.client_class,
            run_dir=self.spec.folder,
            keys_dir=str(Path(self.spec.folder) / "keys"),
            attempt=self.jobs[site].attempt,
        )

    def _watch(self) -> None:
        now = time.monotonic()
        for job in self.jobs.values():
            if job.watched and job.suspect:
                self._read_driver(job, now)
        due = [job for job in self.jobs.values() if job.watched and job.next_look <= now]
        if not due:
            return
        for job in due:
            if job.site in self._uncancelled:
                self._cancel(job.site)
        # One question for all jobs costs the scheduler no more than one for one.
        watched = [job for job in self.jobs.values() if job.watched]
        answers = self.launcher.poll([job.job_id for job in watched])
        now = time.monotonic()
        for job in watched:
            info = answers.get(job.job_id)
            if info is not None and info.state == "LOST":
                self._read_driver(job, now)
            if job.observe(info, now, self.spec.poll_s):
                self._changed(job)
            elif job.lost_touch is not None and now - job.lost_touch > self.spec.lease_s:
                job.reason = f"its worker was out of touch for {self.spec.lease_s:g} s"
                self._cancel(job.site)

    def _read_driver(self, job: SiteJob, now: float) -> None:
        if job.driver_ended is None:
            word = read_ended(attempt_folder(self.spec.folder, job.site, job.attempt))
            if word is not None:
                job.driver_ended, job.driver_code = now, word.exit_code
                job.suspected(now)

    def _changed(self, job: SiteJob) -> None:
        log.info("%s job %s is %s %s", job.site, job.job_id, job.state, job.reason)
        if job.ended:
            job.ready = False
            self.record.add("ended", job.site, job.attempt, job_id=job.job_id, state=job.state)
        self._tell(job.site)

    def _finish(self, site: str) -> None:
        """The run is over: a worker that serves ends by itself, any other job is cancelled."""
        job = self.jobs[site]
        if job.ready:
            head = envelope.seal(
                "shutdown", channel.WORKER, origin=relay_cell(site), target=worker_cell(site)
            )
            self._down.send(worker_cell(site), [head])
        else:
            self._cancel(site)

    def _cancel(self, site: str) -> None:
        job = self.jobs[site]
        if job.state == "NEW":
            job.state = "CANCELLED"
            self._tell(site)
        elif job.watched:
            job.cancel_asked = True
            job.suspected(time.monotonic())
            try:
                self.launcher.cancel([job.job_id])
                self._uncancelled.discard(site)
            except SchedulerError as error:
                self._uncancelled.add(site)
                log.warning("job %s of %s could not be cancelled: %s", job.job_id, site, error)

    def _tell_all(self) -> None:
        for site in self.jobs:
            self._tell(site)

    def _tell(self, site: str, refused: str = "") -> None:
        job = self.jobs[site]
        folder = attempt_folder(self.spec.folder, site, job.attempt)
        news: dict[str, Any] = {
            "site": site,
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
            "stderr_tail": tail(folder) if job.ended and job.state != "DONE" else "",
        }
        head = envelope.seal("event", channel.WORKER, origin=relay_cell(site), target="server")
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
        if site not in self.jobs:
            log.warning("a message for %s, which is not here, is dropped", head.target)
        elif head.kind == "shutdown":
            todo = self._finish if head.target == relay_cell(site) and head.id != "cancel" else self._cancel
            self._todo.put(lambda: todo(site))
        else:
            self._down.send(head.target, frames)

    def _from_worker(self, head: envelope.Envelope, peer: str, frames: list[Any]) -> None:
        site = head.origin.partition(".")[0]
        job = self.jobs.get(site)
        if peer.partition(".")[0] != site:
            log.warning("%s", NotAllowed(f"{peer} speaks for {head.origin}"))
            return
        if job is None or head.attempt != job.attempt or job.ended:
            log.warning("%s of %s, attempt %d, comes too late", head.kind, head.origin, head.attempt)
            return
        if head.kind == "ready":
            job.ready = True
        self._up.send("", frames)

    def peer_changed(self, link: Link, peer: str, up: bool) -> None:
        """See Handler."""
        if link is self._up:
            if up:
                self._up.send("", [envelope.seal("join", channel.WORKER, origin=NAME, target="server")])
                self._todo.put(self._tell_all)
            return
        job = self.jobs.get(peer.partition(".")[0])
        if job is not None and not job.ended:
            now = time.monotonic()
            job.lost_touch = None if up else now
            if not up:
                job.ready = False
                job.suspected(now)
                self._todo.put(self._watch)


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
