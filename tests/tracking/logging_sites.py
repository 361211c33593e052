"""Sites that log, on one rank or four: what the tests of whole runs run."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fox_hpc import FoxRecipe, fox
from fox_hpc.metric import Entry
from fox_hpc.tracking import SummaryWriter, TrackedRun, mlflow, wandb

RANKS = 4
FOUR_RANKS = {
    "inprocess": False,
    "run_cmd": f"srun --ntasks={RANKS} --ntasks-per-node=2",
    "hpc_config": {"nodes_per_client": 2, "cpus_per_node": 2, "time_limit": "0:10:00"},
}


class Own:
    """A receiver of one's own."""

    def __init__(self) -> None:
        self.run: TrackedRun | None = None
        self.got: dict[str, list[Entry]] = {}
        self.closed = False

    def open(self, run: TrackedRun) -> None:
        self.run = run

    def receive(self, site: str, entries: Sequence[Entry]) -> None:
        self.got.setdefault(site, []).extend(entries)

    def close(self) -> None:
        self.closed = True


class Server:
    """Calls one function of every site."""

    def __init__(self, func: str, *args: Any) -> None:
        self.func, self.args = func, args

    @fox.algo
    def run(self) -> Any:
        return list(getattr(fox.clients, self.func)(*self.args))


class Client:
    """One rank of a site."""

    @fox.collab
    def flood(self, count: int) -> float:
        """Log so many numbers from each rank, and give the seconds that this took rank 0."""
        rank, writer, began = os.environ.get("RANK", "0"), SummaryWriter(), time.perf_counter()
        for step in range(count):
            writer.add_scalar(f"rank{rank}/step", step, step)
        return time.perf_counter() - began

    @fox.collab
    def log_until(self, stop: str) -> int:
        """Log 0, 1, 2 … until a file is there, and give how many there were."""
        writer, step = SummaryWriter(max_queue=5, flush_secs=3600), 0
        while not Path(stop).exists():
            writer.add_scalar("step", step, step)
            step += 1
            time.sleep(0.005)
        return step

    @fox.collab
    def use_all(self) -> None:
        """Log with each look-alike."""
        with SummaryWriter() as writer:
            writer.add_scalar("tb/loss", 0.5, 1)
            writer.add_text("tb/note", "from TensorBoard's writer", 1)
        with mlflow.start_run():
            mlflow.log_metric("ml/loss", 0.25, step=2)
            mlflow.log_param("lr", 0.1)
        with wandb.init(config={"layers": 3}):
            wandb.log({"wb/loss": 0.125}, step=3)


def recipe(tracking_type: Any, func: str, *args: Any, **more: Any) -> FoxRecipe:
    return FoxRecipe("logging", 1, Server(func, *args), Client(), tracking_type=tracking_type, **more)
