"""A model that a site evaluates and then trains travels once, between processes and through a relay."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import numpy as np

from fox_hpc import FoxRecipe, PocEnv, fox
from fox_hpc.wire.parcels import Parcels

MIB = 2**20


class Site:
    """One site."""

    @fox.collab
    def evaluate(self, weights: Any, step: int) -> float:
        return float(weights["big"].sum()) + step

    @fox.collab
    def rest(self) -> None:
        pass

    @fox.collab
    def train(self, weights: Any, step: int) -> float:
        weights["big"][:5] += 1
        return float(weights["big"].sum()) + step


class Server:
    """Sends one model twice, and notes how many chunks that took."""

    def __init__(self) -> None:
        self._before = asked()
        self.asked: list[int] = []
        self.answers: list[Any] = []

    @fox.algo
    def run(self) -> None:
        weights = {"big": np.ones(4 * MIB, np.float32), "bias": np.ones(3, np.float32)}
        for step, call in enumerate((fox.clients.evaluate, fox.clients.train, fox.clients.evaluate)):
            self.answers.append(list(call(weights, step)))
            # Who has begun another call has let go of what came with the last one.
            fox.clients.rest()
            self.asked.append(asked() - self._before - sum(self.asked))


def asked() -> int:
    """Count the chunks that this process was asked for."""
    return sum(one.asked for one in gc.get_objects() if type(one) is Parcels)


def test_model_that_is_evaluated_and_then_trained_travels_once(tmp_path: Path) -> None:
    server = Server()
    FoxRecipe("again", 2, server, Site()).execute(PocEnv(2, tmp_path)).result(60)

    # Of each site: the small parts each time, the model's eight chunks once, and one in which it has written.
    assert server.asked == [2 * (1 + 8), 2 * 1, 2 * (1 + 1)]
    assert server.answers == [[4.0 * MIB] * 2, [4.0 * MIB + 5 + 1] * 2, [4.0 * MIB + 2] * 2]
