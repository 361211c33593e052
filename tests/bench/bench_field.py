"""The same work in NVFlare and Flower, in a venv of their own, which `scripts/bench --peers` makes."""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
from bench_figure import Figure, seconds
from bench_history import REPO
from bench_relay import model_of, renewed, size_name
from bench_sites import run_plan

from fox_hpc import PocEnv, SimEnv, fox

VENV = REPO / ".bench" / "peers"
PACKAGES = {"nvflare": "nvflare>=2.9,<2.10", "flower": "flwr[simulation]>=1.42,<2"}
INSTALL_S, RUN_S, END_S = 900, 900, 10
SITES, MODEL_SITES = 8, 2
KILOBYTE = b"k" * 1024
#: In the environment of all that a peer starts: its folder.
MARK = "FOX_BENCH_FOLDER"


@dataclass(frozen=True)
class Way:
    """How a peer does the work: which of its scripts, in which mode, and how often at most."""

    script: str
    mode: str
    most: int = 1000


#: A deployed Flower takes half a minute for a round.
WAYS = {
    "nvflare_sim": Way("nvflare", "sim"),
    "flower_sim": Way("flower", "sim"),
    "nvflare_deployed": Way("nvflare", "deployed"),
    "flower_deployed": Way("flower", "deployed", most=2),
}
Took = dict[str, list[float]]


class NoPeers(Exception):
    """The peers are not here, and why."""


def install() -> None:
    """Put NVFlare and Flower into their venv, unless they are there.

    Raises:
        NoPeers: pip could not.
    """
    if _python().with_name("installed").exists():
        return
    print(f"scripts/bench: NVFlare and Flower into {VENV}, once; this takes some minutes", file=sys.stderr)
    words = [str(_python()), "-m", "pip", "install", "--quiet", *PACKAGES.values()]
    try:
        subprocess.run(
            [sys.executable, "-m", "venv", str(VENV)], check=True, capture_output=True, timeout=120
        )
        subprocess.run(words, check=True, capture_output=True, text=True, timeout=INSTALL_S)
    except subprocess.CalledProcessError as error:
        last = (error.stderr or "no reason given").strip().splitlines()[-1]
        raise NoPeers(f"NVFlare and Flower cannot be installed here: {last}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NoPeers(f"NVFlare and Flower cannot be installed here: {error}") from error
    _python().with_name("installed").touch()


def installed() -> bool:
    """Tell whether the peers can be measured."""
    return _python().with_name("installed").exists()


def peers(rounds: int, mib: int, repeats: int) -> Iterator[Figure]:
    """Rounds of 1 KB with 8 sites, and a model to two sites and back.

    `SimEnv` is set beside their simulations; `PocEnv` beside their deployments, and the simulations too.
    A peer that cannot do it in one mode costs a sentence on stderr.

    Raises:
        NoPeers: they are not installed, or none could do it.
    """
    if not installed():
        raise NoPeers("NVFlare and Flower are not installed here: scripts/bench --peers does that")
    theirs: dict[str, Took] = {}
    ours: dict[type[SimEnv | PocEnv], Took] = {SimEnv: {}, PocEnv: {}}
    for name, way in WAYS.items():
        try:
            theirs[name] = _theirs(way, rounds, mib, repeats)
        except NoPeers as error:
            print(f"scripts/bench: {error}", file=sys.stderr)
            continue
        # After each of theirs: what else the machine does in these minutes falls on ours as well.
        for kind, took in ours.items():
            for work, found in _ours(kind, rounds, mib, repeats).items():
                took.setdefault(work, []).extend(found)
    if not theirs:
        raise NoPeers("no peer did the work")
    simulated = {name: took for name, took in theirs.items() if WAYS[name].mode == "sim"}
    yield from _figures("peers_sim", mib, ours[SimEnv], simulated)
    yield from _figures("peers", mib, ours[PocEnv], theirs)


def _figures(prefix: str, mib: int, ours: Took, theirs: dict[str, Took]) -> Iterator[Figure]:
    def ms(took: Took) -> float:
        return 1e3 * statistics.median(took["rounds"])

    def rate(took: Took) -> float:
        return 2 * MODEL_SITES * mib / statistics.median(took["model"])

    small, big = f"round_{SITES}_sites_1KB", f"model_{size_name(mib)}_{MODEL_SITES}_sites"
    for name, value, unit in ((small, ms, "ms"), (big, rate, "MiB/s")):
        beside = {way: value(took) for way, took in theirs.items()}
        yield Figure(f"{prefix}_{name}", value(ours), unit, None, beside)


def _ours(kind: type[SimEnv | PocEnv], rounds: int, mib: int, repeats: int) -> Took:
    def small() -> list[float]:
        return [seconds(lambda: fox.clients.echo(KILOBYTE)) for _ in range(rounds + 1)][1:]

    def big() -> list[float]:
        weights = model_of(mib)
        return [seconds(lambda: fox.clients.echo(renewed(weights))) for _ in range(repeats + 1)][1:]

    return {"rounds": run_plan(small, SITES, kind), "model": run_plan(big, MODEL_SITES, kind)}


def _theirs(way: Way, rounds: int, mib: int, repeats: int) -> Took:
    with tempfile.TemporaryDirectory(prefix=f"fox-bench-{way.script}-", ignore_cleanup_errors=True) as folder:
        out, log = Path(folder) / "found.json", Path(folder) / "log"
        script = Path(__file__).with_name(f"bench_{way.script}.py")
        often = [str(number) for number in (min(rounds, way.most), mib, min(repeats, way.most))]
        words = [str(_python()), str(script), way.mode, str(out), *often]
        path = f"{_python().parent}{os.pathsep}{os.environ['PATH']}"
        env = {**os.environ, MARK: folder, "HOME": folder, "PATH": path}
        try:
            with log.open("w") as target:
                subprocess.run(
                    words, cwd=folder, env=env, stdout=target, stderr=target, timeout=RUN_S, check=False
                )
        except subprocess.TimeoutExpired as error:
            raise NoPeers(f"{way.script}, {way.mode}, was not done within {RUN_S} s") from error
        finally:
            _end_what_is_left(folder)
        if not out.exists():
            last = log.read_text(errors="replace").strip().splitlines()[-1:]
            raise NoPeers(f"{way.script}, {way.mode}, did not do it: {' '.join(last) or 'it said nothing'}")
        found: Took = json.loads(out.read_text())
        return found


def _end_what_is_left(folder: str) -> None:
    """End what a peer started and did not end: some of it has a session of its own."""
    for _ in range(3):
        running = psutil.process_iter(["environ"])
        left = [process for process in running if (process.info["environ"] or {}).get(MARK) == folder]
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(left, END_S)


def _python() -> Path:
    return VENV / "bin" / "python"
