"""The pipes beside which everything is measured that goes over a link: bare ZeroMQ, and bare TCP.

Of ZeroMQ, this process has a ROUTER. In two hops a middle process dials it with a DEALER, and has a ROUTER
itself, which the far processes dial: who listens and who dials is as between server, relay and workers. In
one hop the far processes dial this one. The middle passes frames on without a look at them, a far one sends
back what it gets. Of TCP, a far process has one connection and receives into memory that it keeps. As a
script this file is a middle or a far process; it ends when its stdin does.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket as net
import subprocess
import sys
import threading
from types import TracebackType
from typing import Any

import zmq

MIB = 2**20
CHUNK = 4 * MIB
TIMEOUT_MS = 300_000


class Far:
    """Processes of this file, as a context."""

    def __init__(self) -> None:
        self._processes: list[subprocess.Popen[str]] = []

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()
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

    def _close(self) -> None:
        """Let go of what this process has."""

    def _start(self, role: str, script: str = __file__, **settings: Any) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, script, role], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._processes.append(process)
        assert process.stdin is not None
        # Keys go over stdin, as secrets do.
        print(json.dumps(settings), file=process.stdin, flush=True)
        return process

    @property
    def pids(self) -> list[int]:
        """Process ids: the middle's, if there is one, then those of the far ones."""
        return [process.pid for process in self._processes]


class Pipe(Far):
    """Our end of a bare ZeroMQ pipe, and the processes behind it.

    Args:
        hops: 1 or 2.
        curve: encrypt each hop.
        far: how many processes there are at the other end.
    """

    def __init__(self, *, hops: int = 2, curve: bool = False, far: int = 1) -> None:
        super().__init__()
        self._hops = hops
        self._keys = _curve_keys() if curve else None
        self._context = zmq.Context()
        self._socket = _socket(self._context, zmq.ROUTER, self._keys, listens=True)
        self._socket.rcvtimeo = TIMEOUT_MS
        self.names = [f"far-{number}".encode() for number in range(far)]

    def __enter__(self) -> Pipe:
        port = self._socket.bind_to_random_port("tcp://127.0.0.1")
        if self._hops == 2:
            middle = self._start("middle", port=port, keys=self._keys)
            assert middle.stdout is not None
            port = int(middle.stdout.readline())
        for name in self.names:
            self._start("far", port=port, name=name.decode(), keys=self._keys)
        for _ in self.names:
            self.receive()
        return self

    def _close(self) -> None:
        self._socket.close(0)
        self._context.term()

    def send(self, name: bytes, frames: list[Any]) -> None:
        """Send frames to one of the far processes."""
        way = [b"middle", name] if self._hops == 2 else [name]
        self._socket.send_multipart([*way, *frames], copy=False)

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


class Tcp(Far):
    """Our ends of bare TCP connections, one to each far process; each has a place for what comes back.

    Args:
        size: bytes that are sent each time.
    """

    def __init__(self, size: int, far: int = 1) -> None:
        super().__init__()
        self._size, self._far = size, far
        self._socks: list[net.socket] = []
        self._places = [bytearray(size) for _ in range(far)]

    def __enter__(self) -> Tcp:
        with net.create_server(("127.0.0.1", 0)) as server:
            for _ in range(self._far):
                self._start("tcp", port=server.getsockname()[1], size=self._size)
                sock, _ = server.accept()
                sock.setsockopt(net.IPPROTO_TCP, net.TCP_NODELAY, 1)
                self._socks.append(sock)
        return self

    def _close(self) -> None:
        for sock in self._socks:
            sock.close()

    def echo(self, data: Any) -> None:
        """Send bytes to each of the far processes at once and wait for all of them to come back."""
        ends = zip(self._socks, self._places, strict=True)
        if self._far == 1:
            _there_and_back(*next(ends), data)
            return
        threads = [threading.Thread(target=_there_and_back, args=(*end, data)) for end in ends]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def _there_and_back(sock: net.socket, place: bytearray, data: Any) -> None:
    sock.sendall(data)
    _receive(sock, place)


def _receive(sock: net.socket, place: bytearray) -> None:
    left = memoryview(place)
    while left:
        count = sock.recv_into(left)
        if not count:
            raise EOFError("the other end is gone")
        left = left[count:]


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


def _be_tcp(context: Any, settings: dict[str, Any]) -> None:
    sock = net.create_connection(("127.0.0.1", settings["port"]))
    sock.setsockopt(net.IPPROTO_TCP, net.TCP_NODELAY, 1)
    place = bytearray(settings["size"])
    with contextlib.suppress(EOFError, OSError):
        while True:
            _receive(sock, place)
            sock.sendall(place)


def _end_with_stdin() -> None:
    sys.stdin.read()
    os._exit(0)


def main() -> None:
    """Be a middle or a far process."""
    settings = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    role = {"middle": _be_middle, "far": _be_far, "tcp": _be_tcp}[sys.argv[1]]
    role(zmq.Context(), settings)


if __name__ == "__main__":
    main()
