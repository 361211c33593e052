"""A forwarder of TCP, as `ssh -L` or `ssh -R` is one: `python forwarder.py HERE THERE PORT...`.

Listens on HERE at each port and leads to the same one of THERE; prints `up` when it does. `cut` on its stdin
breaks all connections, `pause` takes no new ones until `go`.
"""

from __future__ import annotations

import contextlib
import socket
import sys
import threading

_open: list[socket.socket] = []
_may = threading.Event()


def pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
    for end in (source, target):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


def listen(server: socket.socket, host: str, port: int) -> None:
    while True:
        near, _ = server.accept()
        if not _may.is_set():
            near.close()
            continue
        try:
            far = socket.create_connection((host, port), timeout=5)
        except OSError:
            near.close()
            continue
        far.settimeout(None)
        _open.extend((near, far))
        for ends in ((near, far), (far, near)):
            threading.Thread(target=pump, args=ends, daemon=True).start()


def main() -> None:
    here, there, *ports = sys.argv[1:]
    _may.set()
    for port in map(int, ports):
        server = socket.create_server((here, port))
        threading.Thread(target=listen, args=(server, there, port), daemon=True).start()
    print("up", flush=True)
    for line in sys.stdin:
        if line.strip() in ("cut", "pause"):
            (_may.clear if line.strip() == "pause" else _may.set)()
            for end in _open:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
            _open.clear()
        else:
            _may.set()
        print("done", flush=True)


if __name__ == "__main__":
    main()
