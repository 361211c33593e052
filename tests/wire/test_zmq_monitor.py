"""What a socket's monitor says is read without pyzmq's reader, and as that reads it."""

from __future__ import annotations

import zmq

from fox_hpc.wire.zmq_monitor import read_event


def test_an_event_comes_with_its_value() -> None:
    with (
        zmq.Context() as context,
        context.socket(zmq.ROUTER) as socket,
        socket.get_monitor_socket(zmq.EVENT_LISTENING | zmq.EVENT_CLOSED) as monitor,
    ):
        socket.bind("tcp://127.0.0.1:*")
        event, descriptor = read_event(monitor)
        assert event == zmq.EVENT_LISTENING
        socket.unbind(socket.last_endpoint)

        assert read_event(monitor) == (zmq.EVENT_CLOSED, descriptor)
        socket.disable_monitor()
