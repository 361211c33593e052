"""Two sites that answer once they are let; without arrays, so that they start fast."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

from fox_hpc import FoxRecipe, fox

#: What a run of the recipe gives, whatever happens to its sites.
VALUE = ["site-1 says 7", "site-2 says 7"]


class Server:
    @fox.algo
    def run(self) -> list[str]:
        return list(fox.clients.answer(7, str(fox.workspace / "go")))


class Client:
    @fox.collab
    def answer(self, number: int, gate: str) -> str:
        """Leave a trace, wait until the gate is open, and answer."""
        (fox.workspace / f"waiting-{os.getpid()}").touch()
        while not Path(gate).exists() and not fox.is_aborted:
            threading.Event().wait(0.02)
        return f"{fox.site_name} says {number}"


def recipe(**arguments: Any) -> FoxRecipe:
    """Make a recipe for two sites."""
    return FoxRecipe("test-steady", 2, Server(), Client(), **arguments)
