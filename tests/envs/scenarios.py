"""What is the same in every environment: a hundred short plays and what comes of each.

A module of its own, so that sites import it. A play runs on the server and gives what came of it; an
error that it raises is told as a value (`federation.tell`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from federation import tell
from scenarios_parts import Evaluator, Log, filters_of_the_server, filters_of_the_sites

from fox_hpc import FLModel, FoxRecipe, fox, register

SITES = ("site-1", "site-2")
Play = Callable[[], Any]


@dataclass(frozen=True)
class Scenario:
    """A sentence, what is played, and what must come of it (a value, or a function that checks one)."""

    says: str
    play: Play
    expected: Any


SCENARIOS: list[Scenario] = []


def comes_to(expected: Any) -> Callable[[Play], Play]:
    """Add a play under its own name; its result must be like `expected`."""

    def add(play: Play) -> Play:
        SCENARIOS.append(Scenario(play.__name__.replace("_", " "), play, expected))
        return play

    return add


@register
@dataclass
class Patient:
    """A dataclass that travels."""

    name: str
    scores: list[float] = field(default_factory=list)


class Server:
    """Plays every scenario and tells what came of it."""

    def __init__(self) -> None:
        self.heard: list[Any] = []

    @fox.algo
    def play_all(self) -> dict[str, Any]:
        """Give what came of each scenario."""
        told: dict[str, Any] = {}
        for scenario in SCENARIOS:
            try:
                told[scenario.says] = scenario.play()
            except Exception as error:
                told[scenario.says] = tell(error)
        return told

    @fox.collab
    def hear(self, what: Any) -> Any:
        """Remember what a site says, and say who said it."""
        self.heard.append(what)
        return f"{fox.caller} said {what}"

    @fox.collab
    def ask_site(self, site: str) -> Any:
        """Call the site that has called, which cannot answer."""
        return fox.clients[site].echo()

    @fox.collab
    def refuse(self) -> None:
        """Raise at the server."""
        raise PermissionError("not today")


class Client:
    """One site; every function may be entered by several ranks at once."""

    @fox.init
    def begin(self) -> None:
        self.count = 0
        self.kept: Any = None

    @fox.collab
    def echo(self, value: Any = None) -> Any:
        return value

    @fox.collab
    def all_arguments(self, *args: Any, **kwargs: Any) -> Any:
        return [list(args), kwargs]

    @fox.collab
    def kind(self, value: Any) -> str:
        return type(value).__name__

    @fox.collab
    def add_own_number(self, array: Any) -> Any:
        array += int(fox.site_name.rsplit("-", 1)[1])
        return array

    @fox.collab
    def next_number(self) -> int:
        self.count += 1
        return self.count

    @fox.collab
    def keep(self, value: Any) -> None:
        self.kept = value

    @fox.collab
    def give_kept(self) -> Any:
        return self.kept

    @fox.collab
    def where(self) -> tuple[str, str]:
        return fox.site_name, fox.caller

    @fox.collab
    def name_in_a_thread(self) -> Any:
        found: list[str] = []
        thread = threading.Thread(target=lambda: found.append(fox.site_name))
        thread.start()
        thread.join()
        return found

    @fox.collab
    def has_time(self) -> bool:
        return fox.time_left() > 60

    @fox.collab
    def fail(self, site: str = "all") -> str:
        if site in ("all", fox.site_name):
            raise KeyError("missing")
        return "fine"

    @fox.collab
    def fail_deep(self) -> None:
        try:
            self.fail()
        except KeyError as error:
            raise RuntimeError("because of that") from error

    @fox.collab
    def give_a_lock(self) -> Any:
        return [1, {"lock": threading.Lock()}]

    @fox.collab
    def wait(self) -> str:
        while not fox.is_aborted:
            time.sleep(0.005)
        return "told"

    @fox.collab
    def wait_at(self, site: str) -> str:
        return self.wait() if fox.site_name == site else "fine"

    @fox.collab
    def count_to(self, end: int) -> Iterator[int]:
        yield from range(end)

    @fox.collab
    def count_and_fail(self, end: int) -> Iterator[int]:
        yield from range(end)
        raise KeyError("nothing left")

    @fox.collab
    def add_up(self, numbers: Any) -> int:
        return sum(numbers)

    @fox.collab
    def weigh(self, model: FLModel) -> FLModel:
        assert model.params is not None
        params = {name: value * 2 for name, value in model.params.items()}
        return FLModel(params=params, metrics={"loss": 0.5}, meta={"site": fox.site_name}, extra=model.extra)

    @fox.collab
    def tell_server(self, what: Any) -> Any:
        return fox.server.hear(what)

    @fox.collab
    def ask_others(self, what: Any) -> Any:
        return fox.other_clients.eval.score(what).items()

    @fox.collab
    def ask_itself(self) -> Any:
        return fox.clients[fox.site_name].echo()

    @fox.collab
    def ask_back(self) -> Any:
        caller = fox.caller
        return (
            fox.other_clients[0](ranks="zero").ask_back()
            if caller == "server"
            else fox.clients[caller].echo()
        )

    @fox.collab
    def ask_by_the_server(self) -> Any:
        return fox.server.ask_site(fox.site_name)

    @fox.collab
    def ask_another_to_fail(self) -> Any:
        return fox.other_clients[0].fail_deep()

    @fox.collab
    def ask_another_for(self, seconds: float) -> Any:
        return fox.other_clients[0](timeout=seconds).wait()

    @fox.collab
    def push(self, to: str, what: Any) -> Any:
        return fox.clients[to](expect_result=False).keep(what)

    @fox.collab
    def prop(self, name: str, default: Any = None) -> Any:
        return fox.prop(name, default)

    @fox.collab
    def ask_for_refusal(self) -> str:
        try:
            fox.server.refuse()
        except Exception as error:
            return f"{type(error).__name__}: {error.type_name}: {error.message}"  # type: ignore[attr-defined]
        return "no error"

    @fox.collab
    def ask_for_nothing(self) -> str:
        try:
            fox.server.no_such_thing()
        except Exception as error:
            return f"{type(error).__name__}: {', '.join(error.known)}"  # type: ignore[attr-defined]
        return "no error"

    def not_marked(self) -> str:
        return "must not be reached"


def recipe(**arguments: Any) -> FoxRecipe:
    """Make the recipe of all scenarios, for two sites."""
    return FoxRecipe(
        "conformance",
        2,
        Server(),
        Client(),
        client_objects={"eval": Evaluator()},
        server_objects={"log": Log()},
        props={"lr": 0.1, "layers": [1, 2]},
        sites={"site-2": {"props": {"lr": 0.2}}},
        site_filters=filters_of_the_sites(),
        server_filters=filters_of_the_server(),
        **arguments,
    )


def same(found: Any, expected: Any) -> bool:
    """Tell whether values are alike, types and dtypes included; `expected` may be a function that tells."""
    if callable(expected) and not isinstance(expected, type):
        return bool(expected(found))
    if type(found) is not type(expected):
        return False
    if isinstance(expected, np.ndarray):
        return (found.dtype, found.shape) == (expected.dtype, expected.shape) and bool(
            np.array_equal(found, expected, equal_nan=expected.dtype.kind in "fc")
        )
    if isinstance(expected, dict):
        return list(found) == list(expected) and all(same(found[key], expected[key]) for key in expected)
    if isinstance(expected, (list, tuple)):
        return len(found) == len(expected) and all(map(same, found, expected))
    if isinstance(expected, (FLModel, Patient)):
        return same(vars(found), vars(expected))
    return bool(found == expected) or (found != found and expected != expected)
