"""One hop of our own: cells over a link, without relay, jobs or user code; and many light peers of a server.

As a script this file is a process of far cells, each with a link and a thread of its own; it ends when its
stdin does.
"""

from __future__ import annotations

import contextlib
import json
import statistics
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any

from bench_figure import Figure, medians, seconds, take_turns
from bench_pipes import MIB, Far, Pipe, Tcp
from bench_relay import in_blocks, latencies, model_of, renewed, size_name

from fox_hpc.call import Call, Reply
from fox_hpc.wire import envelope
from fox_hpc.wire.cell import Cell
from fox_hpc.wire.data_port import DataPort
from fox_hpc.wire.keys import Keys, new_keys
from fox_hpc.wire.parcels import Parcels
from fox_hpc.wire.session import Offer, Session, accept_session, offer_session
from fox_hpc.wire.zmq_link import ZmqIo

KILOBYTE = b"k" * 1024
PER_PROCESS = 64


def link(blocks: int, calls: int, repeats: int, mib: int) -> Iterator[Figure]:
    """A small call and a model to one cell and back, beside memcpy and what bare sockets do in one hop."""
    with contextlib.ExitStack() as stack:
        cells = stack.enter_context(Cells(1))
        bare = stack.enter_context(Pipe(hops=1))
        curve = stack.enter_context(Pipe(hops=1, curve=True))
        small = stack.enter_context(Tcp(1))
        big = stack.enter_context(Tcp(mib * MIB))
        runners = {
            "fox": partial(cells.echo, 1),
            "tcp": partial(small.echo, b"1"),
            "one_hop": partial(bare.echo, [b"1"]),
            "one_hop_curve": partial(curve.echo, [b"1"]),
        }
        yield from latencies("link_call", in_blocks(runners, blocks, calls))
        weights = model_of(mib)
        data, target = memoryview(weights).cast("B"), memoryview(bytearray(mib * MIB))
        runners = {
            "fox": lambda: cells.echo(renewed(weights)),
            "memcpy": lambda: [target.__setitem__(slice(None), data) for _ in range(2)],
            "tcp": partial(big.echo, data),
            "one_hop": partial(bare.echo, [data]),
            "one_hop_curve": partial(curve.echo, [data]),
        }
        for runner in runners.values():
            runner()
        took = medians(take_turns({name: partial(seconds, run) for name, run in runners.items()}, repeats))
    rates = {name: 2 * mib / value for name, value in took.items()}
    yield Figure(f"link_model_{size_name(mib)}", rates.pop("fox"), "MiB/s", None, rates)


def light_peers(count: int, rounds: int) -> Iterator[Figure]:
    """Rounds of 1 KB with many cells over loopback, each with its own encrypted connection."""
    with Cells(count) as cells:
        took = [seconds(lambda: cells.echo(KILOBYTE)) * 1e3 for _ in range(rounds)]
    more = {
        "rounds": rounds,
        "slowest": round(max(took), 1),
        "ms_each": round(statistics.median(took) / count, 3),
    }
    yield Figure(f"round_{count}_peers_1KB", statistics.median(took), "ms", None, {}, more)


class Cells(Far):
    """A server's cell here, and as many far ones as are asked for."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self._count, self._up = count, 0
        self._all_up = threading.Event()
        self.io = ZmqIo()
        self.parcels = Parcels(self.io)
        self._far_keys, keys = new_keys("far"), new_keys("server")
        self._door = DataPort(self.io, self.parcels.greeted, host="127.0.0.1")
        self.io.links += [self.parcels, self._door]
        self._link = self.io.listen(self, keys, {"far": self._far_keys.public}, host="127.0.0.1")
        self._keys = keys
        self.cell = Cell(
            "server",
            self._link.send,
            self.io.call_later,
            address="far.{}".format,
            parcels=self.parcels,
            wait=self.io.wait_for,
        )

    def __enter__(self) -> Cells:
        for first in range(0, self._count, PER_PROCESS):
            numbers = range(first, min(self._count, first + PER_PROCESS))
            self._start_cells(numbers)
        if not self._all_up.wait(60):
            raise TimeoutError(f"{self._up} of {self._count} cells are there")
        return self

    def _start_cells(self, numbers: Sequence[int]) -> None:
        process = self._start(
            "cells",
            __file__,
            url=self._link.url,
            data_port=self._door.port,
            server=self._keys.public,
            keys=[self._far_keys.owner, self._far_keys.public, self._far_keys.secret],
            numbers=[*numbers],
        )
        assert process.stdin is not None
        assert process.stdout is not None
        for number, (id, public) in zip(numbers, json.loads(process.stdout.readline()), strict=True):
            session = accept_session(Offer(bytes.fromhex(id), bytes.fromhex(public)), self._keys)
            self.io.call_soon(partial(self.parcels.meet, f"far.{number}", session))
        # They may come now: their sessions are known.
        print("go", file=process.stdin, flush=True)

    def _close(self) -> None:
        self.io.close()

    def echo(self, value: Any) -> None:
        """Call every far cell and wait for all answers."""
        changed, came = threading.Condition(), 0

        def arrive(future: Future[Any]) -> None:
            nonlocal came
            with changed:
                came += 1
                changed.notify_all()

        started = self.cell.start(Call("echo", (value,), {}), [str(n) for n in range(self._count)])
        for one in started:
            one.future.add_done_callback(arrive)
        # As a group call waits.
        started[0].wait(changed, lambda: came == self._count, 60)
        for one in started:
            one.future.result(0)

    # On the I/O thread.

    def received(self, link: Any, peer: str, frames: list[Any]) -> None:
        """See Handler."""
        self.cell.deliver(envelope.read(frames[0]), frames[1:])

    def peer_changed(self, link: Any, peer: str, up: bool) -> None:
        """See Handler."""
        if up:
            self.cell.open(peer.removeprefix("far."))
            self._up += 1
            if self._up == self._count:
                self._all_up.set()


class FarCell:
    """One far cell: gives back what it gets."""

    def __init__(self, io: ZmqIo, number: int, settings: dict[str, Any], session: Session) -> None:
        name, parcels = f"far.{number}", Parcels(io)
        io.links.append(parcels)
        io.call_soon(partial(parcels.meet, "server", session))
        io.call_soon(partial(parcels.dial, "server", ("127.0.0.1", settings["data_port"])))
        link = io.dial(settings["url"], name, self, Keys(*settings["keys"]), settings["server"])
        self.cell = Cell(
            name,
            lambda target, frames: link.send("", frames),
            io.call_later,
            reachable=["server"],
            parcels=parcels,
        )
        self._io = io
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while (incoming := self.cell.take(None, self._io.wait_for)) is not None:
            self.cell.reply(incoming, Reply(incoming.call.args[0]))

    def received(self, link: Any, peer: str, frames: list[Any]) -> None:
        """See Handler."""
        self.cell.deliver(envelope.read(frames[0]), frames[1:])

    def peer_changed(self, link: Any, peer: str, up: bool) -> None:
        """See Handler."""


def main() -> None:
    """Be a process of far cells."""
    settings = json.loads(sys.stdin.readline())
    made = [offer_session(settings["server"]) for _ in settings["numbers"]]
    print(json.dumps([(offer.id.hex(), offer.public.hex()) for _, offer in made]), flush=True)
    sys.stdin.readline()
    io = ZmqIo()
    for number, (session, _) in zip(settings["numbers"], made, strict=True):
        FarCell(io, number, settings, session)
    sys.stdin.read()
    io.close()


if __name__ == "__main__":
    main()
