"""What jobs cost a relay: a look at 10,000 of them, and the submission of 64 sites."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from bench_figure import Figure, medians, take_turns

from fox_hpc.environment import WorkerEnv, process_environ
from fox_hpc.fake import FakeCluster
from fox_hpc.hpc.executor import CHUNK, make_executor
from fox_hpc.hpc.lsf_answers import COLUMNS
from fox_hpc.site.jobs import SiteJob
from fox_hpc.site.launcher import make_launcher
from fox_hpc.spec import RunSpec, SiteSpec

JOBS = 10_000
POLL_LIMIT_S = 1.0
SITES = 64
SUBMIT_LIMIT_S = 0.3
#: What qstat of OpenPBS 23.06 told of a job that ran; its first answer is used.
QSTAT = Path(__file__).parents[1] / "golden" / "pbs-parse" / "qstat_json.txt"
#: Answers each question by what was prepared for the last job id in it.
PROGRAM = """#!/bin/sh
for last; do :; done
exec cat {folder}/answer-"${{last##*,}}"
"""


def poll(repeats: int) -> Iterator[Figure]:
    """A look at all jobs of a relay, by each dialect's own commands and readers: the relay's own CPU."""
    for scheduler, (program, answer) in ANSWERS.items():
        with tempfile.TemporaryDirectory(prefix="fox-bench-") as folder:
            look = _prepared(Path(folder), scheduler, program, answer)
            # The first look finds out in which form the scheduler answers.
            look()
            took = medians(take_turns({"cpu": look}, repeats))["cpu"]
        more = {"jobs": JOBS, "commands": -(-JOBS // CHUNK)}
        yield Figure(f"poll_10000_jobs_{scheduler}_cpu", took, "s", POLL_LIMIT_S, more=more)


def submissions(*dialects: str) -> Iterator[Figure]:
    """What it takes to submit one site of many, on the fakes that are named, or on all; the jobs wait."""
    for dialect in dialects or ANSWERS:
        yield Figure(f"submit_64_sites_{dialect}_each", _submit_all(dialect), "s", SUBMIT_LIMIT_S)


def _prepared(
    folder: Path, scheduler: str, program: str, answer: Callable[[Sequence[str]], str]
) -> Callable[[], float]:
    """Put a scheduler's program in place, and give what looks at all jobs once and says its CPU time."""
    suffix = ".pbs01" if scheduler == "pbs" else ""
    ids = [f"{number}{suffix}" for number in range(4_000_000, 4_000_000 + JOBS)]
    for start in range(0, JOBS, CHUNK):
        chunk = ids[start : start + CHUNK]
        (folder / f"answer-{chunk[-1]}").write_text(answer(chunk))
    path = folder / program
    path.write_text(PROGRAM.format(folder=folder))
    path.chmod(0o700)
    options = {"torque": False} if scheduler == "pbs" else {}
    executor = make_executor(scheduler, {"PATH": f"{folder}:/usr/bin:/bin"}, **options)
    jobs = [SiteJob(f"site-{id}") for id in ids]
    for job, id in zip(jobs, ids, strict=True):
        job.submitted(id, 0.0)

    def look() -> float:
        begun = time.process_time()
        answers = executor.poll(ids)
        for job in jobs:
            job.observe(answers.get(job.job_id), 0.0, 30.0)
        took = time.process_time() - begun
        if not all(job.state == "RUNNING" for job in jobs) or executor.trouble:
            raise RuntimeError(f"not all jobs were seen to run: {executor.trouble}")
        return took

    return look


def _squeue(ids: Sequence[str]) -> str:
    return "".join(f"{id}|RUNNING|node[{int(id) % 900}-{int(id) % 900 + 1}]|None\n" for id in ids)


def _qstat(ids: Sequence[str]) -> str:
    one = json.loads(QSTAT.read_text().partition("-- stdout\n")[2].partition("-- stderr")[0])
    (record,) = one["Jobs"].values()
    return json.dumps({**one, "Jobs": dict.fromkeys(ids, record)}, indent="\t")


def _bjobs(ids: Sequence[str]) -> str:
    cells = {"jobindex": "0", "stat": "RUN", "exec_host": "16*node1:16*node2"}
    rows = ({**dict.fromkeys(COLUMNS, "-"), **cells, "jobid": id} for id in ids)
    return "".join("^".join(row.values()) + "\n" for row in rows)


ANSWERS: dict[str, tuple[str, Callable[[Sequence[str]], str]]] = {
    "slurm": ("squeue", _squeue),
    "pbs": ("qstat", _qstat),
    "lsf": ("bjobs", _bjobs),
}


def _submit_all(dialect: str) -> float:
    """Submit all sites as a relay does, and give the seconds that each took."""
    with (
        tempfile.TemporaryDirectory(prefix="fox-bench-") as folder,
        FakeCluster(dialect, nodes=2, cpus=2) as cluster,
    ):
        # Jobs that ran would take the processor from what is measured.
        cluster.trouble(frozen=True)
        names = [f"site-{number}" for number in range(1, SITES + 1)]
        spec = RunSpec(
            run="bench",
            job_name="bench",
            folder=folder,
            sites=tuple(map(SiteSpec, names)),
            min_clients=1,
            client_class="Echo",
            python=sys.executable,
            scheduler=f"fake-{dialect}",
            server_urls=(),
        )
        launcher = make_launcher(spec, {**process_environ(), **cluster.env})
        launcher.submit(names[0], _worker(folder, names[0]))  # loads submitit
        begun = time.perf_counter()
        for name in names[1:]:
            launcher.submit(name, _worker(folder, name))
        return (time.perf_counter() - begun) / (SITES - 1)


def _worker(folder: str, site: str) -> WorkerEnv:
    return WorkerEnv(("tcp://127.0.0.1:1",), f"{site}.app", site, "Echo", folder, f"{folder}/keys")
