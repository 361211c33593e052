"""Jobs are shown, byte for byte, as a real OpenLava showed the same jobs (tests/golden/lsf)."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fox_hpc.fake import jobs as states
from fox_hpc.fake.engine import Engine
from fox_hpc.fake.jobs import ArrayPart, Config, Job, Run, Share, Step, Want
from fox_hpc.fake.loop import Loop
from fox_hpc.fake.lsf.face import LsfFace
from fox_hpc.fake.lsf.record import Asked, Record
from fox_hpc.fake.lsf.report import captured_file, write_report
from fox_hpc.fake.lsf.wording import wrapped
from fox_hpc.fake.request import Refused, Request

GOLDEN = Path(__file__).parents[2] / "golden" / "lsf"
TWO_HOSTS = [Share("cn02", 2, 2, 0), Share("cn01", 2, 2, 0)]


def samples(name: str, command: str) -> list[tuple[str, str, int]]:
    """Output, error and exit code of each time the command was recorded."""
    text = (GOLDEN / f"{name}.txt").read_text()
    pattern = rf"^\$ {re.escape(command)}\n(?:\[stdout\]\n(.*?))?(?:\[stderr\]\n(.*?))?\[exit (\d+)\]\n"
    return [(m[1] or "", m[2] or "", int(m[3])) for m in re.finditer(pattern, text, re.S | re.M)]


def at(clock: str) -> float:
    return time.mktime(time.strptime(f"2026-11-24 {clock}", "%Y-%m-%d %H:%M:%S"))


class Stopped(Loop):
    """A loop whose clock stands still."""

    clock = at("04:13:10")

    def now(self) -> float:
        return self.clock


class Answer:
    """The program's end of the talk: keeps what it was told."""

    text: tuple[str, str, int] = ("", "", -1)

    def reply(self, out: str = "", err: str = "", code: int = 0) -> None:
        self.text = (out, err, code)

    def tell(self, message: dict[str, Any]) -> None: ...

    def listen(self, on_message: Callable[..., None], on_close: Callable[[], None]) -> None: ...


class Recorded:
    """The cluster that was recorded, its jobs put there as data."""

    def __init__(self, folder: Path) -> None:
        self.loop = Stopped()
        config = Config(dialect="lsf", nodes=2, first_job_id=1)
        self.face = LsfFace(config, folder)
        self.engine = Engine(config, folder, self.loop, self.face)

    def job(self, number: int, name: str, submitted: str, **asked: Any) -> Job:
        words = asked.pop("command", "sleep 60")
        defaults: dict[str, Any] = {"command": words, "text": words, "output": "lout/%J.out"}
        job = Job(
            number, name, "alice", 1001, "users1", 1001, asked.pop("queue", "normal"),
            Want(ntasks=asked.get("slots", 1)), "/home/alice", env={"HOME": "/home/alice"},
            submit_host="pbs01", submit_dir="/home/alice",
        )  # fmt: skip
        job.submitted = at(submitted)
        job.details = Record(Asked(**{**defaults, **asked}))
        self.engine.jobs[number] = job
        return job

    def ask(self, line: str, cutoff: str = "04:13:10") -> tuple[str, str, int]:
        self.loop.clock = at(cutoff)
        program, *argv = line.split()
        answer = Answer()
        request = Request(program, argv, {}, "/home/alice", "alice", 1001)
        try:
            self.face.programs[program](self.engine, request, answer)
        except Refused as refusal:
            return "", refusal.words + "\n", refusal.code
        return answer.text


def run(job: Job, started: str, shares: list[Share] | None = None) -> Job:
    job.state, job.started = states.RUNNING, at(started)
    job.shares = shares or [Share("cn02", 1, 1, 0)]
    return job


def end(job: Job, ended: str, code: int = 0) -> Job:
    job.state, job.code = states.FAILED if code else states.COMPLETED, code
    job.ended = job.details.finished = at(ended)
    return job


@pytest.fixture
def recorded(tmp_path: Path) -> Recorded:
    return Recorded(tmp_path)


@pytest.fixture
def queue(recorded: Recorded) -> Recorded:
    """Three jobs: on two hosts, waiting, held."""
    span: dict[str, Any] = {"slots": 4, "res_req": "span[ptile=2]", "error": "lout/%J.err"}
    run(recorded.job(23, "run1", "04:13:09", **span), "04:13:10", TWO_HOSTS)
    recorded.job(24, "pend1", "04:13:09", slots=8).reason = "Resources"
    recorded.job(25, "held1", "04:13:09").held = True
    return recorded


@pytest.mark.parametrize(
    "line",
    ["bjobs", "bjobs -w", "bjobs 23", "bjobs -l 23", "bjobs 99999", "bjobs 23 99999 24", "bjobs notanid"],
)
def test_bjobs_shows_the_queue_as_recorded(queue: Recorded, line: str) -> None:
    wanted = samples("states", line)

    # The first recording of plain bjobs is that of an empty queue.
    assert queue.ask(line) == wanted[1 if line == "bjobs" else 0]


def test_bjobs_gives_one_of_the_recorded_reasons_for_waiting(queue: Recorded) -> None:
    out, _, _ = queue.ask("bjobs -p")
    ((wanted, _, _),) = samples("states", "bjobs -p")

    # The real one adds that the master itself takes no jobs; the fake has no such host.
    assert out == wanted.replace(" Job slot limit reached: 1 host;\n", "")


def test_an_empty_queue_is_said_to_be_empty(recorded: Recorded) -> None:
    assert recorded.ask("bjobs") == samples("states", "bjobs")[0]


def test_a_stopped_and_killed_job_is_shown_as_recorded(queue: Recorded) -> None:
    job = queue.engine.jobs[23]
    job.pid = 13500
    for when, state, words in (
        ("04:13:11", "USUSP", "Suspended by the user or administrator"),
        ("04:13:15", "SSUSP", "Suspended:  Waiting for re-scheduling after being resumed by user"),
        ("04:13:20", "", "Signal <KILL> requested by user or administrator <alice>"),
        ("04:13:20", "", "Running"),
    ):
        job.details.events.append((at(when), words))
        job.details.marks += [(at(when), state)] if state else []
    end(job, "04:13:20", 130)

    for line in ("bjobs -w 23", "bjobs -l 23", "bhist 23", "bhist -l 23"):
        assert queue.ask(line, "04:13:20") == samples("states", line)[-1]
    assert queue.ask("bkill 23") == samples("states", "bkill 23")[-1]
    assert queue.ask("bkill -s USR2 23") == samples("states", "bkill -s USR2 23")[0]


@pytest.mark.parametrize("line", ["bkill 99999", "bkill nonsense", "bkill", "brequeue 99999"])
def test_commands_refuse_as_recorded(queue: Recorded, line: str) -> None:
    assert queue.ask(line) == samples("states", line)[0]


@pytest.mark.parametrize(
    ("number", "name", "command", "code", "errors"),
    [
        (26, "ok", 'sh -c "echo out; echo err >&2; exit 0"', 0, ""),
        (27, "seven", 'sh -c "echo out; echo err >&2; exit 7"', 7, "lout/%J.err"),
        (28, "k9", "sh -c 'kill -9 $$'", 137, ""),
        (29, "nocmd", "/no/such/binary", 127, ""),
    ],
)
def test_ended_jobs_are_shown_as_recorded(
    recorded: Recorded, number: int, name: str, command: str, code: int, errors: str
) -> None:
    job = recorded.job(number, name, "04:13:22", command=command, error=errors)
    end(run(job, "04:13:24"), "04:13:24", code)

    assert recorded.ask(f"bjobs -l {number}", "04:13:26") == samples("states", f"bjobs -l {number}")[0]


@pytest.mark.parametrize(("number", "pid"), [(27, 13780)])
def test_bhist_tells_the_recorded_story(recorded: Recorded, number: int, pid: int) -> None:
    command = 'sh -c "echo out; echo err >&2; exit 7"'
    job = recorded.job(number, "seven", "04:13:22", command=command, error="lout/%J.err")
    end(run(job, "04:13:24"), "04:13:24", 7).pid = pid

    assert recorded.ask("bhist -l 27", "04:13:24") == samples("states", "bhist -l 27")[0]


def test_bhist_tells_of_a_job_that_its_exit_code_put_back(recorded: Recorded) -> None:
    command = 'sh -c "if [ -e lout/rqflag ]; then exit 0; else touch lout/rqflag; exit 99; fi"'
    job = recorded.job(31, "rq99", "04:13:26", command=command, queue="short")
    first = Step(-1, "batch", ["cn02"], at("04:13:28"), code=99)
    share = [Share("cn02", 1, 1, 0)]
    job.runs = [Run(states.FAILED, at("04:13:28"), at("04:13:28"), ["cn02"], share, [first])]
    end(run(job, "04:13:30"), "04:13:30").pid = 13930
    out, _, _ = recorded.ask("bhist -l 31", "04:13:30")

    assert out == samples("states", "bhist -l 31")[0][0].replace("13962", "13930")


def test_a_run_limit_is_shown_as_recorded(recorded: Recorded) -> None:
    job = recorded.job(32, "wall", "04:13:31", command="python3 lsig.py wall 200", run_limit_min=1.0)
    end(run(job, "04:13:32"), "04:16:52").pid = 14029

    for line in ("bjobs -w 32", "bjobs -l 32", "bhist -l 32"):
        out, err, code = samples("states", line)[0]
        # The fake does not measure the time that the processor was used.
        assert recorded.ask(line, "04:16:52") == (out.replace("0.2 seconds", "0.0 seconds"), err, code)


@pytest.mark.parametrize(
    "line", ["bjobs -w 36", "bjobs -A 36", "bjobs -w 36[2]", "bjobs -l 36[2]", "bkill 36[2]"]
)
def test_arrays_are_shown_as_recorded(recorded: Recorded, line: str) -> None:
    command = "sh -c 'echo $LSB_JOBID $LSB_JOBINDEX; exit $LSB_JOBINDEX'"
    for index, host in ((3, "cn01"), (2, "cn02"), (1, "cn02")):
        job = recorded.job(40 - index, "arr", "04:19:02", command=command, output="lout/arr.%J.%I")
        job.array = ArrayPart(36, index, 0, (1, 2, 3))
        end(run(job, "04:19:04", [Share(host, 1, 1, 0)]), "04:19:04", index)
    quoted = line.replace("36[2]", '"36[2]"')
    shown = quoted + " | head -20" if "-l" in line else quoted

    assert recorded.ask(line, "04:19:06") == samples("env_hosts", shown)[-1]


@pytest.mark.parametrize(
    ("number", "name", "code", "out", "err"),
    [
        (26, "ok", 0, "out\nerr\n", None),
        (27, "seven", 7, "out\n", "err\n"),
        (28, "k9", 137, "Killed\n", None),
    ],
)
def test_the_report_is_the_recorded_one(
    recorded: Recorded, tmp_path: Path, number: int, name: str, code: int, out: str, err: str | None
) -> None:
    commands = {28: "sh -c 'kill -9 $$'"}
    command = commands.get(number, f'sh -c "echo out; echo err >&2; exit {code}"')
    job = recorded.job(number, name, "04:13:22", command=command, error="lout/%J.err" if err else "")
    end(run(job, "04:13:24"), "04:13:24", code)
    for stream, text in (("out", out), ("err", err or "")):
        file = captured_file(recorded.engine.folder, job, stream)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    job.workdir = str(tmp_path)
    (tmp_path / "lout").mkdir()
    write_report(recorded.engine, job)
    text = (tmp_path / f"lout/{number}.out").read_text().replace(str(tmp_path), "/home/alice")

    assert text.replace("lsfadmin@", "openlava@") == samples("states", f"cat lout/{number}.out")[0][0]
    if err:
        assert (tmp_path / f"lout/{number}.err").read_text() == err


@pytest.mark.parametrize("name", ["states", "env_hosts"])
def test_records_are_wrapped_as_recorded(name: str) -> None:
    text = (GOLDEN / f"{name}.txt").read_text()
    pattern = r"^(?:Job <|[A-Z][a-z]{2} [A-Z][a-z]{2} .\d ..:..:..: ).*\n(?: {21}.*\n)+"
    records = [match[0] for match in re.finditer(pattern, text, re.M)]

    assert len(records) > 3
    for each in records:
        assert wrapped(each.rstrip("\n").replace("\n" + " " * 21, "")) == each
