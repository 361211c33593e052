"""A fake cluster of each dialect for the tests of the environments, and its commands in one set of words."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import psutil

#: PBS hands on nothing of the submitting environment: lets the jobs run the code that is tested.
OWN_CODE = f"export PYTHONPATH={shlex.quote(str(Path(__file__).parents[2]))}"
DIALECTS = ("slurm", "pbs", "lsf")
HOLD = {"slurm": ("scontrol", "hold"), "pbs": ("qhold",), "lsf": ("bstop",)}
RELEASE = {"slurm": ("scontrol", "release"), "pbs": ("qrls",), "lsf": ("bresume",)}
CANCEL = {"slurm": ("scancel",), "pbs": ("qdel",), "lsf": ("bkill",)}
QUEUE = {"slurm": ("squeue", "-h"), "pbs": ("qstat",), "lsf": ("bjobs", "-noheader")}
#: A job that needs all of two nodes with two CPUs each, from a queue that goes before others.
PUSH = {
    "slurm": ("sbatch", "-p", "batch", "-N2", "-c2", "-o", "/dev/null", "--wrap", "true"),
    "pbs": ("qsub", "-q", "express", "-l", "select=2:ncpus=2", "-l", "place=scatter", "--", "/bin/true"),
    "lsf": ("bsub", "-q", "normal", "-n", "4", "-R", "span[ptile=2]", "-o", "/dev/null", "true"),
}


def call(*words: str) -> str:
    """Run a command of the scheduler's and give what it wrote."""
    # A plain job of PBS copies its output into the folder that it was submitted in.
    done = subprocess.run(words, capture_output=True, text=True, timeout=30, cwd=os.environ["FOX_FAKE_SPOOL"])
    assert done.returncode == 0, done
    return done.stdout.strip()


def queue(dialect: str) -> str:
    """List the jobs that have not ended; "" if there are none."""
    done = subprocess.run(QUEUE[dialect], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0 or "No unfinished job found" in done.stderr, done
    return done.stdout.strip()


def processes_of(folder: Path) -> list[psutil.Process]:
    """Find the processes of a run by what their command or environment says; this one is none."""
    found = []
    for process in psutil.process_iter():
        try:
            words = " ".join([*process.cmdline(), *process.environ().values()])
            if str(folder) in words and process.pid != os.getpid() and process.status() != "zombie":
                found.append(process)
        except psutil.Error:
            continue
    return found
