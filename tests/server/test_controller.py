"""The run's life, and the record of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fox_hpc import fox
from fox_hpc.api.app import ServerApp
from fox_hpc.envs.sim_backend import SimBackend
from fox_hpc.errors import RunCancelled, RunError
from fox_hpc.record import RunRecord
from fox_hpc.server.controller import FoxController
from fox_hpc.server.plain import plain


class Server:
    """Runs what the test gives, and keeps the order of things."""

    def __init__(self, body: Any) -> None:
        self.body, self.order = body, []

    @fox.init
    def begin(self) -> None:
        self.order.append("init")

    @fox.algo
    def algo(self) -> Any:
        self.order.append("algo")
        return self.body()

    @fox.final
    def end(self) -> None:
        self.order.append("final")


def make(body: Any, folder: Path, **hooks: Any) -> tuple[FoxController, Server]:
    server = Server(body)
    record = RunRecord(run="r", job_name="j", folder=str(folder), env="sim")
    controller = FoxController(
        ServerApp(server), SimBackend(), record, sites=("site-1",), min_clients=1, **hooks
    )
    return controller, server


def ended(controller: FoxController) -> FoxController:
    controller.start()
    assert controller.wait(10)
    return controller


def test_the_hooks_and_marks_run_in_order(tmp_path: Path):
    order: list[str] = []
    controller, server = make(
        lambda: 7, tmp_path, open=lambda: order.append("open"), close=lambda: order.append("close")
    )

    assert ended(controller).result() == 7
    assert order == ["open", "close"]
    assert server.order == ["init", "algo", "final"]
    assert controller.snapshot().state == "DONE"


def test_the_algorithms_own_exception_is_raised_and_the_sites_are_closed(tmp_path: Path):
    closed: list[bool] = []
    controller, server = make(lambda: 1 / 0, tmp_path, close=lambda: closed.append(True))

    with pytest.raises(ZeroDivisionError):
        ended(controller).result()
    assert closed == [True]
    assert server.order[-1] == "final"
    record = controller.snapshot()
    assert (record.state, record.result) == ("FAILED", None)
    assert "ZeroDivisionError: division by zero" in record.error


def test_sites_that_cannot_be_opened_fail_the_run(tmp_path: Path):
    def no_relay() -> None:
        raise RunError("no relay")

    controller, server = make(lambda: 7, tmp_path, open=no_relay)

    with pytest.raises(RunError, match="no relay"):
        ended(controller).result()
    assert "algo" not in server.order


def test_a_cancelled_run_says_so_whatever_the_algorithm_made_of_it(tmp_path: Path):
    controller, _ = make(lambda: controller.cancel(), tmp_path)

    with pytest.raises(RunCancelled):
        ended(controller).result()
    assert controller.snapshot().state == "CANCELLED"


def test_the_first_cause_of_a_failure_counts(tmp_path: Path):
    def body() -> None:
        controller.fail(RunError("the relay died"))
        raise ValueError("what followed from it")

    controller, _ = make(body, tmp_path)

    with pytest.raises(RunError, match="the relay died"):
        ended(controller).result()


def test_every_change_is_told(tmp_path: Path):
    states: list[str] = []
    controller, _ = make(lambda: None, tmp_path, on_change=lambda record: states.append(record.state))
    ended(controller)

    assert list(dict.fromkeys(states)) == ["RUNNING", "DONE"]


def test_a_result_is_kept_as_far_as_json_can_hold_it():
    value = {"a": np.float32(0.5), "w": np.zeros((2, 3)), 1: (1, None), "o": Path("x")}

    assert plain(value) == {"a": 0.5, "w": "<ndarray float64 (2, 3)>", "1": [1, None], "o": repr(Path("x"))}


def test_a_run_that_failed_outside_its_algorithm_makes_no_further_call(tmp_path: Path):
    def body() -> Any:
        controller.fail(RunError("the relay died"))
        try:
            fox.clients.train(1)
        except RunCancelled:
            return fox.clients.train(2)

    controller, _ = make(body, tmp_path)

    with pytest.raises(RunError, match="the relay died"):
        ended(controller).result()
