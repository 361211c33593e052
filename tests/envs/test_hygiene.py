"""What reaches the ranks of a job and what does not, and what others can see of it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from clusters import DIALECTS, OWN_CODE
from open_book import recipe
from waiting import wait_for

from fox_hpc import HpcEnv, Run
from fox_hpc.fake import FakeCluster

#: What a shell inside an allocation has set, with values that would do harm.
LEAKED = {
    "SLURM_JOB_ID": "4242424",
    "SLURM_JOBID": "4242424",
    "SLURM_NNODES": "7",
    "SLURM_JOB_NUM_NODES": "7",
    "SLURM_NTASKS": "77",
    "SLURM_NPROCS": "77",
    "SLURM_NTASKS_PER_NODE": "11",
    "SLURM_GPUS_PER_NODE": "9",
    "SLURM_GPUS": "9",
    "SLURM_GPUS_PER_TASK": "9",
    "SLURM_CPUS_PER_TASK": "99",
    "SLURM_TRES_PER_TASK": "cpu=99",
    "SLURM_MEM_PER_NODE": "999999",
    "SLURM_CPU_BIND": "map_cpu:99",
    "SLURM_NODELIST": "leak[1-7]",
    "SLURM_JOB_NODELIST": "leak[1-7]",
    "SLURM_PROCID": "42",
    "SLURM_NODEID": "42",
    "SLURM_STEP_ID": "42",
    "SLURM_EXPORT_ENV": "NONE",
    "SLURM_WORKING_DIR": "/nowhere/leaked",
    "SBATCH_EXPORT": "NONE",
    "SBATCH_PARTITION": "leaked",
    "SBATCH_QOS": "leaked",
    "SBATCH_ACCOUNT": "leaked",
    "SBATCH_GPUS_PER_NODE": "9",
    "SBATCH_CONSTRAINT": "leaked",
    "SBATCH_ARRAY_INX": "1-9",
    "SRUN_CPUS_PER_TASK": "99",
    "SRUN_EXPORT_ENV": "NONE",
    "PBS_JOBID": "4242424.leaked",
    "PBS_NODEFILE": "/nowhere/leaked",
    "PBS_NODENUM": "42",
    "PBS_TASKNUM": "42",
    "PBS_ENVIRONMENT": "PBS_INTERACTIVE",
    "PBS_ARRAY_INDEX": "42",
    "PBS_O_WORKDIR": "/nowhere/leaked",
    "LSB_JOBID": "4242424",
    "LSB_HOSTS": "leak1 leak2",
    "LSB_MCPU_HOSTS": "leak1 7 leak2 7",
    "LSB_DJOB_HOSTFILE": "/nowhere/leaked",
    "LSB_DJOB_NUMPROC": "77",
    "LSB_DEFAULTQUEUE": "leaked",
    "LSB_SUB_HOST": "leaked",
    "LSB_JOBINDEX": "42",
    "SUBMITIT_EXECUTOR": "leaked",
    "FOX_SITE_NAME": "leaked",
    "FOX_ATTEMPT": "42",
    "FOX_NODE_RANK": "42",
}
AWKWARD = "a,b \"c\" 'd' $HOME `id` $(id) \\ %j %% {} = ; & | ! # * ?\n\tx=y,"
SHOW = {
    "slurm": (("scontrol", "show", "job", "{job}"), ("scontrol", "write", "batch_script", "{job}", "-")),
    "pbs": (("qstat", "-f", "{job}"),),
    "lsf": (("bjobs", "-l", "{job}"), ("bhist", "-l", "{job}")),
}


@pytest.fixture(params=DIALECTS)
def dialect(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def run(dialect: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Give a run of one site on two nodes, submitted from inside a job, whose ranks are in a call."""
    quoted = AWKWARD.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n").replace("\t", "\\t")
    config: dict[str, Any] = {
        "nodes_per_client": 2,
        "prologue": [OWN_CODE, f"export FROM_PROLOGUE=$'{quoted}'"],
    }
    with FakeCluster(dialect, nodes=2, cpus=2, gpus=0, kill_wait_s=0.3) as cluster:
        for name, value in {**LEAKED, **cluster.env, "FROM_OUTSIDE": AWKWARD}.items():
            monkeypatch.setenv(name, value)
        # The folder's name is in the variables, too.
        env = HpcEnv(1, dialect, tmp_path / "runs of 'me', $HOME & \"co\"", poll_s=0.2)
        made = recipe(run_cmd=f"srun {sys.executable}", hpc_config=config).execute(env)
        try:
            wait_for(lambda: made.wait(0) or len(list(made.workspace.glob("sites/**/environ-*"))) == 2)
            yield made
        finally:
            (made.workspace / "go").touch()
            made.wait(30)


def environs(run: Run) -> list[dict[str, str]]:
    return [json.loads(path.read_text()) for path in sorted(run.workspace.glob("sites/**/environ-*"))]


def finish(run: Run) -> Any:
    (run.workspace / "go").touch()
    return run.result(30)


def test_what_an_enclosing_job_has_set_reaches_no_rank(run: Run, dialect: str):
    assert finish(run) == [str(run.workspace)]
    assert [(e["RANK"], e["WORLD_SIZE"], e["FOX_NNODES"]) for e in environs(run)] == [
        ("0", "2", "2"),
        ("1", "2", "2"),
    ]
    for environ in environs(run):
        assert [name for name, value in LEAKED.items() if environ.get(name) == value] == []


def test_a_value_of_any_characters_arrives_at_the_ranks_of_every_node_unchanged(run: Run, dialect: str):
    finish(run)
    first, second = environs(run)

    assert [first["FROM_PROLOGUE"], second["FROM_PROLOGUE"]] == [AWKWARD] * 2
    assert [first["FOX_RUN_DIR"], second["FOX_RUN_DIR"]] == [str(run.workspace)] * 2
    # PBS hands on nothing of the submitting environment unless it is asked to (-V).
    outside = None if dialect == "pbs" else AWKWARD
    assert [first.get("FROM_OUTSIDE"), second.get("FROM_OUTSIDE")] == [outside] * 2


def test_no_secret_key_can_be_seen_outside_of_its_file(run: Run, dialect: str):
    secrets = [
        json.loads(path.read_text())["secret"]
        for path in run.workspace.rglob("keys/*.json")
        if path.name != "public.json"
    ]
    seen = {**shown(run, dialect), **listed(), **written(run.workspace)}
    finish(run)
    seen |= written(run.workspace)

    assert len(secrets) == 3
    assert len(seen) > 10
    assert [where for where, text in seen.items() if any(secret in text for secret in secrets)] == []


def shown(run: Run, dialect: str) -> dict[str, str]:
    """Give what the scheduler shows of the job."""
    job = run.record().sites["site-1"].job_id
    answers = {}
    for command in SHOW[dialect]:
        words = [word.format(job=job) for word in command]
        done = subprocess.run(words, capture_output=True, text=True, timeout=30, check=True)
        assert job.partition(".")[0] in done.stdout or "#SBATCH" in done.stdout
        answers[" ".join(words)] = done.stdout
    return answers


def listed() -> dict[str, str]:
    """Give what ps shows of all processes, to their owner too."""
    found = {}
    for process in psutil.process_iter():
        try:
            words = [*process.cmdline(), *(f"{name}={value}" for name, value in process.environ().items())]
            found[f"process {process.pid}"] = "\n".join(words)
        except psutil.Error:
            continue
    return found


def written(folder: Path) -> dict[str, str]:
    """Give what stands in the files of a run, but for those of its keys."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.parent.name != "keys")
    return {str(path): path.read_bytes().decode("latin-1") for path in files}
