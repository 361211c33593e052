"""Answers that are used when they come: callbacks, `as_completed`, `first_k`; and who keeps them."""

from __future__ import annotations

import gc
import logging
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from waiting import wait_for

from fox_hpc import CallError, FoxError, FoxRecipe, GroupError, RecipeError, SimEnv, SiteLost, fox
from fox_hpc.api.context import Context


class Answer:
    """A value that can be watched."""


def lost(site: str) -> SiteLost:
    return SiteLost(site=site, job_id="7", state="FAILED")


def test_callback_gets_each_answer_and_its_own_value_takes_the_place(
    context: Context, backend: Any, ask: Any
) -> None:
    call = ask(fox.clients(callback=lambda site, value: f"{site}: {value}").train)
    for number, site in enumerate(context.sites):
        backend.answer(site, number)

    assert list(call.get()) == ["site-1: 0", "site-2: 1", "site-3: 2"]


def test_callback_is_called_when_an_answer_comes(context: Context, backend: Any, ask: Any) -> None:
    seen: list[str] = []
    call = ask(fox.clients(callback=lambda site, _: seen.append(site)).train)
    backend.answer("site-3", 3)

    wait_for(lambda: seen == ["site-3"])
    assert call.is_alive()
    backend.fail("site-1", lost("site-1"))
    backend.answer("site-2", 2)
    assert (list(call.get().failures), seen) == (["site-1"], ["site-3", "site-2"])


def test_answers_that_are_there_are_handed_over_in_the_order_of_sites(context: Context, backend: Any) -> None:
    handle = fox.clients(blocking=False).train()
    for site in reversed(context.sites):
        backend.answer(site, site)

    assert [site for site, _ in handle.as_completed()] == list(context.sites)


def test_callback_of_a_single_call_gives_its_value(context: Context, backend: Any, ask: Any) -> None:
    call = ask(fox.clients["site-2"](callback=lambda site, value: value * 2).train)
    backend.answer("site-2", 4)

    assert call.get() == 8


def test_callback_runs_although_nobody_waits(context: Context, backend: Any) -> None:
    seen: list[str] = []
    assert fox.clients(callback=lambda site, _: seen.append(site), expect_result=False).train() is None
    backend.answer("site-2", 2)

    wait_for(lambda: seen == ["site-2"])


def test_callback_of_a_handle_runs_once_and_never_twice_at_a_time(context: Context, backend: Any) -> None:
    seen: list[str] = []
    one_at_a_time = threading.Lock()

    def note(site: str, value: Any) -> None:
        assert one_at_a_time.acquire(blocking=False)
        seen.append(site)
        one_at_a_time.release()

    handle = fox.clients(callback=note, blocking=False).train()
    for site in context.sites:
        backend.answer(site, site)

    assert list(handle.results()) == [None, None, None]
    assert list(handle) == [(site, None) for site in context.sites]
    assert sorted(seen) == list(context.sites)


def test_answer_that_waits_for_its_callback_is_in_flight(context: Context, backend: Any, ask: Any) -> None:
    started: list[list[str]] = []
    call = ask(fox.clients(callback=lambda *_: started.append(list(backend.started)), parallel=1).train)
    for site in context.sites:
        backend.answer(site, 1)
    call.get()

    assert started == [list(context.sites[:count]) for count in (1, 2, 3)]


def broken(site: str, value: Any) -> None:
    raise KeyError("w")


def test_callback_that_fails_fails_the_call_and_gives_up_the_rest(
    context: Context, backend: Any, ask: Any
) -> None:
    call = ask(fox.clients(callback=broken, min_success=0).train)
    backend.answer("site-2", 2)

    message = r"the callback broken failed on the answer of site-2 to train\(\): KeyError: 'w'"
    with pytest.raises(CallError, match=message) as caught:
        call.get()
    assert (caught.value.site, type(caught.value.__cause__)) == ("site-2", KeyError)
    assert sorted(backend.cancelled) == ["site-1", "site-3"]


def test_callback_of_a_handle_that_fails_raises_from_the_handle(
    context: Context, backend: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    handle = fox.clients(callback=broken, blocking=False).train()
    backend.answer("site-1", 1)

    with pytest.raises(CallError, match="callback broken failed on the answer of site-1"):
        handle.results()
    wait_for(lambda: "callback broken failed" in caplog.text)


def test_interrupted_callback_gives_up_the_call(context: Context, backend: Any, ask: Any) -> None:
    def interrupt(site: str, value: Any) -> None:
        raise KeyboardInterrupt

    call = ask(fox.clients(callback=interrupt).train)
    backend.answer("site-1", 1)

    with pytest.raises(KeyboardInterrupt):
        call.get()
    assert sorted(backend.cancelled) == ["site-2", "site-3"]


def test_what_is_no_callback_is_refused(context: Context) -> None:
    with pytest.raises(RecipeError, match="a function of"):
        fox.clients(callback=3)


def test_answers_that_were_given_away_are_not_kept(context: Context, backend: Any) -> None:
    handle = fox.clients(blocking=False).train()
    for site in context.sites:
        backend.answer(site, Answer())
    answers = handle.as_completed()
    kept = []
    for _, value in answers:
        kept.append(weakref.ref(value))
        del value
        gc.collect()
        assert kept[-1]() is None
    assert len(kept) == 3
    with pytest.raises(FoxError, match=r"gave the answers of train\(\) away"):
        handle.results()
    assert repr(handle) == "<GroupCall train() · 0 under way · 3 answered · 0 failed>"


def test_as_completed_raises_at_the_end_when_too_few_answered(context: Context, backend: Any) -> None:
    handle = fox.clients(blocking=False).train()
    backend.answer("site-1", 1)
    backend.fail("site-2", lost("site-2"))
    backend.fail("site-3", lost("site-3"))

    with pytest.raises(GroupError, match="1 of 3 sites answered, 2 needed"):
        list(handle.as_completed())


def test_as_completed_stops_when_time_is_over_and_can_go_on(context: Context, backend: Any) -> None:
    handle = fox.clients(blocking=False).train()
    backend.answer("site-2", 2)
    answers = handle.as_completed(timeout=0.01)

    assert next(answers) == ("site-2", 2)
    with pytest.raises(TimeoutError, match=r"train\(\): 2 sites have not answered in 0.01 s"):
        next(answers)
    assert backend.cancelled == []
    backend.answer("site-1", 1)
    backend.answer("site-3", 3)
    assert list(handle.as_completed()) == [("site-1", 1), ("site-3", 3)]


def test_first_k_gives_up_the_others(context: Context, backend: Any) -> None:
    handle = fox.clients(blocking=False).train()
    backend.answer("site-3", 3)
    backend.answer("site-1", 1)

    assert handle.first_k(2).items() == [("site-1", 1), ("site-3", 3)]
    assert backend.cancelled == ["site-2"]


def test_first_k_fails_when_too_few_can_answer(context: Context, backend: Any) -> None:
    handle = fox.clients(blocking=False, min_success=1).train()
    backend.fail("site-1", lost("site-1"))
    backend.fail("site-3", lost("site-3"))

    with pytest.raises(GroupError, match="0 of 3 sites answered, 2 needed"):
        handle.first_k(2)


@pytest.mark.parametrize("k", [0, 4])
def test_first_k_of_an_impossible_number_is_refused(context: Context, k: int) -> None:
    with pytest.raises(RecipeError, match="1 to 3 is right"):
        fox.clients(blocking=False).train().first_k(k)


class Maker:
    """A site that answers with an array."""

    @fox.collab
    def make(self) -> np.ndarray:
        return np.ones(1000)


class Watcher:
    """A server that counts how many answers live while each of them is used."""

    def __init__(self, use: Callable[[Callable[[str, np.ndarray], None]], None]) -> None:
        self.use = use
        self.answers: list[weakref.ref[np.ndarray]] = []
        self.most = 0

    @fox.algo
    def run(self) -> int:
        self.use(self.watch)
        gc.collect()
        # Threads of the sites let go of their last call a moment after its answer was settled.
        wait_for(lambda: self.living() == 0)
        return len(self.answers)

    def watch(self, site: str, value: np.ndarray) -> None:
        self.answers.append(weakref.ref(value))

    def living(self) -> int:
        return sum(ref() is not None for ref in self.answers)


def by_callback(watch: Callable[[str, np.ndarray], None]) -> None:
    fox.clients(callback=watch).make()


def by_iteration(watch: Callable[[str, np.ndarray], None]) -> None:
    for site, value in fox.clients(blocking=False).make().as_completed():
        watch(site, value)
        del value


@pytest.mark.parametrize("use", [by_callback, by_iteration])
def test_no_answer_outlives_its_use_in_a_run(use: Any, tmp_path: Path) -> None:
    run = FoxRecipe("watch", 6, Watcher(use), Maker()).execute(SimEnv(6, tmp_path))

    assert run.result(30) == 6
