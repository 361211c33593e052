"""Apps: what runs at one place."""

from __future__ import annotations

import threading
from types import ModuleType

import pytest

from fox_hpc import ClientApp, NoSuchFunction, RecipeError, ServerApp, fox
from fox_hpc.api.context import Context
from fox_hpc.call import Call


class Trainer:
    def __init__(self) -> None:
        self.seen: list[str] = []

    @fox.init
    def first(self) -> None:
        self.seen.append("init")

    @fox.collab
    def train(self, weight: int, *, rate: int = 1) -> tuple[str, int]:
        return fox.caller, weight * rate

    @fox.collab
    def unsafe(self) -> None: ...

    def secret(self) -> str:
        return "secret"

    @fox.final
    def close(self) -> None:
        self.seen.append("close")

    @fox.final
    def last(self) -> None:
        self.seen.append("last")


def test_invoke_passes_arguments_and_caller(context: Context) -> None:
    call = Call("train", (2,), {"rate": 3}, caller="site-9")

    assert ClientApp(Trainer()).invoke(call, context) == ("site-9", 6)


def test_invoke_of_an_unmarked_method_is_refused_with_those_that_are_there(context: Context) -> None:
    with pytest.raises(NoSuchFunction, match=r"no @fox\.collab function 'secret' \(it has: train, unsafe\)"):
        ClientApp(Trainer()).invoke(Call("secret"), context)


def test_final_functions_run_in_the_opposite_order(context: Context) -> None:
    app = ClientApp(Trainer())
    app.run_init(context)
    app.run_final(context)

    assert app.obj.seen == ["init", "last", "close"]


def test_class_in_the_place_of_an_instance_is_refused() -> None:
    with pytest.raises(RecipeError, match="Trainer is a class: give an instance"):
        ClientApp(Trainer)


def test_client_without_a_marked_function_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"client empty has no function marked @fox\.collab"):
        ClientApp(ModuleType("empty"))


def test_server_without_an_algorithm_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"server Trainer has no function marked @fox\.algo"):
        ServerApp(Trainer())


def test_server_with_two_algorithms_is_refused_with_both_names() -> None:
    class Server:
        @fox.algo
        def one(self) -> None: ...

        @fox.algo
        def two(self) -> None: ...

    with pytest.raises(RecipeError, match=r"2 @fox\.algo \(one, two\)"):
        ServerApp(Server())


def test_algorithm_runs_in_its_context(context: Context) -> None:
    class Server:
        @fox.algo
        def run(self) -> tuple[str, int]:
            return fox.site_name, len(fox.clients)

    assert ServerApp(Server()).run_algo(context) == ("server", 3)


def test_each_site_has_its_own_copy_of_the_client() -> None:
    app = ClientApp(Trainer())
    copy = app.make_client_app()
    copy.obj.seen.append("copy")

    assert app.obj.seen == []


def test_client_that_makes_its_own_copies_is_asked() -> None:
    class Counting:
        made = 0

        def make_client_app(self) -> Counting:
            Counting.made += 1
            return Counting()

        @fox.collab
        def train(self) -> None: ...

    ClientApp(Counting()).make_client_app()

    assert Counting.made == 1


def test_client_that_cannot_be_copied_is_refused_with_the_way_out() -> None:
    class Locked:
        def __init__(self) -> None:
            self.lock = threading.Lock()

        @fox.collab
        def train(self) -> None: ...

    with pytest.raises(RecipeError, match=r"client Locked cannot be copied.*make_client_app\(\)"):
        ClientApp(Locked()).make_client_app()
