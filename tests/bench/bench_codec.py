"""Values to frames and back, beside a copy of the same bytes; a process of its own, since torch is heavy."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
from bench_figure import Figure, medians, output, seconds, take_turns

MODEL_MB, TENSORS = 100, 25


def codec(repeats: int) -> Iterator[Figure]:
    """Measure in a fresh process."""
    for line in json.loads(output([sys.executable, __file__, str(repeats)])):
        yield Figure(**line)


def _state_dict(repeats: int) -> dict[str, Any]:
    import torch

    from fox_hpc.wire import codec as wire

    each = MODEL_MB * 1_000_000 // 4 // TENSORS
    model = {f"layer.{number}.weight": torch.randn(each) for number in range(TENSORS)}
    frames = wire.encode(model)
    # A socket's buffers are writable: what is decoded are views on them.
    received = [bytearray(frame) for frame in frames]
    target = [bytearray(len(frame)) for frame in received]

    def copy() -> None:
        for there, here in zip(target, received, strict=True):
            there[:] = here

    def both() -> None:
        wire.encode(model)
        wire.decode(received)

    for warm in (both, copy):
        warm()
    took = medians(take_turns({"fox": _ms(both), "memcpy": _ms(copy)}, repeats))
    name = f"codec_state_dict_{MODEL_MB}MB"
    return {"name": name, "value": took.pop("fox"), "unit": "ms", "peers": took}


def _small_call(repeats: int) -> dict[str, Any]:
    from fox_hpc.call import Call
    from fox_hpc.wire.cell import read_call, write_call

    small = Call("train", (1,), {"rate": 0.1}, caller="server")
    frames = write_call(small)
    plain = {"head": ["train", "server", ""], "args": [1], "kwargs": {"rate": 0.1}}
    runners: dict[str, Callable[[], Any]] = {
        "fox": lambda: read_call(write_call(small)),
        "msgpack": lambda: msgspec.msgpack.decode(msgspec.msgpack.encode(plain)),
        "memcpy": lambda: [bytearray(frame) for frame in frames],
    }
    took = medians(take_turns({name: _us_each(run, 2000) for name, run in runners.items()}, repeats))
    return {"name": "codec_small_call", "value": took.pop("fox"), "unit": "µs", "peers": took}


def _ms(action: Callable[[], Any]) -> Callable[[], float]:
    return lambda: seconds(action) * 1e3


def _us_each(action: Callable[[], Any], times: int) -> Callable[[], float]:
    def many() -> None:
        for _ in range(times):
            action()

    return lambda: seconds(many) * 1e6 / times


def main() -> None:
    """Be the fresh process."""
    repeats = int(sys.argv[1])
    print(json.dumps([_state_dict(repeats), _small_call(repeats)]))


if __name__ == "__main__":
    main()
