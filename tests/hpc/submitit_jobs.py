"""What the jobs of the submitit tests run; pickled by name, so it stands in a module."""

from __future__ import annotations

from pathlib import Path

import submitit


def describe(name: str, mark: str = "!") -> tuple[str, str, int, int]:
    """Say where the job runs, as submitit knows it."""
    environment = submitit.JobEnvironment()
    print(f"hello {name}{mark}")
    return str(Path.cwd()), environment.job_id, environment.num_nodes, environment.num_tasks


def fail() -> None:
    """Raise."""
    raise ValueError("no data on this node")
