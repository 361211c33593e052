"""The conformance kit: each dialect passes it, on its fake and on the real Slurm; a broken one does not."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from fox_hpc.fake import FakeCluster
from fox_hpc.hpc.dialect import Answer, Inquiry, JobPlan, JobState, Query, Reading, Submission
from fox_hpc.hpc.executor import BatchExecutor, SlurmExecutor, make_executor
from fox_hpc.hpc.slurm import SlurmDialect
from fox_hpc.testing.dialect import DIALECT_CHECKS, check_dialect, run_check
from fox_hpc.testing.dialect_desk import Ground


@pytest.mark.parametrize("name", ["slurm", "pbs", "lsf"])
def test_a_dialect_passes_on_its_fake(name: str, tmp_path: Path) -> None:
    # Two minutes of a time limit are four seconds here; without one, a job has plenty of time.
    waits = {"default_limit_s": 36000, "kill_wait_s": 0.3, "limit_wait_s": 0.3}
    with FakeCluster(name, nodes=2, time_scale=1 / 30, **waits) as cluster:
        check_dialect(lambda environ: make_executor(name, environ), tmp_path, {**os.environ, **cluster.env})


@pytest.mark.cluster
@pytest.mark.waits
@pytest.mark.timeout(300)
def test_slurms_dialect_passes_on_the_real_slurm(tmp_path: Path) -> None:
    # Slurm looks at time limits every 30 s, and warns up to as long before it is asked to.
    check_dialect(SlurmExecutor, tmp_path, time_limit="0:01:00", signal_lead=5)


@dataclass
class Garbled(SlurmDialect):
    """Slurm's dialect with one thing wrong."""

    state: tuple[str, JobState] = ("", "LOST")
    names: bool = True
    quotes: bool = True
    ids: bool = True

    def render(self, plan: JobPlan) -> Submission:
        if self.quotes:
            return super().render(plan)
        exports = {name: value.replace(",", ";") for name, value in plan.exports.items()}
        return super().render(replace(plan, exports=exports))

    def read_job_id(self, answer: Answer) -> str:
        return super().read_job_id(answer) if self.ids else f"job {answer.stdout}"

    def inquiry(self, job_ids: Sequence[str]) -> Inquiry:
        inquiry = super().inquiry(job_ids)
        return replace(inquiry, queue=tuple(replace(q, read=self._wrongly(q.read)) for q in inquiry.queue))

    def find(self, name: str) -> tuple[Query, ...]:
        return super().find(name) if self.names else super().inquiry(["1"]).queue

    def _wrongly(self, read: Callable[[Answer], Reading]) -> Callable[[Answer], Reading]:
        right, wrong = self.state

        def misread(answer: Answer) -> Reading:
            reading = read(answer)
            jobs = {
                i: replace(j, state=wrong if j.raw == right else j.state) for i, j in reading.jobs.items()
            }
            return replace(reading, jobs=jobs)

        return misread


@pytest.fixture(scope="module")
def environ() -> Iterator[dict[str, str]]:
    with FakeCluster(nodes=2, kill_wait_s=0.3) as cluster:
        yield {**os.environ, **cluster.env}


@pytest.mark.parametrize(
    ("wrong", "check", "words"),
    [
        ({"state": ("FAILED", "DONE")}, "a_job_that_fails_has_its_exit_code", "wanted FAILED"),
        ({"state": ("COMPLETED", "PENDING")}, "a_job_waits_then_runs_then_is_done", "went back"),
        ({"state": ("PENDING", "RUNNING")}, "jobs_are_told_apart_in_one_query", "'RUNNING'"),
        ({"ids": False}, "a_job_that_fails_has_its_exit_code", "does not begin with digits"),
        ({"names": False}, "a_job_is_found_by_its_name", "found"),
        ({"quotes": False}, "values_reach_every_node_unchanged", "found 'a;b"),
    ],
    ids=["failed is done", "done is pending", "pending runs", "id", "name", "comma"],
)
def test_a_dialect_with_a_fault_is_caught(
    environ: dict[str, str], tmp_path: Path, wrong: dict[str, Any], check: str, words: str
) -> None:
    ground = Ground(lambda environ: BatchExecutor(Garbled(**wrong), environ), tmp_path, environ)

    with pytest.raises(AssertionError, match=words) as caught:
        run_check(DIALECT_CHECKS[check], ground)
    assert check.replace("_", " ") in str(caught.value)


def test_all_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    def make(environ: Mapping[str, str]) -> BatchExecutor:
        return BatchExecutor(Garbled(ids=False), environ)

    # Jobs of whose ids nobody knows end with their cluster.
    with FakeCluster(nodes=2, kill_wait_s=0.3) as cluster:
        environ = {**os.environ, **cluster.env}
        with pytest.raises(AssertionError) as caught:
            check_dialect(make, tmp_path, environ)

    told = [line.partition(":")[0] for line in str(caught.value).splitlines() if "begin with digits" in line]
    assert told == [name.replace("_", " ") for name in DIALECT_CHECKS][: len(told)]
    assert len(told) >= 6
