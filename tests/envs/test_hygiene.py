"""What reaches the ranks of a job and what does not, and what others can see of it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Book:
    """What a run of one site on two nodes, submitted from inside a job, has shown while ranks were in a call.

    Args:
        environs: of each rank.
        seen: where something could be read, and what stood there.
    """

    dialect: str
    workspace: Path
    result: Any
    environs: list[dict[str, str]]
    secrets: list[str]
    seen: dict[str, str]


@pytest.fixture(scope="module", params=DIALECTS)
def book(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Book]:
    """Give what a run on each scheduler has shown; it has ended."""
    dialect = str(request.param)
    quoted = AWKWARD.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n").replace("\t", "\\t")
    config: dict[str, Any] = {
        "nodes_per_client": 2,
        "prologue": [OWN_CODE, f"export FROM_PROLOGUE=$'{quoted}'"],
    }
    with (
        FakeCluster(dialect, nodes=2, cpus=2, gpus=0, kill_wait_s=0.3) as cluster,
        pytest.MonkeyPatch.context() as patch,
    ):
        for name, value in {**LEAKED, **cluster.env, "FROM_OUTSIDE": AWKWARD}.items():
            patch.setenv(name, value)
        # The folder's name is in the variables, too.
        folder = tmp_path_factory.mktemp(dialect) / "runs of 'me', $HOME & \"co\""
        made = recipe(run_cmd=f"srun {sys.executable}", hpc_config=config)
        yield read(made.execute(HpcEnv(1, dialect, folder, poll_s=0.2)), dialect)


def read(run: Run, dialect: str) -> Book:
    """Look at everything while the ranks wait in their call, and let them go."""
    try:
        wait_for(lambda: run.wait(0) or len(list(run.workspace.glob("sites/**/environ-*"))) == 2)
        environs = [json.loads(path.read_text()) for path in sorted(run.workspace.glob("sites/**/environ-*"))]
        keys = [path for path in run.workspace.rglob("keys/*.json") if path.name != "public.json"]
        secrets = [json.loads(path.read_text())["secret"] for path in keys]
        seen = {**shown(run, dialect), **listed(), **written(run.workspace)}
    finally:
        (run.workspace / "go").touch()
        run.wait(30)
    seen |= written(run.workspace)
    return Book(dialect, run.workspace, run.result(0), environs, secrets, seen)


def test_what_an_enclosing_job_has_set_reaches_no_rank(book: Book):
    assert book.result == [str(book.workspace)]
    assert [(e["RANK"], e["WORLD_SIZE"], e["FOX_NNODES"]) for e in book.environs] == [
        ("0", "2", "2"),
        ("1", "2", "2"),
    ]
    for environ in book.environs:
        assert [name for name, value in LEAKED.items() if environ.get(name) == value] == []


def test_a_value_of_any_characters_arrives_at_the_ranks_of_every_node_unchanged(book: Book):
    first, second = book.environs

    assert [first["FROM_PROLOGUE"], second["FROM_PROLOGUE"]] == [AWKWARD] * 2
    assert [first["FOX_RUN_DIR"], second["FOX_RUN_DIR"]] == [str(book.workspace)] * 2
    # PBS hands on nothing of the submitting environment unless it is asked to (-V).
    outside = None if book.dialect == "pbs" else AWKWARD
    assert [first.get("FROM_OUTSIDE"), second.get("FROM_OUTSIDE")] == [outside] * 2


def test_no_secret_key_can_be_seen_outside_of_its_file(book: Book):
    assert len(book.secrets) == 3
    assert len(book.seen) > 10
    assert [where for where, text in book.seen.items() if any(one in text for one in book.secrets)] == []


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
