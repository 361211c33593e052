"""What reads bytes that somebody else has made, and the errors that it may raise for them."""

from __future__ import annotations

import datetime
import importlib.util
import random
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np

from fox_hpc import FLModel
from fox_hpc.call import Call, Fault, Reply
from fox_hpc.errors import CodecError, WireError
from fox_hpc.metric import Batch, Fact, Point, Text, pack, read_batch, unpack, write_batch
from fox_hpc.server.news import read_news
from fox_hpc.wire import codec, data_frames, data_message, envelope, handshake
from fox_hpc.wire.blob import CHUNK_BYTES, Ref, read_ref
from fox_hpc.wire.call_codec import read_call, read_reply, write_call, write_reply
from fox_hpc.wire.data_frames import HEADER_BYTES, HELLO_BYTES, Header, Kind, Reader, Writer
from fox_hpc.wire.handshake import Join, Refuse, Welcome
from fox_hpc.wire.keys import new_keys
from fox_hpc.wire.opened_blob import OpenedBlob
from fox_hpc.wire.session import Offer, accept_session, aead, mac, offer_session

Parser = Callable[[list[bytes]], Any]

_KEYS = new_keys("server")
_SESSION, _OFFER = offer_session(_KEYS.public)
_SERVER = accept_session(_OFFER, _KEYS)
_MOST_BYTES = 2**30
_STREAM_KEYS = bytes(16), bytes(32)


def _said(frames: list[bytes]) -> Any:
    """Read a header whose MAC is right whatever it says, and one whose MAC is what came."""
    data = frames[0][:HEADER_BYTES].ljust(HEADER_BYTES, b"\0")
    said = data[: HEADER_BYTES - 16]
    right = said + mac(bytes(16), (0).to_bytes(8, "big"), said)
    for read in (right, data):
        reader = Reader(_STREAM_KEYS, CHUNK_BYTES)
        header = reader.message_size(read) or reader.header(read)
    return header


def _message(frames: list[bytes]) -> Any:
    """Read a message that was sealed rightly whatever is in it."""
    said = bytes(HEADER_BYTES)
    sealed = aead(_STREAM_KEYS[1]).encrypt(bytes(12), frames[0], said)
    return Reader(_STREAM_KEYS, CHUNK_BYTES).message(said, sealed)


def _greeting(frames: list[bytes]) -> Any:
    data = frames[0][:HELLO_BYTES].ljust(HELLO_BYTES, b"\0")
    data_frames.hello_id(data)
    return data_frames.check_hello(data, _SERVER)


def _referred(frames: list[bytes]) -> Any:
    ref = read_ref(frames[0])
    key = _SESSION.unwrap(ref.key, ref.id) if len(ref.key) % 32 else ref.key
    return OpenedBlob(ref.id, key, ref.sizes, _MOST_BYTES)


def _offered(frames: list[bytes]) -> Any:
    value = codec.decode(frames)
    if not isinstance(value, dict):
        raise WireError("no offer")
    try:
        offer = msgspec.convert(value, Offer)
    except msgspec.ValidationError as error:
        raise WireError(str(error)) from error
    return accept_session(offer, _KEYS)


#: Parser and the errors that it may raise.
PARSERS: dict[str, tuple[Parser, tuple[type[Exception], ...]]] = {
    "decode": (codec.decode, (CodecError,)),
    "frames of bytes": (lambda frames: codec.frames_of_bytes(frames[0]), (CodecError,)),
    "call": (read_call, (CodecError,)),
    "reply": (read_reply, (CodecError,)),
    "envelope": (lambda frames: envelope.read(frames[0]), (WireError,)),
    "join": (lambda frames: handshake.read(frames, Join), (WireError,)),
    "welcome": (lambda frames: handshake.read(frames, Welcome), (WireError,)),
    "refuse": (lambda frames: handshake.read(frames, Refuse), (WireError,)),
    "offer": (_offered, (WireError,)),
    "news": (lambda frames: read_news(codec.decode(frames)), (WireError,)),
    "batch": (read_batch, (WireError,)),
    "entries": (lambda frames: unpack(bytes(frames[0])), (WireError,)),
    "reference": (_referred, (WireError,)),
    "data header": (_said, (WireError,)),
    "message": (_message, (WireError,)),
    "greeting": (_greeting, (WireError,)),
}

#: Values that travel, of every kind.
VALUES: list[Any] = [
    None, True, 0, -1, 2**63, 2**70, 1.5, 1j, "text", "ü" * 40, b"bytes", bytearray(b"array"), b"x" * 5000,
    [1, [2, [3]]], (1, "a"), {1, 2}, frozenset({"a"}), {"a": 1}, {1: "a", (2, 3): None},
    datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC), np.arange(5), np.zeros((2, 0)), np.array(3.5),
    np.float32(2), np.array(["a", "bc"]), np.datetime64("2026-01-02"), np.zeros(3, bool),
    FLModel(params={"w": np.ones(3)}, metrics={"loss": 0.5}),
    {"model": {f"layer.{i}": np.ones((3, i)) for i in range(8)}, "n": 7},
]  # fmt: skip


if importlib.util.find_spec("torch") is not None:
    import torch

    VALUES += [torch.ones(2, 3), torch.tensor(1.5, dtype=torch.bfloat16), torch.zeros(0, 4)]


NEWS = {
    "site": "site-1", "scheduler": "slurm", "job_id": "7", "attempts": 1, "state": "RUNNING", "ready": True,
    "reason": "", "nodes": "n1", "exit_code": None, "log": "/x", "refused": "", "final": False,
    "stderr_tail": "",
}  # fmt: skip


def seeds() -> list[tuple[str, list[bytes]]]:
    """Give what the package itself would say, for each parser."""
    made: list[tuple[str, list[Any]]] = [("decode", codec.encode(value)) for value in VALUES]
    made += [("frames of bytes", codec.encode(value)[:1]) for value in VALUES]
    made += [("call", write_call(Call("f", (value,), {"x": 1}))) for value in VALUES]
    made += [("reply", write_reply(Reply(value))) for value in VALUES]
    made += [("reply", write_reply(Reply(fault=Fault("lost", message="why", exit_code=1))))]
    made += [
        ("envelope", [envelope.seal("call", "fox/call", id="1", origin="server", target="a", attempt=3)])
    ]
    made += [("join", handshake.write(Join("1.0", ("site-1", "site-2"), "run")))]
    made += [("welcome", handshake.write(Welcome("1.0", "run", sites=("site-1",), data_port=5)))]
    made += [("refuse", handshake.write(Refuse("words")))]
    entries = [Point("loss", 0.5, 3, 1e9), Text("note", "words", None, 2e9), Fact("param", "lr", 0.1, 3e9)]
    [(count, data)] = pack(entries)
    made += [("entries", [data]), ("batch", [write_batch(Batch(2, count, data))])]
    made += [("news", codec.encode(NEWS))]
    made += [("offer", codec.encode({"id": _OFFER.id, "public": _OFFER.public}))]
    ref = Ref(bytes(16), _SERVER.wrap(bytes(96), bytes(16)), (5, 2**20, 0, 2**25))
    made += [("reference", [msgspec.msgpack.encode(ref)])]
    made += [("reference", [msgspec.msgpack.encode(Ref(bytes(16), bytes(64), (2**20, 7)))])]
    made += [
        ("data header", [Writer(_STREAM_KEYS).header(Header(kind, 3, 5 * (kind is Kind.CHUNK)))])
        for kind in Kind
        if kind is not Kind.MESSAGE
    ]
    made += [("data header", [Writer(_STREAM_KEYS).message([b"head", b"frame"])])]
    made += [("message", [data_message.pack([b"head", bytes(300)])])]
    made += [("greeting", [data_frames.hello(_SESSION)[0]])]
    return [(name, [bytes(frame) for frame in frames]) for name, frames in made]


#: Bytes that mean something to msgpack: containers, numbers and lengths at their borders.
TELLING = [
    b"\x90", b"\x91", b"\x9f", b"\x80", b"\x81", b"\xc0", b"\xc1", b"\xc4\xff", b"\xc6\xff\xff\xff\xff",
    b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff", b"\xd3\x80\0\0\0\0\0\0\0", b"\xd9\xff", b"\xdb\xff\xff\xff\xff",
    b"\xdc\xff\xff", b"\xdd\xff\xff\xff\xff", b"\xde\xff\xff", b"\xdf\xff\xff\xff\xff",
    b"\xcb\x7f\xf8\0\0\0\0\0\0",
    b"\xc7\x05\x01", b"\xd6\xff\0\0\0\0", b"\0", b"\x7f", b"\xff", *(bytes([0x93, tag]) for tag in range(14)),
]  # fmt: skip


def mutate(frames: list[bytes], chosen: random.Random) -> list[bytes]:
    """Do some harm to frames."""
    made = list(frames)
    for _ in range(chosen.choice((1, 1, 1, 2, 4, 16))):
        number = 0 if chosen.random() < 0.8 else chosen.randrange(len(made))
        frame = bytearray(made[number])
        at = chosen.randrange(len(frame) + 1)
        how = chosen.randrange(8)
        if how == 0 and at < len(frame):
            frame[at] ^= 1 << chosen.randrange(8)
        elif how == 1 and at < len(frame):
            frame[at] = chosen.randrange(256)
        elif how == 2:
            frame[at:at] = chosen.choice(TELLING)
        elif how == 3:
            some = chosen.choice(TELLING)
            frame[at : at + len(some)] = some
        elif how == 4:
            del frame[at : at + chosen.randrange(1, 9)]
        elif how == 5:
            del frame[at:]
        elif how == 6:
            start = chosen.randrange(len(frame) + 1)
            frame[at:at] = frame[start : start + chosen.randrange(1, 40)] * chosen.choice((1, 1, 2, 50))
        else:
            frame += chosen.randbytes(chosen.randrange(20))
        made[number] = bytes(frame)
    if len(made) > 1 and chosen.random() < 0.1:
        made.pop(chosen.randrange(1, len(made)))
    return made
