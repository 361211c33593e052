"""NVFlare's Collab names on fox-hpc: code that is written for it, with another import line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fox_hpc import FoxError, RecipeError, RemoteError
from fox_hpc.compat.collab import (
    CollabCallError,
    CollabRecipe,
    Context,
    GroupCallContext,
    SimEnv,
    collab,
)


class Trainer:
    """A site: what may be called there."""

    def __init__(self) -> None:
        self.began = False

    @collab.init
    def begin(self) -> None:
        self.began = True

    @collab.publish
    def train(self, weights: float) -> float:
        assert self.began
        if collab.site_name == "site-2" and weights < 0:
            raise ValueError("no negative weights here")
        return weights + int(collab.site_name[-1])

    @collab.publish
    def who(self, context: Context) -> str:
        context.set_prop("seen", True)
        assert collab.get_prop("seen") is True
        return f"{context} {collab.caller} {collab.callee}"

    @collab.publish
    def count(self) -> int:
        collab.set_app_prop("count", collab.get_app_prop("count", 0) + 1)
        assert collab.get_prop("seen") is None
        return int(collab.get_app_prop("count"))


class Steps:
    """A server whose algorithm is the test's own."""

    def __init__(self, steps: Callable[[], Any]) -> None:
        self.steps = steps

    @collab.main
    def run(self) -> Any:
        return self.steps()


def run(steps: Callable[[], Any], folder: Path, sites: int = 3) -> Any:
    recipe = CollabRecipe("ported", Steps(steps), Trainer(), min_clients=sites)
    return recipe.execute(SimEnv(num_clients=sites, workspace=folder)).result()


def test_results_are_pairs_of_site_and_result_and_can_be_read_twice(tmp_path: Path) -> None:
    def steps() -> Any:
        results = collab.clients.train(1.0)
        return [len(results), list(results), dict(results), results.failures]

    pairs = [("site-1", 2.0), ("site-2", 3.0), ("site-3", 4.0)]

    assert run(steps, tmp_path) == [3, pairs, dict(pairs), {}]


def test_a_site_that_fails_is_a_failure_beside_the_results_and_raises_nothing(tmp_path: Path) -> None:
    def steps() -> Any:
        results = collab.clients(timeout=60).train(-1.0)
        return results, results.failures["site-2"]

    results, error = run(steps, tmp_path)

    assert [site for site, _ in results] == ["site-1", "site-3"]
    assert (error.site, error.func_name, error.cause_type) == ("site-2", "train", "ValueError")
    assert str(error) == "call to site-2.train failed: no negative weights here"
    assert "raise ValueError" in error.remote_traceback
    assert isinstance(error.cause, RemoteError)


def test_one_site_that_fails_raises_unless_the_call_is_optional(tmp_path: Path) -> None:
    def steps() -> Any:
        site = collab.get_clients(["site-2"])[0]
        return [
            site.name,
            site.train(1.0),
            site(optional=True).train(-1.0),
            site(expect_result=False).train(1.0),
        ]

    assert run(steps, tmp_path) == ["site-2", 3.0, None, None]
    with pytest.raises(CollabCallError, match=r"call to site-2\.train failed: no negative weights here"):
        run(lambda: collab.clients[1].train(-1.0), tmp_path)


def test_a_call_that_is_not_waited_for_gives_each_pair_once(tmp_path: Path) -> None:
    def steps() -> Any:
        stream = collab.clients(blocking=False, parallel=1).train(-1.0)
        return sorted(stream), list(stream), len(stream), list(stream.failures)

    assert run(steps, tmp_path) == ([("site-1", 0.0), ("site-3", 2.0)], [], 2, ["site-2"])


@pytest.mark.parametrize("blocking", [True, False], ids=["waited-for", "stream"])
def test_a_callback_takes_each_answer_with_its_own_arguments_and_the_sites_context(
    tmp_path: Path, blocking: bool
) -> None:
    def double(gcc: GroupCallContext, result: float, by: float, context: Context) -> float:
        assert (gcc.func_name, context.caller, context.callee) == ("train", gcc.target_name, "server")
        if gcc.target_name == "site-3":
            raise KeyError("not this one")
        return by * result

    def steps() -> Any:
        results = collab.clients(process_resp_cb=double, by=10.0, blocking=blocking).train(0.0)
        return dict(results), {site: error.cause_type for site, error in results.failures.items()}

    assert run(steps, tmp_path) == ({"site-1": 10.0, "site-2": 20.0}, {"site-3": "KeyError"})


def test_sites_are_chosen_as_before(tmp_path: Path) -> None:
    def steps() -> Any:
        return [
            [site.name for site in collab.clients[1:]],
            [name for name, _ in collab.get_clients(["site-3", "site-1"]).train(0.0)],
            len(collab.child_clients) == len(collab.leaf_clients) == len(collab.other_clients) == 3,
            collab.clients[0] in collab.clients,
            collab.has_children,
            collab.is_aborted,
        ]

    expected = [["site-2", "site-3"], ["site-3", "site-1"], True, True, True, False]

    assert run(steps, tmp_path) == expected
    with pytest.raises(RecipeError, match="there is no site 'site-9'"):
        run(lambda: collab.get_clients(["site-9"]), tmp_path)


def test_a_context_is_filled_in_and_its_values_end_with_the_call(tmp_path: Path) -> None:
    def steps() -> Any:
        site = collab.clients[0]
        return [site.who(), site.count(), site.count(), collab.clients[1].count()]

    assert run(steps, tmp_path) == ["site-1:server=>site-1 server site-1", 1, 2, 1]


def test_each_place_has_the_props_that_were_set_for_it(tmp_path: Path) -> None:
    class Asked:
        @collab.publish
        def ask(self) -> list[Any]:
            return [
                collab.get_app_prop("lr"),
                collab.get_app_prop("epochs", 1),
                collab.get_app_prop("rounds"),
            ]

    def steps() -> Any:
        return collab.get_app_prop("rounds"), collab.get_app_prop("lr", "none"), dict(collab.clients.ask())

    recipe = CollabRecipe("ported", Steps(steps), Asked(), min_clients=2)
    recipe.set_client_prop("lr", 0.1)
    recipe.set_server_prop("rounds", 3)
    recipe.set_per_site_config({"site-2": {"lr": 0.2, "epochs": 5}})
    told = recipe.execute(SimEnv(workspace=tmp_path)).result()

    assert told == (3, "none", {"site-1": [0.1, 1, None], "site-2": [0.2, 5, None]})
    assert recipe.described()["server_props"] == {"rounds": 3}


def test_sub_objects_are_called_by_name_or_by_target(tmp_path: Path) -> None:
    class Evaluator:
        @collab.publish
        def score(self, weights: float) -> float:
            return 2 * weights

    def steps() -> Any:
        site = collab.clients[0]
        named, targeted = site.evaluator.score(2.0), site(target="evaluator").score(3.0)
        return named, targeted, dict(collab.clients(target="evaluator").score(1.0))

    recipe = CollabRecipe(
        "ported", Steps(steps), Trainer(), client_objects={"evaluator": Evaluator()}, min_clients=2
    )

    assert recipe.execute(SimEnv(workspace=tmp_path)).result() == (4.0, 6.0, {"site-1": 2.0, "site-2": 2.0})


def test_sites_call_each_other(tmp_path: Path) -> None:
    class Peer:
        @collab.publish
        def pass_on(self) -> list[tuple[str, str]]:
            return list(collab.other_clients.hello())

        @collab.publish
        def hello(self) -> str:
            return f"{collab.caller} called {collab.site_name}"

    told = CollabRecipe("ported", Steps(lambda: collab.clients[0].pass_on()), Peer(), min_clients=3)

    assert told.execute(SimEnv(workspace=tmp_path)).result() == [
        ("site-2", "site-1 called site-2"),
        ("site-3", "site-1 called site-3"),
    ]


def test_what_the_main_function_returned_is_there_at_the_end(tmp_path: Path) -> None:
    class Server:
        @collab.main
        def run(self) -> int:
            return 42

        @collab.final
        def end(self) -> None:
            (collab.workspace / "result.txt").write_text(str(collab.get_result()))

    ended = CollabRecipe("ported", Server(), Trainer()).execute(SimEnv(workspace=tmp_path))
    folder = Path(ended.get_result())

    assert (folder / "result.txt").read_text() == "42"
    assert (ended.get_status(), ended.get_job_id()) == ("DONE", folder.name)


def test_a_script_without_classes_is_both_server_and_client(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ported_script.py").write_text(
        "from fox_hpc.compat.collab import CollabRecipe, collab\n\n"
        "@collab.publish\ndef double(x):\n    return 2 * x\n\n"
        "@collab.main\ndef run():\n    return sum(value for _, value in collab.clients.double(3))\n\n"
        "recipe = CollabRecipe('script', min_clients=2)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    import ported_script

    assert ported_script.recipe.execute(SimEnv(workspace=tmp_path)).result() == 12


def test_thread_pools_of_flare_are_named_in_the_log_and_left_out(caplog: pytest.LogCaptureFixture) -> None:
    CollabRecipe("ported", Steps(int), Trainer(), sync_task_timeout=30, max_call_threads_for_server=5)

    assert [record.message for record in caplog.records] == [
        "CollabRecipe(max_call_threads_for_server=5): not needed here, and left out",
        "CollabRecipe(sync_task_timeout=30): not needed here, and left out",
    ]


def test_what_is_not_here_says_where_to_look(tmp_path: Path) -> None:
    with pytest.raises(AttributeError, match=r"collab has no 'fl_ctx' here; docs/porting\.md says"):
        _ = collab.fl_ctx
    with pytest.raises(RecipeError, match="clean_up=False is right"):
        CollabRecipe("ported", Steps(int), Trainer()).execute(SimEnv(workspace=tmp_path)).get_result(
            clean_up=True
        )
    with pytest.raises(FoxError, match="inside a run"):
        _ = collab.clients
