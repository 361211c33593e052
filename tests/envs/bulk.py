"""A federation whose answers are big; a module of its own, so that sites import it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

import numpy as np

from fox_hpc import FoxRecipe, fox
from fox_hpc.algos import weighted_average

SIZES = {"big": 1_000_003, "long": 3_000_000, "small": 7}


def model() -> dict[str, Any]:
    made = {name: np.linspace(-1, 1, size, dtype=np.float32) for name, size in SIZES.items()}
    return {**made, "steps": 3, "half": np.linspace(0, 9, 900_000, dtype=np.float16)}


class Server:
    """Averages once; what `meanwhile` does is done when all have answered and nothing was read."""

    def __init__(self, *, late: bool, meanwhile: Callable[[], None] = lambda: None) -> None:
        self.late, self.meanwhile = late, meanwhile

    @fox.algo
    def run(self) -> Any:
        answers = fox.clients(late=self.late).train(model())
        self.meanwhile()
        return weighted_average(answers)


class Client:
    """One site."""

    @fox.collab
    def train(self, weights: Any) -> Any:
        number = int(fox.site_name.rsplit("-", 1)[1])
        for array in weights.values():
            if isinstance(array, np.ndarray):
                array *= array.dtype.type(1 + number / 7)
        (fox.workspace / "pid").write_text(str(os.getpid()))
        return weights, 10.0 + number


def kill(pid: int) -> None:
    """End a process at once."""
    os.kill(pid, signal.SIGKILL)


def recipe(server: Server, sites: int = 2) -> FoxRecipe:
    return FoxRecipe("bulk", sites, server, Client())
