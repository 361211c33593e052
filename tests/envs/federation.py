"""A small federation that the tests of the environments run; a module of its own, so that sites import it."""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np

from fox_hpc import CallCancelled, FoxRecipe, SummaryWriter, fox


class Server:
    """Runs the named plan."""

    def __init__(self, plan: str) -> None:
        self.plan = plan
        self.greeted: list[str] = []

    @fox.algo
    def run(self) -> Any:
        return getattr(self, self.plan)()

    @fox.collab
    def greet(self, name: str) -> str:
        self.greeted.append(name)
        return f"hello {name}"

    def average(self) -> Any:
        weights = np.zeros(3)
        for number in fox.rounds(3):
            results = fox.clients.train(weights)
            weights = sum(results) / len(results)
            SummaryWriter().add_scalar("mean", weights.mean(), number)
        return weights

    def names(self) -> Any:
        answers = fox.clients.ask_server()
        return dict(answers.items()), sorted(self.greeted)

    def errors(self) -> Any:
        """Provoke one error after the other, and tell them as plain values."""
        one = fox.clients["site-1"]
        told = []
        for make in (
            lambda: one.boom("site-1"),
            lambda: one.nothing_of_that_name(),
            lambda: one.unsendable(),
            lambda: one.train(object()),
            lambda: fox.clients.boom("site-1"),
            lambda: one(timeout=0.2).wait_until_told(),
        ):
            try:
                told.append(("value", make()))
            except Exception as error:
                told.append(tell(error))
        results = fox.clients(min_success=1).boom("site-1")
        told.append(("some", list(results), {site: tell(e) for site, e in results.failures.items()}))
        told.append(("optional", one(optional=True).boom("site-1")))
        return told

    def lose_site(self) -> Any:
        return fox.clients(min_success=2).kill_yourself()

    def meet_at_file(self) -> Any:
        return list(fox.clients.wait_for_file(str(fox.workspace / "go")))

    def last_attempt(self) -> Any:
        return list(fox.clients.work_from_attempt(2)), list(fox.clients.attempt())

    def never(self) -> Any:
        return list(fox.clients.work_from_attempt(99))

    def in_time(self) -> Any:
        return list(fox.clients.work_while_there_is_time()), list(fox.clients.attempt())

    def hang(self) -> Any:
        return fox.clients.wait_until_told()


def tell(error: BaseException) -> Any:
    """Give an error as a value that can be compared between environments."""
    names = ("site", "func", "type_name", "message", "rank", "known", "path", "problem", "needed")
    facts = {name: getattr(error, name) for name in names if hasattr(error, name)}
    if hasattr(error, "failures"):
        # A group that cannot succeed any more gives up the rest: which had answered by then is chance.
        failed = {site: one for site, one in error.failures.items() if not isinstance(one, CallCancelled)}
        facts["failures"] = {site: tell(one) for site, one in failed.items()}
    return type(error).__name__, facts


class Client:
    """One site."""

    @fox.init
    def begin(self) -> None:
        self.calls = 0

    @fox.collab
    def train(self, weights: Any) -> Any:
        self.calls += 1
        weights += int(fox.site_name.rsplit("-", 1)[1])  # in place: nobody else may see that
        SummaryWriter().add_scalar("calls", self.calls, self.calls)
        return weights

    @fox.collab
    def ask_server(self) -> str:
        return str(fox.server.greet(fox.site_name))

    @fox.collab
    def boom(self, who: str) -> str:
        if who in (fox.site_name, "all"):
            raise ValueError(f"bad day at {fox.site_name}")
        return "fine"

    @fox.collab
    def unsendable(self) -> Any:
        return {"lock": threading.Lock()}

    @fox.collab
    def wait_until_told(self) -> bool:
        (fox.workspace / "waiting").touch()
        while not fox.is_aborted:
            threading.Event().wait(0.01)
        return True

    @fox.collab
    def wait_for_file(self, path: str) -> str:
        (fox.workspace / "waiting").touch()
        while not Path(path).exists():
            threading.Event().wait(0.01)
        return fox.site_name

    @fox.collab
    def attempt(self) -> int:
        return int(os.environ["FOX_ATTEMPT"]) + int(os.environ.get("SLURM_RESTART_COUNT", "0"))

    @fox.collab
    def work_from_attempt(self, number: int) -> int:
        if self.attempt() < number:
            (fox.workspace / "waiting").touch()
            while not fox.is_aborted:
                threading.Event().wait(0.01)
        return self.attempt()

    @fox.collab
    def work_while_there_is_time(self) -> int:
        while fox.time_left() > 0:
            threading.Event().wait(0.01)
        return self.attempt()

    @fox.collab
    def kill_yourself(self) -> str:
        if fox.site_name == "site-1":
            print("about to die", file=sys.stderr, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        return "alive"

    @fox.final
    def end(self) -> None:
        Path(fox.workspace, "final").write_text(str(self.calls))


def recipe(plan: str, **arguments: Any) -> FoxRecipe:
    """Make a recipe for two sites."""
    return FoxRecipe(f"test-{plan}".replace("_", "-"), 2, Server(plan), Client(), **arguments)
