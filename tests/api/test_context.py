"""The context, and who has it."""

from __future__ import annotations

import contextvars
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from fox_hpc import FoxError, RunCancelled, fox
from fox_hpc.api.context import Context, current, find, set_default, use


def seen_by_a_thread() -> Context | None:
    seen: list[Context | None] = []
    thread = threading.Thread(target=lambda: seen.append(find()))
    thread.start()
    thread.join()
    return seen[0]


def test_fox_outside_a_run_says_so() -> None:
    with pytest.raises(FoxError, match="only inside a run"):
        _ = fox.site_name


def test_new_thread_has_the_context_of_its_starter(context: Context) -> None:
    assert seen_by_a_thread() is context


def test_thread_of_a_thread_has_it_too(context: Context) -> None:
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(seen_by_a_thread).result() is context


def test_shared_pool_runs_each_task_in_its_submitters_context(context: Context) -> None:
    other = replace(context, site_name="site-2")
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(current).result()
        with use(other):
            second = pool.submit(current).result()
        third = pool.submit(current).result()

    assert (first, second, third) == (context, other, context)


def test_default_is_found_where_no_other_is(context: Context) -> None:
    default = replace(context, site_name="site-7")
    set_default(default)
    try:
        assert find() is context
        assert contextvars.Context().run(find) is default
    finally:
        set_default(None)


def test_clients_at_a_site_are_all_sites_and_the_others_are_others(context: Context) -> None:
    with use(replace(context, site_name="site-2")):
        assert fox.clients.site_names == ("site-1", "site-2", "site-3")
        assert fox.other_clients.site_names == ("site-1", "site-3")


def test_server_on_the_server_is_refused(context: Context) -> None:
    with pytest.raises(FoxError, match="at sites only"):
        _ = fox.server


def test_rounds_count_from_zero_and_report_what_is_done(context: Context) -> None:
    reported: list[tuple[int, int | None]] = []
    with use(replace(context, on_round=lambda done, total: reported.append((done, total)))):
        assert list(fox.rounds(2)) == [0, 1]

    assert reported == [(0, 2), (1, 2), (2, 2)]


def test_rounds_of_a_cancelled_run_raise(context: Context) -> None:
    with use(replace(context, is_aborted=lambda: True)), pytest.raises(RunCancelled, match="before round 1"):
        list(fox.rounds(3))
