"""The trouble matrix's cells: one run on one fake cluster, in a process of its own, and what is done to it.

`python troubles.py` takes a line of JSON for each trouble: its name, dialects and a folder. It runs the
cells side by side, writes what each says to `DIALECT.txt` there, and answers with the folder and their exit
codes: 0 for a run that became what OUTCOMES says.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clusters import CANCEL, HOLD, OWN_CODE, PUSH, RELEASE, call, processes_of, queue
from steady import VALUE, recipe
from waiting import wait_for, words_of

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
    "accounting off": ("the same value", 1, 2),  # PBS: no history of ended jobs
    "accounting late": ("the same value", 1, 2),
    "submit reply lost": ("the same value", 1, 2),
    "submit reply lost, queue silent": ("the same value", 1, 2),
    "submit not taken": ("the same value", 2, 2),  # an attempt of which nothing is known gets no second job
    "queue silent": ("the same value", 1, 2),
    "relay killed": ("the same value", 1, 2),
    "driver killed": ("FAILED", "137|signal 9|its driver", 2),
    "cancelled by an administrator": ("CANCELLED", "", 2),
}
#: Slurm alone has an accounting that is asked; LSF's history cannot be switched off.
NOT_THERE = {("accounting off", "lsf"), ("accounting late", "pbs"), ("accounting late", "lsf")}
#: Where every change is tried; a release tries all.
USUAL = {
    "pending for long": "pbs",
    "held, then released": "lsf",
    "preempted, put back": "slurm",
    "preempted, not put back": "lsf",
    "time limit": "pbs",
    "node failure": "lsf",
    "accounting off": "slurm",
    "accounting late": "slurm",
    "submit reply lost": "pbs",
    "submit reply lost, queue silent": "lsf",
    "submit not taken": "slurm",
    "queue silent": "pbs",
    "relay killed": "slurm",
    "driver killed": "pbs",
    "cancelled by an administrator": "lsf",
}
REQUEUE = {"slurm": "--requeue", "pbs": "-r y", "lsf": "-r"}
LOW = {"slurm": "low", "pbs": "workq", "lsf": "low"}
#: Between two looks at the queue. A real cluster's is looked at every 30 s: there, a minute is two looks.
LOOK_S = 0.2


@dataclass
class Cell:
    """One run on one cluster, and what is done to it."""

    dialect: str
    folder: Path
    cluster: FakeCluster
    hpc_config: dict[str, Any] = field(default_factory=lambda: {"prologue": [OWN_CODE]})
    look_s: float = LOOK_S
    run: Run | None = None

    def start(self, *, both_wait: bool = True) -> Run:
        env = HpcEnv(2, self.dialect, self.folder, poll_s=self.look_s)
        self.run = run = recipe(hpc_config=self.hpc_config).execute(env)
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
    cell.look_s = LOOK_S / 2
    run = pend(cell)
    open_gate(run)
    assert not run.wait(20 * cell.look_s)  # ten minutes with a real queue's period
    cell.cluster.trouble(frozen=False)
    return run


def held(cell: Cell) -> Run:
    run = pend(cell)
    call(*HOLD[cell.dialect], site_1(run).job_id)
    cell.cluster.trouble(frozen=False)
    open_gate(run)
    wait_for(lambda: run.record().sites["site-2"].ready)
    assert not run.wait(5 * LOOK_S)
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
    # The queue may be looked at too seldom to show that the job was away: then its second start does.
    wait_for(lambda: not site_1(run).ready or starts(run) > 1)
    open_gate(run)
    return run


def starts(run: Run) -> int:
    """Count how often site-1 has begun to answer."""
    return len(list(run.workspace.glob("sites/site-1/*/waiting-*")))


def time_limit(cell: Cell) -> Run:
    cell.hpc_config["time_limit"] = "0:10:00"
    run = cell.start()
    cell.cluster.trouble(time_left_s=1)
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
    cell.look_s = LOOK_S / 2
    run = cell.start()
    cell.cluster.trouble(queries_fail_s=60)
    # Ten looks in vain: five minutes with a real queue's period.
    wait_for(lambda: (run.workspace / "relay.log").read_text().count("the queue tells nothing") >= 10)
    assert site_1(run).trouble
    assert site_1(run).answered
    open_gate(run)
    cell.cluster.trouble(queries_fail_s=0)
    return run


def relay_killed(cell: Cell) -> Run:
    run = cell.start()
    next(p for p in processes_of(run.workspace) if "fox_hpc.site.relay" in words_of(p)).kill()
    open_gate(run)
    return run


def driver_killed(cell: Cell) -> Run:
    run = cell.start()
    drivers = [p for p in processes_of(run.workspace) if "submitit.core._submit" in words_of(p)]
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


def run_cell(dialect: str, trouble: str, folder: Path) -> None:
    """Bring up a cluster, make the trouble, and compare what becomes of the run."""
    act, more = TROUBLES[trouble]
    options = {"nodes": 2, "cpus": 2, "kill_wait_s": 0.3, "grace_s": 0.2, "requeue_wait_s": 0.2, **more}
    with FakeCluster(dialect, **options) as cluster:
        os.environ.update(cluster.env)
        cell = Cell(dialect, folder, cluster)
        try:
            check(cell, act(cell), *OUTCOMES[trouble])
        finally:
            if cell.run is not None:
                cell.run.cancel()
                cell.run.wait(20)


def check(cell: Cell, run: Run, outcome: str, detail: Any, jobs: int) -> None:
    """Compare a run's end and what it left with what should become of it."""
    if outcome == "the same value":
        assert run.result(60) == VALUE
        assert site_1(run).attempts == detail, site_1(run)
    else:
        lost = failure(run)
        assert isinstance(lost, SiteLost), repr(lost)
        assert lost.state == outcome, str(lost)
        assert re.search(detail, str(lost)), str(lost)
    cell.cluster.trouble(queries_fail_s=0)
    wait_for(lambda: queue(cell.dialect) == "", 5)
    wait_for(lambda: not processes_of(run.workspace), 5)
    state = cell.cluster.folder / "state.json"
    wait_for(lambda: len(json.loads(state.read_text())["jobs"]) == jobs, 1)


def failure(run: Run) -> Exception:
    """Give what became of site-1 in a run that fails, within seconds."""
    try:
        value = run.result(10)
    except GroupError as error:
        return error.failures["site-1"]
    raise AssertionError(f"the run gave {value}")


def begin(dialect: str, trouble: str, folder: Path) -> int:
    """Start a cell as a copy of this process, which has loaded all, and give its id."""
    if pid := os.fork():
        return pid
    for stream, path in enumerate((os.devnull, folder / f"{dialect}.txt", folder / f"{dialect}.txt")):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND), stream)
    home = folder / dialect
    home.mkdir()
    run_cell(dialect, trouble, home)
    raise SystemExit


if __name__ == "__main__":
    for line in sys.stdin:
        trouble, dialects, folder = json.loads(line)
        cells = [begin(dialect, trouble, Path(folder)) for dialect in dialects]
        codes = [os.waitstatus_to_exitcode(os.waitpid(cell, 0)[1]) for cell in cells]
        print(json.dumps([folder, codes]), flush=True)
