"""Of several addresses, the one that answers with the right key."""

from __future__ import annotations

import socket
import time
from typing import Any

import pytest
import zmq

from fox_hpc.errors import LinkClosed, NotAllowed
from fox_hpc.testing.ear import Ear
from fox_hpc.wire.keys import Keys
from fox_hpc.wire.probe import first_reachable


def nobody() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"tcp://127.0.0.1:{server.getsockname()[1]}"


def stranger() -> Keys:
    public, secret = zmq.curve_keypair()
    return Keys("stranger", public.decode(), secret.decode())


def test_address_that_answers_is_found_among_those_that_do_not(net: Any) -> None:
    url = net.listen(Ear()).url
    deaf = socket.create_server(("127.0.0.1", 0))
    urls = [nobody(), f"tcp://127.0.0.1:{deaf.getsockname()[1]}", "tcp://no such host:1", "nonsense", url]
    found = first_reachable(urls, net.keys["site-1"], net.server_keys.public, timeout_s=10.0)
    deaf.close()

    assert found == url


def test_stranger_on_the_same_address_is_not_taken_for_the_peer(net: Any) -> None:
    url = net.listen(Ear()).url
    with pytest.raises(LinkClosed, match="no answer from any of"):
        first_reachable([url], net.keys["site-1"], stranger().public, timeout_s=0.5)


def test_key_that_is_refused_is_told_at_once(net: Any) -> None:
    url, began = net.listen(Ear()).url, time.monotonic()
    with pytest.raises(NotAllowed, match="refused the key of stranger"):
        first_reachable([url, url], stranger(), net.server_keys.public, timeout_s=30.0)

    assert time.monotonic() - began < 10.0


def test_nothing_to_dial_is_told_at_once() -> None:
    keys = stranger()
    for urls in ([], ["nonsense"]):
        with pytest.raises(LinkClosed, match="no address"):
            first_reachable(urls, keys, keys.public, timeout_s=30.0)
