"""Entries on their way: what comes out is what went in, and what is no entry is refused."""

from __future__ import annotations

import math

import msgspec
import pytest

from fox_hpc.errors import RecipeError, WireError
from fox_hpc.metric import (
    BATCH_BYTES,
    MOST_ENTRY_BYTES,
    Batch,
    Entry,
    Fact,
    File,
    Histogram,
    Image,
    Point,
    Text,
    check_size,
    pack,
    read_batch,
    unpack,
    write_batch,
)

ONE_OF_EACH: list[Entry] = [
    Point("loss", -math.inf, -3, 1.5),
    Point("loss", 0.25, None, 1.5),
    Text("note", "grün", 1, 2.0),
    Histogram("weights", -1.0, 1.0, 2.0, 0.0, 2.0, [0.0, 1.0], [1.0, 1.0], 4, 2.0),
    Image("digit", b"png", 3, 2, 4, None, 2.0, "a seven"),
    File("notes/a.txt", b"bytes", 2.0),
    Fact("param", "layers", [1, {"size": 2.5}, None, "x"], 2.0),
]


def test_entries_come_back_as_they_were():
    [(count, data)] = pack(ONE_OF_EACH)

    assert (count, unpack(data)) == (len(ONE_OF_EACH), ONE_OF_EACH)


def test_many_entries_travel_in_parts_and_in_order():
    points = [Point("loss", float(n), n, 0.0) for n in range(20_000)]
    parts = list(pack(points))

    assert max(len(data) for _, data in parts) <= BATCH_BYTES
    assert sum(count for count, _ in parts) == 20_000
    assert [entry for _, data in parts for entry in unpack(data)] == points


def test_one_big_entry_travels_alone_and_a_bigger_one_not_at_all():
    whole = File("model.pt", bytes(BATCH_BYTES + 1), 0.0)
    check_size(whole)

    assert [count for count, _ in pack([whole, Text("note", "x", 1, 0.0)])] == [1, 1]
    with pytest.raises(RecipeError, match=r"'model.pt' takes 8.0 MiB, one logged thing at most 8 MiB"):
        check_size(File("model.pt", bytes(MOST_ENTRY_BYTES), 0.0))


@pytest.mark.parametrize("path", ["", "/etc/passwd", "../up", "a/../../up", "a\\b", "a\0b"])
def test_a_file_that_leads_out_of_its_folder_is_refused_on_both_ends(path: str):
    with pytest.raises(ValueError, match="not a relative path"):
        File(path, b"", 0.0)
    with pytest.raises(WireError, match="no entries"):
        unpack(msgspec.msgpack.encode([["file", path, b"", 0.0]]))


@pytest.mark.parametrize(
    "data", [b"", b"\xff", b"\x90\x90", b"\x91\x92\xa5point\xa1x", b"\x91\x91\xa4nope"], ids=range(5)
)
def test_what_is_no_entry_is_refused(data: bytes):
    with pytest.raises(WireError, match="no entries"):
        unpack(data)


def test_a_batch_comes_back_as_it_was_and_nothing_else_is_one():
    batch = Batch(3, 1, b"data")

    assert read_batch([write_batch(batch)]) == batch
    for frames in ([], [b"x"], [b"x", b"y"]):
        with pytest.raises(WireError, match="batch"):
            read_batch(frames)
