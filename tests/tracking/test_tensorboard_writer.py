"""What SummaryWriter makes of texts, histograms, images, figures and hyperparameters."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import pytest
from sites import Sink, at_site

from fox_hpc.api.context import use
from fox_hpc.errors import RecipeError
from fox_hpc.metric import Entry, Fact, Histogram, Image, Point, Text
from fox_hpc.tracking import SummaryWriter


def logged(do: Any) -> list[Entry]:
    sink = Sink()
    with use(at_site(sink)), SummaryWriter() as writer:
        do(writer)
    return sink.entries


def pixels(image: Entry) -> np.ndarray[Any, Any]:
    """Decode a PNG that has one IDAT chunk and no filters."""
    assert isinstance(image, Image)
    start = image.png.index(b"IDAT")
    size = int.from_bytes(image.png[start - 4 : start], "big")
    rows = np.frombuffer(zlib.decompress(image.png[start + 4 : start + 4 + size]), np.uint8)
    rows = rows.reshape(image.height, 1 + image.width * image.channels)
    return rows[:, 1:].reshape(image.height, image.width, image.channels)


def test_a_text_is_taken_as_it_is():
    assert logged(lambda writer: writer.add_text("note", "*hi*", 3, 5.0)) == [Text("note", "*hi*", 3, 5.0)]


def test_a_histogram_holds_the_sums_and_every_value_in_its_bucket():
    values = np.random.default_rng(0).normal(size=(50, 20))
    [found] = logged(lambda writer: writer.add_histogram("w", values, 2, walltime=5.0))

    assert isinstance(found, Histogram)
    assert (found.low, found.high, found.count) == (values.min(), values.max(), 1000)
    assert (found.total, found.squares) == pytest.approx((values.sum(), (values**2).sum()))
    assert sum(found.counts) == 1000
    assert found.limits == sorted(found.limits)
    below = [int((values.ravel() < limit).sum()) for limit in found.limits]
    assert list(np.cumsum(found.counts)) == below


@pytest.mark.parametrize("bins", ["tensorflow", "auto", 7, [0.0, 1.0, 3.0]], ids=str)
def test_max_bins_puts_neighbours_together(bins: Any):
    [found] = logged(lambda writer: writer.add_histogram("w", [0.5, 1.5, 2.5, np.nan], bins=bins, max_bins=3))

    assert isinstance(found, Histogram)
    assert (sum(found.counts), found.total, len(found.counts) <= 4) == (3, 4.5, True)


def test_a_histogram_that_was_counted_already_is_taken_as_it_is():
    [found] = logged(
        lambda writer: writer.add_histogram_raw("w", 0, 2, 3, 4.0, 6.0, [1.0, 2.0], [1, 2], 5, walltime=7.0)
    )

    assert found == Histogram("w", 0.0, 2.0, 3.0, 4.0, 6.0, [1.0, 2.0], [1.0, 2.0], 5, 7.0)


@pytest.mark.parametrize(
    ("axes", "shape"),
    [("CHW", (3, 2, 4)), ("HWC", (2, 4, 3)), ("HW", (2, 4)), ("WH", (4, 2)), ("hwc", (2, 4, 1))],
    ids=str,
)
def test_an_image_has_its_axes_in_the_order_that_was_said(axes: str, shape: tuple[int, ...]):
    array = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    [found] = logged(lambda writer: writer.add_image("x", array, dataformats=axes))

    order = [axes.upper().index(axis) for axis in "HWC" if axis in axes.upper()]
    assert np.array_equal(pixels(found).reshape(array.transpose(order).shape), array.transpose(order))


@pytest.mark.parametrize(
    ("value", "byte"),
    [(np.float32(0.5), 127), (2.0, 255), (True, 255), (np.int64(300), 255), (7, 7)],
    ids=str,
)
def test_pixels_are_whole_numbers_to_255_or_fractions(value: Any, byte: int):
    [found] = logged(lambda writer: writer.add_image("x", np.array([[value]]), dataformats="HW"))

    assert pixels(found).item() == byte


def test_several_images_are_laid_out_in_rows_of_eight():
    batch = np.arange(10, dtype=np.uint8).reshape(10, 1, 1, 1)
    [found] = logged(lambda writer: writer.add_images("x", batch))

    assert pixels(found)[:, :, 0].tolist() == [[0, 1, 2, 3, 4, 5, 6, 7], [8, 9, 0, 0, 0, 0, 0, 0]]


class Figure:
    """Draws itself as matplotlib's figures do, which need not be installed for this."""

    def savefig(self, file: Any, *, format: str) -> None:
        from fox_hpc.tracking.pictures import image

        assert format == "png"
        file.write(image("x", [[1, 2, 3]], "HW", None, 0.0).png)


def test_a_figure_is_an_image_and_several_are_one_each():
    found = logged(lambda writer: writer.add_figure("f", [Figure(), Figure()], 4, close=False, walltime=1.0))

    assert [(one.tag, one.width, one.height, one.step) for one in found if isinstance(one, Image)] == [
        ("f/0", 3, 1, 4),
        ("f/1", 3, 1, 4),
    ]


def test_hyperparameters_are_facts_and_metrics_are_points():
    found = logged(lambda writer: writer.add_hparams({"lr": 0.1, "net": None}, {"best": 0.5}, global_step=3))

    assert [(one.role, one.name, one.value) for one in found if isinstance(one, Fact)] == [
        ("param", "lr", 0.1),
        ("param", "net", None),
    ]
    assert [(one.tag, one.value, one.step) for one in found if isinstance(one, Point)] == [("best", 0.5, 3)]


@pytest.mark.parametrize(
    ("do", "words"),
    [
        (lambda w: w.add_image("x", np.zeros((2, 2))), "does not fit an array of shape"),
        (lambda w: w.add_image("x", np.zeros((2, 2)), dataformats="HX"), "e.g. CHW is right"),
        (lambda w: w.add_images("x", np.zeros((2, 2)), dataformats="HW"), "e.g. NCHW is right"),
        (lambda w: w.add_image("x", np.zeros((9, 2, 2))), "1 to 4 channels"),
        (lambda w: w.add_image("x", np.array([["a"]]), dataformats="HW"), "pixels are numbers"),
        (lambda w: w.add_histogram("x", []), "at least one finite value"),
        (lambda w: w.add_histogram("x", [np.inf]), "at least one finite value"),
        (lambda w: w.add_histogram_raw("x", 0, 1, 1, 1, 1, [1.0], []), "0 buckets have 1 limits"),
        (lambda w: w.add_text("x", "a" * 2**24), "one logged thing at most 8 MiB"),
    ],
    ids=range(9),
)
def test_what_is_no_picture_or_histogram_is_refused(do: Any, words: str):
    with pytest.raises(RecipeError, match=words):
        logged(do)
