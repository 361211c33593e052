from __future__ import annotations

import pytest

from fox_hpc.errors import RecipeError
from fox_hpc.site.launch_line import expand, is_rank_itself, rank_words, split, step_words

JOB = {"SLURM_NNODES": "2", "SLURM_CPUS_PER_TASK": "4"}
NODE = {"FOX_NNODES": "2", "FOX_NODE_RANK": "1", "MASTER_ADDR": "node1", "MASTER_PORT": "20001"}


def test_variables_are_expanded_as_a_shell_would():
    assert expand("--nnodes=$SLURM_NNODES --x=${SLURM_CPUS_PER_TASK}", JOB) == "--nnodes=2 --x=4"


def test_a_variable_that_is_not_set_is_named():
    with pytest.raises(RecipeError, match=r"\$NODES is not set"):
        expand("torchrun --nnodes=$NODES", JOB)


def test_words_that_cannot_be_split_are_refused():
    with pytest.raises(RecipeError, match="cannot be split"):
        split("torchrun 'half", JOB)


def test_srun_and_what_it_starts_are_told_apart_also_behind_options_with_values():
    line = split("srun -n 2 --mpi=none /opt/bin/torchrun --nproc_per_node=2", JOB)

    assert line.step == ("srun", "-n", "2", "--mpi=none")
    assert line.inner == ("/opt/bin/torchrun", "--nproc_per_node=2")


def test_no_run_cmd_is_one_rank_without_a_launcher():
    assert split(None, JOB) == split("", JOB)
    assert step_words(split(None, JOB), JOB) == []


def test_a_bare_srun_is_told_every_resource():
    words = step_words(split("srun torchrun", JOB), JOB)

    assert words == [
        "srun",
        "--nodes=2",
        "--cpus-per-task=4",
        "--kill-on-bad-exit=1",
        "--export=ALL",
        "--ntasks=2",
        "--ntasks-per-node=1",
    ]


@pytest.mark.parametrize("asked", ["-n 8", "-n8", "--ntasks=8", "--ntasks 8", "--ntasks-per-node=4"])
def test_tasks_that_are_ranks_share_the_cpus_of_the_job(asked: str):
    assert "--cpus-per-task=1" in step_words(split(f"srun {asked}", JOB), JOB)


def test_what_the_user_says_to_srun_is_left_alone():
    words = step_words(split("srun -N1 --ntasks=3 --export=NONE torchrun", JOB), JOB)

    assert "--nodes=2" not in words
    assert "--ntasks=2" not in words
    assert "--export=ALL" not in words


def test_torchrun_gets_a_static_rendezvous_where_it_names_none():
    words = rank_words(["torchrun", "--nproc_per_node=2"], "py", "my.script", NODE)

    assert words[:3] == ["py", "-m", "torch.distributed.run"]
    assert words[-3:] == ["-m", "fox_hpc.site.worker", "my.script"]
    for flag in ("--nnodes=2", "--node-rank=1", "--master-addr=node1", "--master-port=20001"):
        assert flag in words
    assert "--rdzv-backend=static" in words


def test_rendezvous_flags_of_the_user_win_in_either_spelling():
    words = rank_words(
        ["torchrun", "--rdzv_endpoint=h:1", "--rdzv_backend=c10d", "--nnodes=9"], "py", None, NODE
    )

    assert not [word for word in words if word.startswith(("--master", "--rdzv-backend"))]
    assert "--nnodes=2" not in words


def test_a_standalone_torchrun_gets_no_rendezvous():
    words = rank_words(["torchrun", "--standalone", "--nproc_per_node=2"], "py", None, NODE)

    assert not [word for word in words if "master" in word or "rdzv" in word]


def test_mpirun_is_given_the_interpreter():
    words = rank_words(["mpirun", "-n", "4"], "py", "my.script", NODE)

    assert words == ["mpirun", "-n", "4", "py", "-m", "fox_hpc.site.worker", "my.script"]


def test_a_python_of_the_user_is_not_given_another():
    assert rank_words(["python3", "-X", "dev"], "py", None, NODE) == [
        "python3",
        "-X",
        "dev",
        "-m",
        "fox_hpc.site.worker",
    ]


@pytest.mark.parametrize("backend", ["--rdzv_backend=c10d", "--rdzv-backend c10d"])
@pytest.mark.parametrize(("node_rank", "host"), [("0", "true"), ("1", "false")])
def test_with_c10d_the_first_node_holds_the_store_and_all_know_where(backend: str, node_rank: str, host: str):
    node = {**NODE, "FOX_NODE_RANK": node_rank}
    words = rank_words(["torchrun", *backend.split()], "py", None, node)

    assert "--rdzv-endpoint=node1:20001" in words
    assert "--rdzv-id=20001" in words
    assert f"--rdzv-conf=is_host={host}" in words
    assert not [word for word in words if word.startswith(("--master", "--node-rank"))]


def test_with_c10d_an_endpoint_of_the_user_is_left_alone():
    words = rank_words(["torchrun", "--rdzv_backend=c10d", "--rdzv_endpoint=h:1"], "py", None, NODE)

    assert [word for word in words if "rdzv" in word] == ["--rdzv_backend=c10d", "--rdzv_endpoint=h:1"]


def test_torchrun_by_its_module_is_torchrun_and_keeps_its_interpreter():
    inner = ["/opt/python3", "-m", "torch.distributed.run", "--nproc-per-node=2"]

    assert not is_rank_itself(inner)
    words = rank_words(inner, "py", None, NODE)
    assert words[:3] == ["/opt/python3", "-m", "torch.distributed.run"]
    assert "--rdzv-backend=static" in words


def test_any_other_program_runs_the_command_that_follows_its_own_words():
    assert rank_words(["numactl", "-N0"], "py", None, NODE) == [
        "numactl",
        "-N0",
        "py",
        "-m",
        "fox_hpc.site.worker",
    ]
