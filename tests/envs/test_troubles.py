"""What becomes of a run when something goes wrong in its jobs' life, on each scheduler.

The cells of one trouble run at once, each in a process of its own (`troubles.py`), with an environment that
leads to its own cluster: most of their time is waiting.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from clusters import DIALECTS
from troubles import OUTCOMES, TROUBLES

PROGRAM = Path(__file__).with_name("troubles.py")
TIMEOUT_S = 120.0
#: Dialect and trouble → exit code and output.
Told = dict[tuple[str, str], tuple[int, str]]


@pytest.fixture(scope="module")
def told() -> Told:
    """Give what is known of cells that have run."""
    return {}


def run_at_once(trouble: str, dialects: list[str], folder: Path) -> Iterator[tuple[str, int, str]]:
    """Run one trouble's cells side by side, and give each one's dialect, exit code and output."""
    cells = {}
    for dialect in dialects:
        home, output = folder / dialect, folder / f"{dialect}.txt"
        home.mkdir()
        with output.open("w") as file:
            words = [sys.executable, str(PROGRAM), dialect, trouble, str(home)]
            cells[dialect] = subprocess.Popen(words, stdout=file, stderr=file), output
    try:
        for dialect, (process, output) in cells.items():
            yield dialect, process.wait(TIMEOUT_S), output.read_text()
    finally:
        for process, _ in cells.values():
            process.terminate()
            process.wait()


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("trouble", TROUBLES)
def test_a_run_in_trouble_gives_the_same_value_or_names_the_cause(
    dialect: str, trouble: str, told: Told, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if (dialect, trouble) not in told:
        chosen = [item.callspec.params for item in request.session.items if hasattr(item, "callspec")]
        dialects = [params["dialect"] for params in chosen if params.get("trouble") == trouble]
        for name, *outcome in run_at_once(trouble, dialects, tmp_path):
            told[name, trouble] = (outcome[0], outcome[1])
    code, output = told[dialect, trouble]

    assert code == 0, f"{OUTCOMES[trouble]} was to come of it\n{output}"


def test_each_trouble_has_an_outcome() -> None:
    assert set(OUTCOMES) == set(TROUBLES)
