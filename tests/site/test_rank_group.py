"""Ranks among themselves: the same checks over torch.distributed and over MPI, and on one rank."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest

from fox_hpc import FoxError, MissingExtra, RankGroup, RecipeError, broadcast_state_dict
from fox_hpc.site import rank_group
from fox_hpc.site.state_dict import pack_buckets

#: The first use of torch on a busy machine takes its time.
pytestmark = pytest.mark.timeout(300)
PROGRAM = str(Path(__file__).with_name("ranks_together.py"))
#: What each rank found out: the name of a check → what it gave.
Found = list[dict[str, Any]]


def mpirun() -> str:
    """Give the mpirun of this interpreter's environment, or of PATH."""
    pytest.importorskip("mpi4py")
    beside = Path(sys.executable).with_name("mpirun")
    found = str(beside) if beside.exists() else shutil.which("mpirun")
    if found is None:
        pytest.skip("there is no mpirun")
    return found


def once(name: str, factory: pytest.TempPathFactory, start: Callable[[str], None]) -> Found:
    """Run the ranks in the first of pytest's processes that asks, and give what they wrote to all of them."""
    root = factory.getbasetemp()
    root = root.parent if "PYTEST_XDIST_WORKER" in os.environ else root
    folder = root / f"ranks-over-{name}"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        files = [folder / f"rank-{rank}.json" for rank in range(2)]
        if not all(file.exists() for file in files):
            start(str(folder))
    return [json.loads(file.read_text()) for file in files]


def start_mpi(folder: str) -> None:
    command = [mpirun(), "-np", "2", sys.executable, PROGRAM, folder]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr


def start_torch(folder: str) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    ranks = [
        subprocess.Popen(
            [sys.executable, PROGRAM, folder, "torch", str(rank), "2", port],
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        for rank in range(2)
    ]
    try:
        said = [rank.communicate(timeout=280)[1] for rank in ranks]
    finally:
        for rank in ranks:
            rank.kill()
    assert [rank.returncode for rank in ranks] == [0, 0], "".join(said)


@pytest.fixture(scope="module")
def over_mpi(tmp_path_factory: pytest.TempPathFactory) -> Found:
    mpirun()
    return once("mpi", tmp_path_factory, start_mpi)


@pytest.fixture(scope="module")
def over_torch(tmp_path_factory: pytest.TempPathFactory) -> Found:
    pytest.importorskip("torch")
    return once("torch", tmp_path_factory, start_torch)


@pytest.fixture(params=["mpi", "torch"])
def found(request: pytest.FixtureRequest) -> Found:
    ranks: Found = request.getfixturevalue(f"over_{request.param}")
    assert [one["backend"] for one in ranks] == [request.param] * 2
    return ranks


def test_a_value_of_any_rank_reaches_all(found: Found):
    assert [one["values_are_broadcast"] for one in found] == [[[1, 2.5, "x"], [1, 2, 3, 4, 5], None]] * 2


def test_values_are_gathered_in_the_order_of_ranks(found: Found):
    first, second = (one["values_are_gathered_in_the_order_of_ranks"] for one in found)

    assert (first, second) == (None, [[0, [0, 0, 0]], [1, [1, 1, 1]]])


def test_a_value_that_cannot_travel_fails_on_all_ranks_and_hangs_none(found: Found):
    assert [one["what_cannot_travel_hangs_nobody"] for one in found] == [
        ["CodecError", "FoxError"],
        ["FoxError", "CodecError"],
    ]


def test_numpy_arrays_of_every_kind_reach_all_ranks_as_they_are(found: Found):
    names = ["f", "f16", "bool", "scalar", "empty", "big"]

    assert [one["arrays_of_every_kind_are_kept"] for one in found] == [[names, True]] * 2


def test_over_mpi_nothing_loads_torch(over_mpi: Found):
    assert [one["torch"] for one in over_mpi] == [False, False]


def test_tensors_of_every_kind_reach_all_ranks_as_they_are(over_torch: Found):
    assert [one["tensors_of_every_kind_are_kept"] for one in over_torch] == [[True, []]] * 2


def test_a_rank_with_a_model_on_the_meta_device_gets_the_weights(over_torch: Found):
    first, second = (one["ranks_without_the_model_may_have_it_on_the_meta_device"] for one in over_torch)

    assert first == second != 0


def test_what_cannot_be_sent_is_refused_on_every_rank_in_the_same_words(over_torch: Found):
    first, second = (one["what_cannot_be_sent_is_refused_on_every_rank"] for one in over_torch)

    assert first == second
    assert [words.partition(" is ")[2].partition(";")[0].partition(",")[0] for words in first] == [
        "on the meta device",
        "sparse or quantized",
        "int",
        "",
    ]


@pytest.mark.parametrize("kind", ["plain", "ddp", "fsdp2", "back"])
def test_a_models_state_is_put_together_on_rank_0_however_it_is_spread(over_torch: Found, kind: str):
    assert [one["a_sharded_model_is_gathered_whole_on_rank_0"][kind] for one in over_torch] == [True, True]


def test_one_rank_is_a_group_of_its_own():
    group = RankGroup()
    group.barrier()

    assert (group.broadcast(3), group.gather(4), repr(group)) == (3, [4], "<RankGroup alone · rank 0 of 1>")


def test_one_rank_keeps_its_state():
    state = {"w": numpy.ones(2)}

    assert broadcast_state_dict(state) == state
    with pytest.raises(RecipeError, match="there is nothing to give"):
        broadcast_state_dict(None)
    with pytest.raises(RecipeError, match="'w' is list; tensors and numpy arrays"):
        broadcast_state_dict({"w": [1]})


def test_ranks_that_nothing_connects_are_told_what_would(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")

    with pytest.raises(FoxError, match="nothing connects the 2 ranks"):
        RankGroup()
    with pytest.raises(RecipeError, match="'torch', 'mpi' or None is right"):
        RankGroup("nccl")


def test_a_missing_mpi4py_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "mpi4py", None)

    with pytest.raises(MissingExtra, match="mpi4py"):
        rank_group.MpiLane()


def test_no_bucket_is_bigger_than_its_limit_and_every_byte_is_in_one():
    sizes = [3, 0, 10, 4, 4, 1, 25, 2]
    buckets = list(pack_buckets(sizes, 10))
    pieces = [piece for bucket in buckets for piece in bucket]

    assert all(sum(part.stop - part.start for _, part in bucket) <= 10 for bucket in buckets)
    assert [sum(p.stop - p.start for number, p in pieces if number == n) for n in range(8)] == sizes
    assert pieces == sorted(pieces, key=lambda piece: (piece[0], piece[1].start))
