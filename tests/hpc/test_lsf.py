"""LSF's dialect, held against what OpenLava wrote, and against public output of IBM's."""

from __future__ import annotations

import pytest
from recordings import read_recording

from fox_hpc.errors import SubmitError
from fox_hpc.hpc.dialect import ENDED, Answer, JobInfo, Query, Reading
from fox_hpc.hpc.lsf import LsfDialect
from fox_hpc.hpc.lsf_answers import REASONS, STATES

LSF = LsfDialect()
ROWS, TABLE = range(2)


def recorded(name: str) -> list[Answer]:
    return read_recording(name, "lsf")


def query(*job_ids: str, form: int = ROWS) -> Query:
    return LSF.inquiry(job_ids).queue[form]


def rows(*lines: str, stderr: str = "", exit_code: int = 0) -> Answer:
    return Answer(("bjobs",), exit_code, "".join(f"{line}\n" for line in lines), stderr)


def read(line: str) -> JobInfo:
    job_id = line.partition("^")[0]
    return query(job_id).read(rows(line)).jobs[job_id]


def closer(job_id: str) -> Query:
    made = LSF.inquiry([job_id]).closer
    assert made is not None
    return made(job_id)


def test_jobs_are_asked_for_in_rows_and_where_that_is_unknown_in_a_table() -> None:
    assert query("1", "2").command == (
        "bjobs",
        "-a",
        "-noheader",
        "-o",
        "jobid jobindex stat exit_code exec_host exit_reason pend_reason delimiter='^'",
        "1",
        "2",
    )
    assert query("1", "2", form=TABLE).command == ("bjobs", "-a", "-w", "1", "2")
    assert [form.command[-2:] for form in LSF.find("fed")] == [("-J", "fed")] * 2


@pytest.mark.parametrize(
    ("line", "info"),
    [
        (
            "7^0^PEND^-^-^-^Job dependency condition not satisfied;",
            JobInfo("7", "PENDING", "Job dependency condition not satisfied", raw="PEND"),
        ),
        ("7^0^PSUSP^-^-^-^-", JobInfo("7", "PENDING", raw="PSUSP")),
        ("7^0^RUN^-^2*cn02:2*cn01^-^-", JobInfo("7", "RUNNING", "", "2*cn02:2*cn01", raw="RUN")),
        ("7^0^SSUSP^-^cn02^-^-", JobInfo("7", "RUNNING", "suspended", "cn02", raw="SSUSP")),
        ("7^0^UNKWN^-^cn02^-^-", JobInfo("7", "RUNNING", "its host does not answer", "cn02", raw="UNKWN")),
        ("7^0^DONE^-^cn02^-^-", JobInfo("7", "DONE", "", "cn02", 0, "DONE")),
        ("7^0^EXIT^3^cn02^-^-", JobInfo("7", "FAILED", "", "cn02", 3, "EXIT")),
        ("7^0^ZOMBI^-^cn02^-^-", JobInfo("7", "LOST", "", "cn02", raw="ZOMBI")),
        (
            "7^0^EXIT^140^cn02^TERM_RUNLIMIT: job killed after reaching LSF run time limit^-",
            JobInfo(
                "7",
                "TIMEOUT",
                "TERM_RUNLIMIT: job killed after reaching LSF run time limit",
                "cn02",
                raw="EXIT",
            ),
        ),
        (
            "7^0^EXIT^-^cn02^TERM_OWNER: job killed by owner^-",
            JobInfo("7", "CANCELLED", "TERM_OWNER: job killed by owner", "cn02", raw="EXIT"),
        ),
        (
            "7^0^EXIT^130^cn02^TERM_PREEMPT: job killed after preemption^-",
            JobInfo("7", "PREEMPTED", "TERM_PREEMPT: job killed after preemption", "cn02", raw="EXIT"),
        ),
        (
            "7^0^EXIT^137^cn02^TERM_MEMLIMIT: job killed after reaching LSF memory usage limit^-",
            JobInfo(
                "7",
                "FAILED",
                "TERM_MEMLIMIT: job killed after reaching LSF memory usage limit",
                "cn02",
                137,
                "EXIT",
            ),
        ),
    ],
)
def test_a_row_tells_state_and_reason(line: str, info: JobInfo) -> None:
    assert read(line) == info


def test_a_job_that_is_not_found_is_missing_in_a_whole_answer() -> None:
    words = "Job <99999> is not found"

    for exit_code in (0, 255):
        reading = query("7", "99999").read(rows("7^0^RUN^-^n^-^-", stderr=words, exit_code=exit_code))
        assert (list(reading.jobs), reading.problem) == (["7"], "")
        assert query("99999").read(rows(stderr=words, exit_code=exit_code)) == Reading({}, {})
        assert query("9").read(rows(stderr="No unfinished job found", exit_code=exit_code)) == Reading({}, {})


def test_a_job_that_is_missing_in_silence_is_missing() -> None:
    assert query("7").read(rows()) == Reading({}, {})


@pytest.mark.parametrize("words", ["LSF is down. Please wait ...", "Cannot connect to LSF. Please wait ..."])
def test_an_lsf_that_is_away_says_nothing(words: str) -> None:
    reading = query("7", "8").read(rows("7^0^RUN^-^n^-^-", stderr=words, exit_code=255))

    assert list(reading.jobs) == ["7"]
    assert words in reading.problem


def test_an_lsf_that_came_back_while_it_was_asked_has_answered() -> None:
    reading = query("7").read(rows("LSF is down. Please wait ...", "7^0^RUN^-^n^-^-"))

    assert (reading.jobs["7"].state, reading.problem) == ("RUNNING", "")


def test_words_of_the_site_hide_no_job_and_lose_none() -> None:
    reading = query("7", "8").read(rows("Maintenance today!", "7^0^RUN^-^n^-^-"))

    assert list(reading.jobs) == ["7"]
    assert reading.problem == "bjobs wrote 'Maintenance today!'"


def test_parts_of_an_array_are_no_jobs_of_ours() -> None:
    assert query("7").read(rows("7^1^RUN^-^n^-^-", "7^2^PEND^-^-^-^-")).jobs == {}
    (array,) = recorded("bjobs_array")
    assert query("36", form=TABLE).read(array).jobs == {}


def test_a_state_of_a_newer_lsf_is_kept_as_a_word() -> None:
    assert query("7").read(rows("7^0^DREAM^-^-^-^-")) == Reading({}, {"7": "DREAM"})


def test_a_relative_without_rows_is_asked_for_its_table() -> None:
    for answer in recorded("bjobs_refused"):
        assert query("23").read(answer).again


def test_the_table_tells_state_and_hosts() -> None:
    (answer,) = [answer for answer in recorded("bjobs_table") if answer.command == ("bjobs", "-w")]

    assert query("23", "24", "25", form=TABLE).read(answer).jobs == {
        "23": JobInfo("23", "RUNNING", "", "cn02:cn02:cn01:cn01", raw="RUN"),
        "24": JobInfo("24", "PENDING", raw="PEND"),
        "25": JobInfo("25", "PENDING", raw="PSUSP"),
    }


def test_the_table_tells_of_a_job_that_was_stopped_resumed_and_killed() -> None:
    answers = [answer for answer in recorded("bjobs_table") if answer.command[-1] == "23"]

    seen = [query("23", form=TABLE).read(answer).jobs["23"] for answer in answers]

    assert [(info.raw, info.state) for info in seen] == [
        ("RUN", "RUNNING"),
        ("USUSP", "RUNNING"),
        ("SSUSP", "RUNNING"),
        ("EXIT", "FAILED"),
    ]


def test_the_table_keeps_good_rows_beside_an_unknown_id() -> None:
    alone, nothing, mixed = recorded("bjobs_gone")

    assert query("99999", form=TABLE).read(alone) == Reading({}, {})
    assert query("23", form=TABLE).read(nothing) == Reading({}, {})
    assert query("23", "99999", "24", form=TABLE).read(mixed).problem == ""


@pytest.mark.parametrize(
    ("job_id", "state", "exit_code"),
    [("23", "FAILED", 130), ("24", "CANCELLED", None), ("27", "FAILED", 7), ("29", "FAILED", 127)],
)
def test_the_long_form_tells_how_one_job_ended(job_id: str, state: str, exit_code: int | None) -> None:
    answer = [answer for answer in recorded("bjobs_long") if answer.command[-1] == job_id][-1]

    info = closer(job_id).read(answer).jobs[job_id]

    assert closer(job_id).command == answer.command
    assert (info.state, info.exit_code) == (state, exit_code)


def test_the_long_form_tells_why_lsf_ended_a_job() -> None:
    text = (
        "\nJob <7>, Job Name <fed>, Status <EXIT>\nTue Nov 24 04:13:20: Exited with exit code 140;\n"
        "Tue Nov 24 04:13:20: Completed <exit>; TERM_RUNLIMIT: job killed after reaching LSF run\n"
        + 21 * " "
        + " time limit.\n"
    )

    info = closer("7").read(Answer(("bjobs",), 0, text, "")).jobs["7"]

    assert (info.state, info.exit_code) == ("TIMEOUT", None)
    assert info.reason == "TERM_RUNLIMIT: job killed after reaching LSF run time limit"


def test_a_long_form_of_no_job_says_nothing() -> None:
    words = "Job <7> is not found"

    assert closer("7").read(Answer(("bjobs",), 255, "", words)).jobs == {}


def test_bsub_gives_a_job_id() -> None:
    assert [LSF.read_job_id(answer) for answer in recorded("bsub_ok")[:3]] == ["1", "2", "3"]


def test_bsub_may_say_more_than_the_id() -> None:
    said = (
        "Cannot connect to LSF. Please wait ...\nYou have 3 jobs\nJob <12> is submitted to queue <normal>.\n"
    )

    assert LSF.read_job_id(Answer(("bsub",), 0, said, "")) == "12"


def test_a_refusal_of_bsub_is_told_in_its_own_words() -> None:
    refused = recorded("bsub_refused")
    assert len(refused) == 16

    for answer in refused:
        with pytest.raises(SubmitError) as caught:
            LSF.read_job_id(answer)
        assert str(caught.value) == f"bsub did not take the job: {answer.stderr}"
        assert not caught.value.transient


def test_a_bsub_that_could_not_reach_lsf_may_be_tried_again() -> None:
    with pytest.raises(SubmitError) as caught:
        LSF.read_job_id(Answer(("bsub",), 255, "", "Request from non-LSF host rejected. Job not submitted."))

    assert caught.value.transient


def test_bkill_of_jobs_that_are_no_more_is_no_failure() -> None:
    says = [
        (answer.command, LSF.cancellation([]).read(answer))
        for answer in recorded("bkill")
        if "-s" not in answer.command
    ]

    assert [problem for _, problem in says if problem] == ["nonsense: Illegal job ID."]
    assert LSF.cancellation(["1", "2"]).command == ("bkill", "1", "2")
    assert LSF.cancellation([]).read(Answer(("bkill",), 255, "", "")) == "bkill exited with 255"


def test_the_tables_speak_of_states_that_there_are() -> None:
    assert set(STATES.values()) <= {"PENDING", "RUNNING", *ENDED}
    assert set(REASONS.values()) <= ENDED
