"""Start-up: what a user waits for before anything runs. Whole processes, and SimEnv in one."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from bench_figure import Figure, medians, output, process_ms, seconds, take_turns
from bench_relay import model_of, renewed
from bench_sites import run_plan

from fox_hpc import SimEnv, fox

IMPORT_LIMIT_MS = 150.0
HELP_LIMIT_MS = 300.0
FIRST_CALL_LIMIT_MS = 200.0
ROUND_LIMIT_MS = 2.0
COLD = Path(__file__).with_name("bench_cold.py")
MODEL_MIB, MODEL_SITES = 64, 2
KILOBYTE = b"k" * 1024


def imports(repeats: int) -> Iterator[Figure]:
    """The package and the command, each as a whole process beside a bare interpreter."""
    python = sys.executable
    commands = {
        "bare_python": [python, "-c", "pass"],
        "import": [python, "-c", "import fox_hpc"],
        "help": [str(Path(python).with_name("fox-hpc")), "--help"],
    }
    runners = {name: partial(process_ms, command) for name, command in commands.items()}
    took = medians(take_turns(runners, repeats))
    bare = {"bare_python": took["bare_python"]}
    over = took["import"] - took["bare_python"]
    yield Figure("import_over_bare_python", over, "ms", IMPORT_LIMIT_MS, bare)
    yield Figure("help", took["help"], "ms", HELP_LIMIT_MS, bare)


def sim(repeats: int, rounds: int) -> Iterator[Figure]:
    """SimEnv from a cold process to the first answer, and rounds once it is warm."""
    inside: list[float] = []

    def first() -> float:
        begun = time.perf_counter()
        inside.append(float(output([sys.executable, str(COLD)])))
        return (time.perf_counter() - begun) * 1e3

    bare = partial(process_ms, [sys.executable, "-c", "pass"])
    took = medians(take_turns({"bare_python": bare, "first": first}, repeats))
    yield Figure("sim_first_call", medians({"inside": inside})["inside"], "ms", FIRST_CALL_LIMIT_MS)
    yield Figure("sim_whole_process", took["first"], "ms", None, {"bare_python": took["bare_python"]})
    per_round = medians({"round": run_plan(lambda: _rounds(rounds), 8, SimEnv)})["round"]
    yield Figure("sim_round_8_sites_1KB", per_round, "ms", ROUND_LIMIT_MS)
    took = medians(run_plan(lambda: _models(repeats), MODEL_SITES, SimEnv))
    rates = {name: 2 * MODEL_SITES * MODEL_MIB / each for name, each in took.items()}
    name = f"sim_model_{MODEL_MIB}MiB_{MODEL_SITES}_sites"
    yield Figure(name, rates["fox"], "MiB/s", None, {"memcpy": rates["memcpy"]})


def _rounds(count: int) -> list[float]:
    """Time single rounds in which every site gets and gives back 1 KB; the first is left out."""
    return [seconds(lambda: fox.clients.echo(KILOBYTE)) * 1e3 for _ in fox.rounds(count + 1)][1:]


def _models(repeats: int) -> dict[str, list[float]]:
    """Time a model to all sites and back, beside as many copies into one place; the first is left out."""
    weights = model_of(MODEL_MIB)
    target = np.empty_like(weights)

    def copies() -> None:
        for _ in range(2 * MODEL_SITES):
            target[:] = weights

    runners = {
        "fox": lambda: seconds(lambda: fox.clients.echo(renewed(weights))),
        "memcpy": lambda: seconds(copies),
    }
    return {name: took[1:] for name, took in take_turns(runners, repeats + 1).items()}
