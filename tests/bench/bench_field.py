"""The same work in NVFlare and Flower, in a venv of their own, which `scripts/bench --peers` makes."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench_figure import Figure, seconds
from bench_history import REPO
from bench_relay import model_of, renewed, size_name
from bench_sites import run_plan

from fox_hpc import fox

VENV = REPO / ".bench" / "peers"
PACKAGES = {"nvflare": "nvflare>=2.9,<2.10", "flower": "flwr[simulation]>=1.42,<2"}
INSTALL_S, RUN_S = 900, 600
SITES, MODEL_SITES = 8, 2
KILOBYTE = b"k" * 1024


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
    """Rounds of 1 KB with 8 sites, and a model to two sites and back, in processes of this machine.

    Raises:
        NoPeers: they are not installed.
    """
    if not installed():
        raise NoPeers("NVFlare and Flower are not installed here: scripts/bench --peers does that")
    took = {"fox": _ours(rounds, mib, repeats)}
    took |= {name: _theirs(name, rounds, mib, repeats) for name in PACKAGES}
    per_round = {name: 1e3 * statistics.median(found["rounds"]) for name, found in took.items()}
    yield Figure(f"peers_round_{SITES}_sites_1KB", per_round.pop("fox"), "ms", None, per_round)
    moved = 2 * MODEL_SITES * mib
    rates = {name: moved / statistics.median(found["model"]) for name, found in took.items()}
    yield Figure(f"peers_model_{size_name(mib)}_{MODEL_SITES}_sites", rates.pop("fox"), "MiB/s", None, rates)


def _ours(rounds: int, mib: int, repeats: int) -> dict[str, list[float]]:
    def small() -> list[float]:
        return [seconds(lambda: fox.clients.echo(KILOBYTE)) for _ in range(rounds + 1)][1:]

    def big() -> list[float]:
        weights = model_of(mib)
        return [seconds(lambda: fox.clients.echo(renewed(weights))) for _ in range(repeats + 1)][1:]

    return {"rounds": run_plan(small, SITES), "model": run_plan(big, MODEL_SITES)}


def _theirs(name: str, rounds: int, mib: int, repeats: int) -> dict[str, list[float]]:
    with tempfile.TemporaryDirectory(prefix=f"fox-bench-{name}-") as folder:
        out = Path(folder) / "found.json"
        script = Path(__file__).with_name(f"bench_{name}.py")
        words = [str(_python()), str(script), str(out), str(rounds), str(mib), str(repeats)]
        log = Path(folder) / "log"
        with log.open("w") as target:
            subprocess.run(words, cwd=folder, stdout=target, stderr=target, timeout=RUN_S, check=False)
        if not out.exists():
            last = log.read_text(errors="replace").strip().splitlines()[-1:]
            raise NoPeers(f"{name} did not do the work: {' '.join(last) or 'it said nothing'}")
        found: dict[str, list[float]] = json.loads(out.read_text())
        return found


def _python() -> Path:
    return VENV / "bin" / "python"
