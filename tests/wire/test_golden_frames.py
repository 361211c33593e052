"""Frames that version 1 wrote: whatever comes, they must be readable for ever.

The files hold one message each: frames, each after its length in eight bytes, little-endian. They are
never written again; a new version adds files of its own.
"""

from __future__ import annotations

import datetime
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fox_hpc import FLModel
from fox_hpc.call import Call, Fault
from fox_hpc.wire import codec, envelope
from fox_hpc.wire.cell import read_call, read_reply

FOLDER = Path(__file__).resolve().parent.parent / "golden" / "frames"

PLAIN: dict[str, Any] = {
    "none": None,
    "bools": [True, False],
    "ints": [0, -1, 2**63, -(2**63), 2**70, -(2**70)],
    "floats": [0.5, 1e300, float("inf")],
    "complex": 1 - 2j,
    "text": "é",
    "bytes": [b"short", b"\x07" * 5000, bytearray(b"\x08" * 5000)],
    "tuple": (1, ("x",), ()),
    "sets": [{1}, frozenset({"a"})],
    "keys": {1: "one", (2, "b"): [None], None: {}},
    "times": [
        datetime.datetime(2024, 2, 29, 12, 30, 1, 5),
        datetime.datetime(2024, 1, 1, tzinfo=datetime.timezone(datetime.timedelta(hours=-3))),
    ],
    "scalars": [np.float32(1.5), np.str_("ü"), np.datetime64("2024-01-01", "D")],
}
WEIGHTS = np.arange(6, dtype="<f4").reshape(2, 3)


def read(name: str) -> list[bytearray]:
    data, frames, at = (FOLDER / name).read_bytes(), [], 0
    while at < len(data):
        (length,) = struct.unpack_from("<Q", data, at)
        frames.append(bytearray(data[at + 8 : at + 8 + length]))
        at += 8 + length
    return frames


def test_plain_values_of_version_1_are_read() -> None:
    back = codec.decode(read("v1-plain.bin"))

    assert back == PLAIN
    assert [type(item) for item in back["scalars"]] == [type(item) for item in PLAIN["scalars"]]
    assert [type(item) for item in back["bytes"]] == [bytes, bytes, bytearray]


def test_arrays_of_version_1_are_read() -> None:
    back = codec.decode(read("v1-arrays.bin"))

    assert back["again"] is back["weights"]
    assert np.array_equal(back["weights"], WEIGHTS)
    assert (back["big"].dtype.str, back["big"].tolist()) == (">i8", [1, 2])
    assert (back["zero"].shape, back["empty"].shape, back["words"].tolist()) == ((), (0, 3), ["ab", "é"])


def test_tensors_of_version_1_are_read() -> None:
    torch = pytest.importorskip("torch")
    back = codec.decode(read("v1-tensors.bin"))

    assert torch.equal(back["half"], torch.tensor([1.0, -2.0, 0.5], dtype=torch.bfloat16))
    assert torch.equal(back["eighth"].float(), torch.tensor([1.0, -2.0, 0.5]))
    assert (back["zero"].shape, back["empty"].shape, back["tied"] is back["half"]) == ((), (2, 0), True)


def test_call_of_version_1_is_read() -> None:
    head, *frames = read("v1-call.bin")
    call = read_call(frames)

    assert envelope.read(head) == envelope.Envelope(
        1, "call", "00ff", "fox/call", "server", "site-1.app.worker.0", 2
    )
    assert (call.func, call.caller, call.ranks, call.kwargs) == ("train", "server", "zero", {"rate": 0.1})
    assert isinstance(call, Call)
    assert isinstance(call.args[0], FLModel)
    assert np.array_equal(call.args[0].params["w"], WEIGHTS)


def test_replies_of_version_1_are_read() -> None:
    _, *good = read("v1-reply.bin")
    _, *bad = read("v1-fault.bin")

    assert read_reply(good).value == {"loss": 0.25}
    assert read_reply(bad).fault == Fault(
        "remote", "ValueError", "no", traceback="Traceback …", rank=3, host="node-1", known=[]
    )
