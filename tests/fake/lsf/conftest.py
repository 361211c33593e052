"""A fake LSF for each test module, and a shell that speaks to it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fox_hpc.fake import FakeCluster


@pytest.fixture(scope="session")
def lsf_class(shell_class: Any) -> Any:
    class LsfShell(shell_class):  # type: ignore[misc]
        """Runs command lines as a user of the cluster would."""

        def submit(self, options: str = "", body: str = "sleep 300") -> str:
            (self.folder / "job.sh").write_text(f"#!/bin/bash\n{body}\n")
            return self.job_of(self.out(f"bsub -o out.%J.%I {options} < job.sh"))

        @staticmethod
        def job_of(text: str) -> str:
            found = re.search(r"Job <(\d+)> is submitted", text)
            assert found, text
            return found[1]

        def field(self, job: str, names: str) -> str:
            """Values of `bjobs -o`, separated by `^`."""
            return str(self.ask("bjobs", "-noheader", "-o", f"{names} delimiter='^'", job))

        def state(self, job: str) -> str:
            return self.field(job, "stat")

        def output(self, job: str) -> str:
            """What an ended job wrote, without the report."""
            path = self.folder / f"out.{job}.0"
            return path.read_text().partition("follows:\n\n")[2] if path.exists() else ""

        def peek(self, job: str) -> str:
            """What a running job has written so far."""
            return str(self.ask("bpeek", job)).removesuffix("<< output from stdout >>")

    return LsfShell


@pytest.fixture(scope="module")
def cluster() -> Iterator[FakeCluster]:
    with FakeCluster(dialect="lsf", kill_wait_s=0.4, requeue_wait_s=0.2, limit_wait_s=0.6) as up:
        yield up


@pytest.fixture
def lsf(cluster: FakeCluster, tmp_path: Path, lsf_class: Any) -> Iterator[Any]:
    """An empty cluster: what a test leaves is killed behind it."""
    shell = lsf_class(cluster, tmp_path)
    yield shell
    if shell.ask("bjobs", "-u", "all"):
        shell.run("bkill -r -u all 0")
        shell.until(lambda: not shell.ask("bjobs", "-u", "all"), "an empty queue")


@pytest.fixture
def lsf_on(tmp_path: Path, lsf_class: Any) -> Callable[[FakeCluster], Any]:
    return lambda cluster: lsf_class(cluster, tmp_path)
