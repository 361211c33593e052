"""Four ranks on two fake nodes: all enter, and none is left hanging."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ranked import collab_recipe, script_recipe

from fox_hpc import FoxRecipe, HpcEnv, Run

ON_SLURM = pytest.param("slurm", marks=[pytest.mark.cluster, pytest.mark.again])


@pytest.fixture(params=["fake-slurm", ON_SLURM])
def execute(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    def run(recipe: FoxRecipe) -> Run:
        fake = {"nodes": 2} if request.param == "fake-slurm" else None
        return recipe.execute(HpcEnv(1, request.param, tmp_path, fake=fake))

    return run


def traces(run: Run) -> list[list[str]]:
    """Give what each rank has noted."""
    folder = run.workspace / "sites" / "site-1" / "attempt-1"
    return [(folder / f"rank-{rank}").read_text().split() for rank in range(4)]


def test_all_ranks_enter_every_call_in_order_and_rank_zero_answers(execute: Any) -> None:
    run = execute(collab_recipe("enter"))

    assert run.result(60) == (0, 0, 0)
    assert traces(run) == [["init", "a", "b", "c", "final"]] + [["init", "a", "c", "final"]] * 3
    assert run.record().sites["site-1"].state == "DONE"


def test_every_rank_makes_each_chunk_of_a_stream_and_one_alone_can_read_one(execute: Any) -> None:
    run = execute(collab_recipe("streams"))

    between, rest, refused, alone = run.result(60)
    assert (between, rest, alone) == ((0, 0), [0, 0], [0])
    assert (refused[0], refused[1].endswith("or one call for each chunk")) == ("RecipeError", True)
    assert [trace[:5] for trace in traces(run)] == [["init", "a", "b", "between", "c"]] * 4


def test_ranks_that_all_raise_stay_in_step_and_serve_the_next_call(execute: Any) -> None:
    failed, after = execute(collab_recipe("all_raise")).result(60)

    assert failed[0] == "ValueError"
    assert after == 0


def test_an_exception_on_one_rank_comes_home_with_its_traceback_and_ends_the_job(execute: Any) -> None:
    run = execute(collab_recipe("one_raises"))
    (type_name, message, rank, host, trace), after = run.result(60)

    assert (type_name, message, rank) == ("ValueError", "bad day on rank 3", 3)
    assert host
    assert "ranked.py" in trace
    assert 'raise ValueError(f"bad day' in trace
    assert after[:2] == ("SiteLost", "FAILED")


def test_every_rank_that_asks_receives_each_model(execute: Any) -> None:
    run = execute(script_recipe("rounds", "script_all_ranks"))

    assert run.result(60) == [{"n": n + 10, "rank": 0} for n in range(3)]
    assert traces(run) == [["0", "1", "2"]] * 4
    assert (run.record().round, run.record().rounds) == (3, 3)


def test_rank_zero_may_be_the_only_one_that_receives(execute: Any) -> None:
    run = execute(script_recipe("rounds", "script_rank_zero"))

    assert run.result(60) == [{"n": n + 10, "rank": 0} for n in range(3)]
    assert run.record().sites["site-1"].state == "DONE"


def test_a_script_that_raises_on_one_rank_fails_the_call_with_that(execute: Any) -> None:
    type_name, message, rank, _, trace = execute(script_recipe("one_round", "script_one_rank_raises")).result(
        60
    )

    assert (type_name, message, rank) == ("ValueError", "bad day on rank 2", 2)
    assert "script_one_rank_raises.py" in trace


def test_an_init_that_fails_on_one_rank_fails_the_first_call_with_that(execute: Any) -> None:
    type_name, message, rank, *_ = execute(collab_recipe("enter_badly")).result(60)

    assert (type_name, message, rank) == ("ValueError", "no data on rank 1", 1)


def test_a_rank_that_is_killed_is_the_cause_and_not_what_the_others_raise_of_it(execute: Any) -> None:
    run = execute(script_recipe("one_round", "script_one_rank_dies"))

    assert run.result(60)[:2] == ("SiteLost", "FAILED")
