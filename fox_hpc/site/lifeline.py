"""Lifeline: a connection that each rank of a node holds with the node's launcher, and that ends with either.

A rank whose line ends has lost its launcher, and ends itself. A line that ends without a word is a rank that
was killed or crashed: the first of them is the cause, and what is read off the others only follows.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import struct
import sys
import threading
from collections.abc import Callable, Mapping
from typing import NoReturn

#: Where the ranks of a node find its launcher.
VARIABLE = "FOX_LIFELINE"
_BYE = b"bye"
#: How long, after all ranks have ended, the last of their lines may take to be read to its end.
_SETTLE_S = 1.0


class Lifelines:
    """The launcher's side. On Linux only, where a socket's name needs no file; elsewhere there are no lines.

    Sources: unix(7), abstract sockets and SO_PEERCRED; epoll(7), which gives events in their order.
    """

    def __init__(self) -> None:
        self.lost: list[str] = []
        self._open = 0
        self._changed = threading.Condition()
        self._name = f"fox-hpc-{os.urandom(8).hex()}"
        self._selector = selectors.DefaultSelector()
        self._said: dict[socket.socket, bytes] = {}
        if sys.platform == "linux":
            server = socket.socket(socket.AF_UNIX)
            server.bind(f"\0{self._name}")
            server.listen(1024)
            self._selector.register(server, selectors.EVENT_READ, self._accept)
            threading.Thread(target=self._serve, name="fox-lifelines", daemon=True).start()

    def exports(self) -> dict[str, str]:
        """Give the variable that leads the ranks here."""
        return {VARIABLE: self._name} if sys.platform == "linux" else {}

    def first_lost(self) -> str:
        """Tell which rank ended first without a word, once the ranks have ended; "" if none did."""
        with self._changed:
            self._changed.wait_for(lambda: not self._open, _SETTLE_S)
            return self.lost[0] if self.lost else ""

    def _serve(self) -> None:
        while True:
            for key, _ in self._selector.select():
                key.data(key.fileobj)

    def _accept(self, server: socket.socket) -> None:
        line, _ = server.accept()
        _pid, uid, _gid = struct.unpack("3i", line.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        if uid != os.getuid():
            line.close()
            return
        self._said[line] = b""
        with self._changed:
            self._open += 1
        self._selector.register(line, selectors.EVENT_READ, self._read)

    def _read(self, line: socket.socket) -> None:
        try:
            data = line.recv(64)
        except OSError:
            data = b""
        if data:
            self._said[line] += data
            return
        self._selector.unregister(line)
        rank, _, rest = self._said.pop(line).partition(b"\n")
        line.close()
        with self._changed:
            self._open -= 1
            if rank and rest != _BYE:
                self.lost.append(rank.decode("ascii", "replace"))
            self._changed.notify_all()


_held: list[socket.socket] = []


def hold(environ: Mapping[str, str], rank: int, on_end: Callable[[], None]) -> None:
    """Hold this rank's line, if there is one.

    Args:
        on_end: called on a thread of its own when the launcher is gone.
    """
    name = environ.get(VARIABLE)
    if not name:
        return
    line = socket.socket(socket.AF_UNIX)
    try:
        line.connect(f"\0{name}")
        line.sendall(f"{rank}\n".encode())
    except OSError:
        # On another node, whose launcher is an MPI's: that one looks after its ranks.
        line.close()
        return
    _held.append(line)
    threading.Thread(target=_wait, args=(line, on_end), name="fox-lifeline", daemon=True).start()


def bye() -> None:
    """Say that this process ends by its own will, and has told why."""
    for line in _held:
        try:
            line.sendall(_BYE)
        except OSError:
            continue
    _held.clear()


def end_now(code: int) -> NoReturn:
    """End this process from whatever thread, by its own will."""
    bye()
    os._exit(code)


def _wait(line: socket.socket, on_end: Callable[[], None]) -> None:
    # A launcher that dies before it has read everything resets the line.
    with contextlib.suppress(OSError):
        while line.recv(64):
            pass
    on_end()
