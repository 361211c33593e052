"""The envelope: read whole, or refused."""

from __future__ import annotations

import msgspec
import pytest

from fox_hpc.errors import VersionMismatch, WireError
from fox_hpc.wire import channel, envelope


def test_envelope_is_read_as_it_was_sealed() -> None:
    frame = envelope.seal(
        "call", channel.CALL, id="7", origin="server", target="site-1.app.worker.0", attempt=2
    )
    head = envelope.read(frame)

    assert head == envelope.Envelope(1, "call", "7", "fox/call", "server", "site-1.app.worker.0", 2)


@pytest.mark.parametrize(
    "frame",
    [
        b"", b"\xc1", b"\xff" * 40, b"\x91\x01", b"\x96" + b"\x01" * 6,
        msgspec.msgpack.encode({"version": 1}),
        b"\x96\x01\xa2\xff\xfe" + b"\xa0" * 4, b"\xdd\xff\xff\xff\xff\x01", b"\x97" + b"\x91" * 5000,
        msgspec.msgpack.encode([1, "call", "", "", "", "", 0]) + b"x",
        msgspec.msgpack.encode([1, "call", "", "", "", "", 0])[:-1] + b"\x91" * 5000,
    ],
    ids=lambda frame: f"{frame[:8].hex()}-{len(frame)}",
)  # fmt: skip
def test_frame_that_is_no_envelope_is_a_wire_error(frame: bytes) -> None:
    with pytest.raises(WireError, match="is not an envelope"):
        envelope.read(frame)


def test_envelope_of_another_version_names_both() -> None:
    frame = msgspec.msgpack.encode([2, "call", "", "fox/call", "site-1.app", "server", 0, 0, "more"])
    with pytest.raises(VersionMismatch, match=r"site-1\.app speaks version 2 .* this end 1"):
        envelope.read(frame)
