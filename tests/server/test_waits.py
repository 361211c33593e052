"""Waits: a ring of places that wait for each other is found when it would be closed."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

import pytest

from fox_hpc import WaitCycle
from fox_hpc.call import Call, Pending
from fox_hpc.server.waits import Waits, Watched


class Carried:
    """A backend that keeps every call open until it is answered."""

    secure = True

    def __init__(self) -> None:
        self.open: dict[str, Future[Any]] = {}

    def start(self, call: Call, targets: Sequence[str]) -> list[Pending]:
        self.open.update({site: Future() for site in targets})
        return [Pending(site, site, self.open[site]) for site in targets]

    def cancel(self, pending: Sequence[Pending]) -> None:
        """Nothing is cancelled here."""


def test_a_place_that_waits_for_itself_is_a_ring_of_one() -> None:
    assert Waits().begin("a", "site-1", "site-1") == ("site-1",)


def test_a_ring_is_told_from_who_would_close_it() -> None:
    waits = Waits()
    assert waits.begin("a", "site-1", "site-2") == ()
    assert waits.begin("b", "site-2", "server") == ()

    assert waits.begin("c", "server", "site-1") == ("server", "site-1", "site-2")
    assert repr(waits) == "<Waits site-1 → site-2, site-2 → server>"


def test_the_shortest_way_of_several_is_told() -> None:
    waits = Waits()
    for id, pair in enumerate([("a", "b"), ("b", "c"), ("a", "c"), ("c", "d")]):
        waits.begin(str(id), *pair)

    assert waits.begin("last", "d", "a") == ("d", "a", "c")


def test_what_was_answered_is_no_ring_any_more() -> None:
    waits = Waits()
    waits.begin("a", "site-1", "site-2")
    waits.begin("b", "site-1", "site-2")
    waits.end("a")
    assert waits.begin("c", "site-2", "site-1") != ()
    waits.end("b")

    assert waits.begin("c", "site-2", "site-1") == ()


def test_of_a_group_only_the_site_that_would_close_a_ring_fails() -> None:
    waits, backend = Waits(), Carried()
    Watched(backend, waits, "site-2").start(Call("f"), ["site-1"])

    two, three = Watched(backend, waits, "site-1").start(Call("g"), ["site-2", "site-3"])

    with pytest.raises(WaitCycle, match="site-1 waits for site-2, which waits for site-1") as ring:
        two.future.result(0)
    assert (ring.value.cycle, ring.value.site, ring.value.func) == (("site-1", "site-2"), "site-2", "g")
    assert not three.future.done()


def test_a_call_that_nobody_waits_for_closes_no_ring() -> None:
    waits, backend = Waits(), Carried()
    Watched(backend, waits, "site-1").start(Call("f"), ["site-2"])

    pending = Watched(backend, waits, "site-2").start(Call("g", waits=False), ["site-1"])

    assert not pending[0].future.done()


def test_an_answer_ends_the_waiting() -> None:
    waits, backend = Waits(), Carried()
    Watched(backend, waits, "site-1").start(Call("f"), ["site-2"])
    backend.open["site-2"].set_result(1)

    assert repr(waits) == "<Waits none>"
