"""What the jobs of the end-to-end test run; pickled by name, so it stands in a module."""

from __future__ import annotations

import os
import subprocess
import time


def greet_from_all_nodes(name: str, mark: str = "!") -> list[str]:
    """Run a bare srun, as a recipe's `run_cmd` does; it must see the exports on every node."""
    line = 'echo "$SLURM_PROCID $FOX_GREETING"'
    step = subprocess.run(
        ["srun", "bash", "-c", line], capture_output=True, text=True, check=True, timeout=60
    )
    print(f"driver of {name} at rank {os.environ['SLURM_PROCID']}")
    return [f"{words} {name}{mark}" for words in sorted(step.stdout.splitlines())]


def leave(exit_code: int) -> None:
    """End the job with an exit code."""
    raise SystemExit(exit_code)


def stay(seconds: float) -> None:
    """Run for long."""
    time.sleep(seconds)
