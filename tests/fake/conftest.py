"""A fake cluster for each test module, and a shell that has its programs on PATH."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from waiting import lives, wait_for

from fox_hpc.fake import FakeCluster
from fox_hpc.fake.line import connect


class Shell:
    """Runs command lines as a user of the cluster would."""

    def __init__(self, cluster: FakeCluster, folder: Path) -> None:
        self.cluster, self.folder = cluster, folder
        self.env = {**os.environ, **cluster.env}

    def run(self, line: str, check: bool = False, **env: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            ["sh", "-c", line], env={**self.env, **env}, cwd=self.folder, text=True, capture_output=True,
            timeout=60, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert not check or done.returncode == 0, f"{line}: {done.stderr}"
        return done

    def out(self, line: str, **env: str) -> str:
        return self.run(line, check=True, **env).stdout.strip()

    def submit(self, options: str = "", body: str = "sleep 300") -> str:
        (self.folder / "body.sh").write_text(f"#!/bin/bash\n{body}\n")
        return self.out(f"sbatch --parsable -o out-%j.txt {options} body.sh")

    def ask(self, program: str, *argv: str, asks: int = 0) -> str:
        """What a program would print, without the cost of starting it; `asks` is whose pid it has."""
        line = connect(str(self.cluster.folder))
        with line.socket:
            line.send(
                {
                    "program": program,
                    "argv": argv,
                    "env": {},
                    "cwd": "/",
                    "user": "",
                    "uid": os.getuid(),
                    "pid": asks,
                }
            )
            return str(line.receive()["out"]).strip()

    def state(self, job: str) -> str:
        return self.ask("squeue", "-h", "-t", "all", "-o", "%T", "-j", job)

    def until(self, condition: Callable[[], object], what: str = "", seconds: float = 20) -> None:
        wait_for(condition, seconds, what)

    def until_state(self, job: str, *states: str) -> None:
        self.until(lambda: self.state(job) in states, f"job {job} in {states}")

    def is_alive(self, pid: int) -> bool:
        return lives(pid)

    def output(self, job: str) -> str:
        path = self.folder / f"out-{job}.txt"
        return path.read_text() if path.exists() else ""


@pytest.fixture(scope="module")
def cluster() -> Iterator[FakeCluster]:
    # Long enough for a busy machine to let an srun say why it ends; only what ignores TERM takes as long.
    with FakeCluster(kill_wait_s=3, requeue_wait_s=0.3) as up:
        yield up


@pytest.fixture
def shell(cluster: FakeCluster, tmp_path: Path) -> Iterator[Shell]:
    """An empty cluster: what a test leaves is cancelled behind it."""
    shell = Shell(cluster, tmp_path)
    yield shell
    if "down" in shell.ask("sinfo", "-h", "-p", "batch", "-o", "%T"):
        shell.out("scontrol update nodename=node[1-4] state=resume")
    if shell.ask("squeue", "-h"):
        shell.run("scancel -t pending,running")
        shell.until(lambda: not shell.ask("squeue", "-h"), "an empty queue")


@pytest.fixture(scope="session")
def shell_class() -> type[Shell]:
    return Shell


@pytest.fixture
def shell_on(tmp_path: Path) -> Callable[[FakeCluster], Shell]:
    return lambda cluster: Shell(cluster, tmp_path)
