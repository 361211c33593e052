"""check_link: what every Io and its links must do, whatever carries the frames.

    check_link(MemoryIo)

Each check makes its own net, and can be run alone: `LINK_CHECKS` has them by name.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from ..errors import LinkClosed
from ..wire.link import Frames, Link
from .ear import Ear, expect
from .link_waits import (
    Net,
    a_thread_that_waits_is_told_and_nothing_happens_twice_at_a_time,
    a_wait_ends_in_time,
)


def check_link(make_net: Callable[[], Net]) -> None:
    """Run every check; AssertionError says which promise was broken.

    Args:
        make_net: makes a fresh net; each check closes its own.
    """
    for check in LINK_CHECKS.values():
        run_check(check, make_net)


def run_check(check: Callable[[Net], None], make_net: Callable[[], Net]) -> None:
    """Run one check on a net of its own."""
    net = make_net()
    try:
        check(net)
    except AssertionError as error:
        raise AssertionError(f"{check.__name__.replace('_', ' ')}: {error}") from error
    finally:
        net.close()


def messages_arrive_whole_and_in_order(net: Net) -> None:
    """Both ways, with no, one and many frames of all sizes."""
    server, client = Ear(), Ear()
    listening = net.listen(server)
    dialling = net.dial(listening.url, "site-1", client)
    server.wait_change("site-1", True)
    sent = [[b"%d" % i, *(bytes([i % 256]) * (i * 997 % 5000) for _ in range(i % 4))] for i in range(200)]
    for frames in sent:
        dialling.send("", frames)
        listening.send("site-1", frames)
    server.wait_messages(len(sent))
    client.wait_messages(len(sent))

    expect([frames for _, frames in server.messages], sent)
    expect([frames for _, frames in client.messages], sent)
    expect({peer for peer, _ in server.messages}, {"site-1"})


def handlers_run_on_one_thread(net: Net) -> None:
    """Nobody waits in `wait_for`: all is told by one thread, and so is what was asked to run there."""
    server, client, ran = Ear(), Ear(), Ear()
    listening = net.listen(server)
    net.dial(listening.url, "site-1", client).send("", [b"x"])
    server.wait_messages(1)
    net.call_soon(lambda: ran.note("ran"))
    ran.wait_messages(1)

    expect(server.threads, ran.threads)
    expect(len(ran.threads), 1)
    expect(threading.current_thread().name in ran.threads, False)


def each_peer_gets_its_own(net: Net) -> None:
    """Many peers at once, some of them cells of one site."""
    server = Ear(lambda link, peer, frames: link.send(peer, [b"for", peer.encode(), *frames]))
    listening = net.listen(server)
    names = [f"site-{i}" for i in range(1, 5)] + [f"site-1.app.worker.{i}" for i in range(4)]
    ears = {name: Ear() for name in names}
    for name, ear in ears.items():
        net.dial(listening.url, name, ear).send("", [name.encode()])
    for name, ear in ears.items():
        ear.wait_messages(1)

        expect(ear.messages, [("", [b"for", name.encode(), name.encode()])])


def what_is_sent_before_up_arrives_or_is_lost_whole(net: Net) -> None:
    """No part of a message that was sent too early is seen, and none overtakes another."""
    server, client = Ear(), Ear()
    listening = net.listen(server)
    sent = [[b"%d" % i, b"a" * i] for i in range(50)]
    dialling = net.dial(listening.url, "site-1", client)
    for frames in sent:
        dialling.send("", frames)
        listening.send("site-1", frames)
    dialling.send("", [b"last"])
    server.wait(lambda: ("site-1", [b"last"]) in server.messages)
    listening.send("site-1", [b"last"])
    client.wait(lambda: ("", [b"last"]) in client.messages)
    for ear in (server, client):
        came = [frames for _, frames in ear.messages[:-1]]

        expect(came, [frames for frames in sent if frames in came])


def what_is_sent_to_a_stranger_is_dropped(net: Net) -> None:
    """A peer that was never there, or is there no more, costs nothing."""
    server, client = Ear(), Ear()
    listening = net.listen(server)
    listening.send("site-2", [b"lost"])
    dialling = net.dial(listening.url, "site-1", client)
    server.wait_change("site-1", True)
    dialling.close()
    server.wait_change("site-1", False)
    listening.send("site-1", [b"lost"])
    other = Ear()
    net.dial(listening.url, "site-2", other).send("", [b"here"])
    server.wait_messages(1)
    listening.send("site-2", [b"kept"])
    other.wait_messages(1)

    expect(other.messages, [("", [b"kept"])])


def up_and_down_are_told_once(net: Net) -> None:
    """A peer that only dials is up at both ends; one that closes is down at the other."""
    server, client, last = Ear(), Ear(), Ear()
    listening = net.listen(server)
    dialling = net.dial(listening.url, "site-1", client)
    client.wait_change("", True)
    server.wait_change("site-1", True)
    dialling.send("", [b"bye"])
    dialling.close()
    server.wait_change("site-1", False)
    net.dial(listening.url, "site-2", last).send("", [b"end"])
    server.wait_messages(2)

    expect(server.changes, [("site-1", True), ("site-1", False), ("site-2", True)])
    expect(client.changes, [("", True)])
    expect([peer for peer, _ in server.messages], ["site-1", "site-2"])


def the_end_of_the_listening_side_is_told(net: Net) -> None:
    """Who dialled a link that closes is told, once."""
    server, client = Ear(), Ear()
    listening = net.listen(server)
    net.dial(listening.url, "site-1", client)
    server.wait_change("site-1", True)
    client.wait_change("", True)
    listening.close()
    client.wait_change("", False)

    expect(client.changes, [("", True), ("", False)])


def a_new_connection_takes_over_the_name(net: Net) -> None:
    """The old one is told down before the new one is told up, and gets nothing any more."""
    server, old, new = Ear(), Ear(), Ear()
    listening = net.listen(server)
    net.dial(listening.url, "site-1", old)
    server.wait_change("site-1", True)
    net.dial(listening.url, "site-1", new)
    server.wait_change("site-1", True, times=2)
    listening.send("site-1", [b"x"])
    new.wait_messages(1)

    expect(server.changes, [("site-1", True), ("site-1", False), ("site-1", True)])
    expect(old.messages, [])


def a_closed_link_refuses(net: Net) -> None:
    """`send` raises LinkClosed after `close`, on both kinds of link, and closing twice is fine."""
    server = Ear()
    listening = net.listen(server)
    dialling = net.dial(listening.url, "site-1", Ear())
    for link, peer in ((dialling, ""), (listening, "site-1")):
        link.close()
        link.close()
        _must_refuse(link, peer)


def a_closed_io_closes_its_links(net: Net) -> None:
    """After `close`, links refuse and new ones cannot be made."""
    listening = net.listen(Ear())
    net.close()
    _must_refuse(listening, "site-1")
    try:
        net.listen(Ear())
    except LinkClosed:
        return
    raise AssertionError("a closed Io made a link")


def _must_refuse(link: Link, peer: str) -> None:
    frames: Frames = [b"x"]
    try:
        link.send(peer, frames)
    except LinkClosed:
        return
    raise AssertionError(f"{link!r} took a message after it was closed")


def what_was_sent_before_closing_arrives(net: Net) -> None:
    """`close` lets go of nothing that was sent before."""
    server = Ear()
    listening = net.listen(server)
    dialling = net.dial(listening.url, "site-1", Ear())
    for i in range(100):
        dialling.send("", [b"%d" % i, bytes(10_000)])
    dialling.close()
    server.wait_messages(100)

    expect([frames[0] for _, frames in server.messages], [b"%d" % i for i in range(100)])


def timers_run_in_the_order_of_their_times(net: Net) -> None:
    """`call_later` runs after its delay, shorter ones first, also while the thread is busy."""
    heard = Ear()
    began = time.monotonic()
    for name, delay_s in (("b", 0.10), ("c", 0.15), ("a", 0.05)):
        net.call_later(delay_s, lambda name=name: heard.note(name))  # type: ignore[misc]
    heard.wait_messages(3)

    expect([name for name, _ in heard.messages], ["a", "b", "c"])
    expect(time.monotonic() - began >= 0.15, True)


def timers_can_be_called_off(net: Net) -> None:
    """What was called off does not run; calling off later, or twice, does nothing."""
    heard = Ear()
    offs = [net.call_later(0.05, lambda: heard.note("off")) for _ in range(3)]
    for off in offs:
        off()
        off()
    ran = net.call_later(0.0, lambda: heard.note("soon"))
    net.call_later(0.1, lambda: heard.note("late"))
    heard.wait_messages(2)
    ran()

    expect([name for name, _ in heard.messages], ["soon", "late"])


def errors_of_handlers_do_not_end_the_thread(net: Net) -> None:
    """A handler, an action or a timer that raises is logged, and the next message comes."""

    def fail(*_: object) -> None:
        raise ValueError("this handler raises on purpose")

    server = Ear(fail)
    listening = net.listen(server)
    net.call_soon(fail)
    net.call_later(0.0, fail)
    dialling = net.dial(listening.url, "site-1", Ear())
    for i in range(3):
        dialling.send("", [b"%d" % i])
    server.wait_messages(3)

    expect([frames for _, frames in server.messages], [[b"0"], [b"1"], [b"2"]])


LINK_CHECKS: dict[str, Callable[[Net], None]] = {
    check.__name__: check
    for check in (
        messages_arrive_whole_and_in_order,
        handlers_run_on_one_thread,
        a_thread_that_waits_is_told_and_nothing_happens_twice_at_a_time,
        a_wait_ends_in_time,
        each_peer_gets_its_own,
        what_is_sent_before_up_arrives_or_is_lost_whole,
        what_is_sent_to_a_stranger_is_dropped,
        up_and_down_are_told_once,
        the_end_of_the_listening_side_is_told,
        a_new_connection_takes_over_the_name,
        a_closed_link_refuses,
        a_closed_io_closes_its_links,
        what_was_sent_before_closing_arrives,
        timers_run_in_the_order_of_their_times,
        timers_can_be_called_off,
        errors_of_handlers_do_not_end_the_thread,
    )
}
