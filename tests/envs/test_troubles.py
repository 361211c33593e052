"""What becomes of a run when something goes wrong in its jobs' life, on each scheduler."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from clusters import CANCEL, DIALECTS, HOLD, OWN_CODE, PUSH, RELEASE, call, processes_of, queue, wait_for
from steady import VALUE, recipe

from fox_hpc import GroupError, HpcEnv, Run, SiteLost
from fox_hpc.fake import FakeCluster
from fox_hpc.record import SiteRecord

# Trouble → what becomes of the run: "the same value" after so many attempts of site-1, or the state and the
# words of the SiteLost that names the cause; the number of jobs that the scheduler has seen in all.
OUTCOMES: dict[str, tuple[Any, ...]] = {
    "pending for long": ("the same value", 1, 2),
    "held, then released": ("the same value", 1, 2),
    "preempted, put back": ("the same value", 1, 3),  # the third job is the one that pushes
    "preempted, not put back": ("the same value", 2, 5),
    "time limit": ("the same value", 2, 4),
    "node failure": ("the same value", 2, 3),
    "accounting off": ("the same value", 1, 2),  # PBS: no history of ended jobs; LSF has no such thing
    "accounting late": ("the same value", 1, 2),  # Slurm alone has an accounting that is asked
    "submit reply lost": ("the same value", 1, 2),
    "submit reply lost, queue silent": ("the same value", 1, 2),
    "submit not taken": ("the same value", 2, 2),  # an attempt of which nothing is known gets no second job
    "queue silent": ("the same value", 1, 2),
    "relay killed": ("the same value", 1, 2),
    "driver killed": ("FAILED", "137|signal 9|its driver", 2),
    "cancelled by an administrator": ("CANCELLED", "", 2),
}
REQUEUE = {"slurm": "--requeue", "pbs": "-r y", "lsf": "-r"}
LOW = {"slurm": "low", "pbs": "workq", "lsf": "low"}


@dataclass
class Cell:
    """One run on one cluster, and what is done to it."""

    dialect: str
    folder: Path
    cluster: FakeCluster
    hpc_config: dict[str, Any] = field(default_factory=lambda: {"prologue": [OWN_CODE]})
    run: Run | None = None

    def start(self, *, both_wait: bool = True) -> Run:
        self.run = run = recipe(hpc_config=self.hpc_config).execute(
            HpcEnv(2, self.dialect, self.folder, poll_s=0.2)
        )
        if both_wait:
            wait_for(lambda: len(list(run.workspace.glob("sites/**/waiting-*"))) == 2)
        return run


def open_gate(run: Run) -> None:
    (run.workspace / "go").touch()


def pend(cell: Cell) -> Run:
    cell.cluster.trouble(frozen=True)
    run = cell.start(both_wait=False)
    wait_for(lambda: all(site.state == "PENDING" for site in run.record().sites.values()))
    return run


def pending_for_long(cell: Cell) -> Run:
    run = pend(cell)
    open_gate(run)
    assert not run.wait(2)  # ten looks at the queue: 5 minutes with a real one's period
    cell.cluster.trouble(frozen=False)
    return run


def held(cell: Cell) -> Run:
    run = pend(cell)
    call(*HOLD[cell.dialect], site_1(run).job_id)
    cell.cluster.trouble(frozen=False)
    open_gate(run)
    wait_for(lambda: run.record().sites["site-2"].ready)
    assert not run.wait(1)
    assert site_1(run).state == "PENDING"
    call(*RELEASE[cell.dialect], site_1(run).job_id)
    return run


def preempted_put_back(cell: Cell) -> Run:
    cell.hpc_config["directives"] = [REQUEUE[cell.dialect]]
    return preempted(cell)


def preempted(cell: Cell) -> Run:
    cell.hpc_config |= {"partition": LOW[cell.dialect], "cpus_per_node": 2}
    run = cell.start()
    call(*PUSH[cell.dialect])
    wait_for(lambda: not site_1(run).ready)
    open_gate(run)
    return run


def time_limit(cell: Cell) -> Run:
    cell.hpc_config["time_limit"] = "0:00:04"  # LSF: a minute, which this cluster's clock makes 4 s
    run = cell.start()
    wait_for(lambda: all(site.attempts == 2 for site in run.record().sites.values()))
    open_gate(run)
    return run


def node_failure(cell: Cell) -> Run:
    cell.hpc_config["cpus_per_node"] = 2
    run = cell.start()
    wait_for(lambda: site_1(run).nodes)
    node = re.split(r"[/*:]", site_1(run).nodes)[0]
    cell.cluster.trouble(fail_node=node)
    # LSF says nothing of a lost host's jobs until it is back, or the worker's lease is over.
    wait_for(lambda: not site_1(run).ready or site_1(run).reason == "its host does not answer")
    cell.cluster.trouble(restore_node=node)
    open_gate(run)
    return run


def nothing(cell: Cell) -> Run:
    run = cell.start()
    open_gate(run)
    return run


def submit_reply_lost(cell: Cell) -> Run:
    cell.cluster.trouble(lost_submits=1)
    return nothing(cell)


def submit_reply_lost_queue_silent(cell: Cell) -> Run:
    cell.cluster.trouble(lost_submits=1)
    run = cell.start(both_wait=False)
    cell.cluster.trouble(queries_fail_s=2)  # the relay has yet to start
    open_gate(run)
    return run


def submit_not_taken(cell: Cell) -> Run:
    cell.cluster.trouble(failed_submits=1)
    return nothing(cell)


def queue_silent(cell: Cell) -> Run:
    run = cell.start()
    cell.cluster.trouble(queries_fail_s=3)
    open_gate(run)
    return run


def relay_killed(cell: Cell) -> Run:
    run = cell.start()
    next(p for p in processes_of(run.workspace) if "fox_hpc.site.relay" in p.cmdline()).kill()
    open_gate(run)
    return run


def driver_killed(cell: Cell) -> Run:
    run = cell.start()
    drivers = [p for p in processes_of(run.workspace) if "submitit.core._submit" in p.cmdline()]
    next(p for p in drivers if p.environ().get("FOX_SITE_NAME") == "site-1").kill()
    return run


def cancelled(cell: Cell) -> Run:
    run = cell.start()
    call(*CANCEL[cell.dialect], site_1(run).job_id)
    return run


def site_1(run: Run) -> SiteRecord:
    return run.record().sites["site-1"]


TROUBLES: dict[str, tuple[Callable[[Cell], Run], dict[str, Any]]] = {
    "pending for long": (pending_for_long, {}),
    "held, then released": (held, {}),
    "preempted, put back": (preempted_put_back, {}),
    "preempted, not put back": (preempted, {"preempt_mode": "cancel"}),
    "time limit": (time_limit, {"limit_wait_s": 0.5}),
    "node failure": (node_failure, {"nodes": 3, "node_fail_wait_s": 0.3}),
    "accounting off": (nothing, {"accounting": False, "min_job_age_s": 0.1}),
    "accounting late": (nothing, {"accounting_lag_s": 2.0, "min_job_age_s": 0.1}),
    "submit reply lost": (submit_reply_lost, {}),
    "submit reply lost, queue silent": (submit_reply_lost_queue_silent, {}),
    "submit not taken": (submit_not_taken, {}),
    "queue silent": (queue_silent, {}),
    "relay killed": (relay_killed, {}),
    "driver killed": (driver_killed, {}),
    "cancelled by an administrator": (cancelled, {}),
}


@pytest.fixture(params=DIALECTS)
def dialect(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def cell(dialect: str, trouble: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cell]:
    options = {"nodes": 2, "cpus": 2, "kill_wait_s": 0.3, "grace_s": 0.2, "requeue_wait_s": 0.2}
    if trouble == "time limit" and dialect == "lsf":
        options["time_scale"] = 4 / 60
    with FakeCluster(dialect, **{**options, **TROUBLES[trouble][1]}) as cluster:
        for name, value in cluster.env.items():
            monkeypatch.setenv(name, value)
        made = Cell(dialect, tmp_path, cluster)
        yield made
        if made.run is not None:
            made.run.cancel()
            made.run.wait(20)


@pytest.mark.parametrize("trouble", TROUBLES)
def test_a_run_in_trouble_gives_the_same_value_or_names_the_cause(cell: Cell, trouble: str):
    run = TROUBLES[trouble][0](cell)
    outcome, detail, jobs = OUTCOMES[trouble]

    if outcome == "the same value":
        assert run.result(30) == VALUE
        assert site_1(run).attempts == detail
    else:
        with pytest.raises(GroupError) as raised:
            run.result(10)
        lost = raised.value.failures["site-1"]
        assert isinstance(lost, SiteLost)
        assert lost.state == outcome
        assert re.search(detail, str(lost)), str(lost)
    cell.cluster.trouble(queries_fail_s=0)
    wait_for(lambda: queue(cell.dialect) == "", 5)
    wait_for(lambda: not processes_of(run.workspace), 5)
    state = cell.cluster.folder / "state.json"
    wait_for(lambda: len(json.loads(state.read_text())["jobs"]) == jobs, 1)
