"""PBS's dialect, held against what a real OpenPBS wrote."""

from __future__ import annotations

import ast
import json
from typing import Any

import pytest
from recordings import RECORDINGS, read_recording

from fox_hpc.errors import SchedulerError, SubmitError, UnreadableOutput
from fox_hpc.hpc.dialect import ENDED, Answer, JobInfo, Query, Reading, file_id
from fox_hpc.hpc.pbs import VERSION, PbsDialect, is_torque, short_name
from fox_hpc.hpc.pbs_answers import PBS_CODES, STATES, TORQUE_CODES

PBS, TORQUE = PbsDialect(), PbsDialect(torque=True)
JSON, PLAIN, CURRENT = range(3)


def recorded(name: str) -> list[Answer]:
    return read_recording(name, "pbs")


def query(*job_ids: str, form: int = JSON) -> Query:
    return PBS.inquiry(job_ids).queue[form]


def lifetimes() -> list[tuple[str, dict[str, Any]]]:
    """Give the attributes of recorded jobs, at one or more moments of their lives."""
    lines = (RECORDINGS / "pbs-parse" / "jobs.txt").read_text().splitlines()
    return [(job_id, ast.literal_eval(rest)) for job_id, _, rest in (line.partition(" ") for line in lines)]


def read(job_id: str, attributes: dict[str, Any]) -> JobInfo:
    document = json.dumps({"pbs_server": "pbs01", "Jobs": {job_id: attributes}})
    return query(job_id).read(Answer(("qstat",), 0, document, "")).jobs[job_id]


def last(job_id: str) -> JobInfo:
    return read(job_id, [attributes for name, attributes in lifetimes() if name == job_id][-1])


def test_all_ids_are_asked_for_with_the_option_that_gives_them_all() -> None:
    assert query("29.pbs01", "30.pbs01").command == (
        ("qstat", "-E", "-x", "-f", "-F", "json", "29.pbs01", "30.pbs01")
    )
    assert query("29.pbs01", form=PLAIN).command == ("qstat", "-x", "-f", "29.pbs01")
    assert query("29.pbs01", form=CURRENT).command == ("qstat", "-f", "29.pbs01")


def test_json_tells_of_jobs_that_wait_and_run_and_why() -> None:
    jobs: dict[str, JobInfo] = {}
    for answer in recorded("qstat_json"):
        jobs |= query(answer.command[-1]).read(answer).jobs

    assert jobs == {
        "29.pbs01": JobInfo("29.pbs01", "RUNNING", "", "cn01/0*2+cn02/0*2", raw="R"),
        "30.pbs01": JobInfo(
            "30.pbs01",
            "PENDING",
            "Not Running: Insufficient amount of resource: ncpus (R: 8 A: 4 T: 8)",
            raw="Q",
        ),
        "31.pbs01": JobInfo(
            "31.pbs01",
            "PENDING",
            "Can Never Run: Insufficient amount of resource: ncpus (R: 16 A: 8 T: 8)",
            raw="Q",
        ),
        "32.pbs01": JobInfo("32.pbs01", "PENDING", "held (u)", raw="H"),
        "33.pbs01": JobInfo("33.pbs01", "PENDING", "", raw="W"),
        "34.pbs01": JobInfo("34.pbs01", "DONE", "", "cn01/0", 0, "F"),
    }


def test_the_plain_form_tells_the_same() -> None:
    wrapped, wide, ended = recorded("qstat_plain")

    for answer in (wrapped, wide):
        assert query("29.pbs01", form=PLAIN).read(answer) == query("29.pbs01").read(recorded("qstat_json")[0])
    assert query("35", form=PLAIN).read(ended).jobs == {"35": JobInfo("35", "FAILED", "", "cn01/1", 7, "F")}


def test_long_values_of_the_plain_form_are_put_together() -> None:
    comment = "Can Never Run: not enough of\n\t everything"
    text = f"Job Id: 7.pbs01\n    job_state = Q\n    comment = {comment}\nline2 of somebody's variable\n"

    info = query("7.pbs01", form=PLAIN).read(Answer(("qstat",), 0, text, "")).jobs["7.pbs01"]

    assert info.reason == "Can Never Run: not enough of everything"


def test_an_id_that_the_server_shows_in_full_is_the_one_that_was_asked() -> None:
    answer = recorded("qstat_json")[0]

    assert list(query("29").read(answer).jobs) == ["29"]
    assert list(query("29.other.site.org").read(answer).jobs) == ["29.other.site.org"]


def test_a_good_row_is_kept_beside_an_unknown_id() -> None:
    (answer,) = recorded("qstat_mixed")
    assert answer.exit_code == 153

    reading = query("29.pbs01", "99999").read(answer)

    assert (list(reading.jobs), reading.problem, reading.again) == (["29.pbs01"], "", False)


def test_an_answer_that_leaves_an_id_out_in_silence_is_asked_for_in_another_form() -> None:
    (answer,) = recorded("qstat_mixed")

    reading = query("29.pbs01", "99999", "30.pbs01").read(answer)

    assert list(reading.jobs) == ["29.pbs01"]
    assert reading.again


def test_a_plain_answer_that_leaves_an_id_out_is_not_asked_for_without_history() -> None:
    answer = recorded("qstat_plain")[0]

    reading = query("29.pbs01", "30.pbs01", form=PLAIN).read(answer)

    assert (list(reading.jobs), reading.problem, reading.again) == (["29.pbs01"], "", False)


def test_a_job_that_is_gone_is_missing_in_a_whole_answer() -> None:
    unknown, finished, plain = recorded("qstat_gone")

    for answer, job_id, form in (
        (unknown, "99999", JSON),
        (finished, "35.pbs01", JSON),
        (plain, "34", PLAIN),
    ):
        assert query(job_id, form=form).read(answer) == Reading({}, {})


def test_a_server_without_history_is_asked_without_it() -> None:
    as_json, plain, current = recorded("no_history")
    assert as_json.exit_code == plain.exit_code == 0

    for answer, form in ((as_json, JSON), (plain, PLAIN)):
        reading = query("164.pbs01", form=form).read(answer)
        assert reading.again
        assert "not configured to maintain job history" in reading.problem
    assert query("164.pbs01", form=CURRENT).read(current) == Reading({}, {})


def test_a_server_that_is_away_says_nothing_about_any_job() -> None:
    for answer, form in zip(recorded("server_away")[:2], (JSON, PLAIN), strict=True):
        reading = query("165.pbs01", form=form).read(answer)

        assert (reading.jobs, reading.again) == ({}, False)
        assert reading.problem.startswith("qstat exited with 255: Connection refused")


@pytest.mark.parametrize(
    "text", ['{"Jobs": {"1.a": {"v": 005}}}', '{"Jobs": {"1.a": {"v": "\\\'"}}}', '{"Jobs": 3}']
)
def test_json_that_is_none_is_asked_for_in_the_plain_form(text: str) -> None:
    reading = query("1.a").read(Answer(("qstat",), 0, text, ""))

    assert (reading.jobs, reading.again) == ({}, True)
    assert reading.problem == "qstat wrote JSON that cannot be read"


def test_an_option_that_a_version_lacks_is_asked_without() -> None:
    assert query("29.pbs01").read(recorded("qstat_refused")[0]).again


def test_words_of_the_site_before_the_json_do_no_harm() -> None:
    answer = recorded("qstat_json")[0]
    welcome = Answer(answer.command, 0, "Welcome to the cluster!\n" + answer.stdout, "")

    assert query("29.pbs01").read(welcome) == query("29.pbs01").read(answer)


def test_a_state_of_a_newer_pbs_is_kept_as_a_word() -> None:
    text = json.dumps({"Jobs": {"7.pbs01": {"job_state": "Z"}}})

    assert query("7.pbs01").read(Answer(("qstat",), 0, text, "")) == Reading({}, {"7.pbs01": "Z"})


@pytest.mark.parametrize(
    ("job_id", "state", "exit_code", "reason"),
    [
        ("36.pbs01", "FAILED", 128 + 9, ""),
        ("37.pbs01", "FAILED", 128 + 15, ""),
        ("38.pbs01", "FAILED", 128 + 11, ""),
        ("39.pbs01", "FAILED", 254, ""),
        ("41.pbs01", "FAILED", 137, ""),
        ("43.pbs01", "TIMEOUT", None, "exceeded resource walltime"),
        ("44.pbs01", "CANCELLED", None, "terminated by alice@pbs01"),
        ("47.pbs01", "CANCELLED", None, "it never ran"),
        ("77.pbs01", "DONE", 0, ""),
        ("81.pbs01", "TIMEOUT", None, "exceeded resource walltime"),
        ("95.pbs01", "FAILED", 3, ""),
        ("96.pbs01", "FAILED", None, "it never ran"),
        ("158.pbs01", "PREEMPTED", None, "terminated by Scheduler@pbs01"),
        ("163.pbs01", "LOST", None, "its first node is lost"),
    ],
)
def test_the_end_of_a_job_is_told_by_exit_status_substate_and_comment(
    job_id: str, state: str, exit_code: int | None, reason: str
) -> None:
    info = last(job_id)

    assert (info.state, info.exit_code, info.reason, info.raw) == (state, exit_code, reason, "F")


def test_a_job_that_is_being_deleted_still_runs() -> None:
    before, after = (read(job_id, values).state for job_id, values in lifetimes() if job_id == "44.pbs01")

    assert (before, after) == ("RUNNING", "CANCELLED")


def test_a_preempted_job_is_suspended_or_waits_again() -> None:
    moments = {
        (name, info.state, info.reason) for name, values in lifetimes() for info in [read(name, values)]
    }

    assert ("154.pbs01", "RUNNING", "suspended") in moments
    assert ("156.pbs01", "PENDING", "requeued; Not Running: Not enough free nodes available") in moments


def test_no_recorded_moment_is_unknown() -> None:
    assert len(lifetimes()) > 60
    for job_id, values in lifetimes():
        info = read(job_id, values)
        assert (info.state in ENDED) == (info.raw == "F"), info


def test_qsub_gives_the_id_with_its_server() -> None:
    ids = [PBS.read_job_id(answer) for answer in recorded("qsub_ok")]

    assert ids[:3] == ["1.pbs01", "2.pbs01", "3.pbs01"]
    assert file_id(ids[0]) == "1"


def test_qsub_may_say_more_than_the_id() -> None:
    answer = Answer(("qsub",), 0, "Your project has 12 hours left.\n4711.srv.site.org\n", "warning")

    assert PBS.read_job_id(answer) == "4711.srv.site.org"


def test_a_refusal_of_qsub_is_told_in_its_own_words() -> None:
    refused = recorded("qsub_refused")
    assert len(refused) > 15

    for answer in refused:
        with pytest.raises(SubmitError) as caught:
            PBS.read_job_id(answer)
        assert str(caught.value) == f"qsub did not take the job: {answer.stderr}"
        assert caught.value.transient == ("cannot connect to server" in answer.stderr)


@pytest.mark.parametrize("number", [0, 1])
def test_an_array_and_a_silent_qsub_are_no_job_of_ours(number: int) -> None:
    with pytest.raises(SubmitError, match="answered without a job id"):
        PBS.read_job_id(recorded("qsub_array")[number])


def test_qdel_of_jobs_that_are_no_more_is_no_failure() -> None:
    says = {
        " ".join(answer.command): PBS.cancellation(answer.command[1:]).read(answer)
        for answer in recorded("qdel")
    }

    assert {command for command, problem in says.items() if not problem} == {
        "qdel 44.pbs01",
        "qdel 47.pbs01",
        "qdel -W force 46.pbs01",
        "qdel 99999",
        "qdel 48.pbs01 99999 49.pbs01",
        "qdel 34.pbs01",
    }
    assert says["qdel nonsense"] == "qdel: illegally formed job identifier: nonsense"
    away = recorded("server_away")[3]
    assert PBS.cancellation(["165.pbs01"]).read(away).startswith("Connection refused")


def test_qselect_finds_jobs_by_their_short_name() -> None:
    with_history, current = PBS.find("fedavg-20261124-093000-a1b2-site-1-1")

    assert with_history.command == ("qselect", "-x", "-N", "fedavg-92b37e2c")
    assert current.command == ("qselect", "-N", "fedavg-92b37e2c")
    assert with_history.read(recorded("qselect")[0]) == Reading({}, {"29.pbs01": ""})
    assert with_history.read(Answer(("qselect",), 0, "", "")) == Reading({}, {})


@pytest.mark.parametrize("name", ["fedavg", "a23456789012345", "Fed_Avg-1"])
def test_a_name_that_every_pbs_takes_is_kept(name: str) -> None:
    assert short_name(name) == name


@pytest.mark.parametrize("name", ["a234567890123456", "1fed", "föd", "run.site", "-", "fed avg"])
def test_another_name_becomes_a_short_one_of_its_own(name: str) -> None:
    short = short_name(name)

    assert short_name(short) == short
    assert short != short_name(name + "x")


def test_the_version_tells_which_pbs_it_is() -> None:
    answer = recorded("version")[0]

    assert answer.command == VERSION
    assert not is_torque(answer)
    assert is_torque(
        Answer(VERSION, 0, "Version: 6.1.2\nCommit: 661e092552de43a785c15d39a3634a541d86898e\n", "")
    )
    with pytest.raises(UnreadableOutput, match=r"neither OpenPBS's nor Torque's: SGE 8"):
        is_torque(Answer(VERSION, 0, "SGE 8.1.9\n", ""))


def test_a_server_that_is_away_says_nothing_of_which_pbs_it_is() -> None:
    with pytest.raises(SchedulerError, match="cannot connect") as raised:
        is_torque(Answer(VERSION, 255, "", "qstat: cannot connect to server pbs01 (errno=15010)\n"))
    assert type(raised.value) is SchedulerError


def torque_job(**attributes: str) -> JobInfo:
    text = "Job Id: 7.srv\n" + "".join(f"    {name} = {value}\n" for name, value in attributes.items())
    (form,) = TORQUE.inquiry(["7.srv"]).queue
    return form.read(Answer(form.command, 0, text, "")).jobs["7.srv"]


def test_torque_is_asked_in_the_one_form_that_it_has() -> None:
    assert [form.command for form in TORQUE.inquiry(["7.srv"]).queue] == [("qstat", "-f", "7.srv")]
    assert [form.command for form in TORQUE.find("fed")] == [("qselect", "-N", "fed")]


@pytest.mark.parametrize(
    ("status", "used", "state", "exit_code"),
    [
        ("0", "00:00:10", "DONE", 0),
        ("7", "00:00:10", "FAILED", 7),
        ("271", "00:00:10", "CANCELLED", None),
        ("271", "01:00:04", "TIMEOUT", None),
        ("265", "01:00:04", "TIMEOUT", None),
        ("265", "00:00:10", "FAILED", 137),
        ("-11", "01:00:04", "TIMEOUT", None),
        ("-3", "00:00:00", "LOST", None),
    ],
)
def test_torque_tells_the_end_in_its_own_codes(
    status: str, used: str, state: str, exit_code: int | None
) -> None:
    clocks = {"resources_used.walltime": used, "Resource_List.walltime": "01:00:00"}

    info = torque_job(job_state="C", exit_status=status, **clocks)

    assert (info.state, info.exit_code, info.raw) == (state, exit_code, "C")


def test_a_job_that_torque_knows_no_more_is_missing() -> None:
    (form,) = TORQUE.inquiry(["7.srv"]).queue
    answer = Answer(form.command, 153, "", "qstat: Unknown Job Id Error 7.srv")

    assert form.read(answer) == Reading({}, {})


def test_the_tables_speak_of_states_that_there_are() -> None:
    states = {state for state in STATES.values() if state}
    ends = {state for state, _ in [*PBS_CODES.values(), *TORQUE_CODES.values()]}

    assert states == {"PENDING", "RUNNING"}
    assert ends <= ENDED
