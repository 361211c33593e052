"""The bounded queue of a rank before the lane to the server."""

from __future__ import annotations

import threading

import pytest

from fox_hpc.errors import LinkClosed
from fox_hpc.metric import Batch, Point, unpack
from fox_hpc.tracking import MetricsRelay, SubprocessWriter


class Line:
    """Takes batches; nothing is acknowledged before that is asked for."""

    def __init__(self) -> None:
        self.sent: list[tuple[int, Batch]] = []

    def __call__(self, seq: int, batch: Batch) -> None:
        self.sent.append((seq, batch))

    @property
    def numbers(self) -> list[int]:
        return [seq for seq, _ in self.sent]

    @property
    def values(self) -> list[float]:
        return [entry.value for _, batch in self.sent if batch.count for entry in unpack(batch.data)]


def log(writer: SubprocessWriter, *values: float) -> None:
    for value in values:
        writer.write([Point("x", value, None, 0.0)])


def test_only_a_window_is_on_its_way_and_the_rest_follows_in_order():
    line = Line()
    writer = SubprocessWriter(line, window_bytes=600)
    log(writer, *range(5))

    assert line.numbers == [1, 2]
    writer.acknowledged(1)
    assert line.numbers == [1, 2, 3]
    writer.acknowledged(3)
    assert line.values == [0, 1, 2, 3, 4]
    assert repr(writer) == "<SubprocessWriter 2 batches on their way, 0 waiting, 0 entries dropped>"


def test_a_batch_above_the_window_travels_alone():
    line = Line()
    writer = SubprocessWriter(line, window_bytes=1)
    log(writer, 1, 2)

    assert line.numbers == [1]
    writer.acknowledged(1)
    assert line.numbers == [1, 2]


def test_what_there_is_no_room_for_is_dropped_and_counted_and_the_count_is_told():
    line = Line()
    writer = SubprocessWriter(line, buffer_bytes=600, window_bytes=600)
    log(writer, *range(10))

    assert writer.dropped == 8
    writer.acknowledged(2)
    log(writer, 10)
    assert line.values == [0, 1, 10]
    assert line.sent[-1][1].dropped == 8


def test_what_was_not_acknowledged_is_sent_again_after_a_break_before_what_waits():
    line = Line()
    writer = SubprocessWriter(line, window_bytes=600)
    log(writer, *range(3))
    writer.acknowledged(1)
    line.sent.clear()
    writer.send_again()

    assert line.numbers == [2, 3]


def test_flush_returns_when_all_has_arrived():
    line = Line()
    writer = SubprocessWriter(line)
    log(writer, 1)
    threading.Thread(target=writer.acknowledged, args=(1,)).start()
    writer.flush(30)

    assert repr(writer) == "<SubprocessWriter 0 batches on their way, 0 waiting, 0 entries dropped>"


def test_close_counts_what_never_arrived_and_tells_it():
    line = Line()
    writer = SubprocessWriter(line, window_bytes=600)
    log(writer, 1, 2, 3)
    writer.close(0)

    assert line.sent[-1] == (0, Batch(3, 0, b""))


def test_logging_goes_on_when_the_line_is_closed():
    def closed(seq: int, batch: Batch) -> None:
        raise LinkClosed("gone")

    writer = SubprocessWriter(closed)
    log(writer, 1)

    writer.close(0)
    assert writer.dropped == 1


@pytest.mark.parametrize("said", [(3, 3), (3, 1)], ids=["told twice", "told late"])
def test_a_relay_passes_batches_on_in_order_and_adds_up_what_was_dropped(said: tuple[int, int]):
    line = Line()
    writer = SubprocessWriter(line)
    relay = MetricsRelay(writer)
    other = SubprocessWriter(lambda seq, batch: relay.take("1", seq, batch))
    log(other, 1, 2)
    log(writer, 3)
    for total in said:
        relay.take("2", 0, Batch(total, 0, b""))
    log(writer, 4)

    assert line.values == [1, 2, 3, 4]
    assert line.sent[-1][1].dropped == 3
