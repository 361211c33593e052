"""What goes through a relay process: small calls, and models to two sites and back."""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
from bench_figure import Figure, medians, quantile, seconds, take_turns
from bench_pipes import MIB, Pipe, Tcp
from bench_sites import run_plan

from fox_hpc import fox

SITES = 2
#: Beside the bare two-hop pipe of the same run: a small call takes at most so many times as long …
CALL_LIMIT = 1.5
#: … and a model moves at least at this part of its rate.
MODEL_LIMIT = 0.6


def relay(blocks: int, calls: int, repeats: int, sizes: Sequence[int]) -> Iterator[Figure]:
    """Measure small calls, then models of these sizes in MiB."""
    yield from call(blocks, calls)
    for mib in sizes:
        yield model(mib, repeats if mib <= 512 else min(repeats, 3))


def call(blocks: int, calls: int) -> Iterator[Figure]:
    """A call with next to nothing in it, to one site and back."""
    with Pipe() as bare, Pipe(curve=True) as curve:

        def plan() -> dict[str, list[list[float]]]:
            site = fox.clients[0]
            runners: dict[str, Callable[[], Any]] = {
                "fox": lambda: site.echo(1),
                "two_hop": lambda: bare.echo([b"1"]),
                "two_hop_curve": lambda: curve.echo([b"1"]),
            }
            return in_blocks(runners, blocks, calls)

        found = run_plan(plan, 1)
    yield from latencies("call", found, times_two_hop=CALL_LIMIT)


def in_blocks(runners: dict[str, Callable[[], Any]], blocks: int, calls: int) -> dict[str, list[list[float]]]:
    """Time calls in blocks, in turns; each runner is warmed up. In ms."""
    for runner in runners.values():
        _block(runner, calls // 10 + 1)
    return take_turns({name: partial(_block, run, calls) for name, run in runners.items()}, blocks)


def latencies(
    name: str, found: dict[str, list[list[float]]], times_two_hop: float | None = None
) -> Iterator[Figure]:
    """Give the median and the 99th percentile of what `in_blocks` found; the median may have a limit."""
    for part in (0.5, 0.99):
        took = {who: statistics.median(quantile(b, part) for b in found[who]) for who in found}
        value = took.pop("fox")
        calls = sum(len(block) for block in found["fox"])
        more = {"calls": calls, "per_s": round(1e3 / value)} if part == 0.5 else {}
        limit = times_two_hop * took["two_hop"] if times_two_hop and part == 0.5 else None
        yield Figure(f"{name}_p{part * 100:.0f}", value, "ms", limit, took, more)


def _block(runner: Callable[[], Any], calls: int) -> list[float]:
    return [seconds(runner) * 1e3 for _ in range(calls)]


def model(mib: int, repeats: int) -> Figure:
    """A model of fp32 to two sites at once and back, sealed, beside pipes that do the same unsealed."""
    with contextlib.ExitStack() as stack:
        pipes = {
            "two_hop": Pipe(far=SITES),
            "two_hop_curve": Pipe(curve=True, far=SITES),
            "one_hop_curve": Pipe(hops=1, curve=True, far=SITES),
        }
        for pipe in pipes.values():
            stack.enter_context(pipe)
        tcp = stack.enter_context(Tcp(mib * MIB, SITES))
        found = run_plan(lambda: _model_rounds(mib, repeats, pipes, tcp), SITES)
    moved = 2 * SITES * mib
    rates = {name: moved / value for name, value in medians(found).items()}
    value = rates.pop("fox")
    more = {"seconds": round(moved / value, 3), "repeats": repeats}
    limit = MODEL_LIMIT * rates["two_hop"]
    return Figure(f"model_{size_name(mib)}_{SITES}_sites", value, "MiB/s", limit, rates, more, at_least=True)


def size_name(mib: int) -> str:
    """Write a size as names of figures do: 256MiB, 1GiB."""
    return f"{mib}MiB" if mib % 1024 else f"{mib // 1024}GiB"


def _model_rounds(mib: int, repeats: int, pipes: dict[str, Pipe], tcp: Tcp) -> dict[str, list[float]]:
    weights = model_of(mib)
    data = memoryview(weights).cast("B")
    runners: dict[str, Callable[[], Any]] = {
        "fox": lambda: fox.clients.echo(renewed(weights)),
        **{name: partial(pipe.echo, [data]) for name, pipe in pipes.items()},
        # What a pipe of messages gains when the messages are small.
        "two_hop_4MiB": lambda: pipes["two_hop"].echo_chunks(data),
        "tcp": lambda: tcp.echo(data),
    }
    # Sites load numpy with the first array, and everybody makes memory ready.
    for runner in runners.values():
        runner()
    return take_turns({name: partial(seconds, run) for name, run in runners.items()}, repeats)


def renewed(weights: Any) -> Any:
    """Change one number of a model, as a round does: what a site has had is not sent again."""
    weights[0] += 1
    return weights


def model_of(mib: int) -> Any:
    """Make a model of that size, one array of fp32."""
    return np.random.default_rng(1).standard_normal(mib * MIB // 4, dtype=np.float32)
