"""How jobs wait, end and come back: limits, signals, requeue, dependencies, arrays, node failure."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

TRAPS = """
say() { echo "$*"; }
for s in USR1 USR2 TERM; do trap "say batch got $s" $s; done
echo start ${SLURM_RESTART_COUNT-unset}
"""
LOOP = "while :; do sleep 0.1; done"


def test_time_limit_sends_term_then_kill(shell: Any) -> None:
    job = shell.submit("-t 10", TRAPS + LOOP)
    _when_up(shell, job, "start", "timelimit=0:01")
    shell.until_state(job, "TIMEOUT")

    assert "batch got TERM" in shell.output(job)
    assert f"error: *** JOB {job} ON node1 CANCELLED AT" in shell.output(job)
    assert "DUE TO TIME LIMIT ***" in shell.output(job)
    assert shell.out(f"sacct -nP -o State,ExitCode -j {job}") == "TIMEOUT|0:0\nCANCELLED|0:9"
    assert "ExitCode=0:9" in shell.out(f"scontrol show job {job}")


@pytest.mark.parametrize(("prefix", "who", "other"), [("", "step", "batch"), ("B:", "batch", "step")])
def test_warning_signal_reaches_steps_or_the_batch_shell(
    shell: Any, prefix: str, who: str, other: str
) -> None:
    step = f"trap 'echo step got USR2' USR2; echo up; {LOOP}"
    job = shell.submit(f"-t 60 --signal={prefix}USR2@600", TRAPS + f'srun bash -c "{step}" & {LOOP}')
    # With ten minutes left from the start on, the warning ten minutes before the end is due.
    _when_up(shell, job, "up", "timelimit=10")
    shell.until(lambda: f"{who} got USR2" in shell.output(job))

    assert f"{other} got USR2" not in shell.output(job)
    assert shell.state(job) == "RUNNING"


def test_a_script_may_be_replaced_by_a_program_that_gets_the_signal(shell: Any) -> None:
    program = (
        "import signal, sys; signal.signal(signal.SIGUSR2, lambda *_: sys.exit(5)); print('up', flush=True)"
    )
    job = shell.submit(
        "-t 60 --signal=B:USR2@600",
        f'exec {sys.executable} -c "{program}; [signal.pause() for _ in iter(int, 1)]"',
    )
    _when_up(shell, job, "up", "timelimit=10")
    shell.until_state(job, "FAILED")

    assert shell.out(f"sacct -nPX -o State,ExitCode -j {job}") == "FAILED|5:0"


def _when_up(shell: Any, job: str, word: str, change: str) -> None:
    """Change the job once its output has the word."""
    shell.until(lambda: word in shell.output(job))
    shell.out(f"scontrol update jobid={job} {change}")


def test_requeue_runs_the_script_again_with_a_restart_count(shell: Any) -> None:
    job = shell.submit("--open-mode=append", "echo start ${SLURM_RESTART_COUNT-unset}; sleep 300")
    shell.until(lambda: "start unset" in shell.output(job))
    shell.out(f"scontrol requeue {job}")
    shell.until(lambda: "start 1" in shell.output(job))

    assert shell.state(job) == "RUNNING"
    assert "DUE TO JOB REQUEUE" in shell.output(job)
    assert "Restarts=1" in shell.out(f"scontrol show job {job}")
    assert shell.out(f"sacct -nPXD -o State -j {job}") == "REQUEUED\nRUNNING"


def test_requeue_waits_and_its_owner_may_shorten_that(shell_on: Any) -> None:
    from fox_hpc.fake import FakeCluster

    with FakeCluster(requeue_wait_s=100, kill_wait_s=0.5, nodes=1) as cluster:
        shell = shell_on(cluster)
        job = shell.submit("", "echo start ${SLURM_RESTART_COUNT-unset}; sleep 300")
        shell.until_state(job, "RUNNING")
        shell.out(f"scontrol requeue {job}")
        shell.until(lambda: shell.out(f"squeue -h -o '%T %r' -j {job}") == "PENDING BeginTime")
        shell.out(f"scontrol update jobid={job} starttime=now")
        shell.until_state(job, "RUNNING")

        assert shell.out(f"squeue -h -O restartcnt:3 -j {job}") == "1"


def test_a_job_with_no_requeue_is_not_put_back(shell: Any) -> None:
    job = shell.submit("--no-requeue")
    shell.until_state(job, "RUNNING")

    assert shell.run(f"scontrol requeue {job}").returncode == 1
    assert shell.state(job) == "RUNNING"


def test_scancel_ends_processes_in_sessions_of_their_own(shell: Any) -> None:
    job = shell.submit("-N2 --ntasks-per-node=1", "srun sh -c 'setsid sleep 1234 & echo $!; wait'")
    shell.until(lambda: len(shell.output(job).split()) == 2)
    pids = [int(word) for word in shell.output(job).split()]
    shell.until(lambda: all(shell.is_alive(pid) for pid in pids))
    shell.out(f"scancel {job}")
    shell.until_state(job, "CANCELLED")

    assert not any(shell.is_alive(pid) for pid in pids)
    assert shell.out(f"sacct -nPX -o State -j {job}").startswith("CANCELLED by ")


def test_scancel_kills_what_ignores_term(shell: Any) -> None:
    job = shell.submit("", "trap '' TERM; echo up; while :; do sleep 0.1; done")
    shell.until(lambda: "up" in shell.output(job))
    shell.out(f"scancel {job}")
    shell.until_state(job, "CANCELLED")

    assert shell.out(f"sacct -nP -o State,ExitCode -j {job}.batch").splitlines()[-1] == "CANCELLED|0:9"


@pytest.mark.parametrize(
    ("option", "who"), [("-s USR1", "step"), ("-s USR1 -b", "batch"), ("--signal=USR1 --full", "both")]
)
def test_scancel_signal_reaches_whom_it_says(shell: Any, option: str, who: str) -> None:
    job = shell.submit(
        "", TRAPS + f"srun bash -c 'trap \"echo step got USR1\" USR1; echo up; {LOOP}' & {LOOP}"
    )
    shell.until(lambda: "up" in shell.output(job))
    shell.out(f"scancel {option} {job}")
    wanted = {"step": ["step"], "batch": ["batch"], "both": ["step", "batch"]}[who]
    shell.until(lambda: all(f"{one} got USR1" in shell.output(job) for one in wanted))

    assert {"step", "batch"} - set(wanted) == {
        w for w in ("step", "batch") if f"{w} got USR1" not in shell.output(job)
    }


def test_scancel_by_name_takes_the_others_not(shell: Any) -> None:
    one, other = shell.submit("-J one"), shell.submit("-J other")
    shell.out("scancel --name=one")
    shell.until_state(one, "CANCELLED")

    assert shell.state(other) in ("PENDING", "RUNNING")


def test_array_runs_no_more_tasks_at_once_than_its_limit(shell: Any) -> None:
    job = shell.out(
        "sbatch --parsable --array=0-4%2 -o arr-%A_%a.txt --wrap 'echo $SLURM_ARRAY_TASK_ID; sleep 0.2'"
    )
    most = 0

    def over() -> bool:
        nonlocal most
        states = shell.out(f"squeue -h -r -t all -o %T -j {job}").split()
        most = max(most, states.count("RUNNING") + states.count("COMPLETING"))
        return states.count("COMPLETED") == 5

    shell.until(over)

    assert most <= 2
    assert [(shell.folder / f"arr-{job}_{i}.txt").read_text() for i in range(5)] == [
        f"{i}\n" for i in range(5)
    ]


def test_one_task_of_an_array_may_be_cancelled(shell: Any) -> None:
    job = shell.out("sbatch --parsable --array=1-3 -o /dev/null --wrap 'sleep 300'")
    shell.until(lambda: shell.out(f"squeue -h -r -o %T -j {job}").split() == ["RUNNING"] * 3)
    shell.out(f"scancel {job}_2")
    shell.until_state(f"{job}_2", "CANCELLED")

    assert shell.out(f"squeue -h -r -o %K -j {job}").split() == ["1", "3"]


def test_dependencies_are_met_or_never_will_be(shell: Any, tmp_path: Path) -> None:
    go = tmp_path / "go"
    first = shell.submit("", f"until [ -e {go} ]; do sleep 0.02; done; exit 3")
    bad, any_end, good = (
        shell.submit(f"-d {kind}:{first}", "true") for kind in ("afterok", "afterany", "afternotok")
    )

    assert shell.out(f"squeue -h -o %r -j {bad}") == "Dependency"
    go.touch()
    shell.until_state(any_end, "COMPLETED")
    shell.until_state(good, "COMPLETED")
    assert shell.out(f"squeue -h -o '%T %r' -j {bad}") == "PENDING DependencyNeverSatisfied"


def test_jobs_of_one_name_run_one_after_the_other_with_singleton(shell: Any) -> None:
    first = shell.submit("-J alone -d singleton")
    second = shell.submit("-J alone -d singleton", "true")
    shell.until_state(first, "RUNNING")

    assert shell.out(f"squeue -h -o '%T %r' -j {second}") == "PENDING Dependency"
    shell.out(f"scancel {first}")
    shell.until_state(second, "COMPLETED")


def test_a_later_job_fills_a_hole_only_if_it_delays_nobody(shell: Any) -> None:
    running = shell.submit("-N3 --exclusive -t 10")
    shell.until_state(running, "RUNNING")
    blocked = shell.submit("-N4 --exclusive -t 10")
    short, long = shell.submit("-t 5"), shell.submit("-t 60")
    shell.until_state(short, "RUNNING")

    assert shell.out(f"squeue -h -o '%T %r' -j {blocked}") == "PENDING Resources"
    assert shell.out(f"squeue -h -o '%T %r' -j {long}") == "PENDING Priority"


def test_node_failure_puts_the_job_back_or_ends_it(shell: Any) -> None:
    kept = shell.submit("-w node3 --open-mode=append", "echo start ${SLURM_RESTART_COUNT-unset}; sleep 300")
    lost = shell.submit("-w node[2-3] -N2 --no-requeue", "srun sleep 300")
    shell.until_state(kept, "RUNNING")
    shell.until(lambda: "node" in shell.out(f"sacct -nP -o NodeList -j {lost}.0 | tail -1"))
    shell.out("scontrol update nodename=node3 state=down reason=test")
    shell.until_state(lost, "NODE_FAIL")
    shell.until_state(kept, "PENDING")

    assert shell.out("sinfo -h -p batch -n node3 -o '%T %E'") == "down test"
    assert shell.out(f"sacct -nPXD -o State -j {kept}") == "NODE_FAIL\nPENDING"
    # srun says so itself, which the job's state does not wait for.
    shell.until(lambda: "srun: error: Node failure on node3" in shell.output(lost))
    shell.out("scontrol update nodename=node3 state=resume")
    shell.until(lambda: "start 1" in shell.output(kept))


def test_a_higher_partition_pushes_a_low_job_out(shell: Any, tmp_path: Path) -> None:
    low = shell.submit(
        "-p low -N4 --exclusive --open-mode=append", "echo start ${SLURM_RESTART_COUNT-unset}; sleep 300"
    )
    shell.until_state(low, "RUNNING")
    go = tmp_path / "go"
    high = shell.submit("-N4 --exclusive", f"until [ -e {go} ]; do sleep 0.02; done")
    shell.until_state(high, "RUNNING")

    assert shell.state(low) == "PENDING"
    assert "DUE TO PREEMPTION" in shell.output(low)
    assert shell.out(f"sacct -nPXD -o State -j {low}") == "PREEMPTED\nPENDING"
    go.touch()
    shell.until(lambda: "start 1" in shell.output(low))


def test_hold_and_release(shell: Any) -> None:
    job = shell.submit("--begin=now+1hour", "true")
    shell.out(f"scontrol hold {job}")

    assert shell.out(f"squeue -h -o '%T %r' -j {job}") == "PENDING JobHeldUser"
    shell.out(f"scontrol release {job}; scontrol update jobid={job} starttime=now")
    shell.until_state(job, "COMPLETED")


def test_a_raised_time_limit_counts(shell: Any) -> None:
    job = shell.submit("-t 0:02")
    shell.until_state(job, "RUNNING")
    shell.out(f"scontrol update jobid={job} timelimit=10")

    assert shell.out(f"squeue -h -o %l -j {job}") == "10:00"


def test_a_killed_srun_takes_its_step_with_it(shell: Any) -> None:
    job = shell.submit("", "srun sh -c 'echo $$; sleep 1000' & echo srun $!; wait; sleep 300")
    shell.until(lambda: len(shell.output(job).split()) == 3)
    words = shell.output(job).split()
    launcher = words[words.index("srun") + 1]
    task = int(next(word for word in words if word not in ("srun", launcher)))
    psutil.Process(int(launcher)).send_signal(signal.SIGKILL)
    shell.until(lambda: not shell.is_alive(task))

    shell.until(lambda: "CANCELLED" in shell.out(f"sacct -nP -o State -j {job} | tail -1"))
    assert shell.state(job) == "RUNNING"


def test_accounting_may_lag_behind(shell_on: Any) -> None:
    from fox_hpc.fake import FakeCluster

    with FakeCluster(accounting_lag_s=1.5, nodes=1) as cluster:
        shell = shell_on(cluster)
        job = shell.submit("", "true")
        shell.until_state(job, "COMPLETED")

        assert shell.out(f"sacct -nPX -o State -j {job}") != "COMPLETED"
        shell.until(lambda: shell.out(f"sacct -nPX -o State -j {job}") == "COMPLETED")


def test_an_ended_job_is_forgotten_after_its_time(shell_on: Any) -> None:
    from fox_hpc.fake import FakeCluster

    with FakeCluster(min_job_age_s=0.5, nodes=1) as cluster:
        shell = shell_on(cluster)
        job = shell.out("sbatch --parsable --wait -o /dev/null --wrap true")
        shell.until(lambda: shell.run(f"squeue -j {job}").returncode == 1)

        assert (
            shell.run(f"scontrol show job {job}").stderr
            == "slurm_load_jobs error: Invalid job id specified\n"
        )
        assert shell.out(f"sacct -nPX -o State -j {job}") == "COMPLETED"
