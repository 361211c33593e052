"""What an end of the wire says first, and what it leaves alone: what was sealed for another attempt."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from data_ends import on

from fox_hpc.call import Call, Reply
from fox_hpc.errors import LinkClosed
from fox_hpc.wire import channel, envelope
from fox_hpc.wire.blob import BIG_BYTES, CHUNK_BYTES
from fox_hpc.wire.call_codec import write_call
from fox_hpc.wire.cell import Cell, worker_cell
from fox_hpc.wire.keys import new_keys
from fox_hpc.wire.parcels import Parcels
from fox_hpc.wire.session import accept_session, offer_session
from fox_hpc.wire.zmq_link import ZmqIo

WORKER = worker_cell("site-1")


@pytest.fixture
def io() -> Iterator[ZmqIo]:
    """An I/O thread."""
    made = ZmqIo()
    yield made
    made.close()


class Ends:
    """A server's parcels, and a worker's cell whose answers are kept in `sent`."""

    def __init__(self, io: ZmqIo) -> None:
        self.keys, self.server, self.parcels = new_keys("server"), Parcels(io), Parcels(io)
        self.sent: list[Any] = []
        self.worker = Cell(
            WORKER, lambda target, frames: self.send(frames), io.call_later, parcels=self.parcels
        )

    def send(self, frames: list[Any]) -> None:
        self.sent.append(frames)

    def begin_attempt(self, *, heard: bool = True) -> None:
        """Let the worker be a new one, of which the server has heard, or has not yet."""
        session, self.offer = offer_session(self.keys.public)
        self.parcels.meet("server", session)
        if heard:
            self.hear()

    def hear(self) -> None:
        self.server.meet(WORKER, accept_session(self.offer, self.keys))

    def call(self) -> None:
        """Give the worker one and the same big call, sealed for the attempt that the server knows."""
        parcel = self.server.pack(write_call(Call("f", (bytes(2 * BIG_BYTES),))), [WORKER])
        frames, blob = parcel.frames_for(WORKER)
        head = envelope.seal("call", channel.CALL, id="7", origin="server", target=WORKER, blob=blob)
        self.worker.deliver(envelope.read(head), frames)


def test_big_payload_stays_with_its_sender_while_there_is_no_session(io: ZmqIo) -> None:
    ends = Ends(io)
    on(io, lambda: ends.begin_attempt(heard=False))
    with pytest.raises(LinkClosed, match="shares no session yet"):
        on(io, ends.call)
    on(io, ends.hear)
    on(io, ends.call)

    assert [incoming.id for incoming in ends.worker.running()] == ["7"]


def test_call_that_comes_before_the_server_has_heard_of_the_attempt_is_taken_when_sent_anew(
    io: ZmqIo,
) -> None:
    ends = Ends(io)
    on(io, ends.begin_attempt)
    on(io, lambda: ends.begin_attempt(heard=False))
    on(io, ends.call)

    assert ends.worker.running() == []
    assert ends.sent == []
    assert ends.worker.refusals.counts() == {"another session": 1}
    on(io, ends.hear)
    on(io, ends.call)
    assert [incoming.id for incoming in ends.worker.running()] == ["7"]


class Watching(Ends):
    """Notes how many chunks were sealed when something was sent."""

    def __init__(self, io: ZmqIo) -> None:
        super().__init__(io)
        self.sealed: list[int] = []

    def send(self, frames: list[Any]) -> None:
        super().send(frames)
        self.sealed.append(self.count())

    def count(self) -> int:
        [parcel] = self.parcels._held.values()
        assert parcel.blob is not None
        return sum(tag is not None for tag in parcel.blob._tags)


def test_big_answer_is_told_of_first_and_sealed_when_its_owner_goes_on(io: ZmqIo) -> None:
    ends = Watching(io)
    on(io, ends.begin_attempt)
    head = envelope.seal("call", channel.CALL, id="7", origin="server", target=WORKER)
    on(io, lambda: ends.worker.deliver(envelope.read(head), write_call(Call("f"))))
    incoming = ends.worker.take(5.0)
    assert incoming is not None
    ends.worker.reply(incoming, Reply(bytes(3 * CHUNK_BYTES)))

    assert ends.sealed == [0]
    assert ends.count() >= 3
