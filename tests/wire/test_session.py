"""Sessions: two ends have the same secret, and nobody else has it."""

from __future__ import annotations

import os

import pytest

from fox_hpc.errors import NotAllowed
from fox_hpc.wire.keys import new_keys
from fox_hpc.wire.session import Offer, Session, accept_session, offer_session

BLOB = bytes(range(16))


def pair() -> tuple[Session, Session]:
    keys = new_keys("server")
    worker, offer = offer_session(keys.public)
    return worker, accept_session(offer, keys)


def test_what_either_end_wraps_the_other_unwraps() -> None:
    worker, server = pair()
    key = os.urandom(32)

    assert server.unwrap(worker.wrap(key, BLOB), BLOB) == key
    assert worker.unwrap(server.wrap(key, BLOB), BLOB) == key


def test_key_is_never_wrapped_twice_alike() -> None:
    worker, _ = pair()

    assert len({worker.wrap(bytes(32), BLOB) for _ in range(100)}) == 100


@pytest.mark.parametrize("what", ["changed", "short", "empty", "own", "another blob", "another session"])
def test_key_that_the_other_end_did_not_wrap_for_the_blob_is_refused(what: str) -> None:
    worker, server = pair()
    wrapped = worker.wrap(bytes(32), BLOB)
    blob = BLOB
    if what == "changed":
        wrapped = wrapped[:-1] + bytes([wrapped[-1] ^ 1])
    elif what == "short":
        wrapped = wrapped[:20]
    elif what == "empty":
        wrapped = b""
    elif what == "own":
        server = worker
    elif what == "another blob":
        blob = os.urandom(16)
    else:
        server = pair()[1]

    with pytest.raises(NotAllowed, match="was not sealed by"):
        server.unwrap(wrapped, blob)


@pytest.mark.parametrize(("key", "blob"), [(bytes(31), BLOB), (bytes(32), BLOB[:15])], ids=["key", "id"])
def test_key_or_id_of_another_length_is_refused(key: bytes, blob: bytes) -> None:
    worker, server = pair()

    with pytest.raises(NotAllowed, match="32 bytes"):
        server.unwrap(worker.wrap(key, blob), blob)


def test_who_holds_another_servers_keys_does_not_share_the_session() -> None:
    worker, offer = offer_session(new_keys("server").public)
    stranger = accept_session(offer, new_keys("stranger"))

    with pytest.raises(NotAllowed):
        stranger.unwrap(worker.wrap(bytes(32), BLOB), BLOB)
    assert stranger.hello_key != worker.hello_key


@pytest.mark.parametrize(
    "offer", [Offer(b"short", bytes(32)), Offer(bytes(16), b"short"), Offer(bytes(16), bytes(32))], ids=str
)
def test_offer_that_is_none_is_refused(offer: Offer) -> None:
    with pytest.raises(NotAllowed, match="cannot be taken"):
        accept_session(offer, new_keys("server"))


def test_connections_and_directions_have_keys_of_their_own() -> None:
    worker, server = pair()
    ways = [(nonces, dialled) for nonces in (b"a", b"b") for dialled in (True, False)]
    keys = {key[:16] for way in ways for key in worker.stream_keys(*way)}

    assert len(keys) == 8
    assert worker.stream_keys(b"a", True) == server.stream_keys(b"a", True)
