"""Who may come in is asked of the guard."""

from __future__ import annotations

from typing import Any

import zmq

from fox_hpc.testing.ear import Ear
from fox_hpc.wire.refusals import Refusals
from fox_hpc.wire.zmq_guard import Guard


def test_malformed_authentication_request_leaves_the_door_working(net: Any) -> None:
    asking = net.server.context.socket(zmq.REQ)
    asking.linger = 0
    asking.connect("inproc://zeromq.zap.01")
    answers = []
    for request in ([b"x"], [b"1.0", b"7"], [b"1.0", b"8", b"d", b"", b"", b"CURVE"], [b""] * 9):
        asking.send_multipart(request)
        answers.append(asking.recv_multipart()[1:3])
    asking.close()
    server = Ear()
    net.dial(net.listen(server).url, "site-1", Ear()).send("", [b"me"])
    server.wait_messages(1)

    assert answers == [[b"", b"500"], [b"7", b"500"], [b"8", b"400"], [b"", b"500"]]


def test_guard_refuses_keys_of_a_link_that_is_gone() -> None:
    context = zmq.Context()
    guard = Guard(context, Refusals())
    public, _ = zmq.curve_keypair()
    raw = zmq.utils.z85.decode(public.decode())
    request = [b"1.0", b"1", b"d", b"", b"", b"CURVE", raw]
    guard.allow(b"d", {"site-1": public.decode()})
    before = guard._reply(request)
    guard.forget(b"d")
    after = guard._reply(request)
    guard.socket.close()
    context.term()

    assert (before[2:5:2], after[2:5:2]) == ([b"200", b"site-1"], [b"400", b""])
