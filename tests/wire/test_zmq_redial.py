"""A dialler whose line breaks dials again, whatever broke it, and loses nothing by that."""

from __future__ import annotations

import threading
from typing import Any, Literal

import pytest
from tcp_proxy import TcpProxy

from fox_hpc.testing.ear import Ear


@pytest.mark.parametrize("way", ["down", "up"])
def test_a_changed_byte_ends_the_connection_at_once_and_the_next_one_follows(
    zmq_net: Any, way: Literal["down", "up"]
) -> None:
    # Nothing is found by the heartbeat here: it waits for longer than an Ear does.
    net = zmq_net(heartbeat_s=0.1, dead_after_s=30.0, redial_s=0.05)
    server, client = Ear(), Ear()
    listening = net.listen(server)
    proxy = TcpProxy(lambda: listening.port)
    dialling = net.dial(f"tcp://127.0.0.1:{proxy.port}", "site-1", client)
    for turn in range(1, 13):
        server.wait_change("site-1", True, times=turn)
        client.wait_change("", True, times=turn)
        assert proxy.count == turn
        proxy.corrupt(way, 600)
        if way == "down":
            listening.send("site-1", [bytes(1000)])
        else:
            dialling.send("", [bytes(1000)])
        server.wait_change("site-1", False, times=turn)
        client.wait_change("", False, times=turn)
    proxy.close()
    net.close()


def test_what_is_said_while_the_line_is_down_is_heard_when_it_is_up_again(zmq_net: Any) -> None:
    # Dialling anew would lose it: libzmq dials again by itself after this.
    net = zmq_net(redial_s=0.05)
    server, client = Ear(), Ear()
    listening = net.listen(server)
    proxy = TcpProxy(lambda: listening.port)
    dialling = net.dial(f"tcp://127.0.0.1:{proxy.port}", "site-1", client)
    server.wait_change("site-1", True)
    proxy.shut(0.5)
    client.wait_change("", False)
    dialling.send("", [b"meanwhile"])
    server.wait_messages(1)
    assert server.messages == [("site-1", [b"meanwhile"])]
    proxy.close()
    net.close()


def test_a_dialler_that_still_reads_what_came_before_the_break_dials_anew(zmq_net: Any) -> None:
    net = zmq_net(redial_s=0.0)
    may = threading.Event()

    def heard(*_: Any) -> None:
        may.wait(10.0)

    server, client = Ear(), Ear(heard)
    listening = net.listen(server)
    proxy = TcpProxy(lambda: listening.port)
    net.dial(f"tcp://127.0.0.1:{proxy.port}", "site-1", client)
    server.wait_change("site-1", True)
    # More than is read in one turn; then one that does not open, which ends the connection.
    proxy.corrupt("down", 100_000)
    for _ in range(300):
        listening.send("site-1", [b"x"])
    listening.send("site-1", [bytes(200_000)])
    server.wait_change("site-1", False)
    may.set()

    client.wait_change("", True, times=2)
    assert client.changes == [("", True), ("", False), ("", True)]
    proxy.close()
    net.close()
