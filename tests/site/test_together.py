"""Ranks in step: whose answer counts, and when rank 0 gives up."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from fox_hpc.call import Fault, Pending, Reply
from fox_hpc.errors import RemoteError
from fox_hpc.site.together import Together


class Later:
    """Keeps what is to run later, until the test says that the time has come."""

    def __init__(self) -> None:
        self.actions: list[Callable[[], None]] = []

    def __call__(self, delay_s: float, action: Callable[[], None]) -> None:
        self.actions.append(action)

    def come(self) -> None:
        for action in self.actions:
            action()


def ranks(count: int) -> list[Pending]:
    return [Pending(str(rank), str(rank), Future[Any]()) for rank in range(1, count)]


def failed(rank: int) -> RemoteError:
    return RemoteError("ValueError", "bad", traceback="trace", rank=rank, host="node2")


def test_rank_zero_answers_when_all_came_out():
    others = ranks(3)
    for one in others:
        one.future.set_result(None)

    assert Together(others, Later(), stuck.append).finish(Reply(5)) == (Reply(5), True)


def test_a_failure_of_one_rank_fails_the_call_and_breaks_the_step():
    others = ranks(3)
    others[0].future.set_result(None)
    others[1].future.set_exception(failed(2))

    reply, agree = Together(others, Later(), stuck.append).finish(Reply(5))

    assert reply.fault == Fault("remote", "ValueError", "bad", traceback="trace", rank=2, host="node2")
    assert not agree


def test_ranks_that_all_fail_are_still_in_step():
    others = ranks(2)
    others[0].future.set_exception(failed(1))

    reply, agree = Together(others, Later(), stuck.append).finish(Reply(fault=Fault("remote", "ValueError")))

    assert reply.fault is not None
    assert agree


def test_ranks_that_raise_the_same_are_told_by_the_lowest_whoever_is_heard_first():
    others = ranks(3)
    others[1].future.set_exception(failed(2))
    others[0].future.set_exception(failed(1))
    own = Reply(fault=Fault("remote", "ValueError", "bad", traceback="trace", rank=0, host="node1"))

    reply, agree = Together(others, Later(), stuck.append).finish(own)

    assert (reply.fault, agree) == (own.fault, True)


def test_what_was_raised_first_is_the_cause_and_not_what_a_lower_rank_raised_after_it():
    others = ranks(3)
    others[1].future.set_exception(failed(2))
    others[0].future.set_result(None)

    reply, _ = Together(others, Later(), stuck.append).finish(
        Reply(fault=Fault("remote", "RuntimeError", "connection closed by peer", rank=0))
    )

    assert reply.fault is not None
    assert reply.fault.rank == 2


def test_a_rank_that_stays_inside_after_another_failed_is_given_up():
    others, later, told = ranks(3), Later(), []
    Together(others, later, told.append)
    others[1].future.set_exception(failed(2))
    later.come()

    assert [fault.rank for fault in told] == [2]


def test_nobody_is_given_up_while_no_rank_failed():
    others, later, told = ranks(3), Later(), []
    Together(others, later, told.append)
    others[0].future.set_result(None)
    later.come()

    assert told == []


stuck: list[Fault] = []
