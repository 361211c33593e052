"""What sites log arrives, from every rank, whole and in order; and what happens where it cannot."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import psutil
import pytest
from logging_sites import FOUR_RANKS, RANKS, Own, recipe
from waiting import wait_for, words_of

from fox_hpc import HpcEnv, PocEnv, SimEnv
from fox_hpc.cli.summary import tracking_facts
from fox_hpc.metric import Entry, Fact, Point
from fox_hpc.record import load_record

accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")


@pytest.mark.timeout(300)
def test_a_hundred_thousand_numbers_of_four_ranks_arrive_whole_and_in_order(tmp_path: Path):
    each = 100_000 // RANKS
    own = Own()
    made = recipe(["tensorboard", own], "flood", each, **FOUR_RANKS)
    run = made.execute(HpcEnv(1, "fake-slurm", tmp_path, fake={"nodes": 2}))
    run.result(250)

    events = accumulator.EventAccumulator(
        str(run.workspace / "tensorboard" / "site-1"), size_guidance={"scalars": 0}
    ).Reload()
    for rank in range(RANKS):
        tag = f"rank{rank}/step"
        assert [(one.step, one.value) for one in events.Scalars(tag)] == [(n, n) for n in range(each)]
        points = [one for one in own.got["site-1"] if isinstance(one, Point) and one.tag == tag]
        assert [one.step for one in points] == list(range(each))
    assert (run.record().dropped, run.record().unwritten) == ({}, {})
    assert (own.run and own.run.folder, own.closed) == (run.workspace, True)


def relay() -> psutil.Process:
    found = psutil.Process().children(recursive=True)
    [one] = [each for each in found if "fox_hpc.site.relay" in words_of(each)]
    return one


def test_what_is_logged_while_the_relay_is_dead_arrives_once_and_in_order(tmp_path: Path):
    own, stop = Own(), tmp_path / "stop"
    run = recipe(own, "log_until", str(stop)).execute(HpcEnv(1, "fake-slurm", tmp_path))
    wait_for(lambda: run.scalars())
    relay().kill()
    wait_for(lambda: "killed by signal 9" in " ".join(run.record().notices))
    seen = len(own.got["site-1"])
    wait_for(lambda: len(own.got["site-1"]) > seen + 100)
    stop.touch()
    [count] = run.result(60)

    assert [one.step for one in own.got["site-1"] if isinstance(one, Point)] == list(range(count))
    assert run.record().dropped == {}


@pytest.mark.parametrize("env", [SimEnv, PocEnv])
def test_every_look_alike_works_at_every_site(env: type[SimEnv] | type[PocEnv], tmp_path: Path):
    own = Own()
    recipe(own, "use_all").execute(env(2, tmp_path)).result(100)

    for site in ("site-1", "site-2"):
        points = [(one.tag, one.value, one.step) for one in own.got[site] if isinstance(one, Point)]
        assert points == [("tb/loss", 0.5, 1), ("ml/loss", 0.25, 2), ("wb/loss", 0.125, 3)]
        params = {one.name: one.value for one in own.got[site] if isinstance(one, Fact)}
        assert (params["lr"], params["layers"]) == (0.1, 3)


class Full(Own):
    """A receiver whose disk is full."""

    name = "full"

    def receive(self, site: str, entries: Sequence[Entry]) -> None:
        raise OSError("no space left on device")


def test_a_receiver_that_fails_ends_no_run_and_is_told_of_in_its_record(tmp_path: Path):
    good = Own()
    run = recipe([Full(), good], "flood", 10).execute(SimEnv(1, tmp_path))
    run.result(100)

    record = load_record(run.workspace)
    assert record.state == "DONE"
    assert record.unwritten == {"full": 10}
    assert record.notices == [
        "tracking: full could not write 10 logged values of site-1: no space left on device"
    ]
    assert len(good.got["site-1"]) == 10
    assert tracking_facts(record) == [("lost", "10 logged values could not be written by full")]


def test_what_a_site_has_dropped_is_told_in_the_record_and_at_the_end(tmp_path: Path):
    made = recipe(None, "flood", 1)
    run = made.execute(SimEnv(1, tmp_path))
    run.result(100)
    record = run.record()
    record.dropped = {"site-1": 1, "site-2": 20}

    assert tracking_facts(record) == [
        ("lost", "1 logged value of site-1 was dropped on its way"),
        ("lost", "20 logged values of site-2 were dropped on their way"),
    ]
