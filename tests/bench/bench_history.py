"""Earlier figures, kept beside the checkout so that a change for the worse is seen."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

REPO = Path(__file__).resolve().parents[2]
DEFAULT = REPO / ".bench" / "history.jsonl"


def last_values(history: Path, *, quick: bool, mib: list[int]) -> dict[str, float]:
    """Give each figure's value in the last run of the same length and sizes."""
    if not history.is_file():
        return {}
    lines = [json.loads(line) for line in history.read_text().splitlines()]
    return {line["name"]: line["value"] for line in lines if (line["quick"], line.get("mib")) == (quick, mib)}


def append(history: Path, lines: Iterable[Mapping[str, Any]]) -> None:
    """Add the lines of a run."""
    history.parent.mkdir(parents=True, exist_ok=True)
    with history.open("a") as file:
        file.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)


def commit() -> str:
    """Name the commit that is checked out; "" outside of a repository."""
    command = ["git", "-C", str(REPO), "describe", "--always", "--dirty"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    return done.stdout.strip()
