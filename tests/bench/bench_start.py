"""Start-up: what a user waits for before anything runs. Whole processes, and SimEnv inside one."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from bench_figure import Figure, medians, output, process_ms, seconds, take_turns
from bench_sites import run_plan

from fox_hpc import SimEnv, fox

IMPORT_LIMIT_MS = 150.0
HELP_LIMIT_MS = 300.0
FIRST_CALL_LIMIT_MS = 200.0
ROUND_LIMIT_MS = 2.0
COLD = Path(__file__).with_name("bench_cold.py")
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


def _rounds(count: int) -> list[float]:
    """Time single rounds in which every site gets and gives back 1 KB; the first is left out."""
    return [seconds(lambda: fox.clients.echo(KILOBYTE)) * 1e3 for _ in fox.rounds(count + 1)][1:]
