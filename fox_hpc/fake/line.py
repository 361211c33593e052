"""How the programs on PATH and the controller talk: one JSON value a line, over a unix socket."""

from __future__ import annotations

import json
import os
import socket
from typing import Any

SPOOL = "FOX_FAKE_SPOOL"
"""Variable that names the spool folder."""
USER = "FOX_FAKE_USER"
"""Variable with `name:uid` to act as a plain user of the fake; without it, commands act as its operator."""


class Line:
    """A connection that carries one JSON value a line."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self._rest = b""

    def send(self, value: Any) -> None:
        self.socket.sendall(json.dumps(value).encode() + b"\n")

    def receive(self) -> Any:
        """Next value; None if the other end closed."""
        while True:
            value = self.buffered()
            if value is not None or not self.fill():
                return value

    def buffered(self) -> Any:
        """A value that has arrived already, or None."""
        head, found, rest = self._rest.partition(b"\n")
        if not found:
            return None
        self._rest = rest
        return json.loads(head)

    def fill(self) -> bool:
        """Read what is there; False at the end."""
        try:
            data = self.socket.recv(1 << 16)
        except ConnectionError:
            data = b""
        self._rest += data
        return bool(data)


def connect(spool: str) -> Line:
    """A connection to the controller of this spool; raises OSError if there is none."""
    with open(os.path.join(spool, "address")) as file:  # noqa: PTH118, PTH123 - pathlib takes 10 ms to load
        address = file.read().strip()
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(address)
    return Line(sock)
