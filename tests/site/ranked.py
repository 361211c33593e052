"""A site of four ranks on two nodes, without torch: what the tests of ranks run."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fox_hpc import FLModel, FoxClientAPI, FoxRecipe, RemoteError, SiteLost, fox

FOUR_RANKS = {
    "inprocess": False,
    "run_cmd": "srun --ntasks=4 --ntasks-per-node=2",
    "hpc_config": {"nodes_per_client": 2, "cpus_per_node": 2, "time_limit": "0:05:00"},
}


def rank() -> int:
    return int(os.environ["RANK"])


def note(what: str) -> None:
    """Leave a trace of this rank in the attempt's folder."""
    with Path(fox.workspace, f"rank-{rank()}").open("a") as file:
        file.write(f"{what}\n")


class Server:
    """Runs the named plan."""

    def __init__(self, plan: str) -> None:
        self.plan = plan

    @fox.algo
    def run(self) -> Any:
        return getattr(self, self.plan)()

    def enter(self) -> Any:
        site = fox.clients["site-1"]
        return site.who("a"), site(ranks="zero").who("b"), site.who("c")

    def all_raise(self) -> Any:
        site = fox.clients["site-1"]
        return caught(lambda: site.boom([0, 1, 2, 3])), site.who("after")

    def streams(self) -> Any:
        site = fox.clients["site-1"]
        stream = site.whos(["a", "b", "c"])
        between = next(stream), site.who("between")
        refused = caught(lambda: site.whos(iter("d")))
        return between, list(stream), refused, list(site(ranks="zero").whos(iter("e")))

    def one_raises(self) -> Any:
        site = fox.clients["site-1"]
        first = caught(lambda: site.boom([3]))
        return first, caught(lambda: site.who("after"))

    def enter_badly(self) -> Any:
        return caught(lambda: fox.clients["site-1"].who("a"))

    def rounds(self) -> Any:
        answers = [
            fox.clients.execute(FLModel(params={"n": number}, current_round=number, total_rounds=3))[0]
            for number in range(3)
        ]
        fox.clients.stop()
        return [answer.params for answer in answers]

    def one_round(self) -> Any:
        return caught(lambda: fox.clients["site-1"].execute(FLModel(params={"n": 0})))


def caught(action: Any) -> Any:
    """Give what an action raised, as a plain value."""
    try:
        return action()
    except RemoteError as error:
        return error.type_name, error.message, error.rank, error.host, error.traceback
    except SiteLost as error:
        return "SiteLost", error.state, error.exit_code


class Client:
    """One rank."""

    def __init__(self, fails: bool = False) -> None:
        self.fails = fails

    @fox.init
    def begin(self) -> None:
        note("init")
        if self.fails and rank() == 1:
            raise ValueError("no data on rank 1")

    @fox.collab
    def who(self, what: str) -> int:
        note(what)
        return rank()

    @fox.collab
    def whos(self, words: list[str]) -> Iterator[int]:
        for word in words:
            yield self.who(word)

    @fox.collab
    def boom(self, ranks: Any) -> None:
        if rank() in ranks:
            raise ValueError(f"bad day on rank {rank()}")
        threading.Event().wait()  # as in a collective that rank 3 does not enter

    @fox.final
    def end(self) -> None:
        note("final")


def collab_recipe(plan: str) -> FoxRecipe:
    return FoxRecipe("ranks", 1, Server(plan), Client(plan == "enter_badly"), **FOUR_RANKS)


def script_recipe(plan: str, script: str) -> FoxRecipe:
    return FoxRecipe("script", 1, Server(plan), FoxClientAPI(), training_module=script, **FOUR_RANKS)
