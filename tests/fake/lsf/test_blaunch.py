"""blaunch starts tasks on the job's hosts, and they end with it."""

from __future__ import annotations

import signal
from typing import Any

import psutil
import pytest

TWO = '-n 4 -R "span[ptile=2]"'


def _interactive(lsf: Any, script: str, options: str = TWO) -> list[str]:
    (lsf.folder / "job.sh").write_text(f"#!/bin/bash\n{script}\n")
    return sorted(lsf.run(f"bsub -I {options} < job.sh").stdout.splitlines()[1:])


def test_without_hosts_there_is_a_task_a_slot(lsf: Any) -> None:
    found = _interactive(lsf, "blaunch 'echo $LSF_PM_TASKID $(hostname) $LSB_JOBNAME'", TWO + " -J many")

    assert found == ["1 node1 many", "2 node1 many", "3 node2 many", "4 node2 many"]


def test_hosts_may_be_named_in_three_ways(lsf: Any) -> None:
    script = """
export MINE=x
blaunch -z "node1 node2" 'echo z $(hostname) $MINE'
uniq $LSB_DJOB_HOSTFILE > hosts; blaunch -u hosts 'echo u $(hostname)'
blaunch node2 sh -c 'echo one $(hostname) "$0"' 'two words'
"""
    assert _interactive(lsf, script) == [
        "one node2 two words", "u node1", "u node2", "z node1 x", "z node2 x",
    ]  # fmt: skip


def test_the_worst_exit_code_is_blaunchs(lsf: Any) -> None:
    script = "blaunch 'exit $((LSF_PM_TASKID - 1))'; echo $?; blaunch node1 nosuchprogram; echo $?"

    assert [line for line in _interactive(lsf, script) if line.isdigit()] == ["127", "3"]


def test_it_needs_a_job_and_its_hosts(lsf: Any) -> None:
    assert lsf.run("blaunch true").returncode == 255
    assert _interactive(lsf, "blaunch -z node4 true 2> /dev/null; echo $?") == ["255"]


def test_the_jobs_end_is_the_tasks_end(lsf: Any) -> None:
    job = lsf.submit(TWO, "blaunch 'echo $$; setsid sleep 1000 & sleep 1000'")
    lsf.until(lambda: len(lsf.peek(job).split()) == 4)
    pids = [int(word) for word in lsf.peek(job).split()]
    assert all(lsf.is_alive(pid) for pid in pids)
    lsf.out(f"bkill {job}")
    lsf.until_state(job, "EXIT")

    assert not any(lsf.is_alive(pid) for pid in pids)


def test_a_task_hears_each_signal_once(lsf: Any) -> None:
    task = "trap 'echo int' INT; trap 'echo term; exit 0' TERM; echo up; while :; do sleep 0.05; done"
    job = lsf.submit("-n 2 -R 'span[ptile=1]'", f'blaunch -z node2 "{task}"')
    lsf.until(lambda: "up" in lsf.peek(job))
    lsf.out(f"bkill {job}")
    lsf.until_state(job, "DONE", "EXIT")

    assert [word for word in lsf.output(job).split() if word in ("int", "term")] == ["int", "term"]


def test_jsrun_starts_tasks_in_resource_sets(lsf: Any) -> None:
    script = r"""
names='$JSM_NAMESPACE_RANK/$JSM_NAMESPACE_SIZE $JSM_NAMESPACE_LOCAL_RANK'
show="echo $names \$(hostname) \$CUDA_VISIBLE_DEVICES"
jsrun -n2 --rs_per_host 1 -a1 -c ALL_CPUS -g ALL_GPUS sh -c "$show"
jsrun -n4 -r2 sh -c 'echo $PMIX_RANK $JSM_NAMESPACE_LOCAL_RANK $(hostname)'
jsrun -n9 true 2> /dev/null || echo no
"""
    assert _interactive(lsf, script, TWO + " -gpu num=2") == [
        "0 0 node1", "0/2 0 node1 0,1", "1 1 node1", "1/2 0 node2 0,1", "2 0 node2", "3 1 node2", "no",
    ]  # fmt: skip


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_blaunch_that_is_ended_takes_its_tasks_along(lsf: Any, number: int) -> None:
    job = lsf.submit(TWO, "blaunch -z node2 'echo $$; exec sleep 1000' & echo $!; wait $!; sleep 1000")
    lsf.until(lambda: len(lsf.peek(job).split()) == 2)
    words = lsf.peek(job).split()
    pids = [int(word) for word in words]
    launcher = next(pid for pid in pids if "blaunch" in " ".join(psutil.Process(pid).cmdline()))
    psutil.Process(launcher).send_signal(number)
    lsf.until(lambda: not any(lsf.is_alive(pid) for pid in pids))

    assert lsf.state(job) == "RUN"
