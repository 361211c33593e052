"""Scenarios of calls: options, parts of the sites, order, and what a function knows of its place."""

from __future__ import annotations

from typing import Any

import numpy as np
from federation import tell
from scenarios import SITES, comes_to

from fox_hpc import CallCancelled, Proxy, ProxyList, RemoteError, fox

CANCELLED = "CallCancelled"


def site() -> Any:
    return fox.clients["site-1"]


@comes_to(["site-1", "site-2"])
def sites_answer_in_their_order() -> Any:
    return [name for name, _ in fox.clients.where()]


@comes_to([("site-1", "server"), ("site-2", "server")])
def a_function_knows_its_site_and_its_caller() -> Any:
    return list(fox.clients.where())


@comes_to([("site-1", ["site-1"]), ("site-2", ["site-2"])])
def a_thread_of_a_function_knows_them_too() -> Any:
    return fox.clients.name_in_a_thread().items()


@comes_to([True, True])
def there_is_time_left() -> Any:
    return list(fox.clients.has_time())


@comes_to(("server", list(SITES), False, ""))
def the_server_knows_its_place() -> Any:
    return fox.site_name, list(fox.clients.site_names), fox.is_aborted, fox.caller


@comes_to([1, 2, 3, 1])
def calls_to_a_site_run_one_after_the_other_and_sites_share_nothing() -> Any:
    return [site().next_number() for _ in range(3)] + [fox.clients["site-2"].next_number()]


@comes_to([[4], [2]])
def calls_that_are_not_waited_for_keep_their_order() -> Any:
    handles = [one(blocking=False).next_number() for one in fox.clients]
    return [list(handle.results()) for handle in handles]


@comes_to([("site-1", "site-1"), ("site-2", "site-2")])
def a_handle_gives_answers_as_they_come() -> Any:
    handle = fox.clients(blocking=False).where()
    return sorted((name, value[0]) for name, value in handle.as_completed())


@comes_to([["site-1"], ["site-2"], ["site-2", "site-1"], ["site-1", "site-2"]])
def parts_of_the_sites_can_be_called() -> Any:
    parts = (fox.clients[:1], fox.clients[-1:], fox.clients[["site-2", "site-1"]], fox.clients[(0, 1)])
    return [[name for name, _ in part.where()] for part in parts]


@comes_to((2, [Proxy, Proxy], [ProxyList, Proxy, Proxy]))
def the_sites_are_a_sequence() -> Any:
    clients = fox.clients
    return (
        len(clients),
        [type(one) for one in clients],
        [type(clients[:1]), type(clients[0]), type(clients["site-1"])],
    )


@comes_to(None)
def a_call_without_a_result_gives_none_at_once() -> Any:
    return site()(expect_result=False).keep("noted")


@comes_to("noted")
def and_it_runs_before_the_next_one() -> Any:
    return site().give_kept()


@comes_to([["site-1", "site-2"], ["site-1", "site-2"]])
def one_site_after_the_other_gives_the_same() -> Any:
    results = fox.clients(parallel=1).where()
    return [[name for name, _ in results], list(results.called)]


@comes_to([("site-1", 10), ("site-2", 20)])
def what_a_callback_returns_stands_for_the_answer() -> Any:
    factor = {"site-1": 10, "site-2": 20}
    return fox.clients(callback=lambda name, value: factor[name] * value).echo(1).items()


@comes_to((True, "site-1"))
def a_callback_that_fails_is_named_with_the_site() -> Any:
    def broken(name: str, value: Any) -> None:
        raise ValueError(f"cannot use {value}")

    try:
        site()(callback=broken).echo(1)
    except Exception as error:
        text = str(error)
        return "broken" in text and "ValueError: cannot use 1" in text, error.site  # type: ignore[attr-defined]


@comes_to((1, True))
def the_first_answers_may_be_enough() -> Any:
    results = fox.clients(blocking=False).wait_at("site-2")
    first = results.first_k(1)
    return len(first), isinstance(first.failures.get("site-2", CallCancelled("")), CallCancelled)


@comes_to((["site-2"], [CANCELLED]))
def a_call_that_is_cancelled_fails_where_it_was_open() -> Any:
    handle = fox.clients(blocking=False, min_success=0).wait_at("site-2")
    next(iter(handle.as_completed()))
    handle.cancel()
    list(handle.as_completed())
    return list(handle.failures), [type(one).__name__ for one in handle.failures.values()]


@comes_to(["told there", "told there"])
def the_function_of_a_cancelled_call_is_told_and_the_site_goes_on() -> Any:
    return [f"{word} there" for word in fox.clients.echo("told")]


@comes_to("TimeoutError")
def waiting_for_answers_may_have_an_end() -> Any:
    handle = fox.clients(blocking=False, min_success=0).wait()
    try:
        return tell(next(iter(handle.as_completed(timeout=0.2))))
    except TimeoutError as error:
        return type(error).__name__
    finally:
        handle.cancel()


@comes_to([1, 1])
def rank_zero_alone_may_be_asked() -> Any:
    return [fox.clients[name](ranks="zero").echo(1) for name in SITES]


@comes_to([2, 2])
def encryption_may_be_insisted_on() -> Any:
    return list(fox.clients(secure=True).echo(2))


@comes_to([np.ones(3), np.ones(3)])
def a_late_answer_stays_at_its_site_until_it_is_read() -> Any:
    return [answer.value for answer in fox.clients(late=True).echo(np.ones(3))]


@comes_to({"site-1": [0, 1, 2], "site-2": [0, 1, 2]})
def a_generator_function_gives_a_stream_of_each_site() -> Any:
    return {name: list(stream) for name, stream in fox.clients.count_to(3).items()}


@comes_to([45, 45])
def a_generator_reaches_all_sites_chunk_by_chunk() -> Any:
    return list(fox.clients(ranks="zero").add_up(number for number in range(10)))


@comes_to(([0, 1], "KeyError"))
def a_generator_that_fails_is_an_error_where_it_is_read() -> Any:
    seen: list[int] = []
    try:
        seen.extend(site().count_and_fail(2))
    except RemoteError as error:
        return seen, error.type_name


@comes_to({"site-1": "site-1 said 5", "site-2": "site-2 said 5"})
def a_site_may_call_the_server() -> Any:
    return dict(fox.clients(ranks="zero").tell_server(5).items())


@comes_to("RemoteError: PermissionError: not today")
def an_error_of_the_server_is_an_error_at_the_site() -> Any:
    return site()(ranks="zero").ask_for_refusal()


@comes_to("NoSuchFunction: ask_site, hear, log.put, refuse")
def only_marked_functions_of_the_server_can_be_called() -> Any:
    return site()(ranks="zero").ask_for_nothing()


@comes_to([0, 1, 2])
def rounds_are_counted() -> Any:
    return list(fox.rounds(3))


@comes_to("<Results of echo() · 2 answered · 0 failed>")
def results_say_what_they_are() -> Any:
    return repr(fox.clients.echo(1))


@comes_to(([1, 1], [1], 1, ["site-1", "site-2"]))
def results_are_a_sequence() -> Any:
    results = fox.clients.echo(1)
    return list(results), results[:1], results[-1], list(results.sites)
