"""Typed payloads: what `FoxClientAPI[MyModel]` lets pass, and what it says of the rest."""

from __future__ import annotations

import copy
import pickle
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy
import pytest

from fox_hpc import FLModel, FoxClientAPI, FoxRecipe, RecipeError, RemoteError, SimEnv, fox, get_client_api
from fox_hpc.api.payload import check_payload


@dataclass
class Personalized:
    weights: dict[str, numpy.ndarray]
    prototypes: numpy.ndarray
    rate: float = 0.1
    kind: Literal["head", "body"] = "head"
    history: list[tuple[int, float]] = field(default_factory=list)
    note: str | None = None
    anything: Any = None


WEIGHTS, VECTOR = {"w": numpy.ones(2)}, numpy.zeros(3)


def test_a_value_that_fits_passes():
    value = Personalized(WEIGHTS, VECTOR, rate=1, history=[(1, 2.0)], anything=object())

    check_payload(value, Personalized, "execute()")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"weights": {}}, "execute(): Personalized is right, not dict"),
        (None, "execute(): Personalized is right, not None"),
        (Personalized(WEIGHTS, [1.0]), "execute(): Personalized.prototypes: ndarray is right, not list"),
        (Personalized({"w": 3}, VECTOR), "execute(): Personalized.weights['w']: ndarray is right, not int"),
        (
            Personalized({1: VECTOR}, VECTOR),
            "execute(): a key of Personalized.weights: str is right, not int",
        ),
        (Personalized(WEIGHTS, VECTOR, rate="x"), "execute(): Personalized.rate: float is right, not str"),
        (
            Personalized(WEIGHTS, VECTOR, kind="arm"),
            "execute(): Personalized.kind: Literal['head', 'body'] is right, not str",
        ),
        (
            Personalized(WEIGHTS, VECTOR, history=[(1, "x")]),
            "execute(): Personalized.history[0][1]: float is right, not str",
        ),
        (
            Personalized(WEIGHTS, VECTOR, history=[(1,)]),
            "execute(): Personalized.history[0]: 2 items are right, not 1",
        ),
        (Personalized(WEIGHTS, VECTOR, note=3), "execute(): Personalized.note: str | None is right, not int"),
    ],
)
def test_a_wrong_value_is_told_in_one_sentence_that_names_the_field(value: object, words: str):
    with pytest.raises(RecipeError) as raised:
        check_payload(value, Personalized, "execute()")

    assert str(raised.value) == words


@pytest.mark.parametrize("kind", [int, Personalized(WEIGHTS, VECTOR)])
def test_a_payload_must_be_a_dataclass(kind: Any):
    with pytest.raises(RecipeError, match="a dataclass is right"):
        _ = FoxClientAPI[kind]().payload


def test_copies_keep_the_payload():
    api = FoxClientAPI[Personalized]()

    copies = [copy.deepcopy(api), pickle.loads(pickle.dumps(api)), api.make_client_app()]
    assert [one.payload for one in copies] == [Personalized] * 3
    assert (FoxClientAPI().payload, FoxClientAPI[Any]().payload, FoxClientAPI[FLModel]().payload) == (
        None,
        None,
        FLModel,
    )


class Server:
    @fox.algo
    def run(self) -> Any:
        good = Personalized({"w": numpy.ones(2)}, numpy.zeros(3))
        answer = fox.clients.execute(good)[0]
        said = []
        for bad in (Personalized({}, numpy.zeros(3), rate=-1.0), {"w": 1}):
            try:
                fox.clients["site-1"].execute(bad)
            except RemoteError as error:
                said.append((error.type_name, error.message))
        return type(answer).__name__, said


def train() -> None:
    flare: FoxClientAPI[Personalized] = get_client_api()
    model = flare.receive()
    flare.send(Personalized(model.weights, "none" if model.rate < 0 else model.prototypes))


def test_a_typed_payload_travels_unregistered_and_is_checked_both_ways(tmp_path: Any):
    client = FoxClientAPI[Personalized]()
    client.set_training_func(train)
    run = FoxRecipe("typed", 1, Server(), client).execute(SimEnv(1, tmp_path))

    assert run.result(30) == (
        "Personalized",
        [
            ("RecipeError", "send(): Personalized.prototypes: ndarray is right, not str"),
            ("RecipeError", "execute(): Personalized is right, not dict"),
        ],
    )
