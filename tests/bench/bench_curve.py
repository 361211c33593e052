"""What encryption costs: CURVE on a bare hop, and the seal of a blob in one thread."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from bench_figure import Figure, medians, seconds, take_turns
from bench_pipes import MIB, Pipe
from bench_relay import in_blocks, latencies, model_of, size_name

from fox_hpc.wire.opened_blob import OpenedBlob
from fox_hpc.wire.sealed_blob import SealedBlob


def curve(blocks: int, calls: int, repeats: int, mib: int) -> Iterator[Figure]:
    """One bare hop with CURVE beside one without, for small messages and for a model; then a blob's seal."""
    with Pipe(hops=1, curve=True) as locked, Pipe(hops=1) as bare:
        runners = {"fox": partial(locked.echo, [b"1"]), "one_hop": partial(bare.echo, [b"1"])}
        yield next(latencies("curve_echo", in_blocks(runners, blocks, calls)))
        weights = model_of(mib)
        data, target = memoryview(weights).cast("B"), memoryview(bytearray(mib * MIB))
        blob = SealedBlob([weights])
        runners = {
            "curve": partial(locked.echo, [data]),
            "one_hop": partial(bare.echo, [data]),
            "seal": lambda: SealedBlob([weights]).seal(),
            "memcpy": lambda: target.__setitem__(slice(None), data),
        }
        blob.seal()
        opening = [_opening(blob) for _ in range(repeats)]
        took = medians(take_turns({name: partial(seconds, run) for name, run in runners.items()}, repeats))
    rates = {name: mib / value for name, value in took.items()}
    there_and_back = {"one_hop": 2 * rates["one_hop"]}
    yield Figure(f"curve_model_{size_name(mib)}", 2 * rates["curve"], "MiB/s", None, there_and_back)
    yield Figure(f"seal_{size_name(mib)}", rates["seal"], "MiB/s", None, {"memcpy": rates["memcpy"]})
    opened = mib / medians({"open": opening})["open"]
    yield Figure(f"open_{size_name(mib)}", opened, "MiB/s", None, {"memcpy": rates["memcpy"]})


def _opening(sealed: SealedBlob) -> float:
    """Time how long it takes to open what was received."""
    opened = OpenedBlob(sealed.id, sealed.key, sealed.plan.sizes)
    tags = []
    for number in range(len(sealed.plan.chunks)):
        chunk, tag = sealed.chunk(number)
        opened.place(number)[:] = chunk
        tags.append(tag)

    def open_all() -> None:
        for number, tag in enumerate(tags):
            opened.open(number, tag)

    return seconds(open_all)
