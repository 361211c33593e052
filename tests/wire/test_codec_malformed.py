"""Frames that nobody's encode made: CodecError, and no memory beyond what came."""

from __future__ import annotations

import random
import tracemalloc
from typing import Any

import msgspec
import numpy as np
import pytest

from fox_hpc import FLModel
from fox_hpc.errors import CodecError
from fox_hpc.wire import codec
from fox_hpc.wire.codec_tags import Tag

pack = msgspec.msgpack.encode
DATA = bytearray(64)
HUGE = 2**62

NOT_MSGPACK = [
    b"", b"\x92\x01", b"\x01\x01", b"\xc1", b"\xa2\xff\xfe", b"\x81\x80\x01", b"\x91" * 5000 + b"\xc0",
    b"\xdd\xff\xff\xff\xff", b"\xdd\x0f\xff\xff\xff", b"\xdf\x0f\xff\xff\xff", b"\xdc\xff\xff" * 900,
    b"\xdb\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff", b"\xc9\xff\xff\xff\xff\x01",
    b"\xdd\x00\xff\xff\xff" * 200,
]  # fmt: skip

NOT_OURS: list[Any] = [
    b"raw", msgspec.msgpack.Ext(1, b"x"), {1: 2}, {b"k": 1}, [], [99, 1], [-1], ["0", []], [None], [[0]],
    [{}, 1],
    [0], [0, 1], [0, {}], [0, [], []], [0, "text"], [1, None], [2, [[0, []]]], [2, [{}]],
    [3, [[12, b"", "O"]]],
    [4, 1], [4, [[1]]], [4, [[[0, []], 1]]], [4, [[{}, 1]]], [4, [1, 2]], [5, 1], [5, "xyz"],
    [5, ""], [5, None],
    [6, "1", "2"], [6, 1], [6, 1, 2, 3], [7, "yesterday"], [7, 5], [7, None], [8], [8, 5], [8, -1],
    [8, None],
    [8, 0.0], [8, "0"], [8, True], [9, 7], [10, "nobody", {}], [10, 1, {}], [10, "FLModel", []], [10, [], {}],
    [10, "FLModel", {"nothing": 1}], [10, "FLModel"], [11, 0, "<f8", [9]], [11, 0, "<f8", [-8]],
    [11, 0, "<f8", [-2, -4]], [11, 0, "<f8", [0, -1]], [11, 0, "<f8", [HUGE]], [11, 0, "<f8", [HUGE, HUGE]],
    [11, 0, "<f8", [0, HUGE, HUGE]], [11, 0, "<f8", 8], [11, 0, "<f8", {}], [11, 0, "<f8", ["8"]],
    [11, 0, "<f8", [8.0]], [11, 0, "<f8", [True]], [11, 0, "<f8", [1] * 65 + [8]], [11, 0, "O", [8]],
    [11, 0, "|O", [8]], [11, 0, "V8", [8]], [11, 0, "i4,f4", [8]], [11, 0, "(2,)f4", [8]],
    [11, 0, "nope", [8]],
    [11, 0, "<U1000000000", [1]], [11, 0, None, [8]], [11, 0, ["f8"], [8]], [11, 0, "{'names': []", [8]],
    [11, 1, "<f8", [8]], [11, -1, "<f8", [8]], [11, "0", "<f8", [8]], [11, 0.0, "<f8", [8]], [11, 0, "<f8"],
    [11, 0, "T", [4]], [12, b"12", "<f8"], [12, 5, "<f8"], [12, "text", "<f8"], [12, b"x" * 8, "O"],
    [13, 0, "float64", [9]], [13, 0, "float64", [-2, -4]], [13, 0, "float64", [0, -1]], [13, 0, "nope", [8]],
    [13, 0, "nn", [8]], [13, 0, "_inductor", [8]], [13, 0, 5, [8]], [13, 0, [], [8]], [13, 0, "float64", "8"],
    [13, 0, "float64", [HUGE, HUGE]], [13, 5, "float64", [8]], [13, 0, "qint8", [64]],
    [13, 0, "float64", [0, HUGE, HUGE]],
    [0, [[8, 0], [8, 0]]], [0, [[9, 0], [9, 0]]], [0, [[11, 0, "<f8", [8]], [11, 0, "<f4", [16]]]],
    [0, [[11, 0, "<f8", [8]], [8, 0]]], [0, [[11, 0, "<f8", [8]], [13, 0, "float64", [8]]]],
]  # fmt: skip


def refusal(frames: list[Any]) -> tuple[CodecError, int]:
    """Decode what must be refused; gives the error and the most memory that was in use, in bytes."""
    tracemalloc.start()
    try:
        with pytest.raises(CodecError) as caught:
            codec.decode(frames)
        return caught.value, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_header_that_is_not_msgpack_is_a_codec_error() -> None:
    peaks = [refusal([head])[1] for head in NOT_MSGPACK]

    assert max(peaks) < 4 << 20


def test_header_that_is_not_ours_is_a_codec_error() -> None:
    pytest.importorskip("torch")
    for head in NOT_OURS:
        error, peak = refusal([pack({"a": head}), DATA])

        assert error.path.startswith(("$.a", "$")), head
        assert len(str(error)) < 2000, head
        assert peak < 1 << 20, head


def test_no_frames_are_a_codec_error() -> None:
    with pytest.raises(CodecError, match="no header"):
        codec.decode([])


def test_dataclass_that_refuses_its_fields_is_a_codec_error() -> None:
    with pytest.raises(CodecError, match=r"\$\.m"):
        codec.decode([pack({"m": [Tag.DATACLASS, "FLModel", {"params": {}, "more": 1}]})])


def test_empty_array_of_wide_items_costs_nothing() -> None:
    tracemalloc.start()
    try:
        array = codec.decode([pack([Tag.NDARRAY, 0, "<U200000000", [0]]), b""])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert array.shape == (0,)
    assert peak < 1 << 20


def test_broken_frames_are_a_codec_error_or_a_value() -> None:
    torch = pytest.importorskip("torch")
    model = FLModel(
        {"w": np.arange(6.0), "t": torch.ones(2, 2)}, metrics={"a": np.float32(1)}, meta={"n": 2**70}
    )
    whole = codec.encode(
        {"args": [model, {1: {2, 3}}, b"x" * 5000, (1j, None)], "kwargs": {"k": [True, "é"]}}
    )
    chance = random.Random(7)
    refused = 0
    for _ in range(4000):
        head = bytearray(whole[0])
        for _ in range(chance.randint(1, 4)):
            head[chance.randrange(len(head))] = chance.randrange(256)
        frames = [head[: chance.randint(0, len(head))] if chance.random() < 0.2 else head]
        frames += [bytearray(frame)[: chance.choice([None, 3])] for frame in whole[1:]][
            : chance.randint(0, 4)
        ]
        try:
            codec.decode(frames)
        except CodecError:
            refused += 1

    assert refused > 2000
