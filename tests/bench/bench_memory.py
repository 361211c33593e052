"""Memory while a model goes to sites and back and is averaged on arrival: server, relay and a worker."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from bench_figure import Figure
from bench_pipes import MIB, Pipe
from bench_relay import size_name
from bench_sites import Streamer, Trainer, run_plan

from fox_hpc import fox
from fox_hpc.algos import weighted_average

SITES = 8
SERVER_LIMIT, WORKER_LIMIT = 2.5, 2.2
IDLE_LIMIT_MIB, BUDGET_MIB = 60.0, 64.0
#: What a bare pipe may hold, in models: a far process, and both its other ends.
PIPE_PER_SITE, PIPE_BETWEEN = 3, 6
#: So many numbers of a model are sent at once where it goes in parts: 4 MiB.
PART = MIB
#: How a model is made up, in 64ths: big arrays and small ones, as networks have.
PARTS = (32, 16, 8, *[1] * 7, *[0.25] * 4)


def memory(rounds: int, sizes: Sequence[int]) -> Iterator[Figure]:
    """Measure with models of these sizes in MiB; names tell the size from the second one on."""
    for number, mib in enumerate(sizes):
        suffix = f"_{size_name(mib)}" if number else ""
        yield from _memory(mib, rounds, suffix)


def _memory(mib: int, rounds: int, suffix: str) -> Iterator[Figure]:
    sites = _sites_that_fit(mib, WORKER_LIMIT, SERVER_LIMIT)
    if sites:
        held = run_plan(lambda: _held(mib, rounds, _average), sites, client=Trainer())
        ends = min(sites, _sites_that_fit(mib, PIPE_PER_SITE, PIPE_BETWEEN))
        peers = _held_by_pipe(mib, ends) if ends else ({}, {})
        yield from _figures(held, suffix, peers, {"sites": sites, "model_mib": mib})
    if sites < SITES:
        # Of a model in parts, sites hold only these: as many take part as should.
        held = run_plan(lambda: _held(mib, 1, _average_in_parts), SITES, client=Streamer())
        yield from _figures(held, f"{suffix}_streamed", ({}, {}), {"sites": SITES, "model_mib": mib})


def _figures(
    held: dict[str, float],
    suffix: str,
    peers: tuple[dict[str, float], dict[str, float]],
    more: dict[str, Any],
) -> Iterator[Figure]:
    middle, far = peers
    limit = IDLE_LIMIT_MIB + BUDGET_MIB
    yield Figure(f"server_x_model{suffix}", held["server"], "x model", SERVER_LIMIT, {}, more)
    yield Figure(f"worker_x_model{suffix}", held["worker"], "x model", WORKER_LIMIT, far, more)
    yield Figure(f"relay_mib{suffix}", held["relay_peak"], "MiB", limit, middle, more)
    yield Figure(f"relay_idle_mib{suffix}", held["relay_idle"], "MiB", IDLE_LIMIT_MIB, {}, more)


def _sites_that_fit(mib: int, each: float, besides: float) -> int:
    """Give as many sites as this machine has memory for, at most 8: all of them run on it."""
    models = psutil.virtual_memory().available * 0.9 / MIB / mib
    return int(max(0, min(SITES, (models - besides) // each)))


def _held(mib: int, rounds: int, average: Callable[[Any], Any]) -> dict[str, float]:
    average(_model(0.1))
    here = psutil.Process()
    relay, worker = _child(here, "fox_hpc.site.relay"), _child(here, "fox_hpc.site.worker")
    idle = _rss_mib(relay)
    grown = _growth([here, relay, worker])
    model = _model(mib)
    for _ in range(rounds):
        model = average(model)
    server, _, at_worker = grown()
    return {
        "server": server / mib,
        "worker": at_worker / mib,
        "relay_idle": idle,
        "relay_peak": _peak_mib(relay),
    }


def _average(model: Any) -> Any:
    return weighted_average(fox.clients(late=True).train(model))


def _average_in_parts(model: dict[str, Any]) -> Any:
    """Send the parts of a model one after the other, and add up each as it comes back from every site."""
    places = [(name, start) for name, array in model.items() for start in range(0, array.size, PART)]
    mean = {name: np.zeros_like(array) for name, array in model.items()}
    answers = fox.clients.train(model[name][start : start + PART] for name, start in places)
    for (name, start), *parts in zip(places, *answers, strict=True):
        place = mean[name][start : start + PART]
        for part in parts:
            place += part
        place /= len(parts)
    return mean


def _model(mib: float) -> dict[str, Any]:
    each = mib * MIB / 4 / sum(PARTS)
    return {f"layer.{n}.weight": np.ones(int(part * each), np.float32) for n, part in enumerate(PARTS)}


def _held_by_pipe(mib: int, sites: int) -> tuple[dict[str, float], dict[str, float]]:
    """Give by how much the middle of a bare pipe grew, in MiB, and a far process, in models."""
    with Pipe(far=sites) as pipe:
        grown = _growth([psutil.Process(pid) for pid in pipe.pids[:2]])
        pipe.echo([bytes(mib * MIB)])
        middle, far = grown()
    return {"two_hop": middle}, {"two_hop": far / mib}


def _growth(processes: list[psutil.Process]) -> Callable[[], list[float]]:
    """Begin to watch; the answer tells by how many MiB each process grew at its peak."""
    before = [_rss_mib(process) for process in processes]
    for process in processes:
        # 5 sets the peak back to what is held now, see proc(5).
        Path(f"/proc/{process.pid}/clear_refs").write_text("5")
    return lambda: [_peak_mib(process) - held for process, held in zip(processes, before, strict=True)]


def _child(parent: psutil.Process, module: str) -> psutil.Process:
    return next(child for child in parent.children(recursive=True) if module in child.cmdline())


def _rss_mib(process: psutil.Process) -> float:
    return float(process.memory_info().rss) / MIB


def _peak_mib(process: psutil.Process) -> float:
    status = Path(f"/proc/{process.pid}/status").read_text()
    return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM:"))
