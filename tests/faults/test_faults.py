"""Some scenarios of the fault suite; `scripts/faults` runs all of them."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from chain import Chain
from scenario import run
from tcp_proxy import Harm, Way

RUN = Path(__file__).resolve().parent / "faults_run.py"
WORKER = RUN.parent / "worker_process.py"
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


class WorkerProcess:
    """A worker of site-1 in a process of its own, which can be killed."""

    def __init__(self, chain: Chain) -> None:
        url = f"tcp://127.0.0.1:{chain.proxies['relay link'].port}"
        words = [url, "site-1", str(chain.folder / "site-1"), str(chain.attempts["site-1"])]
        self.process = subprocess.Popen(
            [sys.executable, str(WORKER), *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.said() == "ready"

    def said(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def end(self) -> None:
        self.process.communicate(timeout=20)


@pytest.mark.parametrize("way", ["down", "up"])
def test_call_goes_to_the_next_process_when_one_is_killed_in_the_midst_of_its_bytes(
    tmp_path: Path, way: Way
) -> None:
    array = np.arange(1_500_000)
    harm = Harm("stall", way, 5_000_000)
    chain = Chain(tmp_path, lambda site, incoming: None, sites=1, harms={"relay data": [harm]}, start=False)
    with chain:
        first = WorkerProcess(chain)
        [future] = chain.call("turn", "call 1", array)
        deadline = time.monotonic() + 20
        while not harm.done:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        first.process.kill()
        first.end()
        chain.attempts["site-1"] = 2
        second = WorkerProcess(chain)

        assert second.said() == "call 1"
        assert np.array_equal(future.result(20), array[::-1])
        second.end()


def test_worker_process_that_is_told_to_leave_brings_its_answer_home_first(tmp_path: Path) -> None:
    array = np.arange(1_500_000)
    harm = Harm("outage", "up", 5_000_000, 0.5)
    chain = Chain(tmp_path, lambda site, incoming: None, sites=1, harms={"relay data": [harm]}, start=False)
    with chain:
        worker = WorkerProcess(chain)
        [future] = chain.call("turn", "call 1", array)
        assert worker.said() == "call 1"
        worker.end()

        assert worker.process.returncode == 0
        assert np.array_equal(future.result(10), array[::-1])
