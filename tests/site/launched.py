"""A site on this machine whose ranks a launcher of the user's choice starts; without torch in the ranks."""

from __future__ import annotations

import time
from typing import Any

import numpy

from fox_hpc import CallError, FLModel, FoxClientAPI, FoxRecipe, RemoteError, fox


class Server:
    """Calls the site once for each model, and tells how each call ended and how long it took."""

    def __init__(self, *models: FLModel) -> None:
        self.models = models

    @fox.algo
    def run(self) -> list[tuple[Any, float]]:
        answers = []
        for model in self.models:
            began = time.monotonic()
            answer = self.call(model)
            answers.append((answer, time.monotonic() - began))
        fox.clients(min_success=0).stop()
        return answers

    def call(self, model: FLModel) -> Any:
        try:
            return fox.clients["site-1"].execute(model)
        except RemoteError as error:
            return error.type_name, error.message, error.rank, error.host, error.traceback
        except CallError as error:
            return type(error).__name__, str(error)


def recipe(script: str, run_cmd: str, *models: FLModel) -> FoxRecipe:
    return FoxRecipe(
        "launched",
        1,
        Server(*models),
        FoxClientAPI(),
        inprocess=False,
        run_cmd=run_cmd,
        training_module=script,
    )


def model(do: str = "") -> FLModel:
    """Give what script_over_mpi takes."""
    return FLModel(params={"w": numpy.ones(2)}, extra={"do": do})
