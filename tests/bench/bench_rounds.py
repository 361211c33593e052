"""Rounds of 1 KB: with 8 sites that are processes, with 1,000 simulated sites, with 256 light peers."""

from __future__ import annotations

import statistics
from collections.abc import Iterator

from bench_figure import Figure, seconds
from bench_link import light_peers
from bench_sites import run_plan

from fox_hpc import PocEnv, SimEnv, fox

SITES, LIMIT_MS = 8, 10.0
KILOBYTE = b"k" * 1024


def rounds(count: int, many_rounds: int, sim_sites: int, peers: int) -> Iterator[Figure]:
    """Measure `count` rounds of 8 sites, and `many_rounds` with many."""
    yield _rounds(SITES, count, PocEnv, f"round_{SITES}_sites_1KB", LIMIT_MS)
    yield _rounds(sim_sites, many_rounds, SimEnv, f"sim_round_{sim_sites}_sites_1KB", None)
    yield from light_peers(peers, many_rounds)


def _rounds(sites: int, count: int, kind: type[SimEnv | PocEnv], name: str, limit: float | None) -> Figure:
    def plan() -> list[float]:
        # The first one is left out: sites become ready while it waits.
        return [seconds(lambda: fox.clients.echo(KILOBYTE)) * 1e3 for _ in fox.rounds(count + 1)][1:]

    took = run_plan(plan, sites, kind)
    more = {
        "rounds": count,
        "slowest": round(max(took), 1),
        "ms_each": round(statistics.median(took) / sites, 3),
    }
    return Figure(name, statistics.median(took), "ms", limit, {}, more)
