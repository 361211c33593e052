"""What goes wrong when a test wants it to: lost nodes, lost answers, slow and failing queries, no history."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from pbs_recordings import Pbs

from fox_hpc.fake import FakeCluster

DOWN = "Connection refused\n{}: cannot connect to server pbs01 (errno=15010)\n"
OWNER = """
import os, subprocess, sys
from fox_hpc.fake import FakeCluster
cluster = FakeCluster(dialect="pbs", nodes=2).up()
home = sys.argv[1]
env = {**os.environ, **cluster.env, "HOME": home, "SHELL": "/bin/bash"}
script = '''setsid sleep 1000 & env -i sleep 1000 &
pbs_tmrsh cn02 sh -c "touch up; setsid sleep 1000 & sleep 1000"'''
subprocess.run(["qsub", "-l", "select=2:ncpus=1", "-l", "place=scatter"], input=script, text=True, env=env,
               check=True, stdout=2)
while not os.path.exists(f"{home}/up"):
    pass
print(cluster.folder, cluster._process.pid, flush=True)
sys.stdin.read()
"""


def test_killing_the_owner_leaves_no_process_and_no_folder(tmp_path: Path) -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout is not None
    folder, controller = owner.stdout.readline().split()
    family = [psutil.Process(int(controller)), *psutil.Process(int(controller)).children(recursive=True)]
    assert len(family) > 6
    owner.kill()
    owner.communicate()

    _, alive = psutil.wait_procs(family, timeout=10)
    assert not alive
    assert not Path(folder).exists()


def test_an_ended_job_is_unknown_at_once_without_history(pbs_with: Callable[..., Pbs]) -> None:
    pbs = pbs_with(accounting=False)
    job = pbs.out("qsub -W block=true -- /bin/true")

    assert pbs.run(f"qstat {job}").returncode == 153
    done = pbs.run(f"qstat -x {job}")
    assert (done.returncode, done.stderr) == (
        0,
        f"qstat: PBS is not configured to maintain job history {job}\n",
    )
    assert pbs.run(f"qdel {job}").returncode == 153


def test_an_ended_job_is_forgotten_after_its_time(pbs_with: Callable[..., Pbs]) -> None:
    pbs = pbs_with(min_job_age_s=0.0)
    job = pbs.out("qsub -W block=true -- /bin/true")
    done = pbs.run(f"qstat -x {job}")

    assert (done.returncode, done.stderr) == (153, f"qstat: Unknown Job Id {job}\n")


def test_an_end_is_seen_late_when_accounting_lags(pbs_with: Callable[..., Pbs]) -> None:
    pbs = pbs_with(accounting_lag_s=0.8)
    job = pbs.out("qsub -W block=true -- /bin/true")

    assert pbs.job(job)["job_state"] == "E"
    assert pbs.until_state(job, "F")["Exit_status"] == 0


def test_queries_fail_for_a_while(pbs: Pbs) -> None:
    job = pbs.out("qsub -h -- /bin/true")
    pbs.cluster.trouble(queries_fail_s=60)
    plain, as_json = pbs.run(f"qstat {job}"), pbs.run(f"qstat -f -F json {job}")
    other = pbs.run("qsub -h -- /bin/true")
    pbs.cluster.trouble(queries_fail_s=0)

    assert (plain.returncode, plain.stdout, plain.stderr) == (255, "", DOWN.format("qstat"))
    assert as_json.returncode == 255
    assert "Jobs" not in json.loads(as_json.stdout)
    assert other.returncode == 0
    assert pbs.state(job) == "H"


def test_queries_are_slow_when_told(pbs: Pbs) -> None:
    assert pbs.manage("fox-fake-trouble query_delay_s=0.4").returncode == 0
    start = time.monotonic()
    pbs.out("qstat")
    took_s = time.monotonic() - start
    pbs.cluster.trouble(query_delay_s=0)

    assert took_s > 0.4


def test_a_submission_is_taken_although_its_answer_is_lost(pbs: Pbs) -> None:
    pbs.cluster.trouble(lost_submits=1)
    lost, second = pbs.run("qsub -h -N lost -- /bin/true"), pbs.run("qsub -h -N second -- /bin/true")

    assert (lost.returncode, lost.stdout, lost.stderr) == (162, "", DOWN.format("qsub"))
    assert second.returncode == 0
    assert len(pbs.out("qselect -N lost").split()) == 1


def test_a_script_on_stdin_is_taken_although_its_answer_is_lost(pbs: Pbs) -> None:
    pbs.cluster.trouble(lost_submits=1)
    lost = pbs.run("qsub -h -N lost <<< true")

    assert (lost.returncode, lost.stdout) == (162, "")
    assert len(pbs.out("qselect -N lost").split()) == 1


def test_a_refused_submission_loses_no_answer(pbs: Pbs) -> None:
    pbs.cluster.trouble(lost_submits=1)

    assert pbs.run("qsub -q nosuch -- /bin/true").returncode == 170
    assert pbs.run("qsub -h -- /bin/true").returncode == 162


def test_a_submission_can_fail_and_not_be_taken(pbs: Pbs) -> None:
    pbs.cluster.trouble(failed_submits=1)

    assert pbs.run("qsub -h -N gone -- /bin/true").returncode == 162
    assert pbs.out("qselect -N gone") == ""


def test_jobs_stay_pending_while_the_cluster_is_frozen(pbs: Pbs) -> None:
    pbs.cluster.trouble(frozen=True)
    job = pbs.out("qsub -- /bin/true")

    assert pbs.job(job)["job_state"] == "Q"
    pbs.cluster.trouble(frozen=False)
    pbs.until_state(job, "F")


def test_an_unknown_trouble_names_the_right_ones(pbs: Pbs) -> None:
    with pytest.raises(ValueError, match=r"no trouble rain; there are .*lost_submits.*fail_node"):
        pbs.cluster.trouble(rain=True)


@pytest.fixture
def lost(pbs_with: Callable[..., Pbs]) -> Pbs:
    return pbs_with(node_fail_wait_s=0.3)


def test_a_lost_second_node_is_not_noticed(lost: Pbs) -> None:
    body = "pbs_tmrsh cn02 sh -c 'touch up; exec sleep 1000'; touch task_gone; sleep 1000"
    job = lost.out(f'qsub -l select=2:ncpus=1 -l place=scatter <<< "{body}"')
    lost.until(lambda: (lost.folder / "up").exists())
    lost.cluster.trouble(fail_node="cn02")
    lost.until(lambda: (lost.folder / "task_gone").exists())

    assert lost.state(job) == "R"
    again = lost.run(f"PBS_ENVIRONMENT=PBS_BATCH PBS_JOBID={job} pbs_tmrsh cn02 true")
    assert (again.returncode, "not connected" in again.stderr) == (255, True)
    assert "down" in lost.out("pbsnodes -aS")
    lost.cluster.trouble(restore_node="cn02")
    assert "down" not in lost.out("pbsnodes -aS")
    assert lost.state(job) == "R"


def test_a_lost_first_node_ends_a_job_or_puts_it_back(lost: Pbs) -> None:
    once, again = (
        lost.out(f"qsub -r {flag} -l select=1:ncpus=1:host=cn01 -- /bin/sleep 1000") for flag in "ny"
    )
    lost.until_state(again, "R")
    lost.cluster.trouble(fail_node="cn01")
    assert lost.state(once) == "R"
    ended, back = lost.until_state(once, "F"), lost.until_state(again, "Q")

    assert (ended["Exit_status"], ended["substate"]) == (-20, 93)
    assert not ended["comment"].endswith("failed")
    assert back["run_count"] == 1
    lost.cluster.trouble(restore_node="cn01")
    assert lost.until_state(again, "R")["run_count"] == 2


def test_slurm_has_the_same_troubles(tmp_path: Path) -> None:
    with FakeCluster(nodes=1, lost_submits=1) as cluster:
        env = {**os.environ, **cluster.env}
        lost = subprocess.run(
            ["sbatch", "-H", "--wrap", "true"],
            env=env,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        queue = subprocess.run(["squeue", "-h"], env=env, capture_output=True, text=True, check=True)
        cluster.trouble(queries_fail_s=60)
        failed = subprocess.run(["squeue", "-h"], env=env, capture_output=True, text=True, check=False)

    assert lost.returncode == 1
    assert "Unable to contact slurm controller" in lost.stderr
    assert len(queue.stdout.splitlines()) == 1
    assert (failed.returncode, failed.stdout) == (1, "")


def test_the_command_line_brings_up_a_fake_pbs() -> None:
    argv = [
        sys.executable,
        "-m",
        "fox_hpc",
        "fake",
        "up",
        "--dialect",
        "pbs",
        "--nodes",
        "2",
        "--",
        "pbsnodes",
        "-aSj",
    ]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True)

    assert [line.split()[0] for line in done.stdout.splitlines()[3:]] == ["cn01", "cn02"]
