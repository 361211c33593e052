"""What goes through a relay process: small calls, models, rounds, and the memory that holds them."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from bench_figure import Figure, medians, quantile, seconds, take_turns
from bench_peers import MIB, TwoHop
from bench_sites import run_plan

from fox_hpc import fox

MODEL_MB = 100
RELAY_LIMIT_MIB = 60.0
SERVER_LIMIT = 2.5
WORKER_LIMIT = 2.2
ROUND_LIMIT_MS = 10.0
KILOBYTE = b"k" * 1024


def call(blocks: int, calls: int) -> Iterator[Figure]:
    """A call with next to nothing in it, to one site and back."""
    with TwoHop(curve=False) as bare, TwoHop(curve=True) as curve:

        def plan() -> dict[str, list[list[float]]]:
            site = fox.clients[0]
            runners: dict[str, Callable[[], Any]] = {
                "fox": lambda: site.echo(1),
                "two_hop": lambda: bare.echo([b"1"]),
                "two_hop_curve": lambda: curve.echo([b"1"]),
            }
            for runner in runners.values():
                _block(runner, calls // 10 + 1)
            return take_turns(
                {name: lambda run=run: _block(run, calls) for name, run in runners.items()}, blocks
            )

        found = run_plan(plan, 1)
    for part in (0.5, 0.99):
        took = {name: statistics.median(quantile(b, part) for b in found[name]) for name in found}
        value = took.pop("fox")
        more = {"calls": blocks * calls, "per_s": round(1e3 / value)} if part == 0.5 else {}
        yield Figure(f"call_p{part * 100:.0f}", value, "ms", 1.0 if part == 0.5 else None, took, more)


def _block(runner: Callable[[], Any], calls: int) -> list[float]:
    return [seconds(runner) * 1e3 for _ in range(calls)]


def model(repeats: int) -> Iterator[Figure]:
    """100 MB of float32 there and back, to one site and to two at once."""
    with contextlib.ExitStack() as stack:
        bare = {sites: stack.enter_context(TwoHop(curve=False, far=sites)) for sites in (1, 2)}
        curve = {sites: stack.enter_context(TwoHop(curve=True, far=sites)) for sites in (1, 2)}
        found = run_plan(lambda: [_model_rounds(n, repeats, bare[n], curve[n]) for n in (1, 2)], 2)
    for sites, took in zip((1, 2), found, strict=True):
        moved = 2 * sites * MODEL_MB * 1e6 / MIB
        rates = {name: moved / value for name, value in medians(took).items()}
        value = rates.pop("fox")
        yield Figure(
            f"model_{MODEL_MB}MB_{sites}_site{'s' if sites > 1 else ''}",
            value,
            "MiB/s",
            None,
            rates,
            {"seconds": round(moved / value, 3)},
        )


def _model_rounds(sites: int, repeats: int, bare: TwoHop, curve: TwoHop) -> dict[str, list[float]]:
    weights = _weights()
    data = memoryview(weights).cast("B")
    group = fox.clients[:sites]
    runners: dict[str, Callable[[], Any]] = {
        "fox": lambda: group.echo(weights),
        "two_hop": lambda: bare.echo([data]),
        "two_hop_4MiB": lambda: bare.echo_chunks(data),
        "two_hop_curve": lambda: curve.echo([data]),
    }
    # Sites load numpy with the first array.
    group.echo(weights[:1000])
    return take_turns({name: lambda run=run: seconds(run) for name, run in runners.items()}, repeats)


def _weights() -> Any:
    return np.random.default_rng(1).standard_normal(MODEL_MB * 250_000, dtype=np.float32)


def rounds(count: int) -> Iterator[Figure]:
    """Rounds of 8 sites, each a process, with 1 KB there and back."""

    def plan() -> list[float]:
        return [seconds(lambda: fox.clients.echo(KILOBYTE)) * 1e3 for _ in fox.rounds(count + 1)][1:]

    took = run_plan(plan, 8)
    yield Figure("round_8_sites_1KB", statistics.median(took), "ms", ROUND_LIMIT_MS)


def memory(calls: int) -> Iterator[Figure]:
    """What server, relay and a worker hold while a model goes to two sites and back."""
    found = run_plan(lambda: _memory(calls), 2)
    held = MODEL_MB * 1e6 / MIB
    yield Figure("relay_idle_mib", found["relay_idle"], "MiB", RELAY_LIMIT_MIB)
    yield Figure("relay_mib", found["relay"], "MiB", RELAY_LIMIT_MIB)
    # A message is passed on whole: the relay holds each site's until the next hop has taken it.
    yield Figure("relay_peak_mib", found["relay_peak"], "MiB", round(RELAY_LIMIT_MIB + 2 * held, 1))
    yield Figure("server_x_model", found["server_grew"] / held, "x model", SERVER_LIMIT, {}, {"sites": 2})
    yield Figure("worker_x_model", found["worker_grew"] / held, "x model", WORKER_LIMIT)


def _memory(calls: int) -> dict[str, float]:
    fox.clients.echo(np.zeros(1000, np.float32))
    here = psutil.Process()
    relay, worker = _child(here, "fox_hpc.site.relay"), _child(here, "fox_hpc.site.worker", "fox_hpc.site")
    idle = {process: _rss_mib(process) for process in (here, relay, worker)}
    for process in idle:
        Path(f"/proc/{process.pid}/clear_refs").write_text("5")
    weights = _weights()
    for _ in range(calls):
        fox.clients.echo(weights)
    _settle(relay)
    return {
        "relay_idle": idle[relay],
        "relay": _rss_mib(relay),
        "relay_peak": _peak_mib(relay),
        "server_grew": _peak_mib(here) - idle[here],
        "worker_grew": _peak_mib(worker) - idle[worker],
    }


def _child(parent: psutil.Process, *modules: str) -> psutil.Process:
    children = parent.children(recursive=True)
    return next(child for module in modules for child in children if module in child.cmdline())


def _rss_mib(process: psutil.Process) -> float:
    return float(process.memory_info().rss) / MIB


def _peak_mib(process: psutil.Process) -> float:
    status = Path(f"/proc/{process.pid}/status").read_text()
    return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM:"))


def _settle(process: psutil.Process) -> None:
    """Wait until a process has given back what it gives back: its size stands still for half a second."""
    deadline, last, since = time.monotonic() + 5.0, _rss_mib(process), time.monotonic()
    while time.monotonic() < min(deadline, since + 0.5):
        time.sleep(0.05)
        now = _rss_mib(process)
        if abs(now - last) > 1.0:
            last, since = now, time.monotonic()
