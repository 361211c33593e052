"""What goes through a relay process: small calls, models, rounds, and the memory that holds them."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from bench_figure import Figure, medians, quantile, seconds, take_turns
from bench_peers import MIB, TwoHop
from bench_sites import run_plan

from fox_hpc import fox

MODEL_MB = 100
MODEL_MIB = MODEL_MB * 1e6 / MIB
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
            return take_turns({name: partial(_block, run, calls) for name, run in runners.items()}, blocks)

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
        moved = 2 * sites * MODEL_MIB
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
    return take_turns({name: partial(seconds, run) for name, run in runners.items()}, repeats)


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
    peers = {"two_hop": _held_by_peers(False, calls), "two_hop_curve": _held_by_peers(True, calls)}
    found = run_plan(lambda: _held(calls), 2)
    relay, worker = ({name: held[part] for name, held in peers.items()} for part in (0, 1))
    yield Figure("relay_idle_mib", found["relay_idle"], "MiB", RELAY_LIMIT_MIB)
    yield Figure("relay_mib", found["relay"], "MiB", RELAY_LIMIT_MIB)
    # A message is passed on whole: the relay holds each site's until the next hop has taken it.
    yield Figure("relay_peak_mib", found["relay_peak"], "MiB", round(RELAY_LIMIT_MIB + 2 * MODEL_MIB, 1))
    yield Figure("relay_x_model", found["relay_grew"], "x model", None, relay, {"sites": 2})
    yield Figure("server_x_model", found["server_grew"], "x model", SERVER_LIMIT, {}, {"sites": 2})
    yield Figure("worker_x_model", found["worker_grew"], "x model", WORKER_LIMIT, worker)


def _held(calls: int) -> dict[str, float]:
    fox.clients.echo(np.zeros(1000, np.float32))
    here = psutil.Process()
    relay, worker = _child(here, "fox_hpc.site.relay"), _child(here, "fox_hpc.site.worker")
    idle = _rss_mib(relay)
    grown = _growth([here, relay, worker])
    weights = _weights()
    for _ in range(calls):
        fox.clients.echo(weights)
    server_grew, relay_grew, worker_grew = grown()
    peak = _peak_mib(relay)
    _settle(relay)
    return {
        "relay_idle": idle,
        "relay": _rss_mib(relay),
        "relay_peak": peak,
        "relay_grew": relay_grew,
        "server_grew": server_grew,
        "worker_grew": worker_grew,
    }


def _held_by_peers(curve: bool, calls: int) -> tuple[float, float]:
    """Give by how many models the middle and a far process of the bare pipe grew, with two far ones."""
    with TwoHop(curve=curve, far=2) as pipe:
        grown = _growth([psutil.Process(pid) for pid in pipe.pids[:2]])
        data = memoryview(_weights()).cast("B")
        for _ in range(calls):
            pipe.echo([data])
        middle, far = grown()
    return middle, far


def _growth(processes: list[psutil.Process]) -> Callable[[], list[float]]:
    """Begin to watch; the answer tells by how many models each process grew at its peak."""
    before = [_rss_mib(process) for process in processes]
    for process in processes:
        # 5 sets the peak back to what is held now, see proc(5).
        Path(f"/proc/{process.pid}/clear_refs").write_text("5")
    return lambda: [
        (_peak_mib(process) - held) / MODEL_MIB for process, held in zip(processes, before, strict=True)
    ]


def _child(parent: psutil.Process, module: str) -> psutil.Process:
    return next(child for child in parent.children(recursive=True) if module in child.cmdline())


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
