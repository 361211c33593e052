"""How cost grows: with the number of sites, and with the size of a model."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from functools import partial

from bench_figure import Figure, medians, seconds, take_turns
from bench_pipes import Pipe
from bench_relay import model_of, renewed, size_name
from bench_sites import run_plan

from fox_hpc import fox


def fan_out(repeats: int, sites: Sequence[int], mib: int, sizes: Sequence[int]) -> Iterator[Figure]:
    """A model of `mib` to growing numbers of sites and back, then models of growing size to one site."""
    work = [*((number, mib) for number in sites), *((1, size) for size in sizes)]
    with contextlib.ExitStack() as stack:
        pipes = {number: stack.enter_context(Pipe(far=number)) for number in {1, *sites}}
        found = run_plan(
            lambda: [_there_and_back(*each, repeats, pipes[each[0]]) for each in work], max(sites)
        )
    for (number, size), took in zip(work, found, strict=True):
        peers = medians(took)
        value = peers.pop("fox")
        more = {"mib_per_s": round(2 * number * size / value)}
        name = f"fan_out_{size_name(size)}_{number}_site{'s' if number > 1 else ''}"
        yield Figure(name, value, "s", None, peers, more)


def _there_and_back(number: int, mib: int, repeats: int, pipe: Pipe) -> dict[str, list[float]]:
    weights = model_of(mib)
    data = memoryview(weights).cast("B")
    group = fox.clients[:number]
    runners = {"fox": lambda: group.echo(renewed(weights)), "two_hop": partial(pipe.echo, [data])}
    for runner in runners.values():
        runner()
    return take_turns({name: partial(seconds, run) for name, run in runners.items()}, repeats)
