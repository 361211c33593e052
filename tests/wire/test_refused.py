"""Who is not let in, over real sockets: each is refused, logged once and counted, and the others go on."""

from __future__ import annotations

import contextlib
import logging
import socket
from collections.abc import Iterator
from typing import Any

import pytest
import zmq
from waiting import wait_for

from fox_hpc.errors import NotAllowed, WireError
from fox_hpc.testing.ear import Ear
from fox_hpc.wire.probe import first_reachable
from fox_hpc.wire.zmq_link import ZmqListener


@pytest.fixture
def net(zmq_net: Any) -> Iterator[Any]:
    """A net whose diallers come back soon after they were refused."""
    made = zmq_net(redial_s=0.2)
    yield made
    made.close()


def allowed(net: Any, *sites: str) -> dict[str, str]:
    return {site: net.keys[site].public for site in sites}


def say_and_wait_for_the_end(listening: ZmqListener, noise: bytes) -> None:
    """Be a stranger; the listener parts by itself, whatever it has said before."""
    with socket.create_connection(("127.0.0.1", listening.port)) as stranger:
        stranger.sendall(noise)
        stranger.settimeout(5.0)
        with contextlib.suppress(ConnectionResetError):
            while stranger.recv(4096):
                pass


def others_go_on(net: Any, server: Ear, listening: ZmqListener) -> None:
    before = len(server.messages)
    net.dial(listening.url, "site-2", Ear()).send("", [b"me"])
    server.wait_messages(before + 1)

    assert server.messages[before:] == [("site-2", [b"me"])]


def test_a_key_that_is_listed_later_comes_in_then(net: Any, caplog: pytest.LogCaptureFixture) -> None:
    server, client = Ear(), Ear()
    listening = net.listen(server, allowed(net, "site-2"))
    with caplog.at_level(logging.WARNING):
        net.dial(listening.url, "site-1", client)
        wait_for(lambda: net.server.refusals.counts().get("unlisted key", 0) >= 3)
    others_go_on(net, server, listening)
    listening.allow(allowed(net, "site-1", "site-2"))
    server.wait_change("site-1", True)
    client.wait_change("", True)

    # Refused again and again, and told once at each end.
    assert len(caplog.records) == 2


def test_a_revoked_key_is_parted_from_at_once_and_the_others_are_not(net: Any) -> None:
    server, revoked, other = Ear(), Ear(), Ear()
    listening = net.listen(server)
    gone = net.dial(listening.url, "site-1.app", revoked)
    net.dial(listening.url, "site-2", other)
    for name in ("site-1.app", "site-2"):
        server.wait_change(name, True)
    listening.allow(allowed(net, "site-2"))
    server.wait_change("site-1.app", False)
    revoked.wait_change("", False)
    gone.send("", [b"still here"])
    wait_for(lambda: net.server.refusals.counts().get("unlisted key"))
    others_go_on(net, server, listening)

    assert other.changes == [("", True)]


def test_a_key_that_was_replaced_is_parted_from_too(net: Any) -> None:
    server = Ear()
    listening = net.listen(server)
    net.dial(listening.url, "site-1", Ear())
    server.wait_change("site-1", True)
    listening.allow({**allowed(net, "site-2"), "site-1": net.keys["site-3"].public})
    server.wait_change("site-1", False)
    net.dial(listening.url, "site-1", Ear(), net.keys["site-3"])
    server.wait_change("site-1", True, times=2)


def test_a_peer_without_curve_is_refused_once_and_counted(net: Any, caplog: pytest.LogCaptureFixture) -> None:
    server = Ear()
    listening = net.listen(server)
    context = zmq.Context()
    with caplog.at_level(logging.WARNING):
        for number in range(1, 3):
            plain = context.socket(zmq.DEALER)
            plain.linger = 0
            plain.connect(listening.url)
            plain.send(b"let me in")
            wait_for(lambda number=number: net.server.refusals.counts().get("no handshake", 0) >= number)
            plain.close()
    context.term()
    others_go_on(net, server, listening)

    assert [record.getMessage() for record in caplog.records] == [
        f"refused: {listening.url} was dialled by something that speaks no CURVE, or has another server's key"
    ]


@pytest.mark.parametrize(
    "noise",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" + bytes(64),
        bytes.fromhex("ff00000000000000017f") + b"\x02\x00CURVE" + bytes(64),
        bytes.fromhex("ff00000000000000017f") + b"\x03\x00PLAIN" + bytes(64),
    ],
    ids=["http", "ZMTP 2", "PLAIN"],
)
def test_a_peer_of_another_protocol_is_refused_and_counted(net: Any, noise: bytes) -> None:
    server = Ear()
    listening = net.listen(server)
    say_and_wait_for_the_end(listening, noise)
    others_go_on(net, server, listening)

    assert net.server.refusals.counts() == {"no handshake": 1}


def test_many_strangers_leave_nothing_in_memory(net: Any) -> None:
    server = Ear()
    listening = net.listen(server)
    for _ in range(50):
        say_and_wait_for_the_end(listening, b"GET / HTTP/1.1\r\n\r\n" + bytes(64))
    others_go_on(net, server, listening)

    assert repr(listening) == f"<ZmqListener {listening.url} · 1 peers>"


def test_a_probe_with_the_right_key_is_no_stranger(net: Any) -> None:
    server = Ear()
    listening = net.listen(server, allowed(net, "site-1", "site-2"))
    first_reachable([listening.url], net.keys["site-1"], net.server_keys.public)
    with pytest.raises(NotAllowed):
        first_reachable([listening.url], net.keys["site-3"], net.server_keys.public)
    others_go_on(net, server, listening)

    assert net.server.refusals.counts() == {"unlisted key": 1}


def test_a_port_is_taken_from_a_range(net: Any) -> None:
    first = net.listen(Ear())
    after = first.port + 1
    second = net.server.listen(Ear(), net.server_keys, {}, host="127.0.0.1", ports=(first.port, after + 20))

    assert after <= second.port <= after + 20
    with pytest.raises(WireError, match="cannot be opened"):
        net.server.listen(Ear(), net.server_keys, {}, host="127.0.0.1", ports=(first.port, first.port))


@pytest.mark.parametrize("host", ["::1", "::"])
def test_links_run_over_ipv6(net: Any, host: str) -> None:
    server = Ear()
    listening = net.server.listen(server, net.server_keys, allowed(net, "site-2"), host=host)
    others_go_on(net, server, listening)

    assert listening.url == f"tcp://[::1]:{listening.port}"
