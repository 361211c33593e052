"""A hundred scenarios come to the same in every environment: values, errors, order."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import scenarios_calls
import scenarios_errors
import scenarios_places
import scenarios_values
from scenarios import SCENARIOS, recipe, same

from fox_hpc import ExecEnv, HpcEnv, PocEnv, SimEnv

ASKED_OF_THE_SERVER = (scenarios_calls, scenarios_errors, scenarios_places, scenarios_values)
START_RANKS = f"{sys.executable} {Path(__file__).with_name('start_ranks.py')}"


def sim(folder: Path) -> tuple[ExecEnv, dict[str, Any]]:
    return SimEnv(2, folder), {}


def poc_in_process(folder: Path) -> tuple[ExecEnv, dict[str, Any]]:
    return PocEnv(2, folder), {}


def poc_one_rank(folder: Path) -> tuple[ExecEnv, dict[str, Any]]:
    return PocEnv(2, folder), {"inprocess": False, "run_cmd": f"{START_RANKS} 1"}


def poc_four_ranks(folder: Path) -> tuple[ExecEnv, dict[str, Any]]:
    return PocEnv(2, folder), {"inprocess": False, "run_cmd": f"{START_RANKS} 4"}


def fake_slurm(folder: Path) -> tuple[ExecEnv, dict[str, Any]]:
    return HpcEnv(2, "fake-slurm", folder), {}


@pytest.mark.parametrize("make", [sim, poc_in_process, poc_one_rank, poc_four_ranks, fake_slurm])
def test_every_scenario_comes_to_what_it_must(make: Any, tmp_path: Path) -> None:
    env, arguments = make(tmp_path)

    told = recipe(**arguments).execute(env).result(100)

    assert list(told) == [scenario.says for scenario in SCENARIOS]
    wrong = [
        f"{scenario.says}: {told[scenario.says]!r} and not {scenario.expected!r}"
        for scenario in SCENARIOS
        if not same(told[scenario.says], scenario.expected)
    ]
    assert not wrong, "\n" + "\n".join(wrong)


def test_scenarios_have_different_names() -> None:
    names = [scenario.says for scenario in SCENARIOS]

    assert sorted(set(names)) == sorted(names)
    assert len(names) >= 90
