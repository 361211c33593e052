"""A peer in a process of its own: dials, says what it is told to, and obeys lines on its stdin.

python peer.py URL NAME PUBLIC SECRET SERVER_KEY; `hold N` keeps the GIL for N seconds, `say TEXT` sends.
"""

from __future__ import annotations

import ctypes
import sys
from typing import Any

from fox_hpc.wire.keys import Keys
from fox_hpc.wire.zmq_link import ZmqIo


class Echo:
    def received(self, link: Any, peer: str, frames: list[Any]) -> None:
        link.send("", frames)

    def peer_changed(self, link: Any, peer: str, up: bool) -> None:
        pass


def main() -> None:
    url, name, public, secret, server_key = sys.argv[1:]
    io = ZmqIo(heartbeat_s=0.2, dead_after_s=0.6)
    link = io.dial(url, name, Echo(), Keys(name, public, secret), server_key)
    for line in sys.stdin:
        word, _, rest = line.strip().partition(" ")
        if word == "say":
            link.send("", [rest.encode()])
        elif word == "hold":
            # A PyDLL call keeps the GIL, as a training loop in C may do.
            ctypes.PyDLL(None).usleep(int(float(rest) * 1e6))
            link.send("", [b"held"])
    io.close()


main()
