"""What a stranger, and a site that turned bad, try on a server: used by the tests of `fox-hpc serve`."""

from __future__ import annotations

import contextlib
import socket
from typing import Any

import msgspec

from fox_hpc.errors import NotAllowed
from fox_hpc.testing.ear import Ear
from fox_hpc.wire import channel, codec, envelope, handshake
from fox_hpc.wire.handshake import Join
from fox_hpc.wire.key_folder import Kit
from fox_hpc.wire.keys import Keys, new_keys
from fox_hpc.wire.probe import first_reachable
from fox_hpc.wire.zmq_link import ZmqIo

TIMES = 3
#: What each of them is counted as; all are tried TIMES times.
KINDS = ("unlisted key", "no handshake", "name of another", "stale attempt", "target out of reach")


class Intruder:
    """Somebody with the kit of site-b."""

    def __init__(self, url: str, run: str, kit: Kit) -> None:
        self.url, self.run, self.kit = url, run, kit
        self.io = ZmqIo()

    def __enter__(self) -> Intruder:
        return self

    def __exit__(self, *_: object) -> None:
        self.io.close()

    def _dial(self, name: str, keys: Keys) -> Any:
        ear = Ear()
        return self.io.dial(self.url, name, ear, keys, self.kit.server_key), ear

    def come_without_a_listed_key(self) -> None:
        for _ in range(TIMES):
            with contextlib.suppress(NotAllowed):
                first_reachable([self.url], new_keys("site-a"), self.kit.server_key)

    def come_without_curve(self) -> None:
        host, _, port = self.url.removeprefix("tcp://").rpartition(":")
        null = bytes.fromhex("ff00000000000000017f") + b"\x03\x00NULL" + bytes(64)
        for noise in [null, b"GET / HTTP/1.1\r\n\r\n" + bytes(64), null][:TIMES]:
            with socket.create_connection((host, int(port))) as stranger:
                stranger.sendall(noise)
                stranger.settimeout(10)
                with contextlib.suppress(ConnectionResetError):
                    while stranger.recv(4096):
                        pass

    def come_as_another(self) -> None:
        for _ in range(TIMES):
            link, ear = self._dial("site-a.app", self.kit.keys)
            ear.wait_change("", True)
            link.close()

    def join_and_lie(self) -> None:
        link, ear = self._dial("site-b.app", self.kit.keys)
        join = Join("0", ("site-b",), self.run)
        link.send("", [_head("join", "site-b.app"), *handshake.write(join)])
        ear.wait_messages(1)
        news = {"attempts": 2, "state": "RUNNING", "ready": False, "final": False, "exit_code": None}
        texts = dict.fromkeys(("scheduler", "job_id", "reason", "nodes", "log", "refused", "stderr_tail"), "")
        link.send("", [_head("event", "site-b.app"), *codec.encode({**news, **texts, "site": "site-b"})])
        worker = "site-b.app.worker.0"
        for _ in range(TIMES):
            link.send("", [_head("reply", worker, attempt=1), *codec.encode({"fault": None, "result": 1})])
            link.send("", [_head("call", worker, target="site-a.app.worker.0")])
        link.send("", [msgspec.msgpack.encode([99, "reply", "another layout"])])
        ear.wait(lambda: any(envelope.read(frames[0]).kind == "refuse" for _, frames in ear.messages))
        link.close()


def _head(kind: str, origin: str, target: str = "server", attempt: int = 0) -> bytes:
    lane = channel.CALL if kind in ("call", "reply") else channel.WORKER
    return envelope.seal(kind, lane, id="1", origin=origin, target=target, attempt=attempt)
