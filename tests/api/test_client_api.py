"""The Client API: execute() on one side, receive() and send() on the other."""

from __future__ import annotations

import copy
import pickle
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy
import pytest

from fox_hpc import ClientApp, FLModel, FoxClientAPI, FoxError, RecipeError, get_client_api
from fox_hpc.api.context import Context, use


class Ranks:
    """The models that rank 0 gave, as the other ranks see them."""

    def __init__(self, world_size: int = 2) -> None:
        self.world_size = world_size
        self.given: dict[int, Any] = {}
        self._changed = threading.Condition()

    def seen_by(self, rank: int) -> RankView:
        return RankView(self, rank)

    def put(self, seq: int, model: Any) -> None:
        with self._changed:
            assert seq not in self.given
            self.given[seq] = model
            self._changed.notify_all()

    def get(self, seq: int, timeout: float | None) -> Any:
        with self._changed:
            if not self._changed.wait_for(lambda: seq in self.given, timeout or 5):
                raise TimeoutError
            return self.given[seq]


class RankView:
    def __init__(self, ranks: Ranks, rank: int) -> None:
        self.rank, self.world_size = rank, ranks.world_size
        self.put, self.get = ranks.put, ranks.get


def double_until_stopped(flare: FoxClientAPI) -> None:
    while flare.is_running():
        flare.send(flare.receive() * 2)


@pytest.fixture
def api(context: Context) -> Iterator[FoxClientAPI]:
    api = FoxClientAPI()
    with use(replace(context, site_name="site-1", client_api=api)):
        yield api
    api.stop()


@pytest.fixture
def script(api: FoxClientAPI, ask: Any) -> Callable[[Callable[[FoxClientAPI], None]], Any]:
    """Runs a function as the site's script would be run."""

    def body(func: Callable[[FoxClientAPI], None]) -> None:
        try:
            func(api)
        except BaseException as error:
            api.script_ended(error)
            raise
        api.script_ended(None)

    return lambda func: ask(body, func)


def test_execute_returns_what_the_script_sends(api: FoxClientAPI, script: Any) -> None:
    running = script(double_until_stopped)

    assert [api.execute(1), api.execute(2)] == [2, 4]
    api.stop()
    running.get()


def test_loop_with_a_check_for_none_ends_too(api: FoxClientAPI, script: Any) -> None:
    def loop(flare: FoxClientAPI) -> None:
        while True:
            model = flare.receive()
            if model is None:
                return
            flare.send(model + 1)

    running = script(loop)

    assert api.execute(1) == 2
    api.stop()
    running.get()


def test_receive_gives_none_again_and_again_after_stop(api: FoxClientAPI) -> None:
    api.stop()

    assert (api.receive(), api.is_running(), api.receive(timeout=1)) == (None, False, None)


def test_receive_gives_up_after_its_timeout(api: FoxClientAPI) -> None:
    with pytest.raises(TimeoutError, match=r"within 0\.01 s"):
        api.receive(timeout=0.01)


def test_error_of_the_script_is_the_error_of_execute(api: FoxClientAPI, script: Any) -> None:
    def break_down(flare: FoxClientAPI) -> None:
        raise ZeroDivisionError(f"at {flare.receive()}")

    script(break_down)

    with pytest.raises(ZeroDivisionError, match="at 7"):
        api.execute(7)
    with pytest.raises(ZeroDivisionError):
        api.execute(8)


def test_script_that_ends_early_fails_execute(api: FoxClientAPI, script: Any) -> None:
    script(lambda flare: flare.receive())

    with pytest.raises(FoxError, match="ended on its own"):
        api.execute(1)


def test_script_that_exits_fails_execute_with_its_code(api: FoxClientAPI, script: Any) -> None:
    def leave(flare: FoxClientAPI) -> None:
        flare.receive()
        raise SystemExit(4)

    script(leave)

    with pytest.raises(FoxError, match=r"ended with SystemExit\(4\)"):
        api.execute(1)


def test_script_that_forgets_send_is_told(api: FoxClientAPI, script: Any) -> None:
    def forget(flare: FoxClientAPI) -> None:
        while flare.is_running():
            flare.receive()

    script(forget)

    with pytest.raises(FoxError, match=r"has not called send\(\)"):
        api.execute(1)


def test_named_slots_come_out_by_name_and_the_answer_goes_when_the_next_model_is_asked_for(
    api: FoxClientAPI, script: Any
) -> None:
    def loop(flare: FoxClientAPI) -> None:
        while flare.is_running():
            prototypes, model = flare.receive("prototypes"), flare.receive(channel="global_model")
            flare.send("global_model", model + 1)
            flare.send("norms", prototypes * 2)

    script(loop)

    answers = [api.execute(global_model=number, prototypes=number * 10) for number in range(2)]
    assert answers == [{"global_model": 1, "norms": 0}, {"global_model": 2, "norms": 20}]


def test_a_slot_that_is_asked_for_again_is_the_next_calls(api: FoxClientAPI, script: Any) -> None:
    def loop(flare: FoxClientAPI) -> None:
        while (model := flare.receive("a")) is not None:
            flare.send("a", model * 2)
        flare.send("never", flare.receive("a"))

    script(loop)

    assert [api.execute(a=1, b=5), api.execute(a=2, b=5)] == [{"a": 2}, {"a": 4}]


@pytest.mark.parametrize("close", ["send()", "send(model)", "the script's end", "the function's end"])
def test_an_answer_of_slots_goes(api: FoxClientAPI, script: Any, close: str) -> None:
    def body(flare: FoxClientAPI) -> None:
        flare.receive()
        flare.send("personal", flare.receive("personal"))
        if close == "send()":
            flare.send()
            flare.receive()
        elif close == "send(model)":
            flare.send("whole")
            flare.receive()

    if close == "the function's end":
        api.set_training_func(lambda: body(api))
    else:
        script(body)

    whole = {"fl_model": "whole"} if close == "send(model)" else {}
    assert api.execute("model", personal=3) == {"personal": 3, **whole}


def test_a_slot_that_the_call_has_not_is_answered_with_those_that_it_has(api: FoxClientAPI, ask: Any) -> None:
    ask(api.execute, global_model=1, prototypes=2)

    with pytest.raises(FoxError, match=r"receive\('prototype'\).*right are receive\('global_model'\)"):
        api.receive("prototype")
    with pytest.raises(FoxError, match=r"receive\(\): the call has no such slot"):
        api.receive()


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda flare: flare.send("a", 1) or flare.send("a", 2), r"send\('a', …\) was called twice"),
        (lambda flare: flare.send(1) or flare.send(2), "twice for one model"),
        (lambda flare: flare.send(), "send a value before"),
        (lambda flare: flare.send(1, 2), "the name of a slot"),
        (lambda flare: flare.receive(5), "or timeout=5, is right"),
        (lambda flare: flare.init(rank=2), "this process is rank 0 of 1"),
    ],
    ids=["slot twice", "twice", "nothing", "no name", "timeout", "rank"],
)
def test_a_wrong_word_of_the_script_is_answered_with_the_right_one(
    api: FoxClientAPI, wrong: Callable[[FoxClientAPI], None], words: str
) -> None:
    def body() -> None:
        api.receive()
        wrong(api)

    api.set_training_func(body)

    with pytest.raises(FoxError, match=words):
        api.execute(1)


def test_execute_with_nothing_is_refused(api: FoxClientAPI) -> None:
    with pytest.raises(FoxError, match="was given nothing"):
        api.execute()


def test_after_shutdown_the_script_gets_no_model_and_a_call_fails(api: FoxClientAPI, ask: Any) -> None:
    waiting = ask(api.execute, 1)
    api.receive()
    api.shutdown()

    with pytest.raises(FoxError, match=r"has called shutdown\(\)"):
        waiting.get()
    assert (api.receive(), api.is_running()) == (None, False)


def test_log_makes_points_of_numbers_and_refuses_what_is_none(api: FoxClientAPI, context: Context) -> None:
    points: list[Any] = []
    with use(replace(context, track=points.extend)):
        api.log({"loss": 0.5, "correct": numpy.int64(3)}, step=7)
        with pytest.raises(RecipeError, match=r"log\(\{'loss': …\}\): list is not one number"):
            api.log({"loss": [1, 2]})

    assert [(point.tag, point.value, point.step) for point in points] == [("loss", 0.5, 7), ("correct", 3, 7)]


def test_system_info_tells_where_this_process_is(api: FoxClientAPI, context: Context) -> None:
    facts = {"run": "r", "attempt": 2, "job_id": "4711", "host": "n1", "local_rank": 1}
    with use(replace(context, site_name="site-1", facts=facts)):
        assert api.system_info() == {"site_name": "site-1", "rank": 0, "world_size": 1, **facts}


def test_second_execute_is_refused_while_one_waits(api: FoxClientAPI, ask: Any) -> None:
    first = ask(api.execute, 1)
    model = api.receive()

    with pytest.raises(FoxError, match="one call at a time"):
        api.execute(2)
    api.send(model)
    assert first.get() == 1


def test_send_without_a_model_is_refused(api: FoxClientAPI) -> None:
    with pytest.raises(FoxError, match="no model to answer"):
        api.send(FLModel())


def test_stop_ends_an_execute_that_waits(api: FoxClientAPI, ask: Any) -> None:
    waiting = ask(api.execute, 1)
    api.receive()
    api.stop()

    with pytest.raises(FoxError, match="was stopped"):
        waiting.get()


def test_answer_to_a_call_that_was_given_up_is_not_the_next_ones(
    api: FoxClientAPI, context: Context, ask: Any
) -> None:
    given_up = threading.Event()
    with use(replace(context, is_aborted=given_up.is_set)):
        first = ask(api.execute, 1)
    late = api.receive()
    given_up.set()
    with pytest.raises(FoxError, match="given up"):
        first.get()
    second = ask(api.execute, 2)
    api.send(late * 100)

    api.send(api.receive() * 100)
    assert second.get() == 200


@pytest.mark.parametrize("loop", [True, False])
def test_training_function_runs_inside_execute(api: FoxClientAPI, loop: bool) -> None:
    def train() -> None:
        if loop:
            double_until_stopped(get_client_api())
        else:
            api.send(api.receive() * 2)

    api.set_training_func(train)

    assert [api.execute(1), api.execute(2)] == [2, 4]


def test_training_function_that_sends_nothing_is_told(api: FoxClientAPI) -> None:
    api.set_training_func(lambda: None)

    with pytest.raises(FoxError, match=r"returned without send\(\)"):
        api.execute(1)


def test_training_function_that_raises_can_be_called_again(api: FoxClientAPI) -> None:
    def train() -> None:
        api.send(1 // api.receive())

    api.set_training_func(train)

    with pytest.raises(ZeroDivisionError):
        api.execute(0)
    assert api.execute(1) == 1


def test_training_function_must_be_one() -> None:
    with pytest.raises(RecipeError, match="needs a function"):
        FoxClientAPI().set_training_func(3)  # type: ignore[arg-type]


@pytest.mark.parametrize("all_ranks", ["receive", "is_running", "both", "neither"])
def test_other_ranks_keep_step(api: FoxClientAPI, context: Context, ask: Any, all_ranks: str) -> None:
    ranks, other = Ranks(), FoxClientAPI()
    api.share_with(ranks.seen_by(0))
    other.share_with(ranks.seen_by(1))
    seen: dict[int, list[Any]] = {0: [], 1: []}

    def loop(flare: FoxClientAPI) -> None:
        while all_ranks == "receive" or flare.is_running():
            model = flare.receive() if flare.rank == 0 or all_ranks in ("receive", "both") else "not asked"
            if model is None:
                break
            seen[flare.rank].append(model)
            flare.send(model)

    running = [ask(loop, api)] if all_ranks == "neither" else [ask(loop, api), ask(loop, other)]
    assert [api.execute("a"), api.execute("b")] == ["a", "b"]
    api.stop()
    for script in running:
        script.get()

    others = {"receive": ["a", "b"], "both": ["a", "b"], "is_running": ["not asked"] * 2, "neither": []}
    assert seen == {0: ["a", "b"], 1: others[all_ranks]}
    assert ranks.given == {1: {"fl_model": "a"}, 2: {"fl_model": "b"}, 3: None}


def test_other_ranks_are_released_when_the_script_of_rank_0_ends(api: FoxClientAPI, ask: Any) -> None:
    ranks, other = Ranks(), FoxClientAPI()
    api.share_with(ranks.seen_by(0))
    other.share_with(ranks.seen_by(1))
    waiting = ask(other.is_running)
    api.script_ended(None)

    assert waiting.get() is False


def test_asking_twice_a_round_is_refused_where_ranks_would_lose_step(api: FoxClientAPI, ask: Any) -> None:
    api.share_with(Ranks().seen_by(0))
    ask(api.execute, 1)
    api.is_running()

    with pytest.raises(FoxError, match="lose step"):
        api.is_running()


def test_copy_has_the_function_and_not_the_state() -> None:
    api = FoxClientAPI()
    api.set_training_func(len)  # type: ignore[arg-type]
    api.stop()

    for made in (copy.deepcopy(api), pickle.loads(pickle.dumps(api)), ClientApp(api).make_client_app().obj):
        assert made is not api
        assert made.training_func is len
        assert repr(made) == "<FoxClientAPI training function · rank 0 of 1>"


def test_client_api_of_another_client_is_refused(context: Context) -> None:
    with pytest.raises(FoxError, match=r"must be a FoxClientAPI\(\)"):
        get_client_api()


def test_site_name_is_the_contexts(api: FoxClientAPI) -> None:
    api.init()

    assert (get_client_api() is api, api.get_site_name()) == (True, "site-1")
