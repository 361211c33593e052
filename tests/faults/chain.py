"""A server, a relay and workers in one process, over real sockets, with a proxy between each pair of them.

The server's end is SiteDesk, the relay's door is Door and its pump DataPump, the workers' end is Uplink: only
the jobs are left out. The waits are short; the rest is as in a run.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from tcp_proxy import Harm, TcpProxy

from fox_hpc.call import Call, Fault, Reply
from fox_hpc.environment import WorkerEnv
from fox_hpc.errors import WireError
from fox_hpc.server.desk import SiteDesk
from fox_hpc.site.door import Door
from fox_hpc.site.uplink import Uplink
from fox_hpc.wire import channel, envelope
from fox_hpc.wire.cell import Cell, Incoming, relay_cell, worker_cell
from fox_hpc.wire.data_port import DataPort
from fox_hpc.wire.data_pump import DataPump
from fox_hpc.wire.data_times import NORMAL, DataTimes
from fox_hpc.wire.envelope import Envelope
from fox_hpc.wire.handshake import Welcome
from fox_hpc.wire.keys import Keys, load_keys, make_keys, new_keys
from fox_hpc.wire.link import Link
from fox_hpc.wire.names import site_of
from fox_hpc.wire.parcels import Parcels
from fox_hpc.wire.zmq_link import ZmqIo

#: Every wait about a thirtieth of what it is in a run.
SHORT = DataTimes(
    greet_s=0.5, dial_s=2.0, redial_s=(0.02, 0.2), tick_s=0.1, stall_s=0.7, give_up_s=6.0, silent_s=1.5
)
LINK = {"heartbeat_s": 0.3, "dead_after_s": 1.5, "redial_s": 0.2}

Place = Literal["server link", "server data", "relay link", "relay data"]
PLACES: tuple[Place, ...] = ("server link", "server data", "relay link", "relay data")
#: Says of a message that comes by the relay, how often it is passed on, and after how many seconds.
Mangle = Callable[[Envelope], list[float]]


def as_it_is(head: Envelope) -> list[float]:
    return [0.0]


class ThinRelay:
    """What FoxExecutor does with messages, without jobs."""

    def __init__(self, chain: Chain, port: int = 0) -> None:
        self.io = ZmqIo(**chain.link_waits)
        self._mangle = chain.mangle
        self._attempts = chain.attempts
        allowed = {site: keys.public for site, keys in chain.site_keys.items()}
        self.down = self.io.listen(self, chain.relay_keys, allowed, host="127.0.0.1", port=port)
        self.pump = DataPump(self.io, host="127.0.0.1", times=chain.times)
        self.io.links.append(self.pump)
        self._data_port = chain.proxies["relay data"].port
        url = f"tcp://127.0.0.1:{chain.proxies['server link'].port}"
        self.door = Door(
            self.io, [url], "relay", chain.relay_keys, chain.server_keys.public, list(chain.site_keys)
        )

    def enter(self, run: str) -> None:
        self.door.enter(self, run)

    # See door.Guest.

    def welcomed(self) -> None:
        if self.door.data_address is not None:
            self.pump.lead_to(self.door.data_address)
        for site in self._attempts:
            self._say("welcome", worker_cell(site))

    def turned_away(self, words: str) -> None:
        raise AssertionError(words)

    def told(self, head: Envelope, frames: list[Any]) -> None:
        self._pass(head, frames, lambda kept: self.down.send(head.target, kept))

    # Workers.

    def received(self, link: Link, peer: str, frames: list[Any]) -> None:
        head = envelope.read(frames[0])
        if head.attempt != self._attempts[site_of(peer)]:
            return
        if head.kind == "ready":
            self.pump.admit(site_of(peer), head.id)
        self._pass(head, frames, self.door.say)

    def peer_changed(self, link: Link, peer: str, up: bool) -> None:
        if up:
            self._say("data", peer, str(self._data_port))

    def _say(self, kind: str, target: str, id: str = "") -> None:
        head = envelope.seal(kind, channel.WORKER, id=id, origin=relay_cell(site_of(target)), target=target)
        self.down.send(target, [head])

    def _pass(self, head: Envelope, frames: list[Any], say: Callable[[list[Any]], None]) -> None:
        for delay_s in self._mangle(head):
            if not delay_s:
                say(frames)
            else:
                kept = [bytes(memoryview(frame)) for frame in frames]
                self.io.call_later(delay_s, lambda kept=kept: say(kept))  # type: ignore[misc]


class Site:
    """A worker that runs the calls that come to it, on a thread of its own."""

    def __init__(self, chain: Chain, name: str, attempt: int) -> None:
        self.name, self.attempt = name, attempt
        self.io = ZmqIo(**chain.link_waits)
        env = WorkerEnv(
            parent_urls=(f"tcp://127.0.0.1:{chain.proxies['relay link'].port}",),
            parent_fqcn=relay_cell(name),
            site_name=name,
            client_class="Site",
            run_dir="",
            keys_dir=str(chain.folder / name),
            attempt=attempt,
        )
        self.up = Uplink(self.io, env, load_keys(chain.folder / name, name), 600.0, times=chain.times)
        self._answer = chain.answer
        self._thread = threading.Thread(target=self._serve, name=f"serve {name}", daemon=True)

    def begin(self) -> None:
        self.up.ready(1)
        self._thread.start()

    def _serve(self) -> None:
        while (incoming := self.up.cell.take()) is not None:
            self.up.cell.reply(incoming, self._reply(incoming))

    def _reply(self, incoming: Incoming) -> Reply:
        try:
            return Reply(self._answer(self, incoming))
        except Exception as error:
            return Reply(fault=Fault.from_exception(error))

    def close(self) -> None:
        self.up.cell.stop()
        self.up.cell.abort()
        self.io.close()
        self._thread.join(10.0)


class Chain:
    """The whole; a context manager, which ends what it began.

    Args:
        answer: runs a call at a site and gives its value.
        serve: runs a call that a site makes to the server.
        harms: what is done by the proxy at each place.
        mangle: what the relay does to messages.
        start: False leaves it to others to start workers.
        real_waits: let everything wait as long as in a run.
    """

    def __init__(
        self,
        folder: Path,
        answer: Callable[[Site, Incoming], Any],
        *,
        sites: int = 2,
        harms: Mapping[Place, Sequence[Harm]] | None = None,
        mangle: Mangle = as_it_is,
        serve: Callable[[Call], Any] = lambda call: None,
        most_bytes: int = 2**40,
        start: bool = True,
        real_waits: bool = False,
    ) -> None:
        self._start = start
        self.folder, self.answer, self.mangle, self._serve = folder, answer, mangle, serve
        names = [f"site-{number}" for number in range(1, sites + 1)]
        self.server_keys, self.relay_keys = new_keys("server"), new_keys("relay")
        self.site_keys: dict[str, Keys] = {}
        for name in names:
            known = {"relay": self.relay_keys.public, "server": self.server_keys.public}
            make_keys(folder / name, [name], known=known)
            self.site_keys[name] = load_keys(folder / name, name)
        self.attempts = dict.fromkeys(names, 1)
        self.times, self.link_waits = (NORMAL, {}) if real_waits else (SHORT, LINK)
        self.io = ZmqIo(**self.link_waits)
        self.parcels = Parcels(self.io, times=self.times, most_bytes=most_bytes)
        self.data_port = DataPort(self.io, self.parcels.greeted, host="127.0.0.1", times=self.times)
        self.io.links += [self.parcels, self.data_port]
        harms = harms or {}
        targets: dict[Place, Callable[[], int]] = {
            "server link": lambda: self.link.port,
            "server data": lambda: self.data_port.port,
            "relay link": lambda: self.relay.down.port,
            "relay data": lambda: self.relay.pump.port,
        }
        self.proxies = {place: TcpProxy(targets[place], harms.get(place, ())) for place in PLACES}
        welcome = Welcome("0", "run", sites=tuple(names), data_port=self.proxies["server data"].port)
        self.desk = SiteDesk(self.io.call_later, welcome, self.io.refusals, self.parcels, self.server_keys)
        self.link = self.io.listen(
            self.desk, self.server_keys, {"relay": self.relay_keys.public}, host="127.0.0.1"
        )
        self.desk.attach(self.link)
        for name in names:
            self.desk.expect(name, "relay")
        self.relay = ThinRelay(self)
        self.sites: dict[str, Site] = {}
        self._serving = threading.Thread(target=self._serve_calls, name="serve server", daemon=True)

    @property
    def cell(self) -> Cell:
        """The server's."""
        return self.desk.cell

    def __enter__(self) -> Chain:
        self._serving.start()
        self.relay.enter("run")
        for name in self.attempts if self._start else ():
            self.begin_site(name)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        # Whoever waits for a handshake, behind a proxy that is gone, would wait for long.
        self.desk.cell.abort()
        for site in self.sites.values():
            site.close()
        self.relay.io.close()
        self.desk.cell.stop()
        self.io.close()
        self._serving.join(10.0)
        for proxy in self.proxies.values():
            proxy.close()

    def begin_site(self, name: str) -> Site:
        """Start a site's worker, in the attempt that is on."""
        site = self.sites[name] = Site(self, name, self.attempts[name])
        site.begin()
        return site

    def next_attempt(self, name: str) -> Site:
        """Let a site's worker die, and another attempt of its job begin."""
        self.attempts[name] += 1
        self.sites[name].close()
        return self.begin_site(name)

    def restart_relay(self) -> None:
        """Let the relay die, and another one listen where it did."""
        port = self.relay.down.port
        self.relay.io.links.remove(self.relay.down)
        self.relay.io.call_soon(lambda: self.relay.down.shut(0))
        self.relay.io.close()
        deadline = time.monotonic() + 10.0
        while True:
            try:
                self.relay = ThinRelay(self, port)
                break
            except WireError:
                # The port is given back by another thread.
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
        self.relay.enter("run")

    def call(self, func: str, *args: Any, sites: Sequence[str] = (), **options: Any) -> list[Any]:
        """Call sites, all unless named; gives their futures."""
        pending = self.cell.start(Call(func, args, **options), sites or list(self.attempts))
        return [one.future for one in pending]

    def _serve_calls(self) -> None:
        self.desk.serve(lambda call, _: self._serve(call))
