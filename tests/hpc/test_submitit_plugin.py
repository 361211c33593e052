"""PBS and LSF through submitit alone: small qsub and bsub on PATH that run the script they are given."""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import submitit
import submitit_jobs
from recordings import Programs
from submitit.core import plugins
from submitit.core.utils import FailedJobError, FailedSubmissionError, UncompletedJobError

from fox_hpc.errors import RecipeError, SchedulerError
from fox_hpc.hpc.submitit_plugin import FoxJobEnvironment, LsfExecutor, LsfJob, PbsExecutor, PbsJob

REPO = Path(__file__).parents[2]

_QSUB = """
(cd / && PBS_JOBID=4711.pbs01 PBS_NODEFILE={nodes} PBS_O_WORKDIR={home} bash "$1") >/dev/null 2>&1 &
echo 4711.pbs01
"""
_BSUB = """
cat > {home}/spooled.sh
LSB_JOBID=4711 LSB_JOBINDEX=0 LSB_MCPU_HOSTS='cn01 2 cn02 2 ' bash {home}/spooled.sh >/dev/null 2>&1 &
echo 'Please note: maintenance on Monday.'
echo 'Job <4711> is submitted to default queue <normal>.'
"""


@dataclass
class Site:
    """A cluster of one kind, for submitit."""

    scheduler: str
    programs: Programs
    home: Path

    def executor(self, **parameters: Any) -> PbsExecutor | LsfExecutor:
        executor = {"pbs": PbsExecutor, "lsf": LsfExecutor}[self.scheduler](self.home / "jobs")
        executor.update_parameters(**parameters)
        return executor

    def says(self, state: str) -> None:
        """Make the queue tell of job 4711: it runs (R), or was deleted (D)."""
        if self.scheduler == "pbs":
            fate = {"R": '"job_state": "R"', "D": '"job_state": "F", "substate": 91, "Exit_status": 271'}[
                state
            ]
            answer = f'echo \'{{"Jobs": {{"4711.pbs01": {{{fate}}}}}}}\''
            self.programs.put("qstat", f'case "$*" in --version) echo pbs_version = 23;; *) {answer};; esac')
        else:
            fate = {"R": "RUN^-^cn01^-", "D": "EXIT^130^cn01^TERM_OWNER: by owner"}[state]
            self.programs.put("bjobs", f"echo '4711^0^{fate}^-'")


@pytest.fixture(params=["pbs", "lsf"])
def site(
    request: pytest.FixtureRequest, programs: Programs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Site]:
    home = tmp_path / "home"
    installed = home / "installed" / "fox_hpc-0.1.0.dist-info"
    installed.mkdir(parents=True)
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: fox-hpc\nVersion: 0.1.0\n")
    entries = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]["entry-points"]["submitit"]
    lines = [f"{name} = {value}" for name, value in entries.items()]
    (installed / "entry_points.txt").write_text("\n".join(["[submitit]", *lines, ""]))
    (home / "nodes").write_text("cn01\ncn01\ncn02\n")

    programs.put("qsub", _QSUB.format(home=home, nodes=home / "nodes"))
    programs.put("bsub", _BSUB.format(home=home))
    monkeypatch.setenv("PATH", programs.environ["PATH"])
    monkeypatch.setenv("PYTHONPATH", f"{installed.parent}:{REPO}:{Path(__file__).parent}")
    for job in (PbsJob, LsfJob):
        job.watcher.clear()
    made = Site(request.param, programs, home)
    made.says("R")
    yield made
    for job in (PbsJob, LsfJob):
        job.watcher.clear()
        job.watcher._registered.clear()


def test_a_function_is_run_by_submitit_alone(site: Site) -> None:
    job = site.executor(nodes=2, timeout_min=5, name="hello").submit(submitit_jobs.describe, "ann", mark="?")

    folder, job_id, nodes, tasks = job.result()

    assert (job.job_id, job_id, nodes, tasks) == ("4711", "4711", 2, 1)
    assert folder == (str(site.home) if site.scheduler == "pbs" else str(Path.cwd()))
    assert "hello ann?" in job.stdout()
    assert job.done()
    assert job.submission().args == ("ann",)


def test_a_function_that_raises_is_told_with_its_trace(site: Site) -> None:
    job = site.executor().submit(submitit_jobs.fail)

    with pytest.raises(FailedJobError, match="no data on this node"):
        job.result()


def test_a_job_that_was_ended_is_done(site: Site) -> None:
    site.programs.put("qsub", "echo 4711.pbs01")
    site.programs.put("bsub", "echo 'Job <4711> is submitted to x'")
    job = site.executor().submit(submitit_jobs.fail)
    assert (job.done(force_check=True), job.state) == (False, "RUNNING")

    site.says("D")
    job.watcher.update()

    assert job.done()
    assert job.state == "CANCELLED"


def test_a_job_is_cancelled(site: Site) -> None:
    kill = {"pbs": "qdel", "lsf": "bkill"}[site.scheduler]
    job = {"pbs": PbsJob, "lsf": LsfJob}[site.scheduler](site.home, "4711")
    site.programs.put(kill, "exit 0")
    job.cancel()
    assert site.programs.calls(kill) == ["4711"]

    site.programs.put(kill, "echo 'not yours' >&2; exit 1")
    job.cancel(check=False)
    with pytest.raises(SchedulerError, match="not yours"):
        job.cancel()


def test_an_array_is_so_many_jobs(site: Site) -> None:
    # Ids that do not repeat, and no run.
    count = f"n=$(cat {site.home}/n 2>/dev/null || echo 0); n=$((n + 1)); echo $n > {site.home}/n"
    site.programs.put("qsub", f"{count}; echo $n.pbs01")
    site.programs.put("bsub", f'{count}; echo "Job <$n> is submitted to queue <x>."')

    jobs = site.executor().map_array(submitit_jobs.describe, ["a", "b", "c"])

    assert [job.job_id for job in jobs] == ["1", "2", "3"]
    assert [job.submission().args for job in jobs] == [("a",), ("b",), ("c",)]


def test_a_refused_job_is_a_failed_submission(site: Site) -> None:
    site.programs.put("qsub", "echo 'qsub: Unknown queue' >&2; exit 170")
    site.programs.put("bsub", "echo 'x: No such queue. Job not submitted.' >&2; exit 255")

    with pytest.raises(FailedSubmissionError, match=r"did not take the job: .*queue"):
        site.executor(queue="x").submit(submitit_jobs.fail)


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ({"quue": "gpu"}, "did you mean 'queue'?"),
        ({"qos": "high"}, r"hpc_config\['qos'\]='high' cannot be said to"),
        ({"tasks_per_node": 2}, "once, on its first node"),
        ({"stderr_to_stdout": True}, "a file for each"),
        ({"scheduler": "slurm"}, "has no such parameter"),
        ({"name": "a\nb"}, "on one line"),
    ],
)
def test_a_wrong_parameter_is_refused_at_once(site: Site, parameters: dict[str, Any], says: str) -> None:
    with pytest.raises(RecipeError, match=says):
        site.executor(**parameters)


def test_parameters_of_submitit_are_said_in_the_schedulers_words(site: Site) -> None:
    site.programs.put("qsub", "echo 4711.pbs01")
    site.programs.put("bsub", "echo 'Job <4711> is submitted to x'")
    executor = site.executor(timeout_min=90, mem_gb=1.5, nodes=2, cpus_per_task=4, gpus_per_node=1)
    executor.update_parameters(container="apptainer exec my.sif")

    executor.submit(submitit_jobs.fail)

    (script,) = (site.home / "jobs").glob("submission-*.sh")
    text = script.read_text()
    assert text.splitlines()[-1].startswith("exec apptainer exec my.sif python -u -m submitit.core._submit ")
    lines = {
        "pbs": ["-l select=2:ncpus=4:ngpus=1:mem=1536mb", "-l walltime=01:30:00"],
        "lsf": ["-n 8", '-R "span[ptile=4]"', '-gpu "num=1"', '-R "rusage[mem=1536M]"', "-W 90"],
    }
    for line in lines[site.scheduler]:
        assert f"#{'PBS' if site.scheduler == 'pbs' else 'BSUB'} {line}\n" in text


def test_autoexecutor_knows_the_one_that_a_package_can_register(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [str(site.home / "installed"), *sys.path])
    for cached in (plugins._get_plugins, plugins.get_executors, plugins.get_job_environments):
        cached.cache_clear()
    try:
        assert plugins.get_executors()["pbs"] is PbsExecutor
        assert "lsf" not in plugins.get_executors()
        assert isinstance(plugins.get_job_environments()["fox"], FoxJobEnvironment)
        assert submitit.AutoExecutor(site.home).cluster == "local"
        auto = submitit.AutoExecutor(site.home, cluster="pbs")
        auto.update_parameters(timeout_min=5, pbs_queue="gpu")
        assert auto._executor.parameters == {"time_limit": 5, "partition": "gpu"}
    finally:
        for cached in (plugins._get_plugins, plugins.get_executors, plugins.get_job_environments):
            cached.cache_clear()


def test_only_lsf_requeues_a_job_for_its_owner(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUBMITIT_EXECUTOR", site.scheduler)
    monkeypatch.setenv({"pbs": "PBS_JOBID", "lsf": "LSB_JOBID"}[site.scheduler], "4711")
    site.programs.put("brequeue", "exit 0")
    environment = FoxJobEnvironment()
    assert environment.activated()

    if site.scheduler == "pbs":
        with pytest.raises(UncompletedJobError, match="submit it again"):
            environment._requeue(1)
    else:
        environment._requeue(1)
    assert site.programs.calls("brequeue") == ([] if site.scheduler == "pbs" else ["4711"])


def test_a_job_of_slurm_is_left_to_submitits_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUBMITIT_EXECUTOR", "slurm")

    assert not FoxJobEnvironment().activated()
