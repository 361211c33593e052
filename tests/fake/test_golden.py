"""The programs answer as the recordings of a real Slurm 22.05 do (tests/golden/slurm)."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from fox_hpc.fake import FakeCluster

GOLDEN = Path(__file__).parents[1] / "golden" / "slurm"
FOX = {"FOX_FAKE_USER": "fox:1001"}
FIRST = 55494706
"""Id of the first job that the recordings of the queue show."""


class Sample(NamedTuple):
    command: str
    code: int
    out: str
    err: str


def samples(name: str) -> list[Sample]:
    text = (GOLDEN / f"{name}.txt").read_text()
    pattern = r"^\$ (.*?)\n-- exit (\d+) .*?\n-- stdout\n(.*?)-- stderr\n(.*?)(?=^\$ |\Z)"
    return [Sample(m[1], int(m[2]), m[3], m[4].rstrip("\n")) for m in re.finditer(pattern, text, re.S | re.M)]


def normal(text: str) -> str:
    """Without what differs from run to run: times, priorities, hosts, sessions, spare lines of srun."""
    rules = [
        (r"srun: job \d+ (queued|has been).*\n?", ""),
        (r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d|\bN/A\b|\bUnknown\b", "T"),
        (r"42949\d{5}", "PRIORITY"),
        (r"AllocNode:Sid=\S+", "AllocNode:Sid=X"),
        (r"RunTime=\S+", "RunTime=X"),
        (r"Scheduler=\w+", "Scheduler=X"),
        (r" SchedNodeList=\S+", ""),
        (r"\b0:0\d\b( +\d node)", r"0:00\1"),
        (r"\b0:0\d\|", "0:00|"),
        (r"\b00:00:0\d\|", "00:00:00|"),
    ]
    for pattern, replacement in rules:
        text = re.sub(pattern, replacement, text)
    return text


def lines(text: str) -> list[str]:
    """Sorted: two programs write to one stream, in any order."""
    return sorted(line for line in normal(text).splitlines() if line)


class Replay:
    """Runs recorded commands; ids of jobs here are shown as those of the recording."""

    def __init__(self, shell: Any) -> None:
        self.shell, self.ids = shell, {}

    def submit(self, recorded: int, options: str, body: str = "sleep 300") -> None:
        job = self.shell.out(f"sbatch --parsable {options} --wrap '{body}'", **FOX)
        self.ids[str(recorded)] = job

    def check(self, sample: Sample) -> None:
        command = sample.command
        for recorded, job in self.ids.items():
            command = command.replace(recorded, job)
        done = self.shell.run(command, **FOX)
        expected = (sample.code, normal(sample.out), lines(sample.err))
        assert (
            done.returncode,
            normal(self._recorded(done.stdout)),
            lines(self._recorded(done.stderr)),
        ) == expected

    def _recorded(self, text: str) -> str:
        for recorded, job in self.ids.items():
            text = text.replace(job, recorded)
        return text.replace(str(self.shell.folder), "/tmp/fox-slurm-samples")


@pytest.mark.parametrize("name", sorted(p.stem for p in GOLDEN.glob("sbatch_bad_*.txt")))
def test_sbatch_refuses_as_recorded(shell: Any, name: str) -> None:
    (shell.folder / "nobang.sh").write_text("hostname\n")
    for sample in samples(name):
        done = shell.run(sample.command, **FOX)

        assert (done.returncode, done.stderr.rstrip("\n")) == (sample.code, sample.err)
        assert re.sub(r"\d{6,}", "ID", done.stdout) == re.sub(r"\d{6,}", "ID", sample.out)


def test_sbatch_answers_as_recorded(shell: Any) -> None:
    (shell.folder / "job.sh").write_text("#!/bin/bash\n#SBATCH --job-name=from-file\nhostname\n")
    for sample in samples("sbatch_ok"):
        done = shell.run(sample.command, **FOX)
        found = [re.sub(r"\d{6,}", "ID", normal(text)) for text in (done.stdout, done.stderr.rstrip("\n"))]

        assert done.returncode == sample.code
        assert found == [re.sub(r"\d{6,}", "ID", normal(text)) for text in (sample.out, sample.err)]


def test_srun_fails_as_recorded(shell: Any) -> None:
    for sample in samples("srun_bad"):
        done = shell.run(sample.command, **FOX)
        found, expected = (
            [re.sub(r"\d{8}", "ID", line) for line in lines(t)] for t in (done.stderr, sample.err)
        )

        assert (done.returncode, found) == (sample.code, expected)


@pytest.fixture(scope="module")
def queue(tmp_path_factory: pytest.TempPathFactory, shell_class: Any) -> Iterator[Replay]:
    """The queue that was recorded: one job runs, five wait for different reasons."""
    with FakeCluster(requeue_wait_s=121, kill_wait_s=0.5) as cluster:
        replay = Replay(shell_class(cluster, tmp_path_factory.mktemp("queue")))
        null = "-o /dev/null"
        replay.submit(
            FIRST,
            f"{null} -N2 --ntasks-per-node=2 -J runs --gpus-per-node=1 --comment=hello --signal=USR2@90",
        )
        replay.shell.until_state(replay.ids[str(FIRST)], "RUNNING")
        replay.submit(FIRST + 1, f"{null} -N4 --exclusive -J waits")
        replay.submit(FIRST + 2, f"{null} -N1 --array=0-5%2 -J many")
        replay.submit(FIRST + 3, f"{null} --dependency=afterok:{replay.ids[str(FIRST)]} -J after")
        replay.submit(FIRST + 4, f"{null} --begin=now+1hour -J later")
        replay.submit(FIRST + 5, f"{null} --hold -J held")
        yield replay


def _check_all(replay: Replay, name: str, skip: str = "") -> None:
    for sample in samples(name):
        if not skip or not re.search(skip, sample.command):
            replay.check(sample)


@pytest.mark.parametrize(
    ("name", "skip"),
    [
        ("squeue", ""),
        ("squeue_long_names", ""),
        ("squeue_errors", ""),
        ("sinfo", ""),
        ("sacct_while_there", ""),
        # A task of an array has a raw id of its own here; in the real one only once it has started.
        ("scontrol_show_job", "_1$"),
        ("scontrol_show_other", "ping|show node"),
        ("scontrol_errors", ""),
    ],
)
def test_the_queue_is_shown_as_recorded(queue: Replay, name: str, skip: str) -> None:
    _check_all(queue, name, skip)


def test_json_of_the_queue_has_the_recorded_values(queue: Replay) -> None:
    import json

    recorded = (GOLDEN / "squeue_json.txt").read_text()
    expected = json.loads(recorded[recorded.index('{\n "meta') : recorded.rindex("-- stderr")])["jobs"][0]
    answer = json.loads(queue.shell.out("squeue --json", **FOX))
    job = next(j for j in answer["jobs"] if str(j["job_id"]) == queue.ids[str(FIRST)])
    differs = {
        "job_id",
        "priority",
        "job_resources",
        "standard_error",
        "current_working_directory",
        "exit_code",
    }
    found = {key: value for key, value in job.items() if not key.endswith("_time") and key not in differs}

    assert found == {key: expected[key] for key in found}


def test_scancel_answers_as_recorded(queue: Replay) -> None:
    queue.ids["55494712"] = queue.shell.out("sbatch --parsable -o /dev/null --hold --wrap true")
    _check_all(queue, "scancel")


def test_hold_and_requeue_answer_as_recorded(queue: Replay) -> None:
    # The recording stopped the running job by requeue, whose processes need a moment to end.
    for sample in samples("scontrol_hold_requeue"):
        if sample.command.startswith("squeue") and str(FIRST) in sample.command:
            job = queue.ids[str(FIRST)]
            queue.shell.until(lambda job=job: "BeginTime" in queue.shell.out(f"squeue -h -o %r -j {job}"))
        queue.check(sample)


def test_ended_jobs_are_shown_as_recorded(shell: Any) -> None:
    replay = Replay(shell)
    null, first = "-o /dev/null", 55494715
    replay.submit(first, f"{null} -w node1 -J ok", "srun true")
    replay.submit(first + 1, f"{null} -w node1 -J fail", "exit 3")
    replay.submit(first + 2, f"{null} -w node1 -J sig", "kill -SEGV $$")
    replay.submit(first + 3, f"{null} -w node1 -J cancelled")
    replay.submit(first + 4, "-w node2 -J noout -o /nosuch/%j.out", "true")
    job = replay.ids[str(first + 3)]
    shell.until_state(job, "RUNNING")
    shell.out(f"scancel {job}", **FOX)
    shell.until(lambda: not shell.out("squeue -h"))

    _check_all(replay, "sacct_ended")
    _check_all(replay, "squeue_ended")


def test_without_accounting_sacct_fails_and_any_account_is_taken(tmp_path: Path, shell_on: Any) -> None:
    with FakeCluster(accounting=False) as cluster:
        replay = Replay(shell_on(cluster))
        replay.submit(1, "-o /dev/null", "exit 3")
        shell = replay.shell
        shell.until_state(replay.ids["1"], "FAILED")
        job = replay.ids.pop("1")

        for sample in samples("noacct_sacct"):
            if "sacctmgr" not in sample.command:
                replay.check(sample)
        done = shell.run("sbatch --account=nosuch -o /dev/null --wrap true")
        assert (done.returncode, done.stderr) == (0, "")
        shown, table, ended = samples("noacct_scontrol_ended_job")
        expected = normal(shown.out).replace("JobId=1 ", f"JobId={job} ")
        found = normal(shell.run(f"scontrol show job {job}", **FOX).stdout)
        assert found.replace(str(tmp_path), "/tmp/fox-slurm-samples") == expected
        assert shell.run(f"squeue -j {job}").stdout == table.out
        assert shell.run(f"squeue -t all -j {job}").stdout.replace(job, "1".rjust(len(job))) == ended.out


@pytest.mark.parametrize(
    ("title", "option"),
    [
        ("default", ""),
        ("--export=ALL", "--export=ALL"),
        ("--export=NONE", "--export=NONE"),
        ("--export=PLAIN,NEW=5", "--export=PLAIN,NEW=5"),
        ("--export=ALL,NEW=5", "--export=ALL,NEW=5"),
        ("--export=ALL,ONLY='a,b'", "--export=ALL,ONLY='a,b'"),
        ("--export=\"ALL,ONLY='a,b'\" (quotes kept)", "--export=\"ALL,ONLY='a,b'\""),
        ("SBATCH_EXPORT=NONE", "env SBATCH_EXPORT=NONE"),
        ("SLURM_EXPORT_ENV=NONE (login)", "env SLURM_EXPORT_ENV=NONE"),
    ],
)
def test_the_environment_is_handed_on_as_recorded(shell: Any, title: str, option: str) -> None:
    names = r"^(COMMA|MULTI|PLAIN|SPACED|NEW|ONLY|SLURM_EXPORT_ENV|SLURM_GET_USER_ENV|srun|slurmstepd)\b"
    text = (GOLDEN / "env_propagation.txt").read_text()
    recorded = next(part for part in text.split("--- ") if part.startswith(title + "\n"))
    before, option = (option, "") if option.startswith("env ") else ("", option)
    (shell.folder / "job.sh").write_text("#!/bin/bash\nenv | sort\necho ...srun:\nsrun env 2>&1 | sort\n")
    login = {"PLAIN": "1", "COMMA": "a,b", "SPACED": "x y", "MULTI": "l1"}
    shell.out(f"{before} sbatch -w node1 --wait -o env.txt {option} job.sh", **login)
    recorded = recorded.partition("\n")[2]
    halves = (shell.folder / "env.txt").read_text().split("...srun:\n")
    expected = recorded.split("...srun:\n")

    for found, half in zip(halves, expected, strict=True):
        assert sorted(w for w in found.splitlines() if re.match(names, w)) == sorted(
            w for w in half.splitlines() if re.match(names, w)
        )


def test_the_time_limit_is_told_as_recorded(shell: Any) -> None:
    body = """for s in USR2 TERM CONT; do trap "echo batch got $s" $s; done
srun --ntasks=1 bash -c 'for s in USR2 TERM CONT; do trap "echo step got $s" $s; done
echo up; while :; do sleep 0.1; done' &
while :; do sleep 0.1; done"""
    job = shell.submit("-w node4 -t 60 --signal=B:USR2@600", body)
    shell.until(lambda: "up" in shell.output(job))
    shell.out(f"scontrol update jobid={job} timelimit=0:01")
    shell.until_state(job, "TIMEOUT")
    recorded = (GOLDEN / "lifecycle_timelimit_signal_batch.txt").read_text()
    wanted = {
        re.sub(r"^[\d:.]+ ", "", normal(w))
        for w in recorded.splitlines()
        if re.search("srun:|slurmstepd|got", w)
    }
    wanted = {w.replace("55494721", job).strip() for w in wanted}

    assert wanted - set(normal(shell.output(job)).splitlines()) == set()


def test_a_program_loads_little_before_it_asks(shell: Any) -> None:
    """A relay runs it again and again: a start costs what it imports, some 90 modules of Python's own."""
    environ = {**shell.env, "PYTHONPROFILEIMPORTTIME": "1"}
    words = [sys.executable, "-s", str(shell.cluster.bin / "squeue")]
    done = subprocess.run(words, env=environ, check=True, capture_output=True, text=True)

    loaded = [line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if "import time" in line]
    assert "fox_hpc.fake.client" in loaded
    assert len(loaded) < 130
