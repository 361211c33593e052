"""The scripts, held against golden files.

After a change that is meant, `FOX_TEST_ACCEPT=1 pytest tests/hpc/test_scripts.py` writes them anew; look at
the diff before you commit it.
"""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from fox_hpc.errors import RecipeError
from fox_hpc.hpc.dialect import Dialect
from fox_hpc.hpc.executor import JobPlan, Submission, render
from fox_hpc.hpc.launch import Start, start_on_nodes
from fox_hpc.hpc.lsf import LsfDialect
from fox_hpc.hpc.pbs import PbsDialect
from fox_hpc.hpc.resources import HpcConfig
from fox_hpc.hpc.slurm import SlurmDialect
from fox_hpc.site.jobs import SiteJob, what_follows

GOLDEN = Path(__file__).parents[1] / "golden" / "scripts"
EXPORTS = {"FOX_SITE_NAME": "site-1", "FOX_PARENT_URL": "tcp://10.0.0.1:4711 tcp://login:4711"}
DIALECTS: dict[str, Dialect] = {
    "slurm": SlurmDialect(),
    "pbs": PbsDialect(),
    "torque": PbsDialect(torque=True),
    "lsf": LsfDialect(),
}
TWO_NODES: dict[str, Any] = {
    "nodes_per_client": 2,
    "gpus_per_node": 4,
    "cpus_per_node": 16,
    "time_limit": 90,
}
ALL: dict[str, Any] = {
    "partition": "gpu",
    "account": "proj-42",
    "nodes_per_client": 2,
    "gpus_per_node": 8,
    "cpus_per_node": 32,
    "mem": "64G",
    "time_limit": "4:00:00",
    "exclusive": True,
    "prologue": ["module purge", "module load cuda/12.4"],
    "python": "singularity exec /sw/train.sif python",
    "container": "apptainer exec --nv /sw/train.sif",
    "launcher": "mpiexec",
    "signal_lead": 300,
    "max_attempts": 2,
}
CASES: dict[str, dict[str, Any]] = {
    "slurm-least": {},
    "slurm-gpu": {"scheduler": "slurm", "gpu_request": "gpus-per-node", **TWO_NODES},
    "slurm-all": {
        **ALL,
        "scheduler": "slurm",
        "qos": "high",
        "constraint": "a100&(ib|opa)",
        "directives": ["--reservation=class", "#SBATCH --mem=0"],
    },
    "pbs-least": {"scheduler": "pbs"},
    "pbs-gpu": {"scheduler": "fake-pbs", **TWO_NODES},
    "pbs-all": {
        **ALL,
        "scheduler": "pbs",
        "constraint": "gpu_type=a100:switch=ib",
        "directives": ["-l filesystems=home:eagle", "#PBS -W umask=027"],
    },
    "torque-gpu": {"scheduler": "pbs", **TWO_NODES},
    "torque-all": {
        **ALL,
        "scheduler": "pbs",
        "exclusive": False,
        "constraint": "a100:ib",
        "directives": ["#PBS -m n"],
    },
    "lsf-least": {"scheduler": "lsf"},
    "lsf-gpu": {"scheduler": "fake-lsf", **TWO_NODES},
    "lsf-all": {
        **ALL,
        "scheduler": "lsf",
        "constraint": "a100 && type==any",
        "directives": ["-sla gold", '#BSUB -R "order[mem]"'],
    },
    "lsf-csm": {
        **TWO_NODES,
        "scheduler": "lsf",
        "launcher": "jsrun",
        "constraint": "smt4 gpumps",
    },
}


def plan(case: str = "slurm-least", **changes: Any) -> JobPlan:
    values = {
        "name": "fedavg-20261124-093000-a1b2-site-1-1",
        "folder": Path("/home/ann/fox_runs/r1/sites/site-1/attempt-1"),
        "config": HpcConfig.from_mapping(CASES[case]),
        "exports": EXPORTS,
        "python": "/home/ann/my envs/bin/python",
    }
    return JobPlan(**{**values, **changes})


def submission(case: str) -> Submission:
    return PbsDialect(torque=True).render(plan(case)) if case.startswith("torque") else render(plan(case))


@pytest.mark.parametrize("case", CASES)
def test_a_script_is_what_its_golden_file_says(case: str) -> None:
    golden = GOLDEN / f"{case}.sh"
    script = submission(case).script
    if os.environ.get("FOX_TEST_ACCEPT"):
        golden.write_text(script)

    assert script == golden.read_text()


@pytest.mark.parametrize("case", CASES)
def test_a_script_is_one_that_bash_understands(case: str) -> None:
    subprocess.run(["bash", "-n"], input=submission(case).script, text=True, check=True)


@pytest.mark.parametrize(
    ("case", "line"),
    [
        ("slurm-least", "sbatch --parsable {}"),
        ("pbs-least", "qsub {}"),
        ("torque-gpu", "qsub {}"),
        ("lsf-least", "bsub < {}"),
    ],
)
def test_a_submission_shows_its_command_and_its_script(case: str, line: str) -> None:
    shown = submission(case)

    assert str(shown).startswith(f"{line.format(shown.plan.script_file)}\n\n#!/bin/bash\n")
    assert str(shown).endswith(shown.script)


@pytest.mark.parametrize("case", CASES)
def test_nothing_is_exported_on_a_command_line(case: str) -> None:
    shown = submission(case)
    directives = [line for line in shown.script.splitlines() if line.startswith("#")]

    assert not any("site-1'" in line or "FOX" in line for line in [*shown.command, *directives])
    assert not any(line.split()[1] in ("-v", "-V") for line in directives[1:])
    assert "wckey" not in shown.script


def test_every_dialect_tells_the_driver_what_no_scheduler_hands_to_all_nodes() -> None:
    for case, launcher in (("slurm-gpu", "srun"), ("pbs-gpu", "pbs_tmrsh"), ("lsf-gpu", "blaunch")):
        script = submission(case).script

        assert f"export FOX_LAUNCHER='{launcher}'\n" in script
        assert "export FOX_TIME_LIMIT_S='5400'\n" in script
        assert "export FOX_SIGNAL_LEAD_S='120'\n" in script
    assert "export FOX_LAUNCHER='pbsdsh'\n" in submission("torque-gpu").script
    assert "export FOX_LAUNCHER='jsrun'\n" in submission("lsf-csm").script


@pytest.mark.parametrize(
    "value", ["a,b", "it's", '"quoted"', "$HOME `id` \\", "two\nlines", "  blanks  ", ""]
)
def test_an_export_arrives_as_it_was_given(value: str) -> None:
    lines = render(plan(exports={"FOX_X": value})).script.partition("submitted=")[0]

    shell = subprocess.run(
        ["bash", "-c", lines + 'printf %s "$FOX_X"'], capture_output=True, text=True, check=True
    )
    assert shell.stdout == value


@pytest.mark.parametrize(
    ("case", "config", "says"),
    [
        ("pbs-least", {"qos": "high"}, "hpc_config['qos']='high' cannot be said to PBS"),
        ("lsf-least", {"qos": "high"}, "hpc_config['qos']='high' cannot be said to LSF"),
        ("torque-gpu", {"qos": "high"}, "hpc_config['qos']='high' cannot be said to Torque"),
        ("torque-gpu", {"exclusive": True}, "hpc_config['exclusive']=True cannot be said to Torque"),
        ("lsf-csm", {"exclusive": True}, "hpc_config['exclusive']=True cannot be said to LSF with CSM"),
        ("lsf-csm", {"mem": "64G"}, "hpc_config['mem']='64G' cannot be said to LSF with CSM"),
        ("pbs-least", {"gpu_request": "gpus-per-node"}, "'gpus-per-node' cannot be said to PBS"),
        ("lsf-least", {"gpu_request": "gpus-per-node"}, "'gpus-per-node' cannot be said to LSF"),
        ("slurm-least", {"launcher": "blaunch"}, "on Slurm 'auto', 'srun', 'mpiexec' are right"),
        ("pbs-least", {"launcher": "srun"}, "on PBS 'auto', 'pbs_tmrsh', 'pbsdsh', 'mpiexec' are right"),
        ("torque-gpu", {"launcher": "pbs_tmrsh"}, "on Torque 'auto', 'pbsdsh', 'mpiexec' are right"),
        ("lsf-least", {"launcher": "srun"}, "on LSF 'auto', 'blaunch', 'jsrun', 'mpiexec' are right"),
        ("pbs-least", {"constraint": "a100&ib"}, "resources of a chunk are right on PBS"),
        ("torque-gpu", {"constraint": "a=b"}, "properties of nodes are right on Torque"),
        ("lsf-least", {"constraint": "a] rusage[mem=1"}, "what may stand in select"),
        ("pbs-least", {"directives": ["#SBATCH --mem=0"]}, "none of the directives that start with #PBS"),
        ("lsf-least", {"directives": ["#PBS -l place=pack"]}, "that start with #BSUB"),
        ("slurm-least", {"directives": ["#BSUB -x"]}, "that start with #SBATCH"),
        ("pbs-least", {"directives": ["-J 0-3"]}, "'-J 0-3' cannot work: a site is one job"),
        ("pbs-least", {"directives": ["-W block=true"]}, "cannot work"),
        ("lsf-least", {"directives": ["-J x[1-3]"]}, "cannot work"),
        ("lsf-least", {"directives": ["-K"]}, "cannot work"),
        ("slurm-least", {"directives": ["-a 0-3"]}, "'-a 0-3' cannot work"),
    ],
)
def test_what_a_scheduler_cannot_be_told_is_refused_by_name(
    case: str, config: dict[str, Any], says: str
) -> None:
    changed = HpcConfig.from_mapping({**CASES[case], **config, "scheduler": "auto"})

    with pytest.raises(RecipeError, match=re.escape(says)):
        DIALECTS[case.partition("-")[0]].render(plan(case, config=changed))


# What a config is put upon: a dialect, the launcher that is asked for, how GPUs are asked for.
GROUNDS = [
    ("slurm", "auto", "gres"),
    ("slurm", "auto", "gpus-per-node"),
    ("slurm", "mpiexec", "gres"),
    ("pbs", "auto", "gres"),
    ("pbs", "pbsdsh", "gres"),
    ("torque", "auto", "gres"),
    ("lsf", "auto", "gres"),
    ("lsf", "jsrun", "gres"),
]


def effects(
    scheduler: str, config: HpcConfig
) -> tuple[str, list[str], list[Start], tuple[float | None, str]]:
    """Give what a config brings about: its script, the ranks' python and start, and what the relay does."""
    script = DIALECTS[scheduler].render(plan(config=config)).script
    launcher = re.search(r"FOX_LAUNCHER='(\w+)'", script)
    assert launcher is not None
    counts = {"cpus": config.cpus_per_node, "gpus": config.gpus_per_node}
    starts = start_on_nodes(launcher[1], ["n1", "n2"], ["node.sh"], **counts, torque=scheduler == "torque")
    return (
        script,
        config.rank_python("python"),
        starts,
        what_follows(SiteJob("site-1"), 2, config.max_attempts, 30),
    )


@pytest.mark.parametrize("field", [field.name for field in fields(HpcConfig) if field.name != "scheduler"])
@pytest.mark.parametrize(("scheduler", "launcher", "gpu_request"), GROUNDS)
def test_every_key_has_an_effect_or_is_refused_by_name(
    scheduler: str, launcher: str, gpu_request: str, field: str
) -> None:
    others = {
        "constraint": "a100=1" if scheduler == "pbs" else "a100",
        "launcher": "auto" if launcher == "mpiexec" else "mpiexec",
        "qos": "high",
        "directives": ("-x y",),
        "gpu_request": "gpus-per-node" if gpu_request == "gres" else "gres",
        "prologue": ("module purge",),
    }
    without = HpcConfig.from_mapping(
        {
            "gpus_per_node": 1,
            "cpus_per_node": 2,
            "time_limit": 60,
            "launcher": launcher,
            "gpu_request": gpu_request,
        }
    )
    changed = replace(without, **{field: {**ALL, **others}[field]})
    assert changed != without
    before = effects(scheduler, without)

    try:
        after = effects(scheduler, changed)
    except RecipeError as refused:
        assert str(refused).startswith(f"hpc_config[{field!r}]=")  # noqa: PT017 - the other outcome is right too
    else:
        assert after != before


def test_the_scheduler_chooses_the_dialect() -> None:
    heads = {
        render(plan(config=HpcConfig(name))).script.splitlines()[1][:5] for name in ("slurm", "pbs", "lsf")
    }

    assert heads == {"#SBAT", "#PBS ", "#BSUB"}


def test_a_folder_may_hold_blanks_and_quotes() -> None:
    script = render(plan(folder=Path("/data/ann's runs/r1"))).script

    assert """#SBATCH --output='/data/ann'"'"'s runs/r1/%j_0_log.out'""" in script


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"folder": Path("/data/100%j")}, "without '%'"),
        ({"folder": Path("runs/r1")}, "an absolute path"),
        ({"name": "two\nlines"}, "on one line"),
        ({"name": "an[1-3]", "config": HpcConfig("lsf")}, "in a job's name"),
        ({"exports": {"FOX X": "1"}}, "cannot be the name"),
    ],
)
def test_a_plan_that_cannot_stand_in_a_script_is_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(RecipeError, match=says):
        render(plan(**changes))


@pytest.mark.parametrize(
    ("scheduler", "variable", "job_id"), [("pbs", "PBS_JOBID", "4711.pbs01"), ("lsf", "LSB_JOBID", "4711")]
)
def test_a_script_writes_its_output_where_the_log_files_are(
    tmp_path: Path, scheduler: str, variable: str, job_id: str
) -> None:
    job = plan(folder=tmp_path / "ann's runs", config=HpcConfig(scheduler), python="/no/such python")
    job.folder.mkdir()
    environ = {"PATH": os.environ["PATH"], variable: job_id, "PBS_O_WORKDIR": str(tmp_path)}

    ended = subprocess.run(["bash", "-c", render(job).script], env=environ, capture_output=True, check=False)

    assert (ended.returncode, ended.stdout, ended.stderr) == (127, b"", b"")
    out, err = (file.read_text() for file in job.log_files(job_id))
    assert out == ""
    assert "/no/such python" in err
    assert (job.folder / "4711_submitted.pkl").readlink() == Path("submitted.pkl")


def test_a_checkpoint_of_a_requeued_job_is_kept(tmp_path: Path) -> None:
    job = plan(folder=tmp_path, config=HpcConfig("lsf"), python="true")
    checkpoint = tmp_path / "4711_submitted.pkl"
    checkpoint.write_text("from here on")

    environ = {"PATH": os.environ["PATH"], "LSB_JOBID": "4711"}
    subprocess.run(["bash", "-c", render(job).script], env=environ, check=True)

    assert checkpoint.read_text() == "from here on"
    assert not checkpoint.is_symlink()


def test_what_the_scheduler_writes_itself_is_kept_beside_the_logs() -> None:
    script = submission("pbs-least").script

    assert f"#PBS -o {plan().folder}/scheduler.log\n" in script
    assert "#PBS -o /dev/null\n" in render(plan("pbs-least", folder=Path("/data/ann's: runs"))).script


def test_log_files_are_where_the_script_sends_them() -> None:
    out, err = plan().log_files("4711")
    script = render(plan()).script

    assert f"--output={out}".replace("4711", "%j") in script
    assert f"--error={err}".replace("4711", "%j") in script
