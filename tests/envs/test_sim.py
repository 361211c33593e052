"""SimEnv: whole runs on threads."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fox_hpc import (
    CallTimeout,
    CodecError,
    FoxClientAPI,
    FoxError,
    FoxRecipe,
    FoxSimulator,
    GroupError,
    NoSuchFunction,
    RecipeError,
    RemoteError,
    Run,
    RunCancelled,
    SimEnv,
    SummaryWriter,
    fox,
    get_client_api,
)

released = threading.Event()


class Server:
    """Runs whatever function it is given as its algorithm."""

    def __init__(self, algorithm: Callable[[], Any]) -> None:
        self._algorithm = algorithm

    @fox.algo
    def run(self) -> Any:
        return self._algorithm()

    @fox.collab
    def double(self, value: int) -> tuple[str, int]:
        return fox.caller, 2 * value


class Site:
    def __init__(self) -> None:
        self.began = self.ended = 0

    @fox.init
    def begin(self) -> None:
        self.began += 1

    @fox.collab
    def who(self) -> tuple[str, str, int]:
        return fox.site_name, fox.caller, self.began

    @fox.collab
    def echo(self, value: Any) -> Any:
        return value

    @fox.collab
    def scribble(self, array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        array += 1
        return array

    @fox.collab
    def fail(self, at: str) -> str:
        if fox.site_name == at:
            raise ValueError(f"broken at {at}")
        return fox.site_name

    @fox.collab
    def open_file(self) -> Any:
        return {"file": threading.Lock()}

    @fox.collab
    def wait_until_aborted(self) -> str:
        while not fox.is_aborted:
            released.wait(0.005)
        released.set()
        return "aborted"

    @fox.collab
    def ask_server(self, value: int) -> Any:
        return fox.server.double(value)

    @fox.collab
    def ask_other(self) -> Any:
        return fox.other_clients.echo(1).items()

    @fox.collab
    def folder(self) -> str:
        (fox.workspace / "note").write_text(fox.site_name)
        return str(fox.workspace)

    @fox.collab
    def pool_names(self) -> list[str]:
        return list(POOL.map(lambda _: fox.site_name, range(3)))

    @fox.collab
    def log(self, value: float) -> None:
        SummaryWriter().add_scalar("loss", value, global_step=1)


POOL = ThreadPoolExecutor(2)


@pytest.fixture(autouse=True)
def _reset() -> None:
    released.clear()


@pytest.fixture
def start(tmp_path: Path) -> Callable[..., Run]:
    def start(algorithm: Callable[[], Any], *, sites: int = 3, client: Any = None, **arguments: Any) -> Run:
        recipe = FoxRecipe("sim", sites, Server(algorithm), client or Site(), **arguments)
        return recipe.execute(SimEnv(sites, workspace=tmp_path))

    return start


@pytest.fixture
def result(start: Callable[..., Run]) -> Callable[..., Any]:
    return lambda algorithm, **arguments: start(algorithm, **arguments).result(20)


def test_each_site_has_its_own_name_object_and_beginning(result: Any) -> None:
    assert result(lambda: list(fox.clients.who())) == [(f"site-{n}", "server", 1) for n in (1, 2, 3)]


def test_sites_are_as_many_as_min_clients_when_nobody_says(tmp_path: Path) -> None:
    recipe = FoxRecipe("sim", 4, Server(lambda: len(fox.clients)), Site())

    assert recipe.execute(SimEnv(workspace=tmp_path)).result() == 4


def test_values_come_back_as_they_were_sent(result: Any) -> None:
    value = {"a": (1, 2.5, None), "b": [True, b"x", {3}], "c": np.arange(3, dtype=np.float32)}
    answer = result(lambda: fox.clients["site-1"].echo(value))

    assert (answer["a"], answer["b"], answer["c"].dtype) == (value["a"], value["b"], np.float32)


def test_sites_share_no_memory_with_the_server_or_each_other(result: Any) -> None:
    mine = np.zeros(100_000)
    answers = result(lambda: list(fox.clients.scribble(mine)))

    assert mine.sum() == 0
    assert [float(answer.mean()) for answer in answers] == [1, 1, 1]


def test_arguments_are_taken_when_the_call_is_made(result: Any) -> None:
    def algorithm() -> list[float]:
        array = np.zeros(10)
        handle = fox.clients(blocking=False).echo(array)
        array += 1
        return [float(answer.sum()) for answer in handle.results()]

    assert result(algorithm) == [0, 0, 0]


def test_remote_error_names_type_site_and_place(result: Any) -> None:
    with pytest.raises(RemoteError) as caught:
        result(lambda: fox.clients["site-2"].fail("site-2"))
    error = caught.value

    assert (error.type_name, error.message, error.site) == ("ValueError", "broken at site-2", "site-2")
    assert (error.func, error.rank, error.host) == ("fail", 0, socket.gethostname())
    assert 'raise ValueError(f"broken at {at}")' in error.traceback


def test_failures_of_a_run_are_kept(start: Any) -> None:
    run = start(lambda: len(fox.clients(min_success=2).fail("site-2")))

    assert run.result() == 2
    assert list(run.failures) == ["site-2"]


def test_a_call_that_the_algorithm_gave_up_is_no_failure_of_its_site(start: Any) -> None:
    def algorithm() -> int:
        handle = fox.clients(blocking=False, min_success=0).wait_until_aborted()
        handle.cancel()
        return len(handle.results())

    run = start(algorithm)

    assert (run.result(), run.failures, run.record().failures) == (0, {}, {})


def test_group_error_is_the_error_of_the_run(start: Any) -> None:
    run = start(lambda: fox.clients.fail("site-1"))

    with pytest.raises(GroupError, match="3 needed") as caught:
        run.result()
    assert (run.status, caught.value.failures["site-1"].func) == ("FAILED", "fail")


def test_algorithms_own_error_is_the_error_of_the_run(result: Any) -> None:
    def algorithm() -> None:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        result(algorithm)


def test_argument_that_cannot_travel_raises_at_the_caller_with_its_path(result: Any) -> None:
    with pytest.raises(CodecError) as caught:
        result(lambda: fox.clients.echo(value={"model": {"file": threading.Lock()}}))

    assert caught.value.path == "$.kwargs.value.model.file"


def test_answer_that_cannot_travel_is_a_remote_error_at_once(result: Any) -> None:
    with pytest.raises(
        RemoteError, match=r"result\.file: a value of type _thread\.lock cannot travel"
    ) as caught:
        result(lambda: fox.clients["site-1"].open_file())

    assert caught.value.type_name == "CodecError"


def test_function_that_is_not_marked_cannot_be_called(result: Any) -> None:
    with pytest.raises(NoSuchFunction, match=r"site-1 has no @fox\.collab function 'begin'"):
        result(lambda: fox.clients["site-1"].begin())


def test_timeout_fails_the_call_and_reaches_the_site(result: Any) -> None:
    with pytest.raises(CallTimeout, match=r"within 0\.05 s"):
        result(lambda: fox.clients["site-1"](timeout=0.05).wait_until_aborted())

    assert released.wait(5)


def test_site_goes_on_after_a_call_that_timed_out(result: Any) -> None:
    def algorithm() -> Any:
        fox.clients["site-1"](timeout=0.05, optional=True).wait_until_aborted()
        return fox.clients["site-1"].echo("still there")

    assert result(algorithm) == "still there"


def test_cancel_ends_a_waiting_run(start: Any) -> None:
    run = start(lambda: fox.clients.wait_until_aborted())
    run.cancel()

    with pytest.raises(RunCancelled):
        run.result(10)
    assert run.status == "CANCELLED"


def test_stop_of_the_environment_ends_its_runs(tmp_path: Path) -> None:
    env = SimEnv(2, workspace=tmp_path)
    recipe = FoxRecipe("sim", 2, Server(lambda: fox.clients.wait_until_aborted()), Site())
    runs = [recipe.execute(env), recipe.execute(env)]
    env.stop()

    assert [run.status for run in runs] == ["CANCELLED", "CANCELLED"]


def test_result_of_a_run_that_goes_on_times_out(start: Any) -> None:
    run = start(lambda: fox.clients.wait_until_aborted())

    with pytest.raises(TimeoutError, match=r"has not ended after 0\.01 s"):
        run.result(0.01)
    run.cancel()
    run.wait()


def test_init_that_fails_is_the_error_of_each_call(result: Any) -> None:
    class Unready(Site):
        @fox.init
        def begin(self) -> None:
            raise OSError("no data here")

    with pytest.raises(RemoteError, match=r"who\(\) at site-1 rank 0 .* raised OSError: no data here"):
        result(lambda: fox.clients["site-1"].who(), client=Unready())


def test_sites_end_before_the_server(tmp_path: Path) -> None:
    ended: list[str] = []

    class Ending(Site):
        def __deepcopy__(self, memo: Any) -> Ending:
            return Ending()

        @fox.final
        def end(self) -> None:
            ended.append(fox.site_name)

    class EndingServer(Server):
        @fox.final
        def end(self) -> None:
            ended.append(fox.site_name)

    recipe = FoxRecipe("sim", 2, EndingServer(lambda: 1), Ending())
    recipe.execute(SimEnv(2, workspace=tmp_path)).result()

    assert (sorted(ended[:2]), ended[2:]) == (["site-1", "site-2"], ["server"])


def test_call_without_a_result_runs_before_the_end(result: Any) -> None:
    ran = threading.Event()

    class Noting(Site):
        def __deepcopy__(self, memo: Any) -> Noting:
            return Noting()

        @fox.collab
        def note(self) -> None:
            ran.set()

    result(lambda: fox.clients(expect_result=False).note(), client=Noting())

    assert ran.is_set()


def test_site_can_call_the_server(result: Any) -> None:
    assert list(result(lambda: fox.clients.ask_server(4), sites=2)) == [("site-1", 8), ("site-2", 8)]


def test_a_site_may_call_another_site(result: Any) -> None:
    assert result(lambda: fox.clients["site-1"].ask_other()) == [("site-2", 1), ("site-3", 1)]


def test_each_site_has_its_own_folder(result: Any) -> None:
    folders = list(result(lambda: fox.clients.folder()))

    assert [(Path(folder) / "note").read_text() for folder in folders] == ["site-1", "site-2", "site-3"]


def test_pool_that_sites_share_knows_each_tasks_site(result: Any) -> None:
    assert list(result(lambda: fox.clients.pool_names())) == [[f"site-{n}"] * 3 for n in (1, 2, 3)]


def test_record_of_the_run_is_on_disk_at_its_end(start: Any) -> None:
    def algorithm() -> int:
        return sum(1 for _ in fox.rounds(4))

    run = start(algorithm, sites=2)
    run.result()
    record = json.loads((run.workspace / "status.json").read_text())

    assert (record["state"], record["round"], record["rounds"], record["result"]) == ("DONE", 4, 4, 4)
    assert {name: site["state"] for name, site in record["sites"].items()} == {
        "site-1": "DONE",
        "site-2": "DONE",
    }


def test_scalars_of_all_sites_are_there_at_the_end(start: Any) -> None:
    run = start(lambda: fox.clients.log(0.5), sites=2)
    run.result()

    assert sorted(run.scalars()) == [("site-1", "loss", 1, 0.5), ("site-2", "loss", 1, 0.5)]


UNASKED = """
import sys
sys.path.insert(0, {tests!r})
from federation import recipe
from fox_hpc import SimEnv
recipe("kill_nobody").execute(SimEnv(2, {folder!r}))
"""


def test_failed_run_that_nobody_asks_is_told_at_the_end_of_the_script(tmp_path: Path) -> None:
    code = UNASKED.format(tests=str(Path(__file__).parent), folder=str(tmp_path))
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)

    assert "failed: AttributeError" in ended.stderr


def test_run_cmd_is_not_used_and_the_run_says_so(start: Any) -> None:
    run = start(lambda: 1, inprocess=False, run_cmd="torchrun --nproc_per_node=2")
    run.result()

    assert "run_cmd and hpc_config are not used" in run.record().notices[0]


def test_too_few_sites_are_refused_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="min_clients=3, but the environment has 2 sites"):
        FoxRecipe("sim", 3, Server(lambda: 1), Site()).execute(SimEnv(2, workspace=tmp_path))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [0, -1, True])
def test_wrong_number_of_sites_is_refused(number: Any) -> None:
    with pytest.raises(RecipeError, match="num_clients="):
        SimEnv(number)


def test_simulator_runs_without_a_recipe(tmp_path: Path) -> None:
    assert FoxSimulator(Server(lambda: len(fox.clients.who())), Site(), 5, tmp_path).run() == 5


def test_training_function_does_the_work_of_a_client_api(result: Any) -> None:
    def train() -> None:
        flare = get_client_api()
        while flare.is_running():
            flare.send((flare.get_site_name(), flare.receive() + 1))

    client = FoxClientAPI()
    client.set_training_func(train)

    assert list(result(lambda: fox.clients.execute(1), sites=2, client=client)) == [
        ("site-1", 2),
        ("site-2", 2),
    ]


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    def write(body: str) -> str:
        (tmp_path / "sim_script.py").write_text("from fox_hpc import get_client_api, FLModel\n" + body)
        return "sim_script"

    monkeypatch.syspath_prepend(tmp_path)
    return write


LOOP = """
flare = get_client_api()
flare.init()
while flare.is_running():
    model = flare.receive()
    flare.send(FLModel(params={"w": model.params["w"] + 1}, meta={"site": flare.get_site_name()}))
"""


def test_script_runs_top_to_bottom_at_each_site(result: Any, script: Any) -> None:
    from fox_hpc import FLModel

    def algorithm() -> list[tuple[str, float]]:
        weights = np.zeros(2)
        for number in range(3):
            answers = fox.clients.execute(
                fl_model=FLModel({"w": weights}, current_round=number, total_rounds=3)
            )
            weights = answers[0].params["w"]
        fox.clients.stop()
        return [(answer.meta["site"], float(answer.params["w"][0])) for answer in answers]

    answers = result(algorithm, sites=2, client=FoxClientAPI(), training_module=script(LOOP))

    assert answers == [("site-1", 3), ("site-2", 3)]


def test_script_ends_with_the_run_although_nobody_called_stop(result: Any, script: Any) -> None:
    assert result(lambda: "done", client=FoxClientAPI(), training_module=script(LOOP)) == "done"


def test_error_in_a_script_comes_home(result: Any, script: Any) -> None:
    module = script("get_client_api().receive()\nraise RuntimeError('out of memory')\n")

    with pytest.raises(RemoteError, match="raised RuntimeError: out of memory") as caught:
        result(lambda: fox.clients["site-1"].execute(1), client=FoxClientAPI(), training_module=module)
    assert "sim_script.py" in caught.value.traceback


def test_fox_after_the_run_is_outside_again(result: Any) -> None:
    result(lambda: 1)

    with pytest.raises(FoxError, match="only inside a run"):
        _ = fox.site_name
