"""Data ports: who greets is handed over, and strangers cost little and not for long."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest
from data_ends import SHORT, closed_by_other, on, until

from fox_hpc.errors import NotAllowed, WireError
from fox_hpc.wire.data_frames import HELLO_BYTES
from fox_hpc.wire.data_port import MOST_STRANGERS, DataPort, Dialling, host_of
from fox_hpc.wire.zmq_link import ZmqIo


class Hall:
    """A data port, and who came in."""

    def __init__(self) -> None:
        self.io = ZmqIo()
        self.came: list[tuple[bytes, socket.socket]] = []
        self.port = DataPort(self.io, self._greeted, host="127.0.0.1", times=SHORT)

    def _greeted(self, data: bytes, sock: socket.socket) -> None:
        if data.startswith(b"no"):
            raise NotAllowed("not that one")
        self.came.append((data, sock))

    def dial(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port.port), 5)

    @property
    def strangers(self) -> int:
        return len(self.port._strangers)

    def close(self) -> None:
        for _, sock in self.came:
            sock.close()
        self.port.close()
        self.io.close()


@pytest.fixture
def hall() -> Iterator[Hall]:
    made = Hall()
    yield made
    made.close()


def test_who_greets_is_handed_over_with_what_he_said_and_no_byte_more(hall: Hall) -> None:
    data = os.urandom(HELLO_BYTES)
    with hall.dial() as sock:
        sock.sendall(data[:5])
        sock.sendall(data[5:] + b"and more")
        until(hall.io, lambda: hall.came)
        (said, handed), *_ = hall.came
        handed.settimeout(5.0)

        assert said == data
        assert handed.recv(100) == b"and more"
        assert hall.strangers == 0


def test_who_is_refused_is_cut_off_counted_and_told_of_once(
    hall: Hall, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        with hall.dial() as sock:
            sock.sendall(b"no" + bytes(HELLO_BYTES - 2))
            assert closed_by_other(sock)

    assert hall.port.refused == 3
    assert caplog.text.count("not that one") == 1


def test_who_does_not_greet_is_cut_off(hall: Hall) -> None:
    with hall.dial() as sock:
        sock.sendall(b"GET / HTTP/1.1\r\n")

        assert closed_by_other(sock)
        until(hall.io, lambda: hall.strangers == 0)


def test_one_that_goes_before_it_greets_is_forgotten(hall: Hall) -> None:
    sock = hall.dial()
    until(hall.io, lambda: hall.strangers == 1)
    sock.close()

    until(hall.io, lambda: hall.strangers == 0)
    assert hall.port.refused == 0


def test_strangers_do_not_keep_out_who_greets() -> None:
    hall = Hall()
    strangers = [hall.dial() for _ in range(MOST_STRANGERS + 20)]
    with hall.dial() as sock:
        sock.sendall(bytes(HELLO_BYTES))
        until(hall.io, lambda: hall.came)

        assert closed_by_other(strangers[0])
        assert on(hall.io, lambda: hall.strangers) <= MOST_STRANGERS
    for one in strangers:
        one.close()
    hall.close()


def test_port_that_is_closed_takes_nobody_and_cuts_off_strangers(hall: Hall) -> None:
    with hall.dial() as sock:
        until(hall.io, lambda: hall.strangers == 1)
        hall.port.close()

        assert closed_by_other(sock)
        with pytest.raises(OSError, match="refused"):
            hall.dial()
    hall.port.close()


def test_first_free_port_is_taken(hall: Hall) -> None:
    other = DataPort(hall.io, hall._greeted, host="127.0.0.1", ports=(hall.port.port, 0))

    assert other.port != hall.port.port
    other.close()


def test_no_free_port_is_an_error_that_names_them(hall: Hall) -> None:
    with pytest.raises(WireError, match=f"127.0.0.1, ports \\[{hall.port.port}\\]"):
        DataPort(hall.io, hall._greeted, host="127.0.0.1", ports=(hall.port.port,))


def test_dialling_gives_a_connection_or_none(hall: Hall) -> None:
    given: list[socket.socket | None] = []
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        dead = nobody.getsockname()[1]
    Dialling(hall.io, ("127.0.0.1", dead), given.append, 2.0)
    until(hall.io, lambda: given)
    Dialling(hall.io, ("127.0.0.1", hall.port.port), given.append, 2.0)
    until(hall.io, lambda: len(given) == 2)

    assert given[0] is None
    assert given[1] is not None
    given[1].close()


def test_dialling_that_was_called_off_gives_nothing_and_leaves_no_connection(hall: Hall) -> None:
    given: list[socket.socket | None] = []

    def begin() -> Dialling:
        dialling = Dialling(hall.io, ("127.0.0.1", hall.port.port), given.append, 2.0)
        dialling.call_off()
        return dialling

    on(hall.io, begin)
    with hall.dial():
        # Both have been let in; one of them is closed again.
        until(hall.io, lambda: hall.strangers == 1 and hall.port.refused == 0)

    assert given == []


@pytest.mark.parametrize(
    ("url", "host"), [("tcp://10.0.0.1:5", "10.0.0.1"), ("tcp://[::1]:5", "::1"), ("memory://1", "1")]
)
def test_host_of_a_url(url: str, host: str) -> None:
    assert host_of(url) == host
