"""Submit, poll and cancel with PBS and LSF, against small programs on PATH that answer as recorded."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from recordings import Programs, read_recording

from fox_hpc.errors import SchedulerError, SubmitError
from fox_hpc.hpc.dialect import JobInfo
from fox_hpc.hpc.executor import (
    BatchExecutor,
    JobPlan,
    LsfExecutor,
    PbsExecutor,
    SlurmExecutor,
    make_executor,
)
from fox_hpc.hpc.resources import HpcConfig


@dataclass
class Clock:
    """A clock that goes on by `step` at each look, and stands still without."""

    now: float = 0.0
    step: float = 0.0

    def __call__(self) -> float:
        self.now += self.step
        return self.now


@dataclass
class Rig:
    """Programs, and executors that find them."""

    programs: Programs
    clock: Clock = field(default_factory=Clock)

    def pbs(self, **options: Any) -> PbsExecutor:
        return PbsExecutor(self.programs.environ, **{"torque": False, "clock": self.clock, **options})

    def lsf(self, **options: Any) -> LsfExecutor:
        return LsfExecutor(self.programs.environ, **{"clock": self.clock, **options})

    def qstat(self, **forms: str) -> None:
        """Make a qstat that answers each form with lines of shell: `as_json`, `plain`, `current`."""
        cases = {"*json*": "as_json", "-x*": "plain", "*": "current"}
        arms = [f"{pattern}) {forms.get(name, 'exit 9')};;" for pattern, name in cases.items()]
        self.programs.put("qstat", 'case "$*" in\n' + "\n".join(arms) + "\nesac")


@pytest.fixture
def rig(programs: Programs) -> Rig:
    return Rig(programs)


def plan(folder: Path, **config: Any) -> JobPlan:
    return JobPlan("fox-site-1", folder / "attempt-1", HpcConfig.from_mapping(config), {}, sys.executable)


def says(document: object) -> str:
    return f"echo '{json.dumps(document)}'"


@pytest.mark.parametrize(
    ("scheduler", "kind"), [("slurm", SlurmExecutor), ("fake-pbs", PbsExecutor), ("lsf", LsfExecutor)]
)
def test_an_executor_is_made_by_its_schedulers_name(scheduler: str, kind: type[BatchExecutor]) -> None:
    assert type(make_executor(scheduler, {"PATH": ""})) is kind


def test_qsub_is_given_the_script_as_a_file(rig: Rig, tmp_path: Path) -> None:
    rig.programs.replay(read_recording("qsub_ok", "pbs")[0])
    job = plan(tmp_path)

    job_id = rig.pbs().submit(job, max, 3, 4)

    assert job_id == "1.pbs01"
    assert rig.programs.calls("qsub") == [str(job.script_file)]
    assert job.log_files(job_id)[0].name == "1_0_log.out"


def test_bsub_reads_the_script_from_its_standard_input(rig: Rig, tmp_path: Path) -> None:
    seen = rig.programs.folder / "seen"
    rig.programs.put("bsub", f"cat > {seen}\necho 'Job <12> is submitted to queue <normal>.'")
    job = plan(tmp_path)

    assert rig.lsf().submit(job, max, 3, 4) == "12"
    assert rig.programs.calls("bsub") == [""]
    assert seen.read_text() == job.script_file.read_text()


@pytest.mark.parametrize("scheduler", ["pbs", "lsf"])
def test_a_refused_job_is_told_in_the_schedulers_words(rig: Rig, tmp_path: Path, scheduler: str) -> None:
    program = {"pbs": "qsub", "lsf": "bsub"}[scheduler]
    answer = read_recording(f"{program}_refused", scheduler)[0]
    rig.programs.replay(answer)
    executor = rig.pbs() if scheduler == "pbs" else rig.lsf()

    with pytest.raises(SubmitError) as caught:
        executor.submit(plan(tmp_path), max, 3, 4)

    assert str(caught.value) == f"{program} did not take the job: {answer.stderr}"
    assert caught.value.exit_code == answer.exit_code


def test_pbs_is_asked_once_for_all_jobs_by_their_full_ids(rig: Rig) -> None:
    jobs = {name: {"job_state": state} for name, state in (("1.pbs01", "R"), ("2.pbs01", "Q"))}
    rig.qstat(as_json=says({"Jobs": jobs}))

    states = {job_id: info.state for job_id, info in rig.pbs().poll(["1.pbs01", "2.pbs01"]).items()}

    assert states == {"1.pbs01": "RUNNING", "2.pbs01": "PENDING"}
    assert rig.programs.calls("qstat") == ["-E -x -f -F json 1.pbs01 2.pbs01"]


def test_the_form_that_was_understood_is_asked_first_the_next_time(rig: Rig) -> None:
    rig.qstat(as_json="echo '{\"Jobs\": {'", plain="echo 'Job Id: 1.pbs01'; echo '    job_state = R'")
    executor = rig.pbs()

    assert [executor.poll(["1.pbs01"])["1.pbs01"].state for _ in range(2)] == ["RUNNING", "RUNNING"]
    assert rig.programs.calls("qstat") == (["-E -x -f -F json 1.pbs01", "-x -f 1.pbs01", "-x -f 1.pbs01"])
    assert executor.trouble == ""


def test_a_server_without_history_still_tells_of_jobs_that_run(rig: Rig) -> None:
    refusal = "echo 'qstat: PBS is not configured to maintain job history 1.pbs01' >&2"
    rig.qstat(as_json=refusal, plain=refusal, current="echo 'Job Id: 1.pbs01'; echo '    job_state = R'")

    assert rig.pbs().poll(["1.pbs01"])["1.pbs01"].state == "RUNNING"


def test_a_job_that_pbs_knows_no_more_is_lost_when_it_stays_away(rig: Rig) -> None:
    rig.programs.replay(read_recording("qstat_gone", "pbs")[0])
    executor = rig.pbs(grace_s=30.0)

    first = executor.poll(["99999.pbs01"])
    rig.clock.now = 30.0

    assert first == {}
    assert executor.poll(["99999.pbs01"])["99999.pbs01"] == (
        JobInfo("99999.pbs01", "LOST", reason="the scheduler knows it no more", raw="gone")
    )


def test_a_pbs_server_that_is_away_loses_no_job(rig: Rig) -> None:
    rig.programs.replay(read_recording("server_away", "pbs")[0])
    executor = rig.pbs(grace_s=0.0)

    assert executor.poll(["165.pbs01"]) == {}
    assert "Connection refused" in executor.trouble
    assert executor.answered_at is None


def test_a_slow_queue_is_told_beside_its_answer(rig: Rig) -> None:
    rig.qstat(as_json=says({"Jobs": {"1.pbs01": {"job_state": "R"}}}))
    rig.clock.step = 6.0
    executor = rig.pbs()

    assert executor.poll(["1.pbs01"])["1.pbs01"].state == "RUNNING"
    assert executor.trouble == "the queue took 6 s to answer"
    assert executor.answered_at == rig.clock.now


def test_qdel_of_an_ended_job_is_no_failure(rig: Rig) -> None:
    answers = {answer.command[-1]: answer for answer in read_recording("qdel", "pbs")}
    rig.programs.replay(answers["34.pbs01"])
    rig.pbs().cancel(["34.pbs01", "35.pbs01"])
    assert rig.programs.calls("qdel") == ["34.pbs01 35.pbs01"]

    rig.programs.replay(answers["nonsense"])
    with pytest.raises(SchedulerError, match="illegally formed job identifier") as caught:
        rig.pbs().cancel(["nonsense"])
    assert caught.value.exit_code == 1


def test_a_lost_answer_of_qsub_is_found_by_the_short_name(rig: Rig) -> None:
    rig.programs.put("qselect", "echo 10.pbs01; echo 9.pbs01")

    assert rig.pbs().find("fox-run-20261124-site-1-1") == ["9.pbs01", "10.pbs01"]
    assert rig.programs.calls("qselect")[0].startswith("-x -N foxrun-")


def test_find_asks_without_history_where_there_is_none(rig: Rig) -> None:
    refusal = "echo 'qselect: PBS is not configured to maintain job history' >&2; exit 0"
    rig.programs.put("qselect", f'case "$1" in -x) {refusal};; *) echo 9.pbs01;; esac')

    assert rig.pbs().find("fox") == ["9.pbs01"]


def test_find_does_not_say_none_when_lsf_is_silent(rig: Rig) -> None:
    rig.programs.put("bjobs", "echo 'LSF is down. Please wait ...' >&2; exit 255")

    with pytest.raises(SchedulerError, match="LSF is down"):
        rig.lsf().find("fox")


def test_find_of_a_name_that_lsf_does_not_know_is_none(rig: Rig) -> None:
    rig.programs.put("bjobs", "echo 'Job <fox> is not found' >&2; exit 255")

    assert rig.lsf().find("fox") == []


def test_which_pbs_is_here_is_asked_once(rig: Rig, tmp_path: Path) -> None:
    rig.programs.put(
        "qstat",
        'case "$*" in --version) echo "Version: 6.1.2" >&2;;\n'
        "*) echo 'Job Id: 7.srv'; echo '    job_state = C'; echo '    exit_status = 0';; esac",
    )
    rig.programs.put("qsub", "echo 7.srv")
    executor, job = rig.pbs(torque=None), plan(tmp_path, nodes_per_client=2)

    job_id = executor.submit(job, max, 3, 4)

    assert executor.poll([job_id])["7.srv"].state == "DONE"
    assert rig.programs.calls("qstat") == ["--version", "-f 7.srv"]
    assert "#PBS -l nodes=2:ppn=1\n" in job.script_file.read_text()


def test_a_qstat_of_another_scheduler_is_refused(rig: Rig, tmp_path: Path) -> None:
    rig.programs.put("qstat", "echo 'SGE 8.1.9'")
    rig.programs.put("qsub", "echo 7")
    executor = rig.pbs(torque=None)

    assert executor.check().startswith("this qstat is neither OpenPBS's nor Torque's: SGE 8.1.9")
    with pytest.raises(SubmitError, match="neither"):
        executor.submit(plan(tmp_path), max, 3, 4)
    assert executor.poll(["7"]) == {}
    assert "neither" in executor.trouble


def test_check_finds_an_answering_scheduler(rig: Rig) -> None:
    rig.programs.put(
        "qstat", 'case "$*" in --version) echo "pbs_version = 23.06.06";; -B) echo Server;; esac'
    )
    rig.programs.put("bhosts", "echo 'LSF is down. Please wait ...' >&2; exit 255")

    assert rig.pbs(torque=None).check() == ""
    assert rig.lsf().check() == "bhosts exited with 255: LSF is down. Please wait ..."


def test_lsf_is_asked_in_rows(rig: Rig) -> None:
    rig.programs.put("bjobs", "echo '7^0^EXIT^140^n1^TERM_RUNLIMIT: too long^-'; echo '8^0^RUN^-^n2^-^-'")

    states = {job_id: info.state for job_id, info in rig.lsf().poll(["7", "8"]).items()}

    assert states == {"7": "TIMEOUT", "8": "RUNNING"}
    assert len(rig.programs.calls("bjobs")) == 1


def test_a_relative_of_lsf_is_asked_for_its_table_and_then_for_one_job(rig: Rig) -> None:
    refused = read_recording("bjobs_refused", "lsf")[0]
    answers = {"-a -noheader": refused, "-a -w": read_recording("bjobs_table", "lsf")[-1]}
    answers["-l 23"] = next(
        a for a in read_recording("bjobs_long", "lsf") if a.exit_code == 0 and "130" in a.stdout
    )
    arms = []
    for number, (pattern, answer) in enumerate(answers.items()):
        file = rig.programs.folder / f"answer-{number}"
        file.write_text(answer.stdout + answer.stderr)
        arms.append(f"'{pattern}'*) cat {file} {'>&2' if answer.stderr else ''}; exit {answer.exit_code};;")
    rig.programs.put("bjobs", 'case "$*" in\n' + "\n".join(arms) + "\nesac")

    info = rig.lsf().poll(["23"])["23"]

    assert (info.state, info.exit_code, info.nodes) == ("FAILED", 130, "cn02:cn02:cn01:cn01")


def test_a_job_that_bjobs_misses_once_is_not_lost(rig: Rig) -> None:
    rig.programs.put("bjobs", "exit 0")
    executor = rig.lsf(grace_s=30.0)
    assert executor.poll(["7"]) == {}

    rig.programs.put("bjobs", "echo '7^0^RUN^-^n1^-^-'")
    assert executor.poll(["7"])["7"].state == "RUNNING"

    rig.programs.put("bjobs", "exit 0")
    rig.clock.now = 1000.0
    assert executor.poll(["7"]) == {}


def test_commands_know_their_cluster_and_no_enclosing_job(rig: Rig, tmp_path: Path) -> None:
    kept = {
        "PBS_DEFAULT": "srv",
        "PBS_CONF_FILE": "/etc/pbs.conf",
        "LSF_ENVDIR": "/lsf/conf",
        "LSF_LIBDIR": "/lsf",
    }
    rig.programs.environ |= {
        **kept,
        "PBS_JOBID": "1.srv",
        "LSB_JOBID": "1",
        "PBS_DPREFIX": "#X",
        "FOX_X": "old",
    }
    seen = rig.programs.folder / "seen"
    rig.programs.put("qsub", f"env > {seen}\necho 4711.srv")

    rig.pbs().submit(plan(tmp_path), max, 3, 4)

    names = {line.partition("=")[0] for line in seen.read_text().splitlines()} - {"PWD", "SHLVL", "_"}
    assert names == {"PATH", *kept}
