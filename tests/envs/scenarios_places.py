"""Scenarios of sub-objects, calls between sites, arguments for each site, filters and props."""

from __future__ import annotations

from typing import Any

from scenarios import comes_to

from fox_hpc import fox


def site_1(**options: Any) -> Any:
    """Give site-1, of which rank 0 alone is asked: it alone can call others."""
    return fox.clients["site-1"](ranks="zero", **options)


@comes_to([("site-1", "server", True, 1), ("site-2", "server", True, 1)])
def a_sub_object_is_called_by_its_name() -> Any:
    return list(fox.clients.eval.score(1))


@comes_to(("site-2", "server", True, None))
def or_by_the_option_target() -> Any:
    return fox.clients["site-2"](target="eval", timeout=30).score()


@comes_to(lambda told: told[0] == "NoSuchFunction" and "eval.score" in told[1]["known"])
def a_sub_object_has_only_its_own_functions() -> Any:
    return fox.clients["site-1"].eval.echo()


@comes_to(("RecipeError", {}))
def a_sub_object_that_is_not_there_is_refused() -> Any:
    return fox.clients(target="evil")


@comes_to(["site-1 wrote x", "site-2 wrote x"])
def a_site_calls_a_sub_object_of_the_server() -> Any:
    return [answer[:6] + " wrote x" for answer in fox.clients(ranks="zero").eval.log("x")]


@comes_to([("site-2", ("site-2", "site-1", True, "hi"))])
def a_site_calls_another_one_which_knows_its_caller() -> Any:
    return site_1().ask_others("hi")


@comes_to(lambda told: "site-1 waits for itself" in told[1]["message"])
def a_site_that_waits_for_itself_is_told_so() -> Any:
    return site_1().ask_itself()


@comes_to(lambda told: "site-2 waits for site-1, which waits for site-2" in told[1]["message"])
def sites_that_wait_for_each_other_are_told_so() -> Any:
    return site_1().ask_back()


@comes_to(lambda told: "server waits for site-1, which waits for server" in told[1]["message"])
def a_site_and_the_server_too() -> Any:
    return site_1().ask_by_the_server()


@comes_to(
    lambda told: told[1]["type_name"] == "RemoteError" and "RuntimeError: because" in told[1]["message"]
)
def an_error_at_another_site_is_an_error_at_the_site_that_called() -> Any:
    return site_1().ask_another_to_fail()


@comes_to(lambda told: told[1]["type_name"] == "CallTimeout")
def a_timeout_holds_between_sites() -> Any:
    return site_1().ask_another_for(0.2)


@comes_to(("site-2", "server", True, "free again"))
def and_the_site_that_was_given_up_serves_on() -> Any:
    return fox.clients["site-2"].eval.score("free again")


@comes_to(["CallTimeout", ("site-2", "server", True, None)])
def who_gives_up_a_call_gives_up_what_it_waits_for() -> Any:
    try:
        site_1(timeout=0.3).ask_another_for(1000.0)
    except Exception as error:
        told = type(error).__name__
    return [told, fox.clients["site-2"].eval.score()]


@comes_to([None, "pushed"])
def a_site_may_push_to_itself_without_waiting() -> Any:
    told = [site_1().push("site-1", "pushed")]
    # It comes by way of the server, and so maybe after a call that was made later.
    while (kept := fox.clients["site-1"].give_kept()) != "pushed":
        continue
    return [*told, kept]


@comes_to([1, 2])
def each_site_may_get_its_own_argument() -> Any:
    return list(fox.clients.echo(fox.per_site({"site-1": 1, "site-2": 2})))


@comes_to([[["a"], {"x": 1}], [["b"], {"x": 1}]])
def beside_arguments_for_all(one_at_a_time: int = 1) -> Any:
    sites = fox.clients(parallel=one_at_a_time)
    return list(sites.all_arguments(fox.per_site({"site-1": "a", "site-2": "b"}), x=1))


@comes_to(("RecipeError", {}))
def a_site_without_an_argument_is_named_before_anything_is_sent() -> Any:
    return fox.clients.echo(fox.per_site({"site-1": 1}))


@comes_to(["out", "site-1", [["in", "site-1", "server", ["sent", 1]], "site-1"]])
def values_pass_the_filters_of_each_border() -> Any:
    return fox.clients["site-1"].eval.secret(1)


@comes_to([-2, -22, -42])
def each_chunk_of_a_stream_passes_them_too() -> Any:
    return list(fox.clients["site-1"].eval(ranks="zero").secrets(number for number in range(3)))


@comes_to(lambda told: told[0] == "CallRefused" and told[1]["site"] == "site-1")
def a_filter_of_a_site_refuses_an_answer() -> Any:
    return fox.clients["site-1"].eval.refused(1)


@comes_to(("CallRefused", {"site": "server", "func": "eval.secret"}))
def a_filter_of_the_caller_refuses_an_argument() -> Any:
    return fox.clients.eval.secret("not this")


@comes_to("site-1 wrote ['out', 'site-1', 'y']")
def what_a_site_sends_in_a_call_of_its_own_is_filtered_too() -> Any:
    return site_1().eval.log("y")


@comes_to([0.1, 0.2])
def a_prop_may_be_another_one_at_a_site() -> Any:
    return list(fox.clients.prop("lr"))


@comes_to([0.1, [1, 2], "else"])
def the_server_has_the_props_of_all() -> Any:
    return [fox.prop("lr"), fox.props["layers"], fox.prop("none", "else")]


@comes_to(("FoxError", {}))
def a_prop_that_is_not_there_is_named() -> Any:
    return fox.prop("none")
