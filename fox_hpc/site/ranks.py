"""Ranks of one site: rank 0 leads, all enter each call in the same order, and none is left hanging.

Rank 0 gives every call to the other ranks before it runs it itself, and answers when all have come out.
If one rank raises and another does not come out (it waits in a collective), or comes out well (it is no
longer in step), the call fails with what was raised, and the job is ended: its ranks cannot be trusted.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from ..call import Call, Fault, Pending, Reply
from ..errors import FoxError
from ..hpc.probe import candidate_hosts
from ..spec import write_atomically
from ..wire import channel, codec, envelope
from ..wire.call_codec import write_reply
from ..wire.cell import Cell, Incoming, worker_cell
from ..wire.keys import Keys
from ..wire.link import Link
from ..wire.zmq_link import ZmqIo
from .standstill import Hang, Standstill
from .uplink import wait_until

log = logging.getLogger(__name__)

#: Past models that rank 0 keeps for ranks that lag behind; the newest two are always kept.
HISTORY_BYTES = 64 * 2**20
#: At the end, rank 0 waits this long for the others.
PART_S = 30.0
#: The end of a process is heard of within this time by those that it has a connection with.
HEARD_S = 0.5
#: Whatever started the ranks ends the others, within this time, when one dies; a launcher may not.
LOST_S = 3.0
#: All ranks of a job are there, or the job cannot start.
GATHER_S = 300.0
#: Names that no `@fox.collab` function can have.
INIT, FINAL, LEAVE, MODEL, FAILED = "@init", "@final", "@leave", "@model", "@failed"


class Meeting(msgspec.Struct):
    """Where the other ranks find rank 0: `ranks.json` in the attempt's folder."""

    urls: tuple[str, ...]
    world_size: int


TOO_LATE = write_reply(
    Reply(
        fault=Fault(
            "remote",
            "FoxError",
            "rank 0 is several models ahead of this rank: call receive() on every rank in every round",
        )
    )
)


def _size(frames: list[Any]) -> int:
    return sum(map(len, frames))


def _rank_of(cell: str) -> int:
    return int(cell.rsplit(".", 1)[1])


class RankLead:
    """Rank 0's side.

    Args:
        on_log: takes (rank, number, frames) of a batch of another rank's tracked entries.
        on_failed: takes the fault that ended the script of another rank.
        on_lost: takes which rank's process is gone without a word, when nothing has ended this one for it.

    `standstill` is told by the ranks when they stay in a collective; if that is hopeless, `on_failed` hears.
    """

    rank = 0

    def __init__(
        self,
        io: ZmqIo,
        keys: Keys,
        site: str,
        world_size: int,
        folder: Path,
        *,
        on_log: Callable[[str, int, list[Any]], None],
        on_failed: Callable[[Fault], None],
        on_lost: Callable[[str], None],
    ) -> None:
        self.world_size, self._site, self._io = world_size, site, io
        self._on_log, self._on_failed, self._on_lost = on_log, on_failed, on_lost
        self._hosts: dict[str, str] = {}
        self.standstill = Standstill(world_size)
        self._models: dict[int, list[Any]] = {}
        self._asked: list[Incoming] = []
        self._joined: set[str] = set()
        self._left: set[str] = set()
        self._gone: set[str] = set()
        self._all_joined = threading.Event()
        self._lock = threading.Lock()
        self._given_up = False
        # What a rank raised comes whole, however long its words are.
        self._link = io.listen(self, keys, {site: keys.public}, most_frame_bytes=-1)
        self._cell = Cell(
            worker_cell(site),
            self._link.send,
            io.call_later,
            address=lambda rank: worker_cell(site, int(rank)),
        )
        self.others = [str(rank) for rank in range(1, world_size)]
        urls = self._link.urls(candidate_hosts())
        write_atomically(folder / "ranks.json", msgspec.json.encode(Meeting(urls, world_size)))

    def gather(self) -> None:
        """Wait until every rank is there; raises FoxError if one stays away."""
        if self.world_size > 1 and not self._all_joined.wait(GATHER_S):
            missing = sorted(set(self.others) - {name.rsplit(".", 1)[1] for name in self._joined}, key=int)
            raise FoxError(f"ranks {', '.join(missing)} of {self._site} did not join within {GATHER_S:g} s")

    def part(self) -> None:
        """Wait until every other rank is done: when this process ends, theirs end too."""
        wait_until(lambda: len(self._left) == self.world_size - 1, PART_S)

    def enter(self, call: Call, payload: list[Any]) -> list[Pending]:
        """Let every other rank run a call."""
        self.standstill.begin()
        pending = self._cell.start_encoded(call, payload, self.others)
        for one in pending:
            one.future.add_done_callback(partial(self._came_out, int(one.site)))
        return pending

    def came_out(self, rank: int) -> None:
        """A rank has left the call that all have entered."""
        self.standstill.came_out(rank)
        self._judge()

    def _came_out(self, rank: int, _: object) -> None:
        self.came_out(rank)

    def hangs(self, rank: int, hang: Hang | None) -> None:
        """A rank stays in a collective, or has gone on."""
        self.standstill.hangs(rank, hang)
        self._judge()

    def _judge(self) -> None:
        # A rank that waits for the next model, or whose script has ended, takes part in nothing.
        with self._lock:
            waiting = [one.origin for one in self._asked]
        out = {_rank_of(peer) for peer in (*waiting, *self._left)}
        if not self._given_up and (fault := self.standstill.verdict(out)) is not None:
            self._given_up = True
            self._on_failed(fault)

    def tell_given_up(self, pending: list[Pending]) -> None:
        """Tell the other ranks that nobody waits for a call any more; they come out of it by themselves."""
        for one in pending:
            target = worker_cell(self._site, int(one.site))
            head = envelope.seal(
                "cancel", channel.WORKER, id=one.call_id, origin=worker_cell(self._site), target=target
            )
            self._link.send(target, [head])

    def received(self, link: Link, peer: str, frames: list[Any]) -> None:
        """See Handler."""
        head = envelope.read(frames[0])
        if head.kind == "join":
            self._cell.open(peer.rsplit(".", 1)[1])
            self._joined.add(peer)
            self._hosts[peer] = str(codec.decode(frames[1:]))
            if len(self._joined) == self.world_size - 1:
                self._all_joined.set()
        elif head.kind == "shutdown":
            self._left.add(peer)
            self._judge()
        elif head.kind == "log":
            self._on_log(peer.rsplit(".", 1)[1], int(head.id), frames[1:])
            origin = worker_cell(self._site)
            ack = envelope.seal("ack", channel.METRICS, id=head.id, origin=origin, target=peer)
            self._link.send(peer, [ack])
        elif head.kind == "hang":
            value = codec.decode(frames[1:])
            self.hangs(_rank_of(peer), None if value is None else Hang(**value))
        else:
            self._cell.deliver(head, frames[1:])
            self._answer_questions()

    def peer_changed(self, link: Link, peer: str, up: bool) -> None:
        """See Handler; what started the ranks ends the job when one of them dies, or else this one does."""
        (self._gone.discard if up else self._gone.add)(peer)
        if words := self._lost():
            log.warning("%s", words)
            self._io.call_later(LOST_S, self._look)

    def _look(self) -> None:
        if words := self._lost():
            self._on_lost(words)

    def _lost(self) -> str:
        """Say which ranks' processes are gone without a word; "" if none is."""
        lost = sorted(self._gone - self._left, key=_rank_of)
        ranks = [f"rank {_rank_of(peer)} on {self._hosts.get(peer, '?')}" for peer in lost]
        return f"{', '.join(ranks)} is gone" if ranks else ""

    def lost_one(self) -> str:
        """Say which ranks' processes are gone, within a moment in which that may yet be heard.

        Then what other ranks raise is what their collectives make of it, and tells nothing of its cause: a
        scheduler may be ending the job, or a node may have died.
        """
        wait_until(lambda: bool(self._gone - self._left), HEARD_S)
        return self._lost()

    # ModelShare of the Client API.

    def put(self, seq: int, model: Any) -> None:
        """Give the seq-th model to the ranks that ask for it; past ones are kept for late ranks."""
        # Copied now: this rank's training goes on to change its arrays.
        frames = [bytes(frame) for frame in write_reply(Reply(model))]
        with self._lock:
            self._models[seq] = frames
            while len(self._models) > 2 and sum(map(_size, self._models.values())) > HISTORY_BYTES:
                del self._models[min(self._models)]
        self._answer_questions()

    def get(self, seq: int, timeout: float | None) -> Any:
        """Rank 0 does not ask."""
        raise FoxError("rank 0 puts models, the other ranks get them")

    def _answer_questions(self) -> None:
        try:
            while (incoming := self._cell.take(timeout=0)) is not None:
                if incoming.call.func == FAILED:
                    # Not answered: that rank must stay until this one has told, then both end.
                    self._on_failed(msgspec.convert(incoming.call.args[0], Fault))
                    continue
                with self._lock:
                    self._asked.append(incoming)
        except queue.Empty:
            pass
        with self._lock:
            newest = max(self._models, default=0)
            ready = [one for one in self._asked if one.call.args[0] <= newest]
            self._asked = [one for one in self._asked if one not in ready]
        for incoming in ready:
            with self._lock:
                frames = self._models.get(incoming.call.args[0], TOO_LATE)
            self._cell.reply_encoded(incoming, frames)
        self._judge()
