"""The same recipe gives the same values and the same errors in every environment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from federation import Client, recipe
from waiting import wait_for

from fox_hpc import ClientApp, ExecEnv, HpcEnv, PocEnv, SimEnv


@pytest.fixture(params=["sim", "poc", "hpc"])
def env(request: pytest.FixtureRequest, tmp_path: Path) -> ExecEnv:
    made: dict[str, ExecEnv] = {
        "sim": SimEnv(2, tmp_path),
        "poc": PocEnv(2, tmp_path),
        "hpc": HpcEnv(2, "fake-slurm", tmp_path),
    }
    return made[request.param]


def test_a_whole_run_gives_the_same_value_curves_and_last_words(env: ExecEnv):
    run = recipe("average").execute(env)

    # Sites train on copies of their own, and are averaged in order.
    assert np.array_equal(run.result(60), np.full(3, 4.5))
    assert run.status == "DONE"
    assert (run.record().round, run.record().rounds) == (3, 3)
    assert {site.state for site in run.record().sites.values()} == {"DONE"}
    rows = sorted(run.scalars())
    assert [row for row in rows if row[0] == "server"] == [
        ("server", "mean", n, 1.5 * (n + 1)) for n in range(3)
    ]
    assert [row for row in rows if row[0] == "site-2"] == [
        ("site-2", "calls", n, float(n)) for n in (1, 2, 3)
    ]
    # `init` has run before everything else, `final` after it.
    assert sorted(path.read_text() for path in run.workspace.glob("sites/**/final")) == ["3", "3"]


def test_a_site_can_call_the_server(env: ExecEnv):
    answers, greeted = recipe("names").execute(env).result(60)

    assert answers == {"site-1": "hello site-1", "site-2": "hello site-2"}
    assert greeted == ["site-1", "site-2"]


def test_errors_are_the_same(env: ExecEnv):
    told = recipe("errors").execute(env).result(60)

    assert told == EXPECTED


def test_a_cancelled_run_ends_at_once_and_says_so(env: ExecEnv):
    from fox_hpc import RunCancelled

    run = recipe("hang").execute(env)
    wait_for(lambda: len(list(run.workspace.glob("sites/**/waiting"))) == 2)
    run.cancel()

    with pytest.raises(RunCancelled):
        run.result(30)
    assert run.status == "CANCELLED"


def boom(site: str) -> tuple[str, dict[str, Any]]:
    facts = {
        "site": site,
        "func": "boom",
        "type_name": "ValueError",
        "message": f"bad day at {site}",
        "rank": 0,
    }
    return "RemoteError", facts


KNOWN = tuple(sorted(ClientApp(Client()).collab))
CANNOT = (
    "a value of type {} cannot travel; plain values, numpy arrays, torch tensors, FLModel and dataclasses "
    "decorated with @fox_hpc.register can"
)
EXPECTED = [
    boom("site-1"),
    ("NoSuchFunction", {"site": "site-1", "func": "nothing_of_that_name", "known": KNOWN}),
    (
        "RemoteError",
        {
            "site": "site-1",
            "func": "unsendable",
            "type_name": "CodecError",
            "message": "$.result.lock: " + CANNOT.format("_thread.lock"),
            "rank": 0,
        },
    ),
    ("CodecError", {"path": "$.args[0]", "problem": CANNOT.format("builtins.object")}),
    ("GroupError", {"func": "boom", "needed": 2, "failures": {"site-1": boom("site-1")}}),
    ("CallTimeout", {"site": "site-1", "func": "wait_until_told"}),
    ("some", ["fine"], {"site-1": boom("site-1")}),
    ("optional", None),
]
