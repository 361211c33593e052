"""A site whose ranks write down their environment, and stay until they are let go."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any

from fox_hpc import FoxRecipe, fox


class Server:
    @fox.algo
    def run(self) -> list[str]:
        return list(fox.clients.open(str(fox.workspace / "go")))


class Client:
    @fox.collab
    def open(self, gate: str) -> str:
        """Write it down, on every rank, and wait for the gate."""
        rank = os.environ.get("FOX_NODE_RANK", "0")
        half = Path(fox.workspace, f"half-{rank}")
        half.write_text(json.dumps(dict(os.environ)))
        half.rename(half.with_name(f"environ-{rank}"))
        while not Path(gate).exists() and not fox.is_aborted:
            threading.Event().wait(0.02)
        return os.environ["FOX_RUN_DIR"]


def recipe(**arguments: Any) -> FoxRecipe:
    """Make a recipe for one site of two nodes."""
    return FoxRecipe("test-open-book", 1, Server(), Client(), inprocess=False, **arguments)
