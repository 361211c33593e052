"""Ends of data connections for the tests, on I/O threads on which things are run and looked at."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from typing import Any, TypeVar

from fox_hpc.errors import BlobError
from fox_hpc.wire.data_peer import DataPeer
from fox_hpc.wire.data_port import DataPort
from fox_hpc.wire.data_times import DataTimes
from fox_hpc.wire.keys import new_keys
from fox_hpc.wire.opened_blob import OpenedBlob
from fox_hpc.wire.sealed_blob import SealedBlob
from fox_hpc.wire.session import Session, accept_session, offer_session
from fox_hpc.wire.zmq_link import ZmqIo

T = TypeVar("T")

PATIENCE_S = 10.0
SHORT = DataTimes(
    greet_s=0.4, dial_s=2.0, redial_s=(0.02, 0.1), tick_s=0.05, stall_s=0.4, give_up_s=8.0, silent_s=0.7
)
#: For tests of what gives up.
HASTY = replace(SHORT, give_up_s=1.5)


def on(io: ZmqIo, action: Callable[[], T]) -> T:
    """Run something on the I/O thread, and give what it gives."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(action())
        except Exception as error:
            future.set_exception(error)

    io.call_soon(run)
    return future.result(PATIENCE_S)


def until(io: ZmqIo, condition: Callable[[], Any]) -> None:
    """Wait until something is true on the I/O thread."""
    deadline = time.monotonic() + PATIENCE_S
    while not on(io, condition):
        assert time.monotonic() < deadline, "it does not come"
        time.sleep(0.01)


def closed_by_other(sock: socket.socket) -> bool:
    """Tell whether the other end closes the connection, whatever it says before."""
    sock.settimeout(PATIENCE_S)
    try:
        while sock.recv(65536):
            pass
    except ConnectionError:
        pass
    return True


def receive(sock: socket.socket, size: int) -> bytes:
    """Read exactly so many bytes."""
    got = bytearray()
    while len(got) < size and (piece := sock.recv(size - len(got))):
        got += piece
    return bytes(got)


class Shelf:
    """A shelf of blobs, which counts."""

    def __init__(self) -> None:
        self.blobs: dict[bytes, SealedBlob] = {}
        self.asked: list[int] = []
        self.had: list[bytes] = []
        self.heard: list[list[Any]] = []
        self.breaks = 0
        self.on_asked: Callable[[], None] = lambda: None

    def put(self, size: int) -> SealedBlob:
        blob = SealedBlob([(os.urandom(1021) * (size // 1021 + 1))[:size]])
        blob.seal()
        self.blobs[blob.id] = blob
        return blob

    def chunk_for(self, cell: str, id: bytes, number: int) -> tuple[memoryview, bytes]:
        self.asked.append(number)
        self.on_asked()
        if id not in self.blobs:
            raise BlobError("not here")
        return self.blobs[id].chunk(number)

    def got_by(self, cell: str, id: bytes) -> None:
        self.had.append(id)

    def came_from(self, cell: str, frames: list[Any]) -> None:
        self.heard.append(frames)

    def broke(self, cell: str) -> None:
        self.breaks += 1


class DataEnds:
    """A server's peer, which is dialled, and a worker's, which dials; their I/O threads are two."""

    def __init__(self, times: DataTimes = SHORT) -> None:
        self.server_io, self.worker_io = ZmqIo(), ZmqIo()
        keys = new_keys("server")
        self.session, offer = offer_session(keys.public)
        self.shelf, self.worker_shelf = Shelf(), Shelf()
        self.server = DataPeer(self.server_io, "worker", accept_session(offer, keys), self.shelf, times)
        self.worker = DataPeer(self.worker_io, "server", self.session, self.worker_shelf, times)
        self.port = DataPort(self.server_io, self._greeted, host="127.0.0.1", times=times)

    def _greeted(self, data: bytes, sock: socket.socket) -> None:
        self.server.accept(data, sock)

    def dial(self, port: int = 0) -> None:
        on(self.worker_io, lambda: self.worker.dial(("127.0.0.1", port or self.port.port)))

    def fetch(self, holder: SealedBlob, *, up: bool = False) -> Future[bytes]:
        """Let the worker fetch a blob of the server's, or `up` the other way round."""
        io, peer = (self.server_io, self.server) if up else (self.worker_io, self.worker)
        future: Future[bytes] = Future()
        blob = OpenedBlob(holder.id, holder.key, holder.plan.sizes)
        on(
            io,
            lambda: peer.fetch(
                blob, lambda frames: future.set_result(bytes(frames[0])), future.set_exception
            ),
        )
        if up:
            on(self.worker_io, self.worker.wake)
        return future

    def close(self) -> None:
        on(self.worker_io, self.worker.close)
        on(self.server_io, self.server.close)
        self.port.close()
        for io in (self.worker_io, self.server_io):
            io.close()


def plain(holder: SealedBlob) -> bytes:
    """Give what a blob holds."""
    return bytes(holder._frames[0])


def sessions() -> tuple[Session, Session]:
    """Give both ends of one session, the offering one first."""
    keys = new_keys("server")
    worker, offer = offer_session(keys.public)
    return worker, accept_session(offer, keys)
