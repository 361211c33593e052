from __future__ import annotations

import pytest

from fox_hpc.site.adapter import HpcWorkerAdapter

STEP = {
    "SLURM_STEP_ID": "0",
    "SLURM_PROCID": "3",
    "SLURM_NODEID": "1",
    "SLURM_LOCALID": "1",
    "SLURM_STEP_NUM_TASKS": "4",
    "FOX_NNODES": "2",
    "MASTER_ADDR": "node1",
    "MASTER_PORT": "20001",
}


@pytest.mark.parametrize("inner", [[], ["python3", "-X", "dev"]])
def test_tasks_of_a_step_are_ranks_where_no_launcher_makes_them(inner: list[str]):
    node = HpcWorkerAdapter(STEP, None, inner).node()

    assert (node["RANK"], node["WORLD_SIZE"], node["LOCAL_RANK"]) == ("3", "4", "1")
    assert (node["FOX_NODE_RANK"], node["FOX_NNODES"]) == ("1", "2")


def test_torchrun_makes_the_ranks_itself():
    node = HpcWorkerAdapter(STEP, None, ["torchrun", "--nproc_per_node=2"]).node()

    assert "RANK" not in node
    assert node["FOX_NODE_RANK"] == "1"


def test_a_node_that_was_started_by_number_is_one_rank_of_as_many_as_there_are_nodes():
    node = HpcWorkerAdapter({"FOX_NNODES": "2", "FOX_NODE_RANK": "1"}, None, ["python"]).node()

    assert (node["RANK"], node["WORLD_SIZE"], node["LOCAL_RANK"]) == ("1", "2", "0")


def test_a_single_node_without_a_launcher_is_the_only_rank():
    assert "RANK" not in HpcWorkerAdapter({}, None, []).node()
