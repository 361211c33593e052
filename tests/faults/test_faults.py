"""Some scenarios of the fault suite; `scripts/faults` runs all of them."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from scenario import run

RUN = Path(__file__).resolve().parent / "run.py"
SEEDS = range(1, 21)


def test_every_call_runs_once_and_ends_well_whatever_is_done_to_the_bytes() -> None:
    # They wait most of the time.
    with ThreadPoolExecutor(5) as pool:
        outcomes = list(pool.map(run, SEEDS))

    assert [one for one in outcomes if one.wrong] == []
    assert sum(one.right for one in outcomes) > 0.9 * 6 * len(SEEDS)


def test_script_tells_how_each_scenario_ended() -> None:
    words = [sys.executable, str(RUN), "--first", "33", "--count", "1", "--json"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=100, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["wrong"] == []
