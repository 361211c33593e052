"""The command as a user starts it, and a small recipe to start."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from serving import Place

RECIPE = """
from fox_hpc import FoxRecipe, fox
from fox_hpc.tracking import SummaryWriter

class Server:
    @fox.algo
    def add_up(self):
        total = 0
        with SummaryWriter() as writer:
            for number in fox.rounds(3):
                total += sum(value for _, value in fox.clients.double(number).items())
                writer.add_scalar("total", total, number)
        print("the algorithm says hello")
        return {"rounds": 3, "total": total}

class Client:
    @fox.collab
    def double(self, number):
        with SummaryWriter() as writer:
            writer.add_scalar("loss", number / 2, number)
        return 2 * number

recipe = FoxRecipe("doubling", 2, Server(), Client(), tracking_type="tensorboard")
"""

#: Waits in the algorithm until somebody ends the run.
ENDLESS = """
import time
from fox_hpc import FoxRecipe, fox

class Server:
    @fox.algo
    def wait(self):
        while not fox.is_aborted:
            time.sleep(0.02)

class Client:
    @fox.collab
    def nothing(self):
        pass

recipe = FoxRecipe("endless", 1, Server(), Client())
"""

Fox = Callable[..., subprocess.CompletedProcess[str]]
Start = Callable[..., subprocess.Popen[str]]


def _command(words: tuple[str | Path, ...]) -> list[str]:
    return [sys.executable, "-m", "fox_hpc", *map(str, words)]


def _environ() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("FORCE_COLOR", "NO_COLOR")}
    return {**kept, "PYTHONUNBUFFERED": "1"}


@pytest.fixture
def fox(tmp_path: Path) -> Fox:
    """Run `fox-hpc` in a folder of its own, and wait for it."""

    def run(*words: str | Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            _command(words),
            cwd=tmp_path,
            env=_environ() | (env or {}),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start `fox-hpc` in a folder of its own; what still runs after the test is killed."""
    started: list[subprocess.Popen[str]] = []

    def run(*words: str | Path, env: dict[str, str] | None = None) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            _command(words),
            cwd=tmp_path,
            env=_environ() | (env or {}),
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        started.append(process)
        return process

    yield run
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """A recipe file that ends quickly."""
    return write(tmp_path / "doubling.py", RECIPE)


@pytest.fixture
def endless(tmp_path: Path) -> Path:
    """A recipe file that runs until it is cancelled."""
    return write(tmp_path / "endless.py", ENDLESS)


def write(file: Path, text: str) -> Path:
    file.write_text(text)
    return file


@pytest.fixture
def place(tmp_path: Path, start: Start) -> Place:
    """A place with two sites on the allow-list, for `serve` and `join`."""
    return Place(tmp_path, start)
