"""The I/O thread over ZeroMQ: how it ends, and what it leaves behind."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from typing import Any

import pytest
from peer_process import peer_process
from waiting import wait_for

from fox_hpc.errors import LinkClosed, WireError
from fox_hpc.testing.ear import Ear
from fox_hpc.wire.zmq_link import ZmqIo


def closed_within(io: ZmqIo, limit_s: float) -> bool:
    began = time.monotonic()
    io.close()
    return time.monotonic() - began < limit_s


def test_closing_ends_in_time_when_the_peer_is_not_there(net: Any) -> None:
    nobody = socket.create_server(("127.0.0.1", 0))
    url = f"tcp://127.0.0.1:{nobody.getsockname()[1]}"
    nobody.close()
    io = ZmqIo()
    link = io.dial(url, "site-1", Ear(), net.keys["site-1"], net.server_keys.public)
    link.send("", [bytes(1 << 20)])

    assert closed_within(io, 20.0)


def test_closing_ends_in_time_when_the_peer_has_stopped(
    zmq_net: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fox_hpc.wire.zmq_loop.LINGER_S", 0.3)
    net, server = zmq_net(), Ear()
    listening = net.listen(server)
    with peer_process(net, listening.url) as process:
        server.wait_change("site-1", True)
        process.send_signal(signal.SIGSTOP)
        listening.send("site-1", [bytes(32 << 20)])

        assert closed_within(net.server, 15.0)
    net.close()


def test_closing_ends_at_once_when_nothing_waits(zmq_net: Any) -> None:
    net, server = zmq_net(), Ear()
    net.dial(net.listen(server).url, "site-1", Ear())
    server.wait_change("site-1", True)

    assert closed_within(net.client, 4.0)
    assert closed_within(net.server, 4.0)


def test_closing_from_the_io_thread_ends_it(zmq_net: Any) -> None:
    net = zmq_net()
    net.listen(Ear())
    net.server.call_soon(net.server.close)
    wait_for(lambda: not net.server._thread.is_alive())
    net.close()

    assert net.server.context.closed


def test_closing_from_many_threads_is_one_closing(zmq_net: Any) -> None:
    net = zmq_net()
    threads = [threading.Thread(target=net.server.close) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10.0)
    net.close()

    assert not net.server._thread.is_alive()


def test_closing_ends_though_actions_go_on_for_ever(zmq_net: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fox_hpc.wire.zmq_loop.LINGER_S", 0.2)
    net = zmq_net()

    def again() -> None:
        net.server.call_soon(again)

    again()

    assert closed_within(net.server, 15.0)
    net.close()


def test_what_cannot_be_opened_leaves_nothing_behind(net: Any, zmq_net: Any) -> None:
    io, keys = ZmqIo(), net.keys["site-1"]
    bad = type(keys)("site-1", keys.public, "short")
    busy = net.listen(Ear())
    with pytest.raises(WireError, match="cannot be opened"):
        io.dial("tcp://", "site-1", Ear(), keys, net.server_keys.public)
    with pytest.raises(WireError, match="cannot be opened"):
        io.dial("tcp://127.0.0.1:1", "site-1", Ear(), bad, net.server_keys.public)
    with pytest.raises(WireError, match="cannot be opened"):
        io.listen(Ear(), keys, {"site-1": "not a key"})
    with pytest.raises(WireError, match="in use"):
        io.listen(Ear(), keys, {}, host="127.0.0.1", port=busy.port)

    assert closed_within(io, 4.0)
    with pytest.raises(LinkClosed):
        io.listen(Ear(), keys, {})


def test_descriptors_are_given_back_after_many_nets(zmq_net: Any) -> None:
    def one() -> int:
        net, server = zmq_net(), Ear()
        net.dial(net.listen(server).url, "site-1", Ear()).send("", [b"x"])
        server.wait_messages(1)
        net.close()
        return len(os.listdir("/proc/self/fd"))  # noqa: PTH208

    before = one()

    assert max(one() for _ in range(50)) <= before + 2


def test_descriptors_and_names_are_given_back_after_many_links(net: Any) -> None:
    server = Ear()
    listening = net.listen(server)
    counts = []
    for turn in range(50):
        dialling = net.dial(listening.url, "site-1", Ear())
        server.wait_change("site-1", True, times=turn + 1)
        dialling.close()
        server.wait_change("site-1", False, times=turn + 1)
        wait_for(lambda: not net.client.links)
        counts.append(len(os.listdir("/proc/self/fd")))  # noqa: PTH208

    assert counts[-1] <= counts[5] + 2
    assert repr(listening) == f"<ZmqListener {listening.url} · 0 peers>"


def test_actions_from_many_threads_all_run(net: Any) -> None:
    ran: list[int] = []

    def push() -> None:
        for number in range(2000):
            net.server.call_soon(lambda number=number: ran.append(number))

    threads = [threading.Thread(target=push) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wait_for(lambda: len(ran) == 8000)
