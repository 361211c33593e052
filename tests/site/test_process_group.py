"""How ranks join torch.distributed: decisions from what a node has."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from fox_hpc.environment import RankEnv, local_size_of, scrubbed, started_by_mpi
from fox_hpc.site.process_group import (
    Network,
    choose_backend,
    interface_to,
    look_at_node,
    network_settings,
)


@pytest.mark.parametrize(
    ("gpus", "local_rank", "local_size", "backend"),
    [
        (8, 3, 8, "nccl"),
        (4, 0, 8, "gloo"),
        (0, 0, 1, "gloo"),
        (1, 3, 4, "nccl"),  # bound by the scheduler
        (4, 3, None, "nccl"),
        (4, 4, None, "gloo"),
    ],
)
def test_nccl_is_chosen_where_every_rank_of_the_node_has_a_gpu(
    gpus: int, local_rank: int, local_size: int | None, backend: str
):
    assert choose_backend(gpus, local_rank, local_size) == backend


def test_on_one_node_nothing_is_said_of_the_network():
    assert network_settings(Network(1, "eth0")) == {}


def test_several_nodes_use_the_interface_that_leads_to_rank_0():
    assert network_settings(Network(2, "ib0", infiniband=True)) == {
        "GLOO_SOCKET_IFNAME": "ib0",
        "NCCL_SOCKET_IFNAME": "=ib0",
    }


@pytest.mark.parametrize("interface", ["", "lo"])
def test_an_interface_that_leads_nowhere_is_not_named_and_no_infiniband_is_said(interface: str):
    assert network_settings(Network(2, interface)) == {"NCCL_IB_DISABLE": "1"}


def test_a_node_is_looked_at_where_there_are_several(tmp_path: Path):
    adapters = tmp_path / "infiniband"
    several = {"FOX_NNODES": "2", "MASTER_ADDR": "127.0.0.1"}

    assert look_at_node({"MASTER_ADDR": "127.0.0.1"}, adapters) == Network(1)
    assert look_at_node(several, adapters) == Network(2, "lo")
    (adapters / "mlx5_0").mkdir(parents=True)
    assert look_at_node(several, adapters) == Network(2, "lo", infiniband=True)


def test_a_host_that_is_unknown_has_no_interface():
    assert interface_to("no-such-host.invalid") == ""
    assert interface_to(socket.inet_ntoa(b"\x7f\0\0\1")) == "lo"


@pytest.mark.parametrize(
    ("environ", "place"),
    [
        ({}, RankEnv()),
        ({"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1"}, RankEnv(3, 4, 1)),
        (
            {"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_LOCAL_RANK": "1"},
            RankEnv(1, 2, 1),
        ),
        ({"PMI_RANK": "1", "PMI_SIZE": "2", "MPI_LOCALRANKID": "1"}, RankEnv(1, 2, 1)),
        ({"MV2_COMM_WORLD_RANK": "1", "MV2_COMM_WORLD_SIZE": "2"}, RankEnv(1, 2, 0)),
    ],
    ids=["alone", "torchrun", "open-mpi", "hydra", "mvapich"],
)
def test_a_rank_reads_its_place_from_what_its_launcher_has_set(environ: dict[str, str], place: RankEnv):
    assert RankEnv.read(environ) == place
    assert started_by_mpi(environ) == any("_" in name and name[:2] in ("OM", "PM", "MV") for name in environ)


def test_how_many_ranks_a_node_has_is_known_from_its_launcher():
    assert (local_size_of({"MPI_LOCALNRANKS": "3"}), local_size_of({})) == (3, None)


def test_the_place_of_an_enclosing_rank_does_not_leak_into_a_run():
    enclosing = {
        **RankEnv(1, 2, 1).exports(),
        "PMI_RANK": "1",
        "OMPI_COMM_WORLD_SIZE": "2",
        "OMPI_MCA_x": "1",
    }

    assert scrubbed(enclosing) == {"OMPI_MCA_x": "1"}
