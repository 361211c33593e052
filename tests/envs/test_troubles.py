"""What becomes of a run when something goes wrong in its jobs' life, on each scheduler.

The cells of one trouble run at once, each in a process of its own (`troubles.py`), with an environment that
leads to its own cluster: most of their time is waiting. Every change is tried in one cell of each trouble.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from clusters import DIALECTS
from troubles import NOT_THERE, OUTCOMES, TROUBLES, USUAL

PROGRAM = Path(__file__).with_name("troubles.py")
#: Dialect and trouble → exit code and output.
Told = dict[tuple[str, str], tuple[int, str]]
#: Runs one trouble's cells on dialects, in a folder, and tells what came of them.
RunCells = Callable[[str, list[str], Path], Told]

CELLS = [
    pytest.param(
        trouble,
        dialect,
        id=f"{trouble}-{dialect}",
        marks=[pytest.mark.again] if USUAL[trouble] != dialect else [],
    )
    for trouble in TROUBLES
    for dialect in DIALECTS
    if (trouble, dialect) not in NOT_THERE
]


@pytest.fixture(scope="module")
def told() -> Told:
    """Give what is known of cells that have run."""
    return {}


@pytest.fixture(scope="module")
def run_cells() -> Iterator[RunCells]:
    """Give a function that runs cells; what it uses has loaded all once, and each cell begins as its copy."""
    starter = subprocess.Popen(
        [sys.executable, str(PROGRAM)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert starter.stdin is not None
    assert starter.stdout is not None
    asked, answers = starter.stdin, starter.stdout

    def run(trouble: str, dialects: list[str], folder: Path) -> Told:
        print(json.dumps([trouble, dialects, str(folder)]), file=asked, flush=True)
        # A test that was given up has left its answer.
        while (answer := json.loads(answers.readline()))[0] != str(folder):
            pass
        return {
            (dialect, trouble): (code, (folder / f"{dialect}.txt").read_text())
            for dialect, code in zip(dialects, answer[1], strict=True)
        }

    yield run
    # With the cells that a test did not wait for, which hang.
    os.killpg(starter.pid, signal.SIGTERM)
    starter.communicate()


@pytest.mark.parametrize(("trouble", "dialect"), CELLS)
def test_a_run_in_trouble_gives_the_same_value_or_names_the_cause(
    dialect: str,
    trouble: str,
    told: Told,
    run_cells: RunCells,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    if (dialect, trouble) not in told:
        chosen = [item.callspec.params for item in request.session.items if hasattr(item, "callspec")]
        dialects = [params["dialect"] for params in chosen if params.get("trouble") == trouble]
        told.update(run_cells(trouble, dialects, tmp_path))
    code, output = told[dialect, trouble]

    assert code == 0, f"{OUTCOMES[trouble]} was to come of it\n{output}"


def test_each_trouble_has_an_outcome_and_a_scheduler_where_every_change_is_tried() -> None:
    assert set(OUTCOMES) == set(TROUBLES) == set(USUAL)
    assert set(USUAL.values()) == set(DIALECTS)
    assert not NOT_THERE & set(USUAL.items())
