"""Submit, poll and cancel, against small programs on PATH that answer as Slurm did."""

from __future__ import annotations

import logging
import pickle
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from recordings import Programs, Recorded

from fox_hpc.errors import SchedulerError, SubmitError, WorkspaceError
from fox_hpc.hpc.dialect import JobInfo
from fox_hpc.hpc.executor import CHUNK, JobPlan, SlurmExecutor
from fox_hpc.hpc.resources import HpcConfig
from fox_hpc.testing.dialect_jobs import leave


@dataclass
class Clock:
    """A clock that stands still until it is told to go on."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Rig:
    """An executor, its programs and its clock."""

    programs: Programs
    clock: Clock = field(default_factory=Clock)

    def executor(self, **options: Any) -> SlurmExecutor:
        return SlurmExecutor(self.programs.environ, clock=self.clock, **options)


@pytest.fixture
def rig(programs: Programs) -> Rig:
    return Rig(programs)


@pytest.fixture
def plan(tmp_path: Path) -> JobPlan:
    return JobPlan("fox", tmp_path / "run" / "attempt-1", HpcConfig(), {"FOX_X": "a,b"}, sys.executable)


def test_check_finds_a_cluster_that_answers(rig: Rig) -> None:
    rig.programs.put("sinfo", "echo batch*")

    assert rig.executor().check() == ""


def test_check_is_not_content_with_commands_that_lead_nowhere(rig: Rig) -> None:
    assert rig.executor().check() == "sinfo is not on PATH: is this a host that may submit jobs?"

    rig.programs.put("sinfo", "echo 'no configuration source' >&2; exit 1")
    assert rig.executor().check() == "sinfo exited with 1: no configuration source"


def test_submit_hands_over_script_and_pickle_and_gives_the_job_id(rig: Rig, plan: JobPlan) -> None:
    rig.programs.put("sbatch", "echo 4711")

    job_id = rig.executor().submit(plan, max, 3, 4, key=None)

    assert job_id == "4711"
    assert rig.programs.calls("sbatch") == [f"--parsable {plan.script_file}"]
    assert "export FOX_X='a,b'" in plan.script_file.read_text()
    assert pickle.loads(plan.pickle_file.read_bytes()).result() == 4
    assert plan.folder.stat().st_mode & 0o777 == 0o700
    assert plan.pickle_file.stat().st_mode & 0o777 == 0o600


def test_the_script_runs_the_function_once_and_keeps_its_result(rig: Rig, plan: JobPlan) -> None:
    rig.programs.put("sbatch", "echo 4711")
    rig.executor().submit(plan, max, 3, 4)

    job = {"SLURM_JOB_ID": "4711", "SLURM_PROCID": "0", "SLURM_NTASKS": "2", "SLURM_JOB_NUM_NODES": "2"}
    subprocess.run(["bash", plan.script_file], env=rig.programs.environ | job, check=True, timeout=60)

    results = list(plan.folder.glob("*_result.pkl"))
    assert [file.name for file in results] == ["4711_0_result.pkl"]
    assert pickle.loads(results[0].read_bytes()) == ("success", 4)


def test_a_function_that_leaves_with_an_exit_code_ends_the_job_with_it(rig: Rig, plan: JobPlan) -> None:
    rig.programs.put("sbatch", "echo 4711")
    rig.executor().submit(plan, leave, 3)

    job = {"SLURM_JOB_ID": "4711", "SLURM_PROCID": "0"}
    ended = subprocess.run(
        ["bash", plan.script_file], env=rig.programs.environ | job, timeout=60, check=False
    )

    assert ended.returncode == 3


def test_a_refused_job_is_told_in_the_schedulers_words(rig: Rig, plan: JobPlan, recorded: Recorded) -> None:
    rig.programs.replay(recorded("sbatch_refused")[0])

    with pytest.raises(SubmitError, match="Invalid partition name specified") as caught:
        rig.executor().submit(plan, max, 3, 4)

    assert caught.value.exit_code == 1
    assert caught.value.command == ("sbatch", "--parsable", str(plan.script_file))
    assert not caught.value.transient


def test_a_busy_controller_is_transient(rig: Rig, plan: JobPlan, recorded: Recorded) -> None:
    rig.programs.replay(recorded("ctld_hung")[0])

    with pytest.raises(SubmitError, match="Socket timed out on send/recv operation") as caught:
        rig.executor().submit(plan, max, 3, 4)

    assert caught.value.transient


def test_an_sbatch_that_hangs_is_ended_with_all_it_started(rig: Rig, plan: JobPlan) -> None:
    rig.programs.put("sbatch", "sleep 1000 & wait")
    started = time.monotonic()

    with pytest.raises(SubmitError, match=r"did not end within 0\.3 s") as caught:
        rig.executor(submit_timeout_s=0.3).submit(plan, max, 3, 4)

    assert caught.value.transient
    assert caught.value.exit_code is None
    assert time.monotonic() - started < 10


def test_a_host_without_sbatch_says_so(rig: Rig, plan: JobPlan) -> None:
    rig.programs.environ["PATH"] = str(rig.programs.folder)

    with pytest.raises(SubmitError, match="sbatch is not on PATH") as caught:
        rig.executor().submit(plan, max, 3, 4)

    assert not caught.value.transient


def test_a_folder_that_cannot_be_made_says_so(rig: Rig, plan: JobPlan) -> None:
    plan.folder.parent.write_text("a file where a folder should be")

    with pytest.raises(WorkspaceError, match="cannot write a job into"):
        rig.executor().submit(plan, max, 3, 4)


def test_commands_see_no_enclosing_job_and_no_filters_of_the_user(rig: Rig, plan: JobPlan) -> None:
    rig.programs.environ |= {
        "SLURM_JOB_ID": "1",
        "SBATCH_EXPORT": "NONE",
        "SQUEUE_STATES": "PD",
        "FOX_X": "old",
        "SLURM_CONF": "/etc/slurm.conf",
        "LANG": "C.UTF-8",
    }
    seen = rig.programs.folder / "seen"
    rig.programs.put("sbatch", f"env > {seen}\necho 4711")

    rig.executor().submit(plan, max, 3, 4)

    names = {line.partition("=")[0] for line in seen.read_text().splitlines()} - {"PWD", "SHLVL", "_"}
    assert names == {"PATH", "SLURM_CONF", "LANG"}


def test_poll_asks_once_for_all_jobs(rig: Rig, recorded: Recorded) -> None:
    rig.programs.replay(recorded("squeue_there")[0])

    jobs = rig.executor().poll(["55552867", "55552870"])

    assert {job_id: info.state for job_id, info in jobs.items()} == (
        {"55552867": "RUNNING", "55552870": "PENDING"}
    )
    assert rig.programs.calls("squeue") == ["-h -t all -o %i|%T|%N|%r -j 55552867,55552870"]


def test_poll_asks_for_many_jobs_in_chunks(rig: Rig) -> None:
    rig.programs.put("squeue", 'for last; do :; done; echo "$last" | tr , "\\n" | sed "s/$/|RUNNING|n|None/"')
    ids = [str(number) for number in range(1, 2 * CHUNK + 2)]

    jobs = rig.executor().poll(ids)

    assert list(jobs) == ids
    assert len(rig.programs.calls("squeue")) == 3


def test_poll_of_no_jobs_asks_nobody(rig: Rig) -> None:
    assert rig.executor().poll([]) == {}


def test_a_failed_job_gets_the_exit_code_that_scontrol_knows(rig: Rig, recorded: Recorded) -> None:
    rig.programs.replay(recorded("squeue_ended")[0])
    rig.programs.replay(recorded("scontrol_ended")[1])

    jobs = rig.executor().poll(["55552862", "55552864", "55552865"])

    assert jobs["55552862"].exit_code == 131
    assert [jobs[job_id].exit_code for job_id in ("55552864", "55552865")] == [None, 0]
    assert len(rig.programs.calls("scontrol")) == 1


def test_a_failed_job_gets_the_exit_code_that_sacct_knows_where_scontrol_does_not(
    rig: Rig, recorded: Recorded
) -> None:
    rig.programs.replay(recorded("squeue_ended")[0])
    rig.programs.replay(recorded("scontrol_gone")[0])
    rig.programs.replay(recorded("sacct_ended")[0])

    assert rig.executor().poll(["55552860"])["55552860"].exit_code == 1


def test_a_failed_job_without_a_witness_has_no_exit_code(rig: Rig, recorded: Recorded) -> None:
    rig.programs.replay(recorded("squeue_ended")[0])

    info = rig.executor().poll(["55552860"])["55552860"]

    assert (info.state, info.exit_code) == ("FAILED", None)


def test_a_job_that_left_the_queue_is_told_by_sacct(rig: Rig, recorded: Recorded) -> None:
    rig.programs.replay(recorded("squeue_gone")[1])
    rig.programs.replay(recorded("sacct_ended")[0])

    jobs = rig.executor().poll(["55552859", "55552860"])

    assert (jobs["55552859"].state, jobs["55552859"].exit_code) == ("DONE", 0)
    assert (jobs["55552860"].state, jobs["55552860"].exit_code) == ("FAILED", 1)


@pytest.mark.parametrize("sacct", ["off", "not there"])
def test_a_job_that_left_the_queue_is_lost_at_once_without_accounting(
    rig: Rig, recorded: Recorded, sacct: str
) -> None:
    rig.programs.replay(recorded("squeue_gone")[0])
    if sacct == "off":
        rig.programs.replay(recorded("sacct_off")[0])

    info = rig.executor().poll(["999999"])["999999"]

    assert info == JobInfo("999999", "LOST", reason="the scheduler knows it no more", raw="gone")


@pytest.mark.parametrize("recording", ["sacct_gone", "sacct_there"])
def test_accounting_that_lags_is_given_time_before_a_job_is_lost(
    rig: Rig, recorded: Recorded, recording: str
) -> None:
    rig.programs.replay(recorded("squeue_gone")[0])
    rig.programs.replay(recorded(recording)[0])
    executor = rig.executor(grace_s=30.0)

    first = executor.poll(["55552867"])
    rig.clock.now = 29.0
    second = executor.poll(["55552867"])
    rig.clock.now = 30.0

    assert first == second == {}
    assert executor.poll(["55552867"])["55552867"].raw == "gone"


def test_a_job_that_is_seen_again_was_not_gone(rig: Rig, recorded: Recorded) -> None:
    executor = rig.executor(grace_s=30.0)
    rig.programs.replay(recorded("sacct_gone")[0])
    rig.programs.replay(recorded("squeue_gone")[0])
    executor.poll(["55552867"])

    rig.programs.replay(recorded("squeue_there")[0])
    assert executor.poll(["55552867"])["55552867"].state == "RUNNING"

    rig.programs.replay(recorded("squeue_gone")[0])
    rig.clock.now = 1000.0
    assert executor.poll(["55552867"]) == {}


def test_a_queue_that_does_not_answer_says_nothing_about_any_job(
    rig: Rig, recorded: Recorded, caplog: pytest.LogCaptureFixture
) -> None:
    rig.programs.replay(recorded("ctld_away")[1])
    rig.programs.replay(recorded("sacct_off")[0])
    executor = rig.executor()

    with caplog.at_level(logging.WARNING):
        assert executor.poll(["55552859", "55552860"]) == {}
    assert "Unable to contact slurm controller" in executor.trouble
    assert executor.trouble in caplog.text
    assert rig.programs.calls("sacct") == []

    rig.programs.replay(recorded("squeue_ended")[0])
    executor.poll(["55552859"])
    assert executor.trouble == ""


def test_a_queue_that_hangs_says_nothing(rig: Rig) -> None:
    rig.programs.put("squeue", "sleep 1000")
    executor = rig.executor(query_timeout_s=0.3)

    assert executor.poll(["17"]) == {}
    assert "did not end within 0.3 s" in executor.trouble


@pytest.mark.parametrize("garbage", ["\\377\\376\\000binary", "Welcome to the cluster!", "17|RUNNING"])
def test_a_queue_that_writes_something_else_loses_no_job(rig: Rig, recorded: Recorded, garbage: str) -> None:
    rig.programs.put("squeue", f"printf '{garbage}\\n'")
    rig.programs.replay(recorded("sacct_off")[0])
    executor = rig.executor()

    assert executor.poll(["17"]) == {}
    assert executor.trouble.startswith("squeue wrote ")


def test_a_state_that_nobody_knows_is_no_information_until_the_job_is_gone(
    rig: Rig, recorded: Recorded
) -> None:
    rig.programs.put("squeue", "echo '17|DREAMING|n1|None'")
    rig.programs.put("sacct", "echo '17|DREAMING|0:0|n1|None'")
    executor = rig.executor(grace_s=0.0)

    assert executor.poll(["17"]) == {}
    assert executor.trouble == ""

    rig.programs.replay(recorded("squeue_gone")[0])
    assert executor.poll(["17"])["17"] == (
        JobInfo("17", "LOST", reason="the scheduler knows it no more", raw="DREAMING")
    )


def test_cancel_names_all_jobs_in_one_command(rig: Rig, recorded: Recorded) -> None:
    rig.programs.replay(recorded("scancel")[0])

    rig.executor().cancel(["55552859", "999999"])

    assert rig.programs.calls("scancel") == ["55552859 999999"]


def test_cancel_says_what_the_scheduler_refuses(rig: Rig, recorded: Recorded) -> None:
    rig.programs.replay(recorded("scancel_refused")[1])

    with pytest.raises(SchedulerError, match="Access/permission denied") as caught:
        rig.executor().cancel(["55494712"])

    assert caught.value.exit_code == 210


def test_a_submission_whose_answer_was_lost_is_found_by_name(rig: Rig, recorded: Recorded) -> None:
    rig.programs.replay(recorded("squeue_ended")[0])

    assert rig.executor().find("fox-site-1-attempt-1")[0] == "55552859"
    assert rig.programs.calls("squeue") == ["-h -t all -o %i|%T|%N|%r -n fox-site-1-attempt-1"]


def test_find_does_not_say_none_when_the_queue_is_silent(rig: Rig, recorded: Recorded) -> None:
    rig.programs.replay(recorded("ctld_hung")[1])

    with pytest.raises(SchedulerError, match="Socket timed out"):
        rig.executor().find("fox")


def test_submitting_leaves_the_logging_of_others_alone(tmp_path: Path) -> None:
    (tmp_path / "sbatch").write_text("#!/bin/sh\necho 4711\n")
    (tmp_path / "sbatch").chmod(0o755)
    code = f"""
import logging, os, sys
from pathlib import Path
handler = logging.FileHandler({str(tmp_path / "log")!r}, mode="w")
logging.getLogger().addHandler(handler)
from fox_hpc.hpc.executor import JobPlan, SlurmExecutor
from fox_hpc.hpc.resources import HpcConfig
plan = JobPlan("fox", Path({str(tmp_path / "job")!r}), HpcConfig(), {{}}, sys.executable)
SlurmExecutor({{"PATH": {f"{tmp_path}:/usr/bin:/bin"!r}}}).submit(plan, max, 3, 4)
assert "submitit" in sys.modules
assert logging.getLogger().handlers == [handler] and logging.getLogger("submitit").handlers == []
assert handler.stream is not None
assert "SUBMITIT_LOG_LEVEL" not in os.environ
"""

    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
