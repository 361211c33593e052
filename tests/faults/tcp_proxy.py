"""A TCP proxy that does harm at chosen bytes: what a bad line, a tunnel that hangs or a stranger would do."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["cut", "outage", "stall", "slow", "copy", "corrupt"]
#: From who dialled, or to him.
Way = Literal["up", "down"]

PIECE_BYTES = 2**16
#: So much of what who dialled has said first is remembered, for a copy of his connection.
REMEMBERED = 2**18
SLOW_BYTES_PER_S = 2**20


@dataclass
class Harm:
    """Something that is done once, when that byte comes by; bytes of all connections of a way are counted.

    Args:
        kind: `cut` ends the connection; `outage` all of them, and lets nobody in for a while; `stall` holds
            this way of the connection up; `slow` brings it to 1 MB/s; `copy` says on another connection what
            was said on this one; `corrupt` changes the byte.
        seconds: how long an outage, a stall or slowness lasts; a stall of 0 for as long as the connection.
    """

    kind: Kind
    way: Way
    at: int
    seconds: float = 0.0
    done: bool = False

    def __str__(self) -> str:
        return f"{self.kind} {self.way} at {self.at}" + ("" if self.done else ", not reached")


class Over(Exception):
    """The connection was ended."""


@dataclass(eq=False)
class Pair:
    """A connection in, and the one out that it leads to."""

    near: socket.socket
    far: socket.socket
    over: threading.Event = field(default_factory=threading.Event)
    said: bytearray = field(default_factory=bytearray)
    slow_until: float = 0.0

    def close(self) -> None:
        self.over.set()
        for end in (self.near, self.far):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


class TcpProxy:
    """Listens on loopback, and leads to a port of loopback.

    Args:
        target: gives the port, each time that somebody comes.
        harms: what is done, each once.
    """

    def __init__(self, target: Callable[[], int], harms: Sequence[Harm] = ()) -> None:
        self._target, self._harms = target, list(harms)
        self._passed = {"up": 0, "down": 0}
        self._lock = threading.Lock()
        self._pairs: set[Pair] = set()
        self._shut_until = 0.0
        self._closed = False
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        #: Connections that were let in.
        self.count = 0
        threading.Thread(target=self._accept, name="proxy", daemon=True).start()

    def __repr__(self) -> str:
        return f"<TcpProxy {self.port} · {self._passed}>"

    def close(self) -> None:
        """End everything."""
        self._closed = True
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self.cut()

    def cut(self) -> None:
        """End all connections."""
        for pair in list(self._pairs):
            pair.close()

    def stall(self, way: Way) -> None:
        """Hold the connections up on this way, from their next byte on."""
        with self._lock:
            self._harms.append(Harm("stall", way, self._passed[way]))

    def corrupt(self, way: Way, ahead: int) -> None:
        """Change the byte of this way that comes after so many others."""
        with self._lock:
            self._harms.append(Harm("corrupt", way, self._passed[way] + ahead))

    def shut(self, seconds: float) -> None:
        """End all connections, and let nobody in for a while."""
        self._shut_until = time.monotonic() + seconds
        self.cut()

    def _accept(self) -> None:
        while not self._closed:
            try:
                near, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._begin, args=(near,), name="proxy", daemon=True).start()

    def _begin(self, near: socket.socket) -> None:
        try:
            if time.monotonic() < self._shut_until:
                raise ConnectionError
            far = socket.create_connection(("127.0.0.1", self._target()), 5)
        except OSError:
            near.close()
            return
        far.settimeout(None)
        pair = Pair(near, far)
        self._pairs.add(pair)
        self.count += 1
        if self._closed:
            pair.close()
        threading.Thread(target=self._pump, args=(pair, "down"), name="proxy", daemon=True).start()
        self._pump(pair, "up")

    def _pump(self, pair: Pair, way: Way) -> None:
        source, sink = (pair.near, pair.far) if way == "up" else (pair.far, pair.near)
        try:
            while data := source.recv(PIECE_BYTES):
                self._pass_on(pair, way, bytearray(data), sink)
        except (OSError, Over):
            pass
        pair.close()
        self._pairs.discard(pair)

    def _pass_on(self, pair: Pair, way: Way, data: bytearray, sink: socket.socket) -> None:
        if way == "up" and len(pair.said) < REMEMBERED:
            pair.said += data
        sent = 0
        for harm, place in self._due(way, len(data)):
            if harm.kind == "corrupt":
                data[place] ^= 0x55
                continue
            sink.sendall(data[sent:place])
            sent = place
            self._do(harm, pair)
        if time.monotonic() < pair.slow_until:
            pair.over.wait((len(data) - sent) / SLOW_BYTES_PER_S)
        sink.sendall(data[sent:])

    def _due(self, way: Way, size: int) -> list[tuple[Harm, int]]:
        with self._lock:
            start = self._passed[way]
            self._passed[way] += size
            due = [
                (harm, max(harm.at - start, 0))
                for harm in self._harms
                if not harm.done and harm.way == way and harm.at < start + size
            ]
            for harm, _ in due:
                harm.done = True
        return sorted(due, key=lambda one: one[1])

    def _do(self, harm: Harm, pair: Pair) -> None:
        if harm.kind == "cut":
            raise Over
        if harm.kind == "outage":
            self.shut(harm.seconds)
            raise Over
        if harm.kind == "stall":
            # What the ends do meanwhile is not seen, not even that they have gone.
            pair.over.wait(harm.seconds or None)
        elif harm.kind == "slow":
            pair.slow_until = time.monotonic() + harm.seconds
        else:
            said = bytes(pair.said)
            threading.Thread(target=self._say_again, args=(said,), name="proxy", daemon=True).start()

    def _say_again(self, said: bytes) -> None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self._target()), 5) as copy:
            copy.sendall(said)
            copy.settimeout(3.0)
            while copy.recv(PIECE_BYTES):
                pass
