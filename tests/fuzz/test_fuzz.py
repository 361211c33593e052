"""Bytes that nobody's fox-hpc has made: refused by name, in little memory; `scripts/fuzz` tries many more."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from fuzz_run import check
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from parsers import PARSERS, mutate, seeds

from fox_hpc.errors import CodecError, WireError
from fox_hpc.wire import codec
from fox_hpc.wire.blob import read_ref
from fox_hpc.wire.call_codec import read_call, read_reply
from fox_hpc.wire.codec import MOST_FRAMES, MOST_HEADER_BYTES
from fox_hpc.wire.codec_tags import Tag

RUN = Path(__file__).resolve().parent / "fuzz_run.py"
SEEDS = seeds()
quick = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])

plain = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text() | st.binary()
names = st.sampled_from(["f8", "<f4", "float32", "bfloat16", "<U3", "O", "V8", "FLModel", "head", "args"])
#: Headers that look like those of the codec, and may be.
headers = st.recursive(
    plain | names,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=4) | names, inner, max_size=4)
        | st.tuples(st.sampled_from(list(map(int, Tag))), inner, inner).map(list)
        | st.tuples(
            st.integers(11, 13), st.integers(-1, 3), names, st.lists(st.integers(-9, 2**63), max_size=3)
        ).map(list)
        | st.tuples(st.sampled_from(list(map(int, Tag))), st.lists(inner, max_size=4)).map(list)
    ),
    max_leaves=20,
)


@pytest.mark.parametrize("name", PARSERS)
@quick
@given(frames=st.lists(st.binary(max_size=200), min_size=1, max_size=4))
def test_any_bytes_are_taken_or_refused_by_name(name: str, frames: list[bytes]) -> None:
    check(name, frames, measured=True)


@settings(quick, max_examples=80)
@given(header=headers, buffers=st.lists(st.binary(max_size=64), max_size=3))
def test_any_header_is_taken_or_refused_by_name(header: Any, buffers: list[bytes]) -> None:
    frames = [msgspec.msgpack.encode(header), *buffers]
    for name in ("decode", "call", "reply", "join", "offer", "frames of bytes"):
        check(name, frames, measured=True)


@settings(quick, max_examples=600)
@given(which=st.sampled_from(range(len(SEEDS))), seed=st.integers(0, 2**32))
def test_what_the_package_says_is_taken_or_refused_by_name_when_it_was_harmed(which: int, seed: int) -> None:
    name, frames = SEEDS[which]
    check(name, mutate(frames, random.Random(seed)), measured=True)


@pytest.mark.parametrize(("name", "frames"), SEEDS)
def test_what_the_package_says_is_taken(name: str, frames: list[bytes]) -> None:
    assert check(name, frames)


def test_header_over_the_limit_is_refused_unread() -> None:
    with pytest.raises(CodecError, match=f"more than the {MOST_HEADER_BYTES} that are taken"):
        codec.decode([bytes(MOST_HEADER_BYTES + 1)])
    with pytest.raises(CodecError, match="more than the"):
        codec.frames_of_bytes(bytes(MOST_HEADER_BYTES + 1))


def test_value_whose_header_would_be_over_the_limit_is_told_to_its_owner() -> None:
    with pytest.raises(CodecError, match="put them into arrays"):
        codec.encode("x" * (MOST_HEADER_BYTES + 1))


def test_more_frames_than_the_limit_are_refused() -> None:
    with pytest.raises(CodecError, match=f"{MOST_FRAMES + 1} frames came"):
        codec.decode([b"\xc0"] * (MOST_FRAMES + 1))


def test_array_is_no_call_and_no_reply() -> None:
    frames = codec.encode(np.float32(1))
    for read in (read_call, read_reply):
        with pytest.raises(CodecError, match="Expected `object`, got `array`"):
            read(frames)


@pytest.mark.parametrize("frame", [b"", b"\x93", msgspec.msgpack.encode((b"i", b"k", ()))], ids=str)
def test_reference_to_nothing_is_refused(frame: bytes) -> None:
    with pytest.raises(WireError, match="reference to a blob"):
        read_ref(frame)


def test_script_tells_what_it_has_tried() -> None:
    words = [sys.executable, str(RUN), "--inputs", "2000", "--seed", "1", "--json"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=100, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout)
    assert (told["inputs"], told["findings"]) == (2000, [])
