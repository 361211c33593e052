"""Scenarios of values: what a site gets is what was sent, and what comes back is what it returned."""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np
from scenarios import Patient, comes_to

from fox_hpc import FLModel, fox


def site() -> Any:
    return fox.clients["site-1"]


VALUES: dict[str, Any] = {
    "nothing": None,
    "truth": True,
    "a small number": 7,
    "a negative number": -(2**40),
    "a number beyond 64 bits": 2**100,
    "a fraction": 0.1,
    "an infinity": float("-inf"),
    "not a number": float("nan"),
    "a complex number": 3 - 4j,
    "text": "Grüße, 世界",
    "no text": "",
    "bytes": b"\x00\xff" * 10,
    "many bytes": bytes(5000),
    "a list": [1, "two", [3.0, None]],
    "a tuple in a tuple": (1, (2, ())),
    "a set": {1, 2, 3},
    "a frozen set": frozenset({"a", "b"}),
    "a dict": {"b": 1, "a": {"deep": [1]}},
    "a dict with other keys": {1: "one", (2, 3): "pair", None: 0},
    "a moment": datetime.datetime(2026, 11, 27, 12, 30, tzinfo=datetime.UTC),
    "a dataclass": Patient("p1", [1.0, 2.5]),
    "a model": FLModel({"w": np.arange(3.0)}, metrics={"loss": 1.0}, current_round=0, extra={"k": [1]}),
    "a number of numpy": np.float32(1.5),
    "a truth of numpy": np.bool_(True),
    "an array of doubles": np.linspace(0, 1, 5),
    "an array of halves": np.ones((2, 3), np.float16),
    "an array of bytes": np.arange(6, dtype=np.uint8).reshape(2, 3),
    "an array of big-endian numbers": np.arange(4, dtype=">i4"),
    "an array of complex numbers": np.array([1 + 2j, 3], np.complex64),
    "an array of truths": np.array([True, False]),
    "an array with not a number": np.array([np.nan, 1.0]),
    "an array of one element without a shape": np.array(2.5),
    "an array of nothing": np.zeros((0, 4)),
    "an array that is turned": np.arange(6).reshape(2, 3).T,
    "every second element": np.arange(10)[::2],
    "two megabytes": np.arange(2**18, dtype=np.float64),
    "a dict of arrays": {"a": np.zeros(3), "b": np.ones((2, 2), np.int64)},
}


def _comes_back(name: str, value: Any) -> None:
    def play() -> Any:
        return site().echo(value)

    play.__name__ = f"{name}_comes_back_as_it_was"
    comes_to(np.ascontiguousarray(value) if isinstance(value, np.ndarray) and value.ndim else value)(play)


for _name, _value in VALUES.items():
    _comes_back(_name, _value)


@comes_to([[1, "a"], {"key": [2.0], "other": None}])
def positional_and_named_arguments_arrive_as_such() -> Any:
    return site().all_arguments(1, "a", key=[2.0], other=None)


@comes_to(["bytes", "tuple", "ndarray", "float64", "Patient"])
def kinds_are_kept() -> Any:
    return [site().kind(value) for value in (b"", (), np.zeros(2), np.float64(1), Patient("x"))]


@comes_to((True, False))
def one_array_in_two_places_is_one_array_there_and_stays_apart_from_ours() -> Any:
    array = np.zeros(3)
    first, second = site().echo([array, array])
    return np.shares_memory(first, second), np.shares_memory(first, array)


@comes_to([np.array([1.0, 1.0]), np.array([2.0, 2.0]), np.zeros(2)])
def a_site_may_change_its_argument_and_nobody_else_sees_it() -> Any:
    array = np.zeros(2)
    return [*fox.clients.add_own_number(array), array]


@comes_to([np.array([5.0, 5.0]), np.array([5.0, 5.0])])
def what_a_site_keeps_is_its_own() -> Any:
    array = np.full(2, 5.0)
    site().keep(array)
    array[:] = 0
    first = site().give_kept()
    answer = first.copy()
    first[:] = 9
    return [answer, site().give_kept()]


@comes_to([{"w": np.full(2, 2.0)}, {"loss": 0.5}, {"site": "site-2"}, {"proto": np.zeros(1)}])
def a_model_goes_there_and_another_comes_back() -> Any:
    model = fox.clients.weigh(FLModel({"w": np.ones(2)}, extra={"proto": np.zeros(1)}))[1]
    return [model.params, model.metrics, model.meta, model.extra]
