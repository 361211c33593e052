"""Group calls: who is waited for, what comes back, and what is raised."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import pytest
from waiting import wait_for

from fox_hpc import (
    CallCancelled,
    CallError,
    FLModel,
    Group,
    GroupError,
    NotAllowed,
    RecipeError,
    RunCancelled,
    SiteLost,
    fox,
)
from fox_hpc.api.context import Context, use


def lost(site: str) -> SiteLost:
    return SiteLost(site=site, job_id="7", state="FAILED", exit_code=1)


def test_results_are_in_the_order_of_sites(context: Context, backend: Any, ask: Any) -> None:
    call = ask(fox.clients.train, 1)
    for site in ("site-3", "site-1", "site-2"):
        backend.answer(site, f"of {site}")
    results = call.get()

    assert results.items() == [("site-1", "of site-1"), ("site-2", "of site-2"), ("site-3", "of site-3")]
    assert (results[0], results[-1], results[:2]) == ("of site-1", "of site-3", ["of site-1", "of site-2"])
    assert repr(results) == "<Results of train() · 3 answered · 0 failed>"


def test_call_carries_arguments_options_and_caller(context: Context, backend: Any) -> None:
    fox.clients(blocking=False, timeout=9, ranks="zero").train(1, rate=2)
    call = backend.calls[0]

    assert (call.func, call.args, call.kwargs) == ("train", (1,), {"rate": 2})
    assert (call.caller, call.timeout, call.ranks) == ("server", 9, "zero")


def test_failed_site_is_in_failures_when_enough_answered(context: Context, backend: Any, ask: Any) -> None:
    call = ask(fox.clients.train)
    backend.fail("site-2", lost("site-2"))
    backend.answer("site-1", 1)
    backend.answer("site-3", 3)
    results = call.get()

    assert results.sites == ("site-1", "site-3")
    assert results.failures["site-2"].exit_code == 1


def test_too_few_answers_raise_with_each_cause(context: Context, backend: Any, ask: Any) -> None:
    call = ask(fox.clients.train)
    backend.answer("site-1", 1)
    backend.fail("site-2", lost("site-2"))
    backend.fail("site-3", CallError("broken", site="site-3"))

    with pytest.raises(GroupError, match="1 of 3 sites answered, 2 needed") as caught:
        call.get()
    assert list(caught.value.failures) == ["site-2", "site-3"]


def test_hopeless_call_cancels_the_rest_at_once(context: Context, backend: Any, ask: Any) -> None:
    call = ask(fox.clients.train)
    backend.fail("site-1", lost("site-1"))
    backend.fail("site-2", lost("site-2"))

    with pytest.raises(GroupError):
        call.get()
    assert backend.cancelled == ["site-3"]


def test_all_sites_are_waited_for_although_enough_answered(context: Context, backend: Any, ask: Any) -> None:
    call = ask(fox.clients(min_success=1).train)
    backend.answer("site-1", 1)
    backend.fail("site-2", lost("site-2"))

    assert call.is_alive()
    backend.answer("site-3", 3)
    assert list(call.get()) == [1, 3]


def test_min_success_above_the_size_of_the_group_is_refused(context: Context) -> None:
    with pytest.raises(RecipeError, match="min_success=4: this call goes to 3 sites only"):
        fox.clients(min_success=4).train()


def test_small_group_needs_all_of_its_sites_at_most(context: Context, backend: Any, ask: Any) -> None:
    call = ask(fox.clients[:1].train)
    backend.answer("site-1", 1)

    assert list(call.get()) == [1]


def test_optional_group_may_come_home_empty(context: Context, backend: Any, ask: Any) -> None:
    call = ask(fox.clients(optional=True).train)
    for site in context.sites:
        backend.fail(site, lost(site))
    results = call.get()

    assert (len(results), list(results.failures)) == (0, list(context.sites))


def test_single_call_gives_the_bare_value(context: Context, backend: Any, ask: Any) -> None:
    call = ask(fox.clients["site-2"].train)
    backend.answer("site-2", 5)

    assert call.get() == 5


def test_single_call_raises_the_sites_own_error(context: Context, backend: Any, ask: Any) -> None:
    call = ask(fox.clients["site-2"].train)
    backend.fail("site-2", lost("site-2"))

    with pytest.raises(SiteLost) as caught:
        call.get()
    assert caught.value.job_id == "7"


def test_optional_single_call_gives_none_and_a_warning(
    context: Context, backend: Any, ask: Any, caplog: pytest.LogCaptureFixture
) -> None:
    call = ask(fox.clients["site-2"](optional=True).train)
    backend.fail("site-2", lost("site-2"))

    assert call.get() is None
    assert "optional call of train() at site-2 failed" in caplog.text


def test_parallel_bounds_the_calls_in_flight(context: Context, backend: Any, ask: Any) -> None:
    call = ask(fox.clients(parallel=2).train)
    backend.answer("site-1", 1)
    backend.answer("site-3", 3)
    before = list(backend.started)
    backend.answer("site-2", 2)

    assert before == ["site-1", "site-2", "site-3"]
    assert [len(call.args) for call in backend.calls] == [0, 0]
    assert list(call.get()) == [1, 2, 3]


def test_background_call_starts_waiting_sites_although_nobody_waits(context: Context, backend: Any) -> None:
    handle = fox.clients(parallel=1, blocking=False).train()
    for number, site in enumerate(context.sites):
        backend.answer(site, number)

    assert list(handle.results()) == [0, 1, 2]


def test_handle_iterates_in_the_order_of_arrival(context: Context, backend: Any) -> None:
    handle = fox.clients(blocking=False).train()
    backend.answer("site-3", 3)
    arrivals = iter(handle)

    assert next(arrivals) == ("site-3", 3)
    assert not handle.done
    backend.fail("site-1", lost("site-1"))
    backend.answer("site-2", 2)
    assert list(arrivals) == [("site-2", 2)]
    assert (handle.done, list(handle.failures)) == (True, ["site-1"])


def test_handle_that_iterates_raises_at_the_end_when_too_few_answered(context: Context, backend: Any) -> None:
    handle = fox.clients(blocking=False, min_success=3).train()
    backend.answer("site-1", 1)
    backend.fail("site-2", lost("site-2"))

    with pytest.raises(GroupError, match="1 of 3 sites answered, 3 needed"):
        list(handle)


def test_cancelled_handle_has_the_open_sites_as_failures(context: Context, backend: Any) -> None:
    handle = fox.clients(blocking=False, parallel=2, min_success=0).train()
    backend.answer("site-1", 1)
    handle.cancel()
    results = handle.results()

    assert results.items() == [("site-1", 1)]
    assert {type(error) for error in results.failures.values()} == {CallCancelled}


def test_call_without_a_result_returns_none_and_logs_failures(
    context: Context, backend: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)

    assert fox.clients(expect_result=False).note() is None
    for site in context.sites:
        backend.fail(site, lost(site))
    wait_for(lambda: caplog.text.count("nobody waits for it") == 3)


def test_secure_call_over_open_links_is_refused(context: Context, backend: Any) -> None:
    backend.secure = False

    with pytest.raises(NotAllowed, match="not encrypted"):
        fox.clients(secure=True).train()
    assert backend.calls == []


def test_cancelled_run_raises_from_a_waiting_call(context: Context, backend: Any, ask: Any) -> None:
    over = []
    with use(replace(context, is_aborted=lambda: bool(over))):
        call = ask(fox.clients.train)
        backend.answer("site-1", 1)
        over.append(True)
        for site in ("site-2", "site-3"):
            backend.fail(site, CallCancelled("the run was cancelled", site=site))

        with pytest.raises(RunCancelled):
            call.get()
        with pytest.raises(RunCancelled, match="was not called"):
            fox.clients.train()


def test_failures_are_reported_once(context: Context, backend: Any) -> None:
    reported: list[dict[str, CallError]] = []
    with use(replace(context, on_failures=reported.append)):
        handle = fox.clients(blocking=False).train()
        backend.fail("site-1", lost("site-1"))
        backend.answer("site-2", 2)
        backend.answer("site-3", 3)
        handle.results()
        list(handle)

    assert [list(failures) for failures in reported] == [["site-1"]]


def test_round_of_a_model_among_the_arguments_is_reported(context: Context, backend: Any) -> None:
    reported: list[tuple[int, int | None]] = []
    with use(replace(context, on_round=lambda done, total: reported.append((done, total)))):
        fox.clients(expect_result=False).execute(fl_model=FLModel(current_round=3, total_rounds=5))

    assert reported == [(3, 5)]


def test_round_is_reported_as_done_once_however_its_answers_are_taken(context: Context, backend: Any) -> None:
    reported: list[tuple[int, int | None]] = []
    with use(replace(context, on_round=lambda done, total: reported.append((done, total)))):
        handle = fox.clients(blocking=False).execute(FLModel(current_round=3, total_rounds=5))
        for site in context.sites:
            backend.answer(site, 1)
        handle.results()
        list(handle.as_completed())

    assert reported == [(3, 5), (4, 5)]


def test_error_of_another_kind_becomes_a_call_error(context: Context, backend: Any, ask: Any) -> None:
    call = ask(fox.clients["site-1"].train)
    backend.fail("site-1", OSError("no route"))

    with pytest.raises(CallError, match=r"train\(\) at site-1 failed: no route"):
        call.get()


def test_interrupted_wait_cancels_what_is_open(context: Context, backend: Any) -> None:
    handle = fox.clients(blocking=False).train()
    handle._changed.wait_for = interrupt  # type: ignore[method-assign]

    with pytest.raises(KeyboardInterrupt):
        handle.results()
    assert sorted(backend.cancelled) == ["site-1", "site-2", "site-3"]


def test_group_is_called_like_a_list_of_sites(context: Context, backend: Any, ask: Any) -> None:
    call = ask(Group(["site-1", "site-2"], backend).train, 4)
    backend.answer("site-1", 1)
    backend.answer("site-2", 2)

    assert list(call.get()) == [1, 2]


def interrupt(*_: object) -> bool:
    raise KeyboardInterrupt
