from __future__ import annotations

import pytest

from fox_hpc.hpc.nodes import expand_hosts, job_nodes, without_launch_node

FILES = {"/aux/131.pbs01": "cn01\ncn01\ncn02\ncn02\n", "/home/u/.lsbatch/1.hostfile": "hostA\nhostA\nhostB\n"}


@pytest.mark.parametrize(
    ("environ", "nodes"),
    [
        ({"SLURM_JOB_NODELIST": "node[1-2]"}, ["node1", "node2"]),
        ({"PBS_NODEFILE": "/aux/131.pbs01"}, ["cn01", "cn02"]),
        ({"LSB_HOSTS": "cn02 cn02 cn01 cn01", "LSB_MCPU_HOSTS": "cn02 2 cn01 2 "}, ["cn02", "cn01"]),
        # As Platform LSF 7 gave them: each in an order of its own.
        (
            {"LSB_HOSTS": "grid01 grid01 grid05 grid03", "LSB_MCPU_HOSTS": "grid03 1 grid05 1 grid01 2"},
            ["grid03", "grid05", "grid01"],
        ),
        ({"LSB_DJOB_HOSTFILE": "/home/u/.lsbatch/1.hostfile"}, ["hostA", "hostB"]),
        ({"LSB_HOSTS": "cn02 cn01"}, ["cn02", "cn01"]),
        ({"LSB_HOSTS": "", "LSB_MCPU_HOSTS": " "}, []),
        ({}, []),
    ],
)
def test_a_job_knows_its_nodes(environ: dict[str, str], nodes: list[str]) -> None:
    assert job_nodes(environ, FILES.__getitem__) == nodes


@pytest.mark.parametrize(
    ("hosts", "nodes"),
    [
        ("cn01/0*2+cn02/0*2", ["cn01", "cn02"]),
        ("cn01/0+cn01/1", ["cn01"]),
        ("cn01/0", ["cn01"]),
        ("cn01/0+cn01/1+cn02/0", ["cn01", "cn02"]),
        ("cn02:cn02:cn01:cn01", ["cn02", "cn01"]),
        ("2*cn02:2*cn01", ["cn02", "cn01"]),
        ("-", []),
        ("", []),
    ],
)
def test_hosts_of_a_queue_are_written_out(hosts: str, nodes: list[str]) -> None:
    assert expand_hosts(hosts) == nodes


def test_the_launch_node_of_csm_is_no_node_of_the_job() -> None:
    assert without_launch_node("batch2 1 h22n07 42 h22n08 42") == ["h22n07", "h22n08"]
    assert without_launch_node("cn01 1 cn02 1") == ["cn01", "cn02"]
    assert without_launch_node("cn01 1") == ["cn01"]
