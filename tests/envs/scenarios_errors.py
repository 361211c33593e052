"""Scenarios of errors: the same type, facts and words wherever the site runs."""

from __future__ import annotations

import threading
from typing import Any

from federation import tell
from scenarios import SITES, Client, comes_to
from scenarios_parts import Evaluator

from fox_hpc import ClientApp, fox
from fox_hpc.call import CallOption

KNOWN = tuple(sorted(ClientApp(Client(), {"eval": Evaluator()}).collab))
CANNOT = (
    "a value of type {} cannot travel; plain values, numpy arrays, torch tensors, FLModel and dataclasses "
    "decorated with @fox_hpc.register can"
)
OPTIONS = ", ".join(CallOption.__dataclass_fields__)


def remote(func: str, kind: str, message: str, site: str = "site-1") -> tuple[str, dict[str, Any]]:
    facts = {"site": site, "func": func, "type_name": kind, "message": message, "rank": 0}
    return "RemoteError", facts


def site() -> Any:
    return fox.clients["site-1"]


@comes_to(remote("fail", "KeyError", "'missing'"))
def an_exception_comes_home_with_its_type_and_words() -> Any:
    return site().fail()


@comes_to(("RuntimeError", True, True, True))
def the_traceback_names_the_cause_and_the_users_lines() -> Any:
    try:
        site().fail_deep()
    except Exception as error:
        text = error.traceback  # type: ignore[attr-defined]
        return error.type_name, "KeyError" in text, "scenarios.py" in text, "fail_deep" in text  # type: ignore[attr-defined]


@comes_to(("NoSuchFunction", {"site": "site-1", "func": "nothing", "known": KNOWN}))
def a_function_that_is_not_there_is_named_with_those_that_are() -> Any:
    return site().nothing()


@comes_to(("NoSuchFunction", {"site": "site-1", "func": "not_marked", "known": KNOWN}))
def a_function_without_a_mark_cannot_be_called() -> Any:
    return site().not_marked()


@comes_to(remote("give_a_lock", "CodecError", "$.result[1].lock: " + CANNOT.format("_thread.lock")))
def an_answer_that_cannot_travel_is_an_error_with_its_path() -> Any:
    return site().give_a_lock()


@comes_to(("CodecError", {"path": "$.kwargs.value.a[0]", "problem": CANNOT.format("_thread.lock")}))
def an_argument_that_cannot_travel_is_refused_with_its_path() -> Any:
    return site().echo(value={"a": [threading.Lock()]})


@comes_to(True)
def a_wrong_number_of_arguments_is_told_without_our_own_lines() -> Any:
    try:
        site().next_number(1, 2)
    except Exception as error:
        text = error.traceback  # type: ignore[attr-defined]
        return error.type_name == "TypeError" and "fox_hpc" not in text  # type: ignore[attr-defined]


@comes_to(
    (
        "GroupError",
        {"func": "fail", "needed": 2, "failures": {"site-1": remote("fail", "KeyError", "'missing'")}},
    )
)
def a_group_of_which_too_few_answered_names_each_cause() -> Any:
    return fox.clients.fail("site-1")


@comes_to((["fine"], ["site-2"], {"site-1": remote("fail", "KeyError", "'missing'")}))
def fewer_may_be_enough() -> Any:
    results = fox.clients(min_success=1).fail("site-1")
    return list(results), list(results.sites), {name: tell(one) for name, one in results.failures.items()}


@comes_to((0, list(SITES)))
def none_may_be_enough_if_that_is_said() -> Any:
    results = fox.clients(min_success=0).fail()
    return len(results), list(results.failures)


@comes_to(None)
def an_optional_call_that_fails_is_nothing() -> Any:
    return site()(optional=True).fail()


@comes_to(([], list(SITES)))
def an_optional_group_that_fails_is_empty() -> Any:
    results = fox.clients(optional=True).fail()
    return list(results), list(results.failures)


@comes_to(("CallTimeout", {"site": "site-1", "func": "wait"}))
def a_call_that_takes_too_long_is_given_up() -> Any:
    return site()(timeout=0.2).wait()


@comes_to("ready")
def a_site_serves_on_after_a_call_that_was_given_up() -> Any:
    return site().echo("ready")


@comes_to((["fine"], {"site-1": ("CallTimeout", {"site": "site-1", "func": "wait_at"})}))
def a_slow_site_is_a_failure_of_its_own() -> Any:
    results = fox.clients(timeout=0.3, min_success=1).wait_at("site-1")
    return list(results), {name: tell(one) for name, one in results.failures.items()}


@comes_to(f"unknown call option 'timout'; the options are {OPTIONS}")
def an_unknown_option_is_answered_with_the_right_ones() -> Any:
    return _words(lambda: fox.clients(timout=1))


@comes_to("there is no site 'site-9'; the sites are site-1, site-2")
def an_unknown_site_is_answered_with_the_right_ones() -> Any:
    return _words(lambda: fox.clients["site-9"])


@comes_to("min_success=3: this call goes to 2 sites only")
def more_answers_than_sites_cannot_be_asked_for() -> Any:
    return _words(lambda: fox.clients(min_success=3).echo())


@comes_to("timeout=0: a positive number of seconds or None is right")
def a_timeout_of_nothing_is_refused() -> Any:
    return _words(lambda: fox.clients(timeout=0).echo())


@comes_to("nothing_can_be_called_at_no_site")
def an_empty_list_of_sites_cannot_be_called() -> Any:
    return "nothing_can_be_called_at_no_site" if "empty" in _words(lambda: fox.clients[:0].echo()) else "?"


def _words(play: Any) -> str:
    try:
        play()
    except Exception as error:
        return str(error)
    return "no error"
