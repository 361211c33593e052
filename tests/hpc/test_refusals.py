"""Which line of our script a scheduler's refusal is about, by recorded words."""

from __future__ import annotations

from pathlib import Path

import pytest
from recordings import RECORDINGS, Programs

from fox_hpc.errors import SubmitError
from fox_hpc.hpc.dialect import JobPlan
from fox_hpc.hpc.executor import make_executor, render
from fox_hpc.hpc.resources import HpcConfig

ASKED = {
    "partition": "nosuch", "account": "proj", "nodes_per_client": 3, "gpus_per_node": 9, "cpus_per_node": 64,
    "mem": "1T", "time_limit": "99:00:00", "constraint": "a=1",
}  # fmt: skip


def plan(scheduler: str, folder: Path = Path("/runs/r1"), **asked: object) -> JobPlan:
    config = HpcConfig.from_mapping({**ASKED, **asked, "scheduler": scheduler})
    return JobPlan("fedavg-site-1-1", folder, config, exports={}, python="python")


def at_fault(scheduler: str, words: str, **asked: object) -> list[str]:
    dialect = make_executor(scheduler, {}, **({"torque": False} if scheduler == "pbs" else {})).dialect()
    return dialect.at_fault(words, render(plan(scheduler, **asked)).script)


def recorded(name: str) -> str:
    return (RECORDINGS / "slurm" / f"{name}.txt").read_text().partition("-- stderr\n")[2]


@pytest.mark.parametrize(
    ("recording", "lines"),
    [
        ("sbatch_bad_partition", ["#SBATCH --partition=nosuch"]),
        ("sbatch_bad_account", ["#SBATCH --partition=nosuch", "#SBATCH --account=proj"]),
        ("sbatch_bad_qos", ["#SBATCH --qos=high"]),
        ("sbatch_bad_constraint", ["#SBATCH --constraint=a=1"]),
        ("sbatch_bad_gres_name", ["#SBATCH --gres=gpu:9"]),
        ("sbatch_bad_nodes_over_partition", ["#SBATCH --nodes=3"]),
        ("sbatch_bad_too_many_cpus", ["#SBATCH --nodes=3", "#SBATCH --cpus-per-task=64"]),
        ("sbatch_bad_too_much_memory", ["#SBATCH --mem=1T"]),
        ("sbatch_bad_time_over_limit", ["#SBATCH --time=99:00:00"]),
        ("sbatch_bad_time_syntax", ["#SBATCH --time=99:00:00"]),
        ("sbatch_bad_reservation", ["#SBATCH --reservation=nosuch"]),
        ("sbatch_bad_option", ["#SBATCH --nosuch"]),
        ("sbatch_bad_begin", ["#SBATCH --begin=whenever"]),
        ("sbatch_bad_nodelist", ["#SBATCH -w node99"]),
        ("sbatch_bad_signal", ["#SBATCH --signal=B:USR2@120"]),
        ("sbatch_bad_array", []),  # one that our scripts never hold
        ("sbatch_bad_script", []),
    ],
)
def test_sbatchs_words_lead_to_the_line(recording: str, lines: list[str]) -> None:
    own = ["--reservation=nosuch", "--nosuch", "--begin=whenever", "-w node99"]

    assert at_fault("slurm", recorded(recording), qos="high", directives=own) == lines


def test_words_that_fit_several_lines_name_them_all() -> None:
    assert at_fault("slurm", recorded("sbatch_bad_too_many_gpus")) == [
        "#SBATCH --nodes=3", "#SBATCH --cpus-per-task=64", "#SBATCH --gres=gpu:9", "#SBATCH --mem=1T",
        "#SBATCH --constraint=a=1",
    ]  # fmt: skip


SELECT = "#PBS -l select=3:ncpus=64:ngpus=9:mem=1tb:a=1"
WALLTIME = "#PBS -l walltime=99:00:00"


@pytest.mark.parametrize(
    ("words", "lines"),
    [
        ("Unknown queue", ["#PBS -q nosuch"]),
        ("Queue is not enabled", ["#PBS -q nosuch"]),
        ("Unauthorized Request", ["#PBS -q nosuch"]),
        ("Unknown resource: nosuchres", ["#PBS -l nosuchres=3"]),
        ("Unknown resource Resource_List.nosuchres", ["#PBS -l nosuchres=3"]),
        (
            "Job violates queue and/or server resource limits",
            ["#PBS -q nosuch", SELECT, "#PBS -l place=scatter", WALLTIME, "#PBS -l nosuchres=3"],
        ),
        ("Illegal attribute or resource value Resource_List.walltime", [WALLTIME]),
        ("Illegal attribute or resource value select.mem", [SELECT]),
        ("illegal -N value", ["#PBS -N fedavg-site-1-1"]),
        ("invalid option -- 'Q'", ["#PBS -Q x"]),
        ("cannot connect to server pbs01 (errno=15010)", []),
    ],
)
def test_qsubs_words_lead_to_the_line(words: str, lines: list[str]) -> None:
    known = (RECORDINGS / "pbs" / "02_qsub_errors.txt").read_text() + (
        RECORDINGS / "pbs" / "14_server_and_node_trouble.txt"
    ).read_text()
    assert words in known

    assert at_fault("pbs", f"qsub: {words}\n", directives=["-l nosuchres=3", "-Q x"]) == lines


@pytest.mark.parametrize(
    ("words", "lines"),
    [
        ("nosuch: No such queue. Job not submitted.", ["#BSUB -q nosuch"]),
        ("vip: User cannot use the queue. Job not submitted.", ["#BSUB -q nosuch"]),
        ("RUNLIMIT: Cannot exceed queue's hard limit(s). Job not submitted.", ["#BSUB -W 5940"]),
        ("Too many processors requested. Job not submitted.", ["#BSUB -n 192"]),
        (
            "Bad resource requirement syntax. Job not submitted.",
            [
                '#BSUB -R "span[ptile=64]"',
                '#BSUB -R "rusage[mem=1T]"',
                '#BSUB -R "select[a=1]"',
            ],
        ),
        ("Bad job name. Job not submitted.", ["#BSUB -J fedavg-site-1-1"]),
        ("Request from non-LSF host rejected. Job not submitted.", []),
    ],
)
def test_bsubs_words_lead_to_the_line(words: str, lines: list[str]) -> None:
    assert at_fault("lsf", f"{words}\n") == lines


def test_a_refused_submission_tells_the_schedulers_words_and_the_line_of_our_script(
    programs: Programs, tmp_path: Path
) -> None:
    programs.put("sbatch", "echo 'sbatch: error: invalid partition specified: nosuch' >&2\nexit 1")
    refused = plan("slurm", tmp_path / "job")

    with pytest.raises(SubmitError) as caught:
        make_executor("slurm", programs.environ).submit(refused, print)

    assert str(caught.value).splitlines() == [
        "sbatch did not take the job: sbatch: error: invalid partition specified: nosuch",
        f"It is about this line of {refused.script_file}:",
        "    #SBATCH --partition=nosuch",
    ]
    assert not caught.value.transient
