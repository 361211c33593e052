"""How jobs of the fake LSF wait, are stopped, end and come back."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from fox_hpc.fake import FakeCluster

LISTENER = """
import signal, sys, time
def hear(number, frame):
    print(signal.Signals(number).name, flush=True)
    if signal.Signals(number).name in sys.argv[1:]:
        sys.exit(0)
for name in ("CONT", "INT", "TERM", "USR2"):
    signal.signal(getattr(signal, "SIG" + name), hear)
print("up", flush=True)
while True:
    time.sleep(0.02)
"""


def _listener(lsf: Any, options: str = "", leave_on: str = "", command: str = "") -> str:
    """Start a program that tells which signals it gets."""
    (lsf.folder / "listen.py").write_text(LISTENER)
    job: str = lsf.submit(options, command or f"exec {sys.executable} listen.py {leave_on}")
    lsf.until(lambda: "up" in lsf.peek(job), "a listener")
    return job


def test_bkill_sends_int_then_term_then_kill(lsf: Any) -> None:
    job = _listener(lsf)
    lsf.out(f"bkill {job}")
    assert lsf.state(job) == "RUN"
    lsf.until_state(job, "EXIT")

    assert lsf.output(job).split() == ["up", "SIGCONT", "SIGINT", "SIGTERM"]
    assert lsf.field(job, "exit_code exit_reason") == "137^TERM_OWNER: job killed by owner"
    assert (
        "TERM_OWNER: job killed by owner.\nExited with exit code 137."
        in (lsf.folder / f"out.{job}.0").read_text()
    )


def test_a_job_that_ends_well_when_it_is_told_is_done(lsf: Any) -> None:
    job = _listener(lsf, leave_on="SIGTERM")
    lsf.out(f"bkill {job}")
    lsf.until_state(job, "DONE")

    assert lsf.field(job, "exit_code exit_reason") == "-^-"


def test_a_signal_reaches_the_program_of_a_script(lsf: Any) -> None:
    job = _listener(lsf, command=f"trap '' USR2; {sys.executable} listen.py; true")
    assert lsf.out(f"bkill -s USR2 {job}") == f"Job <{job}> is being signaled"
    lsf.until(lambda: "SIGUSR2" in lsf.peek(job))

    assert lsf.state(job) == "RUN"


@pytest.fixture(scope="module")
def fast(tmp_path_factory: pytest.TempPathFactory, lsf_class: Any) -> Any:
    """A cluster where a minute lasts 0.6 seconds."""
    with FakeCluster(dialect="lsf", nodes=2, time_scale=0.01, kill_wait_s=0.3, limit_wait_s=0.5) as cluster:
        yield lsf_class(cluster, tmp_path_factory.mktemp("fast"))


def test_the_run_limit_sends_usr2_and_kills_later(fast: Any) -> None:
    job = _listener(fast, "-W 2")
    fast.until_state(job, "EXIT")

    assert fast.output(job).split() == ["up", "SIGUSR2"]
    reason = "TERM_RUNLIMIT: job killed after reaching LSF run time limit"
    assert fast.field(job, "exit_code exit_reason runtimelimit") == f"137^{reason}^2.0"


def test_a_shell_dies_of_the_run_limit_as_attested(fast: Any) -> None:
    job = fast.submit("-W 1", "while :; do sleep 0.05; done")
    fast.until_state(job, "EXIT")
    golden = (Path(__file__).parents[2] / "golden/lsf/report_run_limit.txt").read_text()
    report = (fast.folder / f"out.{job}.0").read_text()

    for line in ("TERM_RUNLIMIT: job killed after reaching LSF run time limit.\nExited with exit code 140.",
                 "User defined signal 2"):  # fmt: skip
        assert line in golden
        assert line in report


def test_a_job_that_heeds_the_run_limit_is_done(fast: Any) -> None:
    job = _listener(fast, "-W 1", leave_on="SIGUSR2")
    fast.until_state(job, "DONE")

    assert fast.output(job).split() == ["up", "SIGUSR2"]


def test_a_warning_comes_before_the_run_limit(fast: Any) -> None:
    job = _listener(fast, "-W 60 -wa TERM -wt 59", leave_on="SIGTERM")
    fast.until_state(job, "DONE")

    assert fast.output(job).split() == ["up", "SIGTERM"]


def test_a_running_job_is_stopped_and_resumed(lsf: Any) -> None:
    job = lsf.submit("", "echo $$; while :; do sleep 0.05; done")
    lsf.until(lambda: lsf.peek(job))
    process = psutil.Process(int(lsf.peek(job)))
    assert lsf.out(f"bstop {job}") == f"Job <{job}> is being stopped"
    lsf.until(lambda: process.status() == psutil.STATUS_STOPPED)
    assert lsf.state(job) == "USUSP"
    assert lsf.out(f"bresume {job}") == f"Job <{job}> is being resumed"
    assert lsf.state(job) == "SSUSP"
    lsf.until_state(job, "RUN")

    lsf.until(lambda: process.status() != psutil.STATUS_STOPPED)


def test_a_waiting_job_is_held_and_let_go(lsf: Any) -> None:
    first = lsf.submit("-n 16")
    job = lsf.submit("-n 16", "true")
    lsf.until(lambda: "Not enough job slot(s)" in lsf.field(job, "pend_reason"))
    lsf.out(f"bstop {job}; bkill {first}")
    lsf.until_state(first, "EXIT")
    assert lsf.state(job) == "PSUSP"
    lsf.out(f"bresume {job}")

    lsf.until_state(job, "DONE")


def test_brequeue_starts_the_job_again_under_its_id(lsf: Any) -> None:
    job = lsf.submit("", "echo run >> runs; sleep 300")
    runs = lsf.folder / "runs"
    lsf.until(runs.exists)
    assert lsf.run(f"brequeue {job}").stdout == f"Job <{job}> is being requeued \n"
    lsf.until(lambda: runs.read_text().count("run") == 2)

    assert lsf.state(job) == "RUN"
    assert "Signal <REQUEUE_PEND> requested" in lsf.out(f"bhist -l {job}")


def test_an_exit_code_may_put_the_job_back(lsf: Any) -> None:
    job = lsf.submit("-Q 42", "test -e flag && exit 0; touch flag; exit 42")
    lsf.until_state(job, "DONE")

    assert "(exit code 42)" in lsf.out(f"bhist -l {job}")


def test_arrays_keep_to_their_limit_and_elements_can_be_killed(lsf: Any) -> None:
    job = lsf.job_of(lsf.out("bsub -J 'a[1-4]%1' -o /dev/null sleep 300"))
    lsf.until(lambda: "RUN" in lsf.state(job))
    assert lsf.out(f"bkill '{job}[3]'") == f"Job <{job}[3]> is being terminated"

    assert lsf.state(job).split() == ["RUN", "PEND", "PEND", "EXIT"]
    assert lsf.field(f"{job}[2]", "pend_reason").startswith(
        "The job array has reached its running element limit"
    )
    assert lsf.run(f"bkill {job}").stdout == f"Job <{job}> is being terminated\n"


def test_dependencies_are_met_or_never_will_be(lsf: Any, tmp_path: Path) -> None:
    go = tmp_path / "go"
    first = lsf.submit("-J first", f"until [ -e {go} ]; do sleep 0.02; done; exit 3")
    bad, ended, either = (
        lsf.submit(f"-w '{text}'", "true")
        for text in (f"done({first})", f"ended({first})", f'exit("first") || done({first})')
    )

    assert lsf.field(bad, "stat pend_reason") == "PEND^Job dependency condition not satisfied;"
    go.touch()
    lsf.until_state(ended, "DONE")
    lsf.until_state(either, "DONE")
    assert lsf.field(bad, "stat pend_reason") == "PEND^Dependency condition invalid or never satisfied;"


@pytest.mark.parametrize(("option", "state"), [("-r", "PEND RUN"), ("", "EXIT")])
def test_a_higher_queue_pushes_a_low_job_out(lsf: Any, option: str, state: str) -> None:
    low = lsf.submit(f"-q low -n 16 {option}")
    lsf.until_state(low, "RUN")
    high = lsf.submit("-n 16", "sleep 0.3")
    lsf.until_state(high, "RUN", "DONE")
    lsf.until_state(low, *state.split())

    reason = "-" if option else "TERM_PREEMPT: job killed after preemption"
    assert lsf.field(low, "exit_reason") == reason


def test_a_job_whose_host_is_lost_is_unknown_until_it_is_back(lsf: Any) -> None:
    lost, again = lsf.submit("-m node2"), lsf.submit("-m node2 -r")
    lsf.until(lambda: lsf.state(lost) == lsf.state(again) == "RUN")
    lsf.cluster.trouble(fail_node="node2")
    lsf.until_state(lost, "UNKWN")
    lsf.until_state(again, "PEND")
    assert "unreach" in lsf.out("bhosts node2")
    lsf.out(f"bkill {lost}")
    assert lsf.state(lost) == "ZOMBI"
    lsf.cluster.trouble(restore_node="node2")
    lsf.until_state(again, "RUN")

    assert lsf.field(lost, "stat exit_reason") == "EXIT^TERM_ZOMBIE: job exited while LSF is not available"


def test_only_the_owner_may_kill(lsf: Any) -> None:
    job = lsf.submit()
    done = lsf.run(f"bkill {job}", FOX_FAKE_USER="eve:2002")

    assert (done.returncode, done.stderr) == (255, f"Job <{job}>: User permission denied\n")
    lsf.out(f"bkill {job}", FOX_FAKE_USER="root:0")
    lsf.until_state(job, "EXIT")
    owner_is_root = os.getuid() == 0
    assert lsf.field(job, "exit_reason").startswith("TERM_OWNER" if owner_is_root else "TERM_ADMIN")


OWNER = """
import os, subprocess, sys
from fox_hpc.fake import FakeCluster
cluster = FakeCluster(dialect="lsf", nodes=2).up()
env = {**os.environ, **cluster.env}
task = "setsid sleep 1000 & touch up.$LSF_PM_TASKID; sleep 1000"
script = f"setsid sleep 1000 & env -i sleep 1000 & blaunch '{task}'"
subprocess.run(["bsub", "-n", "2", "-R", "span[ptile=1]", script], env=env, check=True, stdout=2)
while not (os.path.exists("up.1") and os.path.exists("up.2")):
    pass
print(cluster.folder, cluster._process.pid, flush=True)
sys.stdin.read()
"""


def test_killing_the_owner_leaves_no_process_and_no_folder(tmp_path: Path) -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    )  # fmt: skip
    assert owner.stdout is not None
    folder, controller = owner.stdout.readline().split()
    family = [psutil.Process(int(controller)), *psutil.Process(int(controller)).children(recursive=True)]
    assert len(family) > 7
    owner.kill()
    owner.communicate()

    _, alive = psutil.wait_procs(family, timeout=10)
    assert not alive
    assert not Path(folder).exists()


def test_the_run_limit_does_not_count_while_a_job_is_stopped(fast: Any) -> None:
    job = fast.submit("-W 2")
    fast.until_state(job, "RUN")
    fast.ask("bstop", job)
    stopped = time.monotonic()
    fast.until(lambda: time.monotonic() - stopped > 1.5)
    assert fast.state(job) == "USUSP"
    fast.out(f"bresume {job}")
    fast.until_state(job, "EXIT")

    assert fast.field(job, "exit_reason").startswith("TERM_RUNLIMIT")
