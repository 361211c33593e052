"""Uplink: rank 0's link to the relay, with the cell that it carries and the lease that it renews."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..environment import WorkerEnv
from ..metric import Batch, write_batch
from ..tracking.subprocess_writer import SubprocessWriter
from ..wire import channel, codec, envelope
from ..wire.blob_folder import BlobFolder
from ..wire.cell import Cell, worker_cell
from ..wire.data_port import host_of
from ..wire.data_times import NORMAL, DataTimes
from ..wire.keys import Keys, load_public
from ..wire.link import Link
from ..wire.parcels import Parcels
from ..wire.probe import first_reachable
from ..wire.session import offer_session
from ..wire.zmq_link import ZmqIo
from .exit_codes import EXIT_LEASE
from .lifeline import end_now


class Uplink:
    """What rank 0 says upwards. When the relay stays away longer than the lease, the process ends itself.

    Args:
        sites: the names of all sites, which calls may go to.
    """

    def __init__(
        self,
        io: ZmqIo,
        worker: WorkerEnv,
        keys: Keys,
        lease_s: float,
        *,
        times: DataTimes = NORMAL,
        folder: BlobFolder | None = None,
        sites: Sequence[str] = (),
    ) -> None:
        self.name = worker_cell(worker.site_name)
        self.over = threading.Event()
        self._io, self._attempt, self._lease_s = io, worker.attempt, lease_s
        # Other sites are reached by way of the server.
        self._reached = ("server", *sites)
        self._ready: list[Any] | None = None
        self._call_off: Callable[[], None] | None = None
        public = load_public(Path(worker.keys_dir))
        session, self._offer = offer_session(public["server"])
        self._parcels, self._times = Parcels(io, times=times, folder=folder), times
        self._parcels.meet("server", session)
        io.links.append(self._parcels)
        patience_s = min(5.0, io.dead_after_ms / 1000)
        url = first_reachable(worker.parent_urls, keys, public["relay"], handshake_s=patience_s)
        self.cell = Cell(
            self.name,
            lambda target, frames: self.link.send("", frames),
            io.call_later,
            attempt=worker.attempt,
            reachable=self._reached,
            address=lambda _: "server",
            parcels=self._parcels,
            wait=io.wait_for,
        )
        # Who speaks for this attempt: torchrun may replace this process, and the next one counts anew.
        self._begun = str(time.time_ns())
        self.tracking = SubprocessWriter(self._track)
        # Last: the relay is there, and this may be called on the I/O thread before `dial` returns.
        self.link = io.dial(url, self.name, self, keys, public["relay"])

    def ready(self, world_size: int) -> None:
        """Ask for the lease, once now and whenever the link comes back."""
        if self._ready is None:
            offer = {"id": self._offer.id, "public": self._offer.public}
            value = {"world_size": world_size, "session": offer}
            self._ready = self._frames("ready", channel.WORKER, value, id=self._offer.id.hex())
            self.link.send("", self._ready)

    def _track(self, seq: int, batch: Batch) -> None:
        head = envelope.seal(
            "log",
            channel.METRICS,
            id=f"{seq}@{self._begun}",
            origin=self.name,
            target="server",
            attempt=self._attempt,
        )
        self.link.send("", [head, write_batch(batch)])

    def _frames(self, kind: str, lane: str, value: Any, *, id: str = "") -> list[Any]:
        head = envelope.seal(kind, lane, id=id, origin=self.name, target="server", attempt=self._attempt)
        return [head, *codec.encode(value)]

    def received(self, link: Link, peer: str, frames: list[Any]) -> None:
        """See Handler."""
        head = envelope.read(frames[0])
        if head.channel == channel.METRICS:
            number, _, begun = head.id.partition("@")
            if begun == self._begun:
                self.tracking.acknowledged(int(number))
        elif head.kind == "shutdown":
            self.over.set()
            self.cell.stop()
        elif head.kind == "data":
            self._parcels.dial("server", (host_of(link.url), int(head.id)))
        elif head.kind == "welcome":
            # What was said while the relay's door was shut stayed there, even that this site is ready.
            self._ask_for_lease()
            self._say_again()
        else:
            self.cell.deliver(head, frames[1:])

    def peer_changed(self, link: Link, peer: str, up: bool) -> None:
        """See Handler."""
        if self._call_off is not None:
            self._call_off()
            self._call_off = None
        if not up:
            self._call_off = self._io.call_later(self._lease_s, self._lease_over)
        else:
            self._ask_for_lease()
            self._say_again()

    def _ask_for_lease(self) -> None:
        if self._ready is not None:
            self.link.send("", self._ready)

    def _say_again(self) -> None:
        """The way to the server was broken and is whole again: send once more what it may have lost."""
        for name in self._reached:
            self.cell.open(name)
        self.cell.resend_kept()
        self.tracking.send_again()

    def _lease_over(self) -> None:
        print(f"fox-hpc: no relay for {self._lease_s:g} s: this job ends itself", file=sys.stderr)  # noqa: T201
        end_now(EXIT_LEASE)

    def flush(self, timeout_s: float = 5.0) -> None:
        """Wait until every answer has arrived, as long as something is still asked for.

        Args:
            timeout_s: how long nothing may be asked for; longer, if a data connection may have to be made
                anew.
        """
        if self.cell.keeps_big:
            timeout_s = max(timeout_s, self._times.stall_s + self._times.redial_s[1])
        asked = -1
        while self.cell.kept and asked != self._parcels.asked:
            asked = self._parcels.asked
            wait_until(lambda: not self.cell.kept, timeout_s)


def wait_until(condition: Callable[[], bool], timeout_s: float) -> bool:
    """Wait for something that an I/O thread brings about; tell whether it came."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
