"""Marks, and how they are found."""

from __future__ import annotations

import functools
from types import ModuleType

import pytest

from fox_hpc import RecipeError, fox
from fox_hpc.api.decorators import find_marked, marks


class Base:
    @fox.init
    def prepare(self) -> str:
        return "base"

    @fox.collab
    def train(self) -> str:
        return "base"


class Derived(Base):
    @fox.init
    def warm_up(self) -> str:
        return "derived"

    def train(self) -> str:
        return "derived"


def test_mark_gives_back_the_same_function() -> None:
    def train() -> None: ...

    assert fox.collab(train) is train


def test_function_can_have_two_marks() -> None:
    @fox.init
    @fox.collab
    def reset() -> None: ...

    assert marks(reset) == {"init", "collab"}


def test_algorithm_with_a_second_mark_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"run\(\) is marked @fox\.algo and @fox\.collab"):

        @fox.algo
        @fox.collab
        def run() -> None: ...


def test_class_cannot_be_marked() -> None:
    with pytest.raises(RecipeError, match="marks functions and methods"):
        fox.collab(Base)


def test_methods_are_found_base_classes_first() -> None:
    assert list(find_marked(Derived(), "init")) == ["prepare", "warm_up"]


def test_override_of_a_marked_method_counts_as_marked() -> None:
    assert find_marked(Derived(), "collab")["train"]() == "derived"


def test_override_by_none_takes_the_mark_away() -> None:
    class Silent(Base):
        train = None  # type: ignore[assignment]

    assert find_marked(Silent(), "collab") == {}


def test_static_and_class_methods_are_found() -> None:
    class Trainer:
        @fox.collab
        @staticmethod
        def one() -> int:
            return 1

        @classmethod
        @fox.collab
        def two(cls) -> int:
            return 2

    assert {name: func() for name, func in find_marked(Trainer(), "collab").items()} == {"one": 1, "two": 2}


def test_mark_survives_another_decorator() -> None:
    def logged(func):  # type: ignore[no-untyped-def]
        @functools.wraps(func)
        def inner():  # type: ignore[no-untyped-def]
            return func()

        return inner

    class Trainer:
        @staticmethod
        @logged
        @fox.collab
        def train() -> int:
            return 3

    assert find_marked(Trainer(), "collab")["train"]() == 3


def test_module_functions_are_found_once_under_two_names() -> None:
    module = ModuleType("two_names")

    @fox.algo
    def run() -> None: ...

    module.run = module.main = run  # type: ignore[attr-defined]

    assert list(find_marked(module, "algo")) == ["run"]
