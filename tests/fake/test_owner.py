"""A fake cluster lives as long as its owner, and leaves nothing."""

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

OWNER = """
import os, subprocess, sys
from fox_hpc.fake import FakeCluster
cluster = FakeCluster(nodes=2).up()
env = {**os.environ, **cluster.env}
script = "setsid sleep 1000 & env -i sleep 1000 & srun sh -c 'setsid sleep 1000 & sleep 1000'"
subprocess.run(["sbatch", "-N2", "-o", "/dev/null", "--wrap", script], env=env, check=True, stdout=2)
while subprocess.run("squeue -s -h; sacct -nP -o State | grep -c RUNNING", shell=True, env=env,
                     capture_output=True, text=True).stdout.split()[-1:] != ["3"]:
    pass
print(cluster.folder, cluster._process.pid, flush=True)
sys.stdin.read()
"""


def test_killing_the_owner_leaves_no_process_and_no_folder(tmp_path: Path) -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout is not None
    folder, controller = owner.stdout.readline().split()
    family = [psutil.Process(int(controller)), *psutil.Process(int(controller)).children(recursive=True)]
    assert len(family) > 5
    owner.kill()
    owner.communicate()

    _, alive = psutil.wait_procs(family, timeout=10)
    assert not alive
    assert not Path(folder).exists()


def test_a_forked_child_of_the_owner_does_not_keep_the_cluster_up() -> None:
    with FakeCluster(nodes=1) as cluster:
        process = psutil.Process(cluster._process.pid) if cluster._process else None
        child = os.fork()
        if child == 0:
            time.sleep(30)
            os._exit(0)
        cluster.down()

        assert process is not None
        assert not process.is_running()
        os.kill(child, 9)
        os.waitpid(child, 0)


def test_down_ends_running_jobs_and_removes_a_temporary_folder() -> None:
    cluster = FakeCluster(nodes=1).up()
    folder = cluster.folder
    subprocess.run(["sbatch", "-o", "/dev/null", "--wrap", "sleep 1000"], env={**os.environ, **cluster.env},
                   check=True, capture_output=True)  # fmt: skip
    controller = psutil.Process(cluster._process.pid) if cluster._process else None
    cluster.down()

    assert not folder.exists()
    assert controller is not None
    assert not controller.is_running()
    assert repr(cluster) == "<FakeCluster slurm · 4 nodes · down>".replace("4", "1")


def test_a_killed_controller_leaves_no_job_after_down(shell_on: Any) -> None:
    cluster = FakeCluster(nodes=1).up()
    shell = shell_on(cluster)
    job = shell.submit("", "echo $$; sleep 1000")
    shell.until(lambda: shell.output(job))
    assert cluster._process is not None
    cluster._process.kill()
    cluster.down()

    # The shell may have had the time to say that its child was killed.
    assert not shell.is_alive(int(shell.output(job).split()[0]))


def test_a_long_spool_path_works(tmp_path: Path, shell_on: Any) -> None:
    folder = tmp_path / ("long" * 30) / "spool"
    with FakeCluster(nodes=1, folder=folder) as cluster:
        assert shell_on(cluster).out("sinfo -h -p batch -o %N") == "node1"
    assert folder.exists()


def test_a_folder_can_be_used_again_but_not_twice_at_once(tmp_path: Path) -> None:
    with FakeCluster(nodes=1, folder=tmp_path), pytest.raises(RuntimeError, match="is up"):
        FakeCluster(nodes=1, folder=tmp_path).up()
    with FakeCluster(nodes=1, folder=tmp_path):
        pass


def test_an_unknown_option_names_the_right_ones() -> None:
    with pytest.raises(TypeError, match=r"no option colour; it has .*kill_wait_s"):
        FakeCluster(colour="red")


def test_state_is_kept_in_the_spool(shell: Any) -> None:
    job = shell.out("sbatch --parsable --wait -o /dev/null --wrap true")
    state = shell.cluster.folder / "state.json"

    shell.until(lambda: f'"{job}"' in state.read_text() and "COMPLETED" in state.read_text())


def test_time_scale_shortens_limits(shell_on: Any) -> None:
    with FakeCluster(nodes=1, time_scale=0.01, kill_wait_s=0.5) as cluster:
        shell = shell_on(cluster)
        job = shell.submit("-t 1")
        shell.until_state(job, "TIMEOUT")

        assert shell.out(f"sacct -nPX -o Timelimit -j {job}") == "00:01:00"
