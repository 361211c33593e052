"""How the checks of check_dialect meet a scheduler: they submit, look and wait through a Desk."""

from __future__ import annotations

import contextlib
import sys
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import SchedulerError
from ..hpc.commands import Commands
from ..hpc.dialect import ENDED, JobInfo, JobState, file_id, is_forward
from ..hpc.executor import BatchExecutor, JobPlan
from ..hpc.resources import HpcConfig
from .dialect_jobs import AWKWARD, VARIABLE

_LOOK_S = 0.2
_COMMAND_S = 30.0
_PACKAGE = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Words:
    """What a check says to a scheduler that a dialect has no words for.

    Args:
        hold: the directive that keeps a job pending.
        release: the command that lets it go, in front of the job's id.
        warns: False if it has no signal before a time limit; the job's driver then goes by its clock.
    """

    hold: str
    release: tuple[str, ...]
    warns: bool


WORDS = {
    "slurm": Words("--hold", ("scontrol", "release"), warns=True),
    "pbs": Words("-h", ("qrls",), warns=False),
    "lsf": Words("-H", ("bresume",), warns=True),
}

MakeExecutor = Callable[[Mapping[str, str]], BatchExecutor]


@dataclass(frozen=True)
class Ground:
    """Where jobs are submitted, and with what; see check_dialect."""

    make: MakeExecutor
    folder: Path
    environ: Mapping[str, str]
    config: Mapping[str, Any] = field(default_factory=dict)
    time_limit: str = "0:02:00"
    signal_lead: int = 60
    patience_s: float = 300.0


class Desk:
    """Submits the jobs of one check, and looks at them as the relay does."""

    def __init__(self, ground: Ground) -> None:
        self.ground, self.executor = ground, ground.make(ground.environ)
        self.words = WORDS[self.executor.dialect().name]
        # As long as the names in a run, which some schedulers have shortened.
        self.name = f"check-{uuid.uuid4().hex}"
        self._seen: dict[str, JobInfo] = {}
        self._deadline = time.monotonic() + ground.patience_s

    def plan(self, mark: str, **config: Any) -> JobPlan:
        """Give a plan, with a folder and a name of its own."""
        asked = HpcConfig.from_mapping({**self.ground.config, **config})
        exports = {VARIABLE: AWKWARD, "PYTHONPATH": str(_PACKAGE)}
        folder = self.ground.folder / self.name / mark
        return JobPlan(f"{self.name}-{mark}", folder, asked, exports, sys.executable)

    def submit(self, plan: JobPlan, func: Callable[..., Any], *args: Any) -> str:
        """Submit a job that the check ends, or that is cancelled behind it."""
        job_id = self.executor.submit(plan, func, *args)
        assert file_id(job_id).isdigit(), f"the id {job_id!r} does not begin with digits"
        self._seen[job_id] = JobInfo(job_id, "PENDING")
        return job_id

    def look(self, *job_ids: str) -> dict[str, JobInfo]:
        """Look once, with one question; no job may go back."""
        found = self.executor.poll(job_ids)
        for job_id in found.keys() & self._seen.keys():
            old, new = self._seen[job_id], found[job_id]
            if old.state != new.state and not is_forward(old.state, new.state):
                raise AssertionError(f"a job went back, from {old} to {new}")
            self._seen[job_id] = new
        return found

    def wait(self, job_id: str, state: JobState) -> JobInfo:
        """Look until a job is in that state; it may not end in another."""

        def arrived() -> bool:
            info = self.look(job_id).get(job_id)
            if info is not None and info.state in ENDED and info.state != state:
                raise AssertionError(f"wanted {state}, and there is {info}")
            return info is not None and info.state == state

        self.until(arrived, lambda: f"{state} of {self._seen[job_id]} {self.executor.trouble}")
        return self._seen[job_id]

    def until(self, condition: Callable[[], bool], what: Callable[[], str]) -> None:
        """Wait for something that a scheduler or another host does."""
        while not condition():
            if time.monotonic() > self._deadline:
                raise AssertionError(f"waited {self.ground.patience_s:g} s for {what()}")
            time.sleep(_LOOK_S)

    def until_file_has(self, file: Path, text: str) -> None:
        """Wait for a text in a file; another host may have written it, and it may come late."""
        self.until(lambda: file.exists() and text in file.read_text(), lambda: f"{text!r} in {file}")

    def release(self, job_id: str) -> None:
        """Let a held job go."""
        answer = Commands(self.ground.environ).run((*self.words.release, job_id), _COMMAND_S)
        assert not answer.problem, answer.problem

    def clear(self) -> None:
        """Cancel what has not ended."""
        left = [job_id for job_id, info in self._seen.items() if info.state not in ENDED]
        with contextlib.suppress(SchedulerError):
            self.executor.cancel(left)
