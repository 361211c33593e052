"""Filters, arguments for each site, props and sub-objects, as a caller has them."""

from __future__ import annotations

import copy
import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from fox_hpc import CallRefused, ClientApp, Filters, FoxError, FoxRecipe, RecipeError, fox
from fox_hpc.api.context import Context, use
from fox_hpc.api.nested import serving
from fox_hpc.api.terms import Terms
from fox_hpc.call import Call


def double(func: str, value: Any) -> Any:
    return value * 2


def refuse(func: str, value: Any) -> Any:
    raise PermissionError(f"{func} may not have {value}")


def add_one(func: str, value: Any) -> Any:
    return value + 1


def under(context: Context, **terms: Any) -> Any:
    return use(replace(context, terms=Terms(**terms)))


def test_arguments_leave_through_the_filters_one_by_one(context: Context, backend: Any) -> None:
    with under(context, filters=Filters(outgoing=[double, add_one])):
        fox.clients(expect_result=False).train(1, x=2)

    assert (backend.calls[0].args, backend.calls[0].kwargs) == ((3,), {"x": 5})


def test_an_argument_for_each_site_is_filtered_for_each(context: Context, backend: Any) -> None:
    with under(context, filters=Filters(outgoing=[double])):
        values = fox.per_site({"site-1": 1, "site-2": 2, "site-3": 3})
        fox.clients(expect_result=False).train(values, 5)

    assert [call.args for call in backend.calls] == [(2, 10), (4, 10), (6, 10)]


def test_a_refused_argument_is_not_sent(context: Context, backend: Any) -> None:
    with under(context, filters=Filters(outgoing=[refuse])), pytest.raises(CallRefused) as refused:
        fox.clients.train(1)

    assert str(refused.value) == (
        "train() at server was refused by the filter refuse of server: PermissionError: train may not have 1"
    )
    assert backend.started == []


def test_answers_are_filtered_before_their_caller_has_them(context: Context, backend: Any, ask: Any) -> None:
    with under(context, filters=Filters(incoming=[double])):
        asked = ask(fox.clients[:2].train)
        for site, value in (("site-2", 2), ("site-1", 1)):
            backend.answer(site, value)

    assert list(asked.get()) == [2, 4]


def test_a_refused_answer_is_the_failure_of_its_site(context: Context, backend: Any, ask: Any) -> None:
    def refuse_two(func: str, value: Any) -> Any:
        return refuse(func, value) if value == 2 else value

    with under(context, filters=Filters(incoming=[refuse_two])):
        asked = ask(fox.clients(min_success=2).train)
        for number in (1, 2, 3):
            backend.answer(f"site-{number}", number)
        results = asked.get()

    assert list(results) == [1, 3]
    assert isinstance(results.failures["site-2"], CallRefused)


def test_a_late_answer_cannot_pass_the_filters_of_its_caller(context: Context) -> None:
    with under(context, filters=Filters(incoming=[double])), pytest.raises(RecipeError, match="late=True"):
        fox.clients(late=True).train()


def test_filters_around_others_come_first_on_the_way_in_and_last_on_the_way_out() -> None:
    both = Filters([double], [double]).within(Filters([add_one], [add_one]))

    assert both == Filters([add_one, double], [double, add_one])


@pytest.mark.parametrize("wrong", [3, "double", [double, 3], double])
def test_what_is_no_list_of_functions_is_refused(wrong: Any) -> None:
    with pytest.raises(RecipeError, match=r"incoming=.* a list of functions f\(func, value\) is right"):
        Filters(incoming=wrong)


def test_a_site_without_its_argument_is_named_and_nothing_is_sent(context: Context, backend: Any) -> None:
    with pytest.raises(
        RecipeError, match=r"train\(\): lr= has nothing for site-2, site-3: per_site\(\) has site-1"
    ):
        fox.clients(parallel=1).train(1, lr=fox.per_site({"site-1": 0.1}))

    assert backend.started == []


def test_an_argument_for_what_is_no_site_is_refused(context: Context) -> None:
    with pytest.raises(RecipeError, match="'site-9', but the sites are site-1, site-2, site-3"):
        fox.per_site({"site-9": 1})


def test_a_prop_is_a_copy(context: Context) -> None:
    with under(context, props={"layers": [1]}):
        fox.prop("layers").append(2)
        fox.props["layers"].append(2)

        assert (fox.prop("layers"), fox.prop("lr", None)) == ([1], None)
        with pytest.raises(FoxError, match=r"no prop 'lr' here \(there are: layers\)"):
            fox.prop("lr")


@pytest.mark.parametrize(
    ("props", "place"),
    [
        ({"lr": (1, 2)}, r"props\['lr'\]"),
        ({"a": [{"b": np.float64(1)}]}, r"props\['a'\]\[0\]\['b'\]"),
        ({"a": float("inf")}, r"props\['a'\]"),
        ({1: 2}, "props has the key 1"),
        (3, "props=3"),
    ],
    ids=["tuple", "numpy", "infinite", "key", "number"],
)
def test_a_prop_that_json_cannot_say_is_refused(props: Any, place: str) -> None:
    with pytest.raises(RecipeError, match=place):
        FoxRecipe("r", 1, Server(), Trainer(), props=props)


class Server:
    @fox.algo
    def run(self) -> None: ...


class Trainer:
    def __init__(self) -> None:
        self.seen: list[Any] = []

    @fox.collab
    def train(self) -> Any:
        return self.seen


class Evaluator:
    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer

    @fox.init
    def begin(self) -> None:
        self.trainer.seen.append("begun")

    @fox.collab
    def score(self) -> Any:
        return self.trainer.seen

    @fox.final
    def end(self) -> None:
        self.trainer.seen.append("ended")


def test_a_sub_object_begins_and_ends_and_is_called_with_its_name(context: Context) -> None:
    trainer = Trainer()
    app = ClientApp(trainer, {"eval": Evaluator(trainer)})
    app.run_init(context)
    assert app.invoke(Call("eval.score"), context) == ["begun"]
    app.run_final(context)

    assert trainer.seen == ["begun", "ended"]


@pytest.mark.parametrize("again", [ClientApp.make_client_app, lambda app: pickle.loads(pickle.dumps(app))])
def test_what_objects_share_each_site_shares_for_itself(again: Any, context: Context) -> None:
    trainer = Trainer()
    app = ClientApp(trainer, {"eval": Evaluator(trainer)}, Filters([double]))
    made = again(app)
    made.run_init(context)

    assert (made.invoke(Call("train"), context), trainer.seen) == (["begun"], [])
    assert made.filters == app.filters


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("train", "that name is taken"),
        ("timeout", "that name is taken"),
        ("_eval", "a name of letters"),
        ("my eval", "a name of letters"),
    ],
)
def test_a_name_that_means_something_else_is_refused(name: str, words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        ClientApp(Trainer(), {name: Evaluator(Trainer())})


def test_a_sub_object_without_a_function_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"sub-object 'eval' has no @fox\.collab function"):
        ClientApp(Trainer(), {"eval": object()})


def test_options_and_sub_objects_go_together(context: Context, backend: Any) -> None:
    with under(context, client_objects=("eval",)):
        fox.clients(expect_result=False).eval.score()
        fox.clients.eval(expect_result=False).score()
        fox.clients["site-1"](target="eval", expect_result=False).score()
        with pytest.raises(RecipeError, match="no sub-object 'evil' at the target; there are: eval"):
            fox.clients(target="evil")

    assert [call.func for call in backend.calls] == ["eval.score"] * 3


def test_a_call_that_is_given_up_gives_up_what_it_waits_for(context: Context, backend: Any) -> None:
    tell: list[Any] = []
    with use(serving(context, lambda: bool(backend.cancelled), tell.append)):
        fox.clients["site-1"](blocking=False).train()
        fox.clients["site-2"](expect_result=False).train()
        tell[0]()
    assert backend.cancelled == ["site-1"]


def test_filters_are_copied_with_a_site() -> None:
    class Counting:
        count = 0

        def __call__(self, func: str, value: Any) -> Any:
            self.count += 1
            return value

    app = ClientApp(Trainer(), filters=Filters([Counting()]))

    assert copy.copy(app).filters is app.filters
    assert app.make_client_app().filters.incoming[0] is not app.filters.incoming[0]
