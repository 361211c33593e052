"""From submit to the first round's answer on the fake Slurm, beside torchrun alone."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench_figure import Figure, medians, take_turns
from bench_sites import Echo, GlooEcho, run_plan

from fox_hpc import HpcEnv, fox

ALONE = Path(__file__).with_name("bench_gloo.py")
RANKS = 2


def submit(repeats: int) -> Iterator[Figure]:
    """A job of one python process, and one of torchrun with two ranks in a process group."""
    torchrun = f"srun torchrun --nproc_per_node={RANKS}"
    ready: list[float] = []
    took = medians(
        take_turns(
            {
                "plain": lambda: _first_round(Echo()),
                "ranks": lambda: _first_round(GlooEcho(), inprocess=False, run_cmd=torchrun),
                "torchrun": lambda: _torchrun(ready),
            },
            repeats,
        )
    )
    yield Figure("submit_first_round", took["plain"], "s")
    peers = {"torchrun": took["torchrun"], "torchrun_group_ready": medians({"ready": ready})["ready"]}
    yield Figure("submit_first_round_torchrun", took["ranks"], "s", None, peers)


def _first_round(client: object, **recipe: Any) -> float:
    begun = time.perf_counter()

    def plan() -> float:
        fox.clients.echo(1)
        return time.perf_counter() - begun

    return float(run_plan(plan, 1, HpcEnv, "fake-slurm", client=client, **recipe))


def _torchrun(ready: list[float]) -> float:
    """Time torchrun with a script that makes the process group and ends; note when the group stood."""
    begun = time.perf_counter()
    command = [str(Path(sys.executable).with_name("torchrun")), "--standalone", f"--nproc_per_node={RANKS}"]
    with subprocess.Popen([*command, str(ALONE)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as run:
        try:
            assert run.stdout is not None
            run.stdout.readline()
            ready.append(time.perf_counter() - begun)
            if run.wait(60):
                raise RuntimeError(f"torchrun {ALONE} ended with {run.returncode}")
        finally:
            run.terminate()
    return time.perf_counter() - begun
