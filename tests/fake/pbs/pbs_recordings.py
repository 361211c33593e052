"""Reading the recordings of a real OpenPBS 23.06 (tests/golden/pbs), and replaying them on the fake."""

from __future__ import annotations

import ast
import json
import os
import re
import socket
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from waiting import wait_for

from fox_hpc.fake import FakeCluster
from fox_hpc.fake.line import connect

GOLDEN = Path(__file__).parents[2] / "golden" / "pbs"
ALICE = "alice:1001"
PATH = "/usr/local/bin:/usr/bin:/bin"
CTIME = r"[A-Z][a-z]{2} [A-Z][a-z]{2} +\d+ \d\d:\d\d:\d\d \d{4}"


class Sample(NamedTuple):
    command: str
    out: str
    err: str
    code: int


def recording(name: str) -> str:
    return next(GOLDEN.glob(f"{name}_*.txt")).read_text()


def samples(name: str) -> list[Sample]:
    text = recording(name)
    pattern = r"^\$ (.*?)\n(?:\[stdout\]\n(.*?))?(?:\[stderr\]\n(.*?))?\[exit (\d+)\]$"
    return [Sample(m[1], m[2] or "", m[3] or "", int(m[4])) for m in re.finditer(pattern, text, re.S | re.M)]


def sample(name: str, command: str) -> Sample:
    return next(found for found in samples(name) if found.command == command)


def script(name: str, file: str) -> str:
    """A script that a recording shows."""
    block = recording(name).partition(f"## contents of {file}:\n")[2]
    lines = []
    for line in block.splitlines():
        if not line.startswith("| "):
            break
        lines.append(line[2:] + "\n")
    return "".join(lines)


def brief(text: str) -> dict[str, Any]:
    """What a line `35.pbs01 {…}` of a recording says of one job."""
    found = re.search(r"\{.*\}", text)
    assert found, text
    record = ast.literal_eval(found[0])
    assert isinstance(record, dict)
    return record


def normal(text: str) -> str:
    """Without what differs from run to run: times, sessions, how far a clock got."""
    rules = [
        (CTIME, "T"),
        (r"[A-Z][a-z]{2} [A-Z][a-z]{2} \d+ at \d\d:\d\d", "T"),
        (r'("(?:timestamp|history_timestamp|session_id|last_\w+)":\t)\d+', r"\1N"),
        (r"((?:session_id|history_timestamp) ?= ?)\d+", r"\1N"),
        (r'("?(?:resources_used\.)?walltime"?(?: = |:\t|=)"?)\d\d:\d\d:\d\d', r"\1T"),
        (r"(alice +)(?:       0|00:00:00) ", r"\1       0 "),
        (r"(alice +\w+ +\w\S+) +\d+( +\d)", r"\1 N\2"),
    ]
    for pattern, replacement in rules:
        text = re.sub(pattern, replacement, text)
    return text


class Pbs:
    """Runs command lines as alice, on a cluster whose home folder is the test's own."""

    def __init__(self, cluster: FakeCluster, folder: Path) -> None:
        self.cluster, self.folder = cluster, folder
        self.ids: dict[str, str] = {}
        self.env = {
            **cluster.env, "PATH": f"{cluster.bin}:{PATH}", "HOME": str(folder), "SHELL": "/bin/bash",
            "LANG": "C.UTF-8", "LOGNAME": "alice", "FOX_FAKE_USER": ALICE,
        }  # fmt: skip

    def run(self, line: str, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-c", line], env={**self.env, **env}, cwd=self.folder, text=True, capture_output=True,
            timeout=60, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def out(self, line: str, **env: str) -> str:
        done = self.run(line, **env)
        assert done.returncode == 0, f"{line}: {done.stderr}"
        return done.stdout.strip()

    def manage(self, line: str) -> subprocess.CompletedProcess[str]:
        """As a manager of the cluster."""
        return self.run(line, FOX_FAKE_USER="")

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text)
        return path

    def ask(self, program: str, *argv: str) -> Mapping[str, Any]:
        """What a program would say, without the cost of starting it: for polling."""
        line = connect(str(self.cluster.folder))
        with line.socket:
            line.send(
                {"program": program, "argv": argv, "env": {}, "cwd": "/", "user": "", "uid": os.getuid()}
            )
            answer = line.receive()
        assert isinstance(answer, dict)
        return answer

    def job(self, job_id: str) -> dict[str, Any]:
        """Its whole record; empty if the server does not know it."""
        document = json.loads(self.ask("qstat", "-x", "-f", "-F", "json", job_id)["out"])
        jobs = document.get("Jobs", {})
        return dict(next(iter(jobs.values()), {}))

    def state(self, job_id: str) -> str:
        return str(self.job(job_id).get("job_state", ""))

    def until(self, condition: Callable[[], object], what: str = "", seconds: float = 20) -> None:
        wait_for(condition, seconds, what)

    def until_state(self, job_id: str, *states: str) -> dict[str, Any]:
        self.until(lambda: self.state(job_id) in states, f"{job_id} in {states}: {self.job(job_id)}")
        return self.job(job_id)

    def file(self, name: str) -> str:
        path = self.folder / name
        return path.read_text() if path.exists() else ""

    def check(self, recorded: Sample, strip: Callable[[str], str] = lambda text: text) -> None:
        """Run a recorded command; what it prints must be what was recorded."""
        command = recorded.command
        for old, new in self.ids.items():
            command = re.sub(rf"\b{old}\b", new, command)
        done = self.run(command.replace("/home/alice", str(self.folder)))
        for ours, theirs in ((done.stdout, recorded.out), (done.stderr, recorded.err)):
            ours, theirs = self.shown(ours.replace("\n\t", "")), theirs.replace("\n\t", "")
            assert strip(normal(ours)).splitlines() == strip(normal(theirs)).splitlines(), command
        assert done.returncode == recorded.code, command

    def shown(self, text: str) -> str:
        """With the recording's ids, host, home and folder of programs."""
        for old, new in self.ids.items():
            text = re.sub(rf"(?<!\d){new}(?!\d)", old, text)
        text = text.replace(str(self.cluster.bin), "/opt/pbs/bin").replace(str(self.folder), "/home/alice")
        return re.sub(rf"(?<=@){HOST}\b|\b{HOST}(?=:/)|(?<=_H[Oo][Ss][Tt]\W)(\W*){HOST}", r"\1pbs01", text)


HOST = re.escape(socket.gethostname())
