"""Streams as arguments and as results: the same in threads and in processes."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import streaming
from waiting import wait_for

from fox_hpc import HpcEnv, PocEnv, SimEnv
from fox_hpc.fake import FakeCluster

REFUSED_CALLED = (
    "ping() was given a generator by a function that is itself being called: only the algorithm can send a "
    "stream; return the generator instead, and its caller reads it"
)
OVER = "the call that this stream is an argument of is over, or its caller has given it up"

EXPECTED: dict[str, Any] = {
    "argument": 45,
    "named_argument": 6,
    "argument_of_a_coroutine": "abc",
    "all_sites_see_all_chunks": [("site-1", 1225), ("site-2", 1225)],
    "arrays": [0, 1000, 2000],
    "a_generator_that_raises": ([0, 1], "RemoteError", "nothing left"),
    "a_reader_that_lets_it_break": (
        "RemoteError",
        "RemoteError",
        "add_up() at server rank 0 raised ValueError: nothing left",
    ),
    "a_reader_that_stops_early": ([0, 1], ["closed"]),
    "one_site_stops_early": [("site-1", 0), ("site-2", 190)],
    "a_chunk_that_cannot_travel": ([1], "RemoteError"),
    "a_call_whose_time_is_up": ("CallTimeout", "", "take_for_ever() at site-1 did not answer within 0.3 s"),
    "kept_beyond_its_call": ("RemoteError", "StreamBroken", f"the stream for keep(): {OVER}"),
    "with_too_little_parallel": (
        "RecipeError",
        "",
        "add_up() was given a generator with parallel=1: its chunks go to all 2 sites in step; parallel=0 is "
        "right, or one generator and one call for each site",
    ),
    "result": (True, [0, 1, 2, 3, 4], []),
    "async_result": ["a", "b", "c"],
    "results_of_all_sites": {"site-1": [0, 1, 2], "site-2": [0, 1, 2]},
    "calls_between_chunks": (0, 3, [1, 2]),
    "a_result_that_raises": ([0, 1], "RemoteError", "ValueError", True),
    "a_result_that_is_not_read_to_its_end": 0,
    "a_chunk_whose_time_is_up": ("CallTimeout", "", "stall() at site-1 did not answer within 0.3 s"),
    "there_and_back": [0, 2, 4, 6],
    "from_site_to_site": 10,
    "from_a_site_to_itself": (
        "RecipeError",
        "",
        "add_up() was given a stream that site-1 makes and would have to read at the same time: send it to "
        "other sites, or read it into a list",
    ),
    "from_the_server": [15, 15],
    "of_a_function_that_is_called": ("RemoteError", "RecipeError", REFUSED_CALLED),
    "late": [0, 1],
    "much_there_and_back": (True, 60),
}


@pytest.fixture(scope="module", params=[SimEnv, PocEnv], ids=["sim", "poc"])
def found(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("streams")
    # Threads do not die.
    plans = (*EXPECTED, "dies") if request.param is PocEnv else tuple(EXPECTED)
    run = streaming.recipe(streaming.Server(plans)).execute(request.param(2, folder))
    told: dict[str, Any] = run.result(60)
    return told


@pytest.mark.parametrize("plan", EXPECTED)
def test_stream(plan: str, found: dict[str, Any]) -> None:
    assert found[plan] == EXPECTED[plan]


@pytest.mark.parametrize("found", [PocEnv], ids=["poc"], indirect=True)
def test_a_site_that_dies_in_the_middle_of_its_stream_is_lost(found: dict[str, Any]) -> None:
    kind, _, words = found["dies"]

    assert (kind, "exit code 7" in words) == ("SiteLost", True)


def test_streams_of_a_job_that_is_taken_away_end_with_errors_that_say_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FakeCluster(nodes=1, cpus=2, kill_wait_s=0.5) as cluster:
        for name, value in cluster.env.items():
            monkeypatch.setenv(name, value)
        server = streaming.Server(("taken_away", "taken_away_from_its_argument"))
        run = streaming.recipe(server).execute(HpcEnv(1, "slurm", tmp_path, poll_s=0.2))

        def take_away(attempt: int) -> None:
            job = run.record().sites["site-1"].job_id
            subprocess.run(["scontrol", "update", f"jobid={job}", "timelimit=0:01"], check=True, timeout=30)
            wait_for(lambda: run.record().sites["site-1"].attempts == attempt)

        server.take_away = take_away
        told = run.result(90)

    first, (kind, _, words), again = told["taken_away"]
    assert (first, kind, again) == (0, "SiteLost", [0, 1])
    assert "call the function again" in words
    kind, remote, words = told["taken_away_from_its_argument"]
    assert (kind, remote) == ("RemoteError", "StreamBroken")
    assert "read in part by an earlier attempt" in words
