"""Whom a signal to a job reaches, and how often."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from typing import Any

import pytest

from fox_hpc.fake import processes


def test_a_process_without_a_mark_in_a_session_of_its_own_is_told_and_its_parent_once(shell: Any) -> None:
    child = "trap 'echo child got it; exit' TERM; echo up; while :; do sleep 0.1; done"
    counts = (
        "import os, signal, subprocess, sys, time\n"
        "got = []\n"
        "signal.signal(signal.SIGTERM, lambda *_: got.append(1) or os.write(1, b'parent got it\\n'))\n"
        f"words = ['env', '-i', 'bash', '-c', {child!r}]\n"
        "left = [subprocess.Popen(words, start_new_session=True) for _ in range(3)]\n"
        "for one in left: one.wait()\n"
    )
    (shell.folder / "counts.py").write_text(counts)
    job = shell.submit("", f"exec {sys.executable} counts.py")
    shell.until(lambda: shell.output(job).split() == ["up"] * 3)
    shell.out(f"scancel {job}")
    shell.until_state(job, "CANCELLED")

    assert shell.output(job).count("child got it") == 3
    assert shell.output(job).count("parent got it") == 1


def test_who_asks_for_the_end_of_its_own_job_is_spared_for_a_moment(shell: Any) -> None:
    """It must hear the answer and leave; what its job's launcher sends meanwhile is not for it."""
    task = "trap 'echo $NAME got it' TERM; echo $NAME $$; while :; do sleep 0.1; done"
    (shell.folder / "task.sh").write_text(task)
    job = shell.submit("", 'srun sh -c "NAME=one bash task.sh & NAME=other bash task.sh & wait"')
    shell.until(lambda: len(shell.output(job).split()) == 4)
    pids = dict(line.split() for line in shell.output(job).splitlines())
    shell.ask("squeue", asks=int(pids["one"]))
    shell.ask("scancel", "-s", "TERM", f"{job}.0")
    shell.until(lambda: "other got it" in shell.output(job))

    assert "one got it" not in shell.output(job)


def test_a_process_that_is_just_now_becoming_a_program_belongs_to_its_job(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """For that moment the system shows no environment of it."""
    monkeypatch.setattr(processes, "BECOMES_S", 30)
    becomes = f"read begin; export {processes.TAG}=mine:7; exec {shutil.which('sleep')} 60"
    words = ["/bin/sh", "-c", becomes]
    with subprocess.Popen(words, stdin=subprocess.PIPE, env={}, start_new_session=True) as becoming:
        assert becoming.stdin is not None
        threading.Timer(0.05, becoming.stdin.close).start()
        found = [process.pid for process, _ in processes.of_job("mine", 7)]
        becoming.kill()

    assert found == [becoming.pid]
