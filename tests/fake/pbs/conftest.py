"""A fake PBS for each test module, of the size of the recorded one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fox_hpc.fake import FakeCluster

pytest.register_assert_rewrite("pbs_recordings")

from pbs_recordings import Pbs  # noqa: E402 - only what is imported from here on tells what differed

SIZE = {"nodes": 2, "cpus": 4, "gpus": 4, "mem_mb": 16384}


@pytest.fixture(scope="module")
def pbs_cluster() -> Iterator[FakeCluster]:
    with FakeCluster(dialect="pbs", **SIZE, kill_wait_s=0.6, requeue_wait_s=0.1) as up:
        yield up


@pytest.fixture
def pbs(pbs_cluster: FakeCluster, tmp_path: Path) -> Iterator[Pbs]:
    """An empty cluster: what a test leaves is deleted behind it."""
    pbs = Pbs(pbs_cluster, tmp_path)
    yield pbs
    left = str(pbs.ask("qselect")["out"]).split()
    if left:
        pbs.ask("qdel", "-W", "force", *left)
        pbs.until(lambda: not pbs.ask("qselect")["out"], "an empty queue")


@pytest.fixture
def pbs_with(tmp_path: Path) -> Iterator[Callable[..., Pbs]]:
    """Brings up a cluster of its own, with other options."""
    clusters: list[FakeCluster] = []

    def up(**options: object) -> Pbs:
        chosen = {**SIZE, "kill_wait_s": 0.6, "requeue_wait_s": 0.1, **options}
        clusters.append(FakeCluster(dialect="pbs", **chosen).up())
        return Pbs(clusters[-1], tmp_path)

    yield up
    for cluster in clusters:
        cluster.down()
