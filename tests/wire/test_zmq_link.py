"""What is particular to links over ZeroMQ: keys, and processes that die."""

from __future__ import annotations

import itertools
import logging
import os
import signal
import socket
import threading
from typing import Any

import pytest
import zmq
from peer_process import peer_process, tell
from waiting import wait_for

from fox_hpc.errors import WireError
from fox_hpc.testing.ear import Ear
from fox_hpc.wire.zmq_link import ZmqIo
from fox_hpc.wire.zmq_socket import MOST_FRAME_BYTES


def test_peer_is_down_when_its_process_is_killed(net: Any) -> None:
    server = Ear()
    with peer_process(net, net.listen(server).url) as process:
        tell(process, "say last word")
        server.wait_messages(1)
        process.send_signal(signal.SIGKILL)
        server.wait_change("site-1", False)

    assert server.changes == [("site-1", True), ("site-1", False)]


def test_words_of_a_dying_peer_come_before_its_end(net: Any) -> None:
    told: list[str] = []
    server = Ear(lambda link, peer, frames: told.append(frames[0].decode()))
    listening = net.listen(server)
    for turn in range(20):
        dialling = net.dial(listening.url, "site-1", Ear())
        dialling.send("", [b"%d" % turn])
        dialling.close()
        server.wait_change("site-1", False, times=turn + 1)

        assert told == [str(n) for n in range(turn + 1)]
    assert server.changes == [("site-1", True), ("site-1", False)] * 20


def test_peer_that_holds_the_gil_is_not_down(quick: Any) -> None:
    server = Ear()
    with peer_process(quick, quick.listen(server).url) as process:
        server.wait_change("site-1", True)
        tell(process, "hold 2.0")
        server.wait_messages(1)

        assert server.messages == [("site-1", [b"held"])]
        assert server.changes == [("site-1", True)]


def test_peer_that_stopped_is_down_after_the_heartbeat(quick: Any) -> None:
    server = Ear()
    with peer_process(quick, quick.listen(server).url) as process:
        server.wait_change("site-1", True)
        process.send_signal(signal.SIGSTOP)
        server.wait_change("site-1", False)
        process.send_signal(signal.SIGCONT)
        server.wait_change("site-1", True, times=2)


def test_what_a_signals_handler_says_does_not_come_between_the_frames_of_another_message(net: Any) -> None:
    server, numbers, over, said_all = Ear(), itertools.count(), threading.Event(), threading.Event()
    link = net.dial(net.listen(server).url, "site-1", Ear())
    server.wait_change("site-1", True)

    def say(*_: object) -> None:
        link.send("", [b"%d" % next(numbers)] * 50)

    def say_on() -> None:
        if over.is_set():
            said_all.set()
        else:
            say()
            net.client.call_soon(say_on)

    def interrupt() -> None:
        while not over.wait(0.0005):
            os.kill(os.getpid(), signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, say)
    other = threading.Thread(target=interrupt)
    other.start()
    try:
        net.client.call_soon(say_on)
        # This thread, which takes the signals, runs the loop now and then.
        for _ in range(20):
            net.wait_for(threading.Condition(), lambda: False, 0.04)
    finally:
        over.set()
        other.join()
        signal.signal(signal.SIGUSR1, before)
    assert said_all.wait(30)
    said = next(numbers)
    wait_for(lambda: len(server.messages) == said)

    assert {(len(frames), len(set(frames))) for _, frames in server.messages} == {(50, 1)}


def test_dialler_comes_back_when_the_listener_does(zmq_net: Any) -> None:
    net, client = zmq_net(), Ear()
    listening = net.listen(Ear())
    dialling = net.dial(listening.url, "site-1", client)
    client.wait_change("", True)
    listening.close()
    client.wait_change("", False)
    server = Ear()
    allowed = {owner: keys.public for owner, keys in net.keys.items()}
    again = ZmqIo()

    def bind() -> bool:
        try:
            again.listen(server, net.server_keys, allowed, host="127.0.0.1", port=listening.port)
        except WireError:
            return False
        return True

    wait_for(bind)
    client.wait_change("", True, times=2)
    dialling.send("", [b"back"])
    server.wait_messages(1)
    net.close()
    again.close()

    assert server.changes[0] == ("site-1", True)


def test_large_message_arrives_whole_and_without_a_copy(net: Any) -> None:
    size = 15 << 20
    got: list[Any] = []

    class Keeper(Ear):
        def received(self, link: Any, peer: str, frames: list[Any]) -> None:
            got.extend(frames)

    sent = os.urandom(1 << 20) * (size >> 20)
    net.dial(net.listen(Keeper()).url, "site-1", Ear()).send("", [b"head", sent])
    wait_for(lambda: len(got) == 2, 30.0)
    view = memoryview(got[1])

    assert (view.nbytes, view.readonly) == (size, False)
    assert bytes(view) == sent


def test_frame_above_the_limit_ends_the_connection_and_is_not_read(net: Any) -> None:
    server, client = Ear(), Ear()
    link = net.dial(net.listen(server).url, "site-1", client)
    server.wait_change("site-1", True)

    link.send("", [b"head", bytes(MOST_FRAME_BYTES + 1)])

    server.wait_change("site-1", False)
    link.send("", [b"small"])
    server.wait_messages(1)
    assert [frames for _, frames in server.messages] == [[b"small"]]


def test_links_within_one_job_take_frames_of_any_size_both_ways(net: Any) -> None:
    server, client, keys = Ear(), Ear(), net.keys["site-1"]
    listening = net.server.listen(
        server, net.server_keys, {"site-1": keys.public}, host="127.0.0.1", most_frame_bytes=-1
    )
    public = net.server_keys.public
    dialling = net.client.dial(listening.url, "site-1", client, keys, public, most_frame_bytes=-1)
    server.wait_change("site-1", True)

    listening.send("site-1", [bytes(MOST_FRAME_BYTES + 1)])
    dialling.send("", [bytes(MOST_FRAME_BYTES + 1)])

    client.wait_messages(1)
    server.wait_messages(1)


def test_unknown_key_is_refused_with_one_line_on_each_side(
    net: Any, caplog: pytest.LogCaptureFixture
) -> None:
    server, client = Ear(), Ear()
    listening = net.listen(server, {"site-2": net.keys["site-2"].public})
    with caplog.at_level(logging.WARNING):
        refused = net.dial(listening.url, "site-1", client)
        for _ in range(10):
            refused.send("", [b"let me in"])
        wait_for(lambda: len(caplog.records) == 2)
        net.dial(listening.url, "site-2", Ear()).send("", [b"me"])
        server.wait_messages(1)
        refused.send("", [b"again"])

    key = net.keys["site-1"].public[:8]
    assert sorted(record.getMessage() for record in caplog.records) == [
        f"refused: 127.0.0.1 came with key {key}…, which is not on the list",
        f"{listening.url} refused the key of site-1",
    ]
    assert (server.messages, client.changes) == ([("site-2", [b"me"])], [])
    # The I/O thread does not wait for a peer that will never take what was sent.
    other = Ear()
    net.dial(listening.url, "site-2", other)
    other.wait_change("", True)


@pytest.mark.parametrize("name", ["site-2", "site-2.app.worker.0", "server", "", "site-10", "site-1x.app"])
def test_name_that_is_not_the_keys_is_refused(net: Any, name: str, caplog: pytest.LogCaptureFixture) -> None:
    server, honest, thief = Ear(), Ear(), Ear()
    listening = net.listen(server)
    net.dial(listening.url, "site-2.app.worker.0", honest)
    server.wait_change("site-2.app.worker.0", True)
    with caplog.at_level(logging.WARNING):
        stealing = net.dial(listening.url, name, thief, net.keys["site-1"])
        for _ in range(5):
            stealing.send("", [b"I am another"])
        thief.wait_change("", True)
        wait_for(lambda: caplog.records)
    listening.send("site-2.app.worker.0", [b"secret"])
    honest.wait_messages(1)

    assert len([record for record in caplog.records if "calls itself" in record.getMessage()]) == 1
    assert (server.messages, thief.messages) == ([], [])
    assert server.changes == [("site-2.app.worker.0", True)]


def test_plain_peer_and_noise_do_not_disturb(net: Any) -> None:
    server = Ear()
    listening = net.listen(server)
    context = zmq.Context()
    plain = context.socket(zmq.DEALER)
    plain.linger = 0
    plain.connect(listening.url)
    plain.send(b"no key at all")
    noise = socket.create_connection(("127.0.0.1", listening.port))
    noise.sendall(bytes(range(256)) * 64)
    net.dial(listening.url, "site-1", Ear()).send("", [b"me"])
    server.wait_messages(1)
    noise.close()
    plain.close()
    context.term()

    assert server.messages == [("site-1", [b"me"])]
    assert server.changes == [("site-1", True)]
