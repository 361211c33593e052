"""What reaches a run from `SummaryWriter`."""

from __future__ import annotations

import math
import subprocess
import sys
import threading
from typing import Any

import numpy as np
import pytest
from sites import Sink, at_site

from fox_hpc.api.context import use
from fox_hpc.errors import FoxError, RecipeError
from fox_hpc.metric import Point
from fox_hpc.tracking import Histogram, Image, SummaryWriter, WandbWriter, flush_all


def test_a_point_has_all_that_was_given() -> None:
    sink = Sink()
    with use(at_site(sink)), SummaryWriter() as writer:
        writer.add_scalar("loss", 0.5, global_step=3, walltime=12.0)

    assert sink.batches == [[Point("loss", 0.5, 3, 12.0)]]


def test_add_scalars_makes_a_curve_of_each_name() -> None:
    sink = Sink()
    with use(at_site(sink)), SummaryWriter() as writer:
        writer.add_scalars("acc", {"train": 0.9, "test": 0.8}, 1, walltime=2.0)

    assert sink.batches == [[Point("acc/train", 0.9, 1, 2.0), Point("acc/test", 0.8, 1, 2.0)]]


@pytest.mark.parametrize(
    "value", [2, 2.0, np.float32(2), np.array(2.0), np.array([2]), np.array([[2.0]]), np.int8(2)]
)
def test_a_value_with_one_element_becomes_a_float(value: Any) -> None:
    sink = Sink()
    with use(at_site(sink)), SummaryWriter() as writer:
        writer.add_scalar("x", value)

    assert sink.values == [2.0]
    assert type(sink.values[0]) is float


@pytest.mark.filterwarnings("error")
def test_a_torch_value_becomes_a_float() -> None:
    torch = pytest.importorskip("torch")
    sink = Sink()
    with use(at_site(sink)), SummaryWriter() as writer:
        writer.add_scalar("x", torch.tensor(2.0, dtype=torch.bfloat16), torch.tensor(7))
        writer.add_scalar("x", torch.nn.Parameter(torch.ones(1)))

    assert sink.values == [2.0, 1.0]
    assert sink.batches[0][0].step == 7


def test_torch_values_become_a_histogram_and_a_picture() -> None:
    torch = pytest.importorskip("torch")
    sink, wandb = Sink(), WandbWriter()
    with use(at_site(sink)), SummaryWriter() as writer, wandb.init() as run:
        writer.add_histogram("w", torch.nn.Parameter(torch.arange(4, dtype=torch.bfloat16)))
        run.log({"p": wandb.Image(torch.zeros(3, 4, 5))})

    histogram, picture = sink.entries
    assert isinstance(histogram, Histogram)
    assert (histogram.count, histogram.high) == (4, 3.0)
    assert isinstance(picture, Image)
    assert (picture.width, picture.height, picture.channels) == (5, 4, 3)


@pytest.mark.parametrize("value", ["0.5", None, [1.0], np.zeros(3), {"a": 1}])
def test_what_is_not_one_number_is_refused_by_name(value: Any) -> None:
    with use(at_site(Sink())), SummaryWriter() as writer, pytest.raises(RecipeError, match=r"'acc'.*not one"):
        writer.add_scalar("acc", value)


def test_nan_and_infinity_are_values() -> None:
    sink = Sink()
    with use(at_site(sink)), SummaryWriter() as writer:
        writer.add_scalar("x", math.nan)
        writer.add_scalar("x", -math.inf)

    assert math.isnan(sink.values[0])
    assert sink.values[1] == -math.inf


def test_points_leave_in_batches_of_max_queue() -> None:
    sink = Sink()
    with use(at_site(sink)), SummaryWriter(max_queue=3, flush_secs=3600) as writer:
        for number in range(7):
            writer.add_scalar("x", number)
        sizes_before_the_end = [len(batch) for batch in sink.batches]

        assert "open · 1 unsent" in repr(writer)

    assert sizes_before_the_end == [3, 3]
    assert sink.values == list(range(7))


def test_an_old_point_leaves_with_the_next_one() -> None:
    sink = Sink()
    with use(at_site(sink)):
        SummaryWriter(flush_secs=0).add_scalar("x", 1)

    assert sink.values == [1]


def test_an_old_point_leaves_when_its_code_logs_no_more() -> None:
    arrived = threading.Event()
    with use(at_site(lambda _: arrived.set())):
        SummaryWriter(flush_secs=0.1).add_scalar("x", 1)

        assert arrived.wait(30)


def test_what_is_more_than_a_number_leaves_at_once() -> None:
    sink = Sink()
    with use(at_site(sink)):
        SummaryWriter(flush_secs=3600).add_text("note", "hello", 1)

    assert len(sink.batches) == 1


def test_flush_all_sends_what_a_forgotten_writer_holds() -> None:
    sink = Sink()
    with use(at_site(sink)):
        SummaryWriter(flush_secs=3600).add_scalar("x", 1)
        sent_before = sink.values
        flush_all()

    assert (sent_before, sink.values) == ([], [1])


def test_a_shared_writer_gives_each_site_its_own_points() -> None:
    writer, sinks = SummaryWriter(max_queue=1000, flush_secs=3600), [Sink() for _ in range(4)]

    def log(sink: Sink) -> None:
        with use(at_site(sink)):
            for number in range(100):
                writer.add_scalar("x", number)

    threads = [threading.Thread(target=log, args=(sink,)) for sink in sinks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    writer.close()

    assert [sink.values for sink in sinks] == [list(range(100))] * 4


def test_a_closed_writer_refuses_points() -> None:
    writer = SummaryWriter()
    writer.close()
    writer.close()

    with use(at_site(Sink())), pytest.raises(RecipeError, match="closed"):
        writer.add_scalar("x", 1)


def test_logging_outside_a_run_is_an_error() -> None:
    with pytest.raises(FoxError, match="inside a run"):
        SummaryWriter().add_scalar("x", 1)


def test_points_are_dropped_with_one_notice_when_nothing_tracks(caplog: pytest.LogCaptureFixture) -> None:
    with use(at_site(None)), SummaryWriter() as writer:
        writer.add_scalar("x", 1)
        writer.add_scalar("x", 2)

    assert [record.getMessage().split(":")[0] for record in caplog.records] == ["logged values are dropped"]


def test_a_writer_loads_no_heavy_package() -> None:
    ask = (
        "import sys, fox_hpc.tracking; "
        "heavy = ('torch', 'numpy', 'tensorboard', 'mlflow', 'wandb'); "
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, timeout=60, check=True)

    assert done.stdout.strip() == "[]"
