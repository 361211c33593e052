"""A desk and the relay that it hears, joined in memory."""

from __future__ import annotations

import threading
from typing import Any

import msgspec

from fox_hpc.metric import Batch, Entry, pack, unpack, write_batch
from fox_hpc.server.desk import SiteDesk
from fox_hpc.server.news import News
from fox_hpc.wire import channel, codec, envelope, handshake
from fox_hpc.wire.handshake import Join, Welcome
from fox_hpc.wire.memory_link import MemoryIo, MemoryLink

WORKER = "site-1.app.worker.0"
WELCOME = Welcome("0", "run-1", "job", "Trainer", ("site-1", "site-2"), 1)
NEWS = News("site-1", "slurm", "7", 1, "RUNNING", False, "", "node1", None, "/logs", "", False, "")


class Relay:
    """What the relay's end of the link hears and says."""

    def __init__(self) -> None:
        self.heard: list[envelope.Envelope] = []
        self.frames: dict[str, list[Any]] = {}
        self.news = threading.Condition()

    def received(self, link: Any, peer: str, frames: list[Any]) -> None:
        with self.news:
            self.heard.append(envelope.read(frames[0]))
            self.frames[self.heard[-1].kind] = frames[1:]
            self.news.notify_all()

    def peer_changed(self, link: Any, peer: str, up: bool) -> None:
        with self.news:
            self.news.notify_all()

    def wait_for(self, kind: str) -> envelope.Envelope:
        with self.news:
            assert self.news.wait_for(lambda: [head for head in self.heard if head.kind == kind], 5)
            return next(head for head in self.heard if head.kind == kind)


class Board:
    """Keeps what the desk tells."""

    def __init__(self) -> None:
        self.sites: dict[str, dict[str, Any]] = {}
        self.entries: list[tuple[str, Entry]] = []
        self.dropped: dict[tuple[str, int], int] = {}
        self.told = threading.Event()

    def change_site(self, site: str, **fields: Any) -> None:
        self.sites.setdefault(site, {}).update(fields)
        self.told.set()

    def track(self, site: str, data: bytes, /) -> None:
        self.entries += [(site, entry) for entry in unpack(data)]
        self.told.set()

    def note_dropped(self, site: str, attempt: int, total: int, /) -> None:
        self.dropped[site, attempt] = total


class Setup:
    """A desk and a relay, joined in memory."""

    def __init__(self) -> None:
        self.io = MemoryIo()
        self.desk, self.relay, self.board = SiteDesk(self.io.call_later, WELCOME), Relay(), Board()
        self.desk.board = self.board
        listening = self.io.listen(self.desk)
        self.desk.attach(listening)
        self.desk.expect("site-1", "relay")
        self.desk.expect("site-2", "relay-2")
        self.link: MemoryLink = self.io.dial(listening.url, "relay", self.relay)

    def join(self, **changed: Any) -> None:
        join = msgspec.structs.replace(Join("0", ("site-1",), "run-1"), **changed)
        head = envelope.seal("join", channel.WORKER, origin="relay", target="server")
        self.link.send("", [head, *handshake.write(join)])

    def say(self, kind: str, lane: str, value: Any, origin: str = WORKER, **to: Any) -> None:
        head = envelope.seal(kind, lane, **{"origin": origin, "target": "server", **to})
        self.link.send("", [head, *codec.encode(value)])

    def log(self, id: str, *entries: Entry, dropped: int = 0, **to: Any) -> None:
        [(count, data)] = pack(entries)
        head = envelope.seal("log", channel.METRICS, id=id, origin=WORKER, target="server", **to)
        self.link.send("", [head, write_batch(Batch(dropped, count, data))])

    def refused(self) -> dict[str, int]:
        """Give what was refused of all that was said before this."""
        done = threading.Event()
        self.link.send("", [b"not an envelope"])
        self.io.call_later(0.0, lambda: self.io.call_soon(done.set))
        assert done.wait(5)
        counts = self.desk.refusals.counts()
        assert counts.pop("unreadable", 0) > 0
        return counts

    def tell(self, **changed: Any) -> None:
        self.say("event", channel.WORKER, {**msgspec.to_builtins(NEWS), **changed}, origin="site-1.app")
