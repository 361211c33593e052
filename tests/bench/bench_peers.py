"""The peer of everything that goes through the relay: two hops of bare ZeroMQ in three processes.

This process has a ROUTER, which a middle process dials with a DEALER; the middle has a ROUTER, which the
far processes dial. Who listens and who dials is as between server, relay and workers. The middle passes
frames on without a look at them, a far one sends back what it gets. As a script this file is a middle or
a far process; it ends when its stdin does.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from types import TracebackType
from typing import Any

import zmq

MIB = 2**20
CHUNK = 4 * MIB
TIMEOUT_MS = 60_000


class TwoHop:
    """Our end of the pipe, and the processes behind it.

    Args:
        curve: encrypt both hops.
        far: how many processes there are behind the middle.
    """

    def __init__(self, *, curve: bool, far: int = 1) -> None:
        self._keys = _curve_keys() if curve else None
        self._context = zmq.Context()
        self._socket = _socket(self._context, zmq.ROUTER, self._keys, listens=True)
        self._socket.rcvtimeo = TIMEOUT_MS
        self._processes: list[subprocess.Popen[str]] = []
        self.names = [f"far-{number}".encode() for number in range(far)]

    def __enter__(self) -> TwoHop:
        port = self._socket.bind_to_random_port("tcp://127.0.0.1")
        middle = self._start("middle", port=port)
        assert middle.stdout is not None
        below = int(middle.stdout.readline())
        for name in self.names:
            self._start("far", port=below, name=name.decode())
        for _ in self.names:
            self.receive()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close(0)
        self._context.term()
        for process in self._processes:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.close()
            process.stdout.close()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _start(self, role: str, **settings: Any) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, __file__, role], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._processes.append(process)
        assert process.stdin is not None
        # Keys go over stdin, as secrets do.
        print(json.dumps({**settings, "keys": self._keys}), file=process.stdin, flush=True)
        return process

    @property
    def pids(self) -> list[int]:
        """The middle's process id, then those of the far ones."""
        return [process.pid for process in self._processes]

    def send(self, name: bytes, frames: list[Any]) -> None:
        """Send frames to one of the far processes."""
        self._socket.send_multipart([b"middle", name, *frames], copy=False)

    def receive(self) -> list[Any]:
        """Wait for the next message of any of them."""
        frames: list[Any] = self._socket.recv_multipart(copy=False)
        return frames

    def echo(self, frames: list[Any]) -> None:
        """Send frames to each of the far processes at once and wait for all of them to come back."""
        for name in self.names:
            self.send(name, frames)
        for _ in self.names:
            self.receive()

    def echo_chunks(self, data: memoryview) -> None:
        """The same with the bytes in messages of 4 MiB."""
        chunks = [data[start : start + CHUNK] for start in range(0, len(data), CHUNK)]
        for chunk in chunks:
            for name in self.names:
                self.send(name, [chunk])
        for _ in range(len(chunks) * len(self.names)):
            self.receive()


def _curve_keys() -> list[str]:
    return [key.decode() for pair in (zmq.curve_keypair(), zmq.curve_keypair()) for key in pair]


def _socket(context: Any, kind: int, keys: list[str] | None, *, listens: bool) -> Any:
    socket = context.socket(kind)
    socket.sndhwm = socket.rcvhwm = socket.linger = 0
    if keys is not None:
        server_public, server_secret, public, secret = (key.encode() for key in keys)
        if listens:
            socket.curve_server = True
            socket.curve_publickey, socket.curve_secretkey = server_public, server_secret
        else:
            socket.curve_serverkey = server_public
            socket.curve_publickey, socket.curve_secretkey = public, secret
    return socket


def _pass_on(source: Any, target: Any) -> None:
    while source.getsockopt(zmq.EVENTS) & zmq.POLLIN:
        target.send_multipart(source.recv_multipart(copy=False), copy=False)


def _be_middle(context: Any, settings: dict[str, Any]) -> None:
    up = _socket(context, zmq.DEALER, settings["keys"], listens=False)
    up.routing_id = b"middle"
    up.connect(f"tcp://127.0.0.1:{settings['port']}")
    down = _socket(context, zmq.ROUTER, settings["keys"], listens=True)
    print(down.bind_to_random_port("tcp://127.0.0.1"), flush=True)
    poller = zmq.Poller()
    poller.register(up, zmq.POLLIN)
    poller.register(down, zmq.POLLIN)
    while True:
        poller.poll()
        _pass_on(up, down)
        _pass_on(down, up)


def _be_far(context: Any, settings: dict[str, Any]) -> None:
    socket = _socket(context, zmq.DEALER, settings["keys"], listens=False)
    socket.routing_id = settings["name"].encode()
    socket.connect(f"tcp://127.0.0.1:{settings['port']}")
    socket.send(b"here")
    while True:
        socket.send_multipart(socket.recv_multipart(copy=False), copy=False)


def _end_with_stdin() -> None:
    sys.stdin.read()
    os._exit(0)


def main() -> None:
    """Be a middle or a far process."""
    settings = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    role = {"middle": _be_middle, "far": _be_far}[sys.argv[1]]
    role(zmq.Context(), settings)


if __name__ == "__main__":
    main()
