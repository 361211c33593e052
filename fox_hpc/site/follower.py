"""RankFollower: the side of every rank but the first, which follows rank 0."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from ..call import Call, Fault
from ..errors import FoxError, LinkClosed
from ..metric import Batch, write_batch
from ..tracking.subprocess_writer import SubprocessWriter
from ..wire import channel, codec, envelope
from ..wire.cell import Cell, worker_cell
from ..wire.keys import Keys
from ..wire.link import Link
from ..wire.probe import first_reachable
from ..wire.zmq_link import ZmqIo
from .ranks import FAILED, GATHER_S, MODEL, PART_S, Meeting
from .standstill import Hang

#: An address of rank 0 that has not answered for so long will not.
REACH_S = 60.0


class RankFollower:
    """The side of every other rank.

    Args:
        on_orphaned: called when rank 0 is gone.
    """

    def __init__(
        self,
        io: ZmqIo,
        keys: Keys,
        site: str,
        rank: int,
        world_size: int,
        folder: Path,
        *,
        on_orphaned: Callable[[], None],
    ) -> None:
        self.rank, self.world_size, self._site = rank, world_size, site
        self._on_orphaned, self._leaving = on_orphaned, False
        #: Calls that nobody waits for any more, though rank 0 waits for this rank.
        self.given_up: set[str] = set()
        self.name = worker_cell(site, rank)
        url = _find_rank_0(folder / "ranks.json", keys)
        self.cell = Cell(
            self.name, lambda to, frames: self._link.send(to, frames), io.call_later, reachable=[site]
        )
        self.tracking = SubprocessWriter(self._track)
        # Last: rank 0 is there, and this may be called on the I/O thread before `dial` returns.
        # Rank 0 gives on calls and models whole, to ranks of its own job.
        self._link = io.dial(url, self.name, self, keys, keys.public, most_frame_bytes=-1)
        self._send("join", channel.WORKER, socket.gethostname())

    def _track(self, seq: int, batch: Batch) -> None:
        target = worker_cell(self._site)
        head = envelope.seal("log", channel.METRICS, id=str(seq), origin=self.name, target=target)
        self._link.send("", [head, write_batch(batch)])

    def hangs(self, hang: Hang | None) -> None:
        """Tell rank 0 that this rank stays in a collective, or has gone on."""
        self._send("hang", channel.WORKER, None if hang is None else msgspec.to_builtins(hang))

    def failed(self, fault: Fault) -> None:
        """Tell rank 0 how this rank's script ended, and wait for rank 0 to end the job."""
        pending = self.cell.start(Call(FAILED, (msgspec.to_builtins(fault),)), [self._site])[0]
        with contextlib.suppress(TimeoutError):
            pending.future.exception(PART_S)

    def leave(self) -> None:
        """Tell rank 0, once it has what was logged here, that it need not wait for this rank any more."""
        self.tracking.close()
        self._leaving = True
        self._send("shutdown", channel.WORKER, None)

    def _send(self, kind: str, lane: str, value: Any) -> None:
        head = envelope.seal(kind, lane, origin=self.name, target=worker_cell(self._site))
        self._link.send("", [head, *codec.encode(value)])

    def received(self, link: Link, peer: str, frames: list[Any]) -> None:
        """See Handler."""
        head = envelope.read(frames[0])
        if head.channel == channel.WORKER and head.kind == "cancel":
            # Rank 0 still waits until this rank has come out: its answer must not be dropped.
            self.given_up.add(head.id)
        elif head.channel == channel.METRICS:
            self.tracking.acknowledged(int(head.id))
        else:
            self.cell.deliver(head, frames[1:])

    def peer_changed(self, link: Link, peer: str, up: bool) -> None:
        """See Handler."""
        if not up and not self._leaving:
            self._on_orphaned()

    def put(self, seq: int, model: Any) -> None:
        """Only rank 0 puts models."""
        raise FoxError("rank 0 puts models, the other ranks get them")

    def get(self, seq: int, timeout: float | None) -> Any:
        """Wait for the seq-th model that rank 0 received."""
        pending = self.cell.start(Call(MODEL, (seq,)), [self._site])[0]
        try:
            return pending.future.result(timeout)
        except TimeoutError:
            self.cell.cancel([pending])
            raise


def _find_rank_0(path: Path, keys: Keys) -> str:
    """Find where rank 0 is; a shared disk may show that late.

    What it shows first may be of a rank 0 that torchrun has replaced since: so an address that does not
    answer is looked up again.
    """
    deadline, patience_s, problem = time.monotonic() + GATHER_S, 2.0, ""
    last: tuple[tuple[str, ...], float] = (), 0.0
    while time.monotonic() < deadline:
        try:
            urls = msgspec.json.decode(path.read_bytes(), type=Meeting).urls
        except (OSError, msgspec.MsgspecError):
            time.sleep(0.05)
            continue
        if urls != last[0]:
            last = urls, time.monotonic()
        try:
            return first_reachable(urls, keys, keys.public, timeout_s=patience_s)
        except LinkClosed as error:
            problem, patience_s = str(error), min(2 * patience_s, 15.0)
        if time.monotonic() - last[1] > REACH_S:
            raise LinkClosed(problem)
    raise LinkClosed(f"rank 0 has not written {path} within {GATHER_S:g} s: is that disk seen by every node?")
