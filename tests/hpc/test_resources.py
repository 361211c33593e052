from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from fox_hpc.errors import RecipeError
from fox_hpc.hpc.resources import HpcConfig


def test_all_keys_of_a_recipe_are_kept() -> None:
    mapping = {
        "scheduler": "slurm",
        "partition": "gpu",
        "nodes_per_client": 2,
        "gpus_per_node": 8,
        "time_limit": "4:00:00",
    }

    config = HpcConfig.from_mapping(mapping)

    assert config == HpcConfig("slurm", "gpu", nodes_per_client=2, gpus_per_node=8, time_limit="4:00:00")
    assert config.as_mapping() == mapping


def test_as_mapping_survives_json() -> None:
    config = HpcConfig.from_mapping({"directives": ["--reservation=x"], "prologue": ["module load cuda"]})

    assert HpcConfig.from_mapping(json.loads(json.dumps(config.as_mapping()))) == config


def test_queue_is_another_name_for_partition() -> None:
    assert HpcConfig.from_mapping({"queue": "gpu"}).partition == "gpu"
    with pytest.raises(RecipeError, match="both 'partition' and 'queue'"):
        HpcConfig.from_mapping({"queue": "gpu", "partition": "cpu"})


def test_an_unknown_key_is_answered_with_the_right_ones() -> None:
    with pytest.raises(RecipeError) as caught:
        HpcConfig.from_mapping({"tiem_limit": "4:00:00"}, where="hpc_config of site-2")

    text = str(caught.value)
    assert text.startswith(
        "hpc_config of site-2 has no key 'tiem_limit'; did you mean 'time_limit'? Right are"
    )
    assert "nodes_per_client=1" in text
    assert "partition=None (or queue)" in text


def test_an_unknown_key_that_is_like_no_other_gets_no_guess() -> None:
    with pytest.raises(RecipeError, match=r"has no key 7\. Right are"):
        HpcConfig.from_mapping({7: 1})  # type: ignore[dict-item]


@pytest.mark.parametrize("value", ["4:00:00", "90", "1-00:00:00", "2-12", "0-01:30", "100:00:00"])
def test_a_time_limit_may_have_these_forms(value: str) -> None:
    assert HpcConfig.from_mapping({"time_limit": value}).time_limit == value


def test_a_time_limit_may_be_minutes() -> None:
    assert HpcConfig.from_mapping({"time_limit": 90}).time_limit == "90"


@pytest.mark.parametrize("value", ["4 hours", "4:00", "0", 0, "0:00:00", -5, True, 1.5, "1:99:00", ""])
def test_a_wrong_time_limit_is_refused(value: Any) -> None:
    with pytest.raises(RecipeError) as caught:
        HpcConfig.from_mapping({"time_limit": value})

    assert str(caught.value) == (
        f"hpc_config['time_limit']={value!r}: '4:00:00', '1-00:00:00' or minutes are right"
    )


@pytest.mark.parametrize(("value", "kept"), [("64G", "64G"), ("512mb", "512M"), ("1T", "1T")])
def test_memory_is_a_number_with_a_unit(value: str, kept: str) -> None:
    assert HpcConfig.from_mapping({"mem": value}).mem == kept


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("mem", 64, "with its unit"),
        ("mem", "64 cats", "with its unit"),
        ("scheduler", "sluurm", "'auto', 'slurm', 'pbs', 'lsf', 'fake-slurm', 'fake-pbs', 'fake-lsf' are"),
        ("nodes_per_client", 0, "a whole number from 1 on"),
        ("nodes_per_client", None, "a whole number from 1 on"),
        ("gpus_per_node", -1, "a whole number from 0 on"),
        ("cpus_per_node", True, "a whole number from 1 on"),
        ("cpus_per_node", "4", "a whole number from 1 on"),
        ("exclusive", "yes", "True or False"),
        ("partition", "", "a name on one line"),
        ("account", "a\nb", "a name on one line"),
        ("prologue", "module load cuda", "a list of lines"),
        ("prologue", ["a\nb"], "one line of text"),
        ("directives", ["reservation=x"], "is not an option"),
        ("directives", ["--array=0-3"], "a site is one job"),
        ("directives", ["#SBATCH -M other"], "on the cluster of its relay"),
        ("directives", ["--wait"], "cannot work"),
        ("directives", ["#PBS -I"], "cannot work"),
        ("directives", ["#BSUB -K"], "cannot work"),
        ("container", "", "a name on one line"),
        ("gpu_request", "gpus", "'gres', 'gpus-per-node' are right"),
        ("launcher", "ssh", "'auto', 'srun', 'pbs_tmrsh', 'pbsdsh', 'blaunch', 'jsrun', 'mpiexec' are"),
        ("signal_lead", -1, "a whole number from 0 on"),
        ("max_attempts", 0, "a whole number from 1 on"),
    ],
)
def test_a_wrong_value_is_answered_with_what_is_right(key: str, value: Any, says: str) -> None:
    with pytest.raises(RecipeError) as caught:
        HpcConfig.from_mapping({key: value})

    text = str(caught.value)
    assert text.startswith(f"hpc_config[{key!r}]={value!r}: ")
    assert says in text


def test_a_directive_that_only_starts_like_a_refused_one_is_taken() -> None:
    lines = ("--wait-all-nodes=1", "#SBATCH --reservation=x", "--cluster-constraint=a")

    assert HpcConfig.from_mapping({"directives": list(lines)}).directives == lines


def test_a_letter_option_is_judged_by_the_scheduler_that_will_read_it() -> None:
    assert HpcConfig.from_mapping({"directives": ["-a 0-3", "-W umask=027"]}).directives
    assert HpcConfig.from_mapping({"scheduler": "pbs", "directives": ["-a 0900"]}).directives
    with pytest.raises(RecipeError, match=r"\['directives'\]=\['-a 0-3'\]: '-a 0-3' cannot work"):
        HpcConfig.from_mapping({"scheduler": "fake-slurm", "directives": ["-a 0-3"]})


@pytest.mark.parametrize(
    ("limit", "seconds"),
    [
        ("4:00:00", 14400),
        ("100:00:30", 360030),
        ("1-00:00:00", 86400),
        ("2-12", 216000),
        ("0-01:30", 5400),
        (90, 5400),
        (None, None),
    ],
)
def test_a_time_limit_is_so_many_seconds(limit: Any, seconds: int | None) -> None:
    assert HpcConfig.from_mapping({"time_limit": limit}).time_limit_s == seconds


def test_a_short_job_is_told_in_the_middle_that_its_time_ends() -> None:
    assert HpcConfig(time_limit="90").lead_s == 120
    assert HpcConfig(time_limit="1").lead_s == 30
    assert HpcConfig(time_limit="1", signal_lead=0).lead_s == 0
    assert HpcConfig().lead_s == 120


def test_ranks_run_in_the_container_with_the_python_that_was_chosen() -> None:
    assert HpcConfig().rank_python("/my envs/python") == ["/my envs/python"]
    assert HpcConfig(container="apptainer exec --nv 'my image.sif'", python="python3 -X dev").rank_python(
        "/env/python"
    ) == ["apptainer", "exec", "--nv", "my image.sif", "python3", "-X", "dev"]


def test_something_that_is_no_mapping_is_refused() -> None:
    with pytest.raises(RecipeError, match="must be a mapping"):
        HpcConfig.from_mapping(["partition"])  # type: ignore[arg-type]


def test_a_sites_keys_replace_those_of_the_recipe() -> None:
    config = HpcConfig.from_mapping({"partition": "gpu", "mem": "8G", "nodes_per_client": 2})

    merged = config.merged({"queue": "long", "nodes_per_client": 1, "mem": None}, where="site-2")

    assert merged == HpcConfig(partition="long")
    with pytest.raises(RecipeError, match=r"^site-2 has no key"):
        config.merged({"partitoin": "x"}, where="site-2")


def test_importing_the_config_loads_no_submitit() -> None:
    code = (
        "import sys, fox_hpc.hpc.resources, fox_hpc.hpc.slurm, fox_hpc.hpc.executor\n"
        "print('submitit' in sys.modules, 'torch' in sys.modules)"
    )

    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert printed == "False False\n"
