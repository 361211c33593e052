"""The parsers, held against what a real Slurm wrote."""

from __future__ import annotations

import re

import pytest
from recordings import Recorded

from fox_hpc.errors import SubmitError, UnreadableOutput
from fox_hpc.hpc.dialect import ENDED, Answer, JobInfo, Query, is_forward
from fox_hpc.hpc.slurm import (
    STATES,
    SlurmDialect,
    exit_code_command,
    expand_nodes,
    read_cancel,
    read_exit_code,
)

SLURM = SlurmDialect()
ENDED_IDS = [str(number) for number in range(55552859, 55552867)]


def queue_query(job_ids: list[str]) -> Query:
    return SLURM.inquiry(job_ids).queue[0]


def record_query(job_ids: list[str]) -> Query:
    query = SLURM.inquiry(job_ids).record
    assert query is not None
    return query


def test_the_commands_are_those_that_were_recorded(recorded: Recorded) -> None:
    assert queue_query(ENDED_IDS).command == recorded("squeue_ended")[0].command
    assert record_query(ENDED_IDS).command == recorded("sacct_ended")[0].command
    assert SLURM.cancellation(["55552859", "999999"]).command == recorded("scancel")[0].command
    assert exit_code_command("55552861") == recorded("scontrol_ended")[0].command


def test_squeue_tells_of_jobs_that_wait_and_run(recorded: Recorded) -> None:
    before, after = recorded("squeue_there")

    reading = queue_query(["55552867"]).read(before)

    assert reading.problem == ""
    assert reading.jobs == {
        "55552868": JobInfo("55552868", "PENDING", "Resources", raw="PENDING"),
        "55552870": JobInfo("55552870", "PENDING", "JobHeldUser", raw="PENDING"),
        "55552867": JobInfo("55552867", "RUNNING", "", "node[1-2]", raw="RUNNING"),
    }
    assert queue_query([]).read(after).jobs["55552867"].state == "CANCELLED"


def test_squeue_tells_how_jobs_ended_but_not_with_which_code(recorded: Recorded) -> None:
    jobs = queue_query(ENDED_IDS).read(recorded("squeue_ended")[0]).jobs

    assert [jobs[job_id].state for job_id in ENDED_IDS] == (
        ["DONE", "FAILED", "FAILED", "FAILED", "FAILED", "CANCELLED", "DONE", "DONE"]
    )
    assert [jobs[job_id].exit_code for job_id in ENDED_IDS[:2]] == [0, None]
    assert jobs["55552863"].reason == "JobLaunchFailure"


def test_both_tell_of_jobs_that_were_taken_away(recorded: Recorded) -> None:
    ids = ["55553305", "55553306", "55553307"]
    queue = queue_query(ids).read(recorded("squeue_taken_away")[0]).jobs
    record = record_query(ids).read(recorded("sacct_taken_away")[0]).jobs

    assert [queue[job_id].state for job_id in ids] == ["TIMEOUT", "PREEMPTED", "LOST"]
    assert [record[job_id].state for job_id in ids] == ["TIMEOUT", "PREEMPTED", "LOST"]
    assert [record[job_id].exit_code for job_id in ids] == [None, None, None]
    assert [queue[job_id].reason for job_id in ids] == ["TimeLimit", "", "NodeDown"]


def test_a_job_that_is_gone_is_missing_in_a_whole_answer(recorded: Recorded) -> None:
    for answer in recorded("squeue_gone"):
        reading = queue_query(["999999"]).read(answer)
        assert (reading.jobs, reading.problem) == ({}, "")


@pytest.mark.parametrize("recording", ["ctld_hung", "ctld_away"])
def test_a_failed_squeue_says_nothing(recorded: Recorded, recording: str) -> None:
    answer = recorded(recording)[1]

    reading = queue_query(["55552859"]).read(answer)

    assert reading.jobs == {}
    assert reading.problem == f"squeue exited with 1: {answer.stderr}"


def test_a_job_whose_node_is_down_is_lost_before_its_other_nodes_have_ended_it() -> None:
    # As a Slurm 22.05 wrote it: the first will not come back, the second is on its way into the queue.
    rows = "56564999|COMPLETING|node2|NodeDown\n56565000|COMPLETING|node2|None\n"
    query = queue_query(["56564999", "56565000"])

    jobs = query.read(Answer(query.command, 0, rows, "")).jobs

    assert [jobs[job_id].state for job_id in jobs] == ["LOST", "RUNNING"]


def test_a_line_that_is_no_job_is_a_problem_but_hides_no_job() -> None:
    answer = Answer(("squeue",), 0, "Maintenance today!\n17|RUNNING|node1|None\n", "")

    reading = queue_query(["17"]).read(answer)

    assert list(reading.jobs) == ["17"]
    assert reading.problem == "squeue wrote 'Maintenance today!'"


def test_a_state_of_a_newer_slurm_is_kept_as_a_word() -> None:
    reading = queue_query(["17"]).read(Answer(("squeue",), 0, "17|DREAMING|node1|None\n", ""))

    assert (reading.jobs, reading.unknown, reading.problem) == ({}, {"17": "DREAMING"}, "")


def test_sacct_tells_of_ended_jobs_with_their_exit_codes(recorded: Recorded) -> None:
    jobs = record_query(ENDED_IDS).read(recorded("sacct_ended")[0]).jobs

    assert jobs["55552859"] == JobInfo("55552859", "DONE", "", "node[1-2]", 0, "COMPLETED")
    assert [jobs[job_id].exit_code for job_id in ENDED_IDS[1:3]] == [1, 3]
    assert jobs["55552863"].exit_code == 128 + 11
    assert jobs["55552864"] == JobInfo("55552864", "CANCELLED", "", "node2", None, "CANCELLED by 1001")


def test_sacct_tells_of_jobs_that_are_there(recorded: Recorded) -> None:
    jobs = record_query([]).read(recorded("sacct_there")[0]).jobs

    assert jobs["55552868"] == JobInfo("55552868", "PENDING", raw="PENDING")
    assert jobs["55552870"].reason == "JobHeldUser"


def test_sacct_may_know_nothing_or_be_switched_off(recorded: Recorded) -> None:
    absent = record_query(["999999"]).read(recorded("sacct_gone")[0])
    off = record_query(["1"]).read(recorded("sacct_off")[0])

    assert (absent.jobs, absent.problem, absent.off) == ({}, "", False)
    assert off.off
    assert off.problem == "sacct exited with 1: Slurm accounting storage is disabled"


def test_scontrol_knows_exit_codes_that_sacct_folds(recorded: Recorded) -> None:
    assert [read_exit_code(answer) for answer in recorded("scontrol_ended")] == [3, 131, 139]
    assert read_exit_code(recorded("scontrol_gone")[0]) is None


def test_sbatch_gives_a_job_id(recorded: Recorded) -> None:
    assert [SLURM.read_job_id(answer) for answer in recorded("sbatch_ok")[:3]] == (
        ["55494690", "55494691", "55494692"]
    )


def test_a_refusal_of_sbatch_is_told_in_its_own_words(recorded: Recorded) -> None:
    refused = [answer for answer in recorded("sbatch_refused") if answer.exit_code]

    assert len(refused) == 6
    for answer in refused:
        with pytest.raises(SubmitError) as caught:
            SLURM.read_job_id(answer)
        error = caught.value
        assert str(error) == f"sbatch did not take the job: {answer.stderr}"
        assert (error.exit_code, error.command, error.transient) == (answer.exit_code, answer.command, False)


@pytest.mark.parametrize("recording", ["ctld_hung", "ctld_away"])
def test_a_controller_that_does_not_answer_is_transient(recorded: Recorded, recording: str) -> None:
    with pytest.raises(SubmitError) as caught:
        SLURM.read_job_id(recorded(recording)[0])

    assert caught.value.transient


def test_an_sbatch_that_gives_no_id_is_an_error() -> None:
    with pytest.raises(SubmitError, match="answered without a job id: All is well") as caught:
        SLURM.read_job_id(Answer(("sbatch",), 0, "All is well\n", ""))

    assert not caught.value.transient


def test_scancel_complains_about_what_it_may_not_do(recorded: Recorded) -> None:
    assert [read_cancel(answer) for answer in recorded("scancel")] == ["", ""]
    assert [read_cancel(answer) for answer in recorded("scancel_refused")] == [
        "scancel: error: Invalid job id banana",
        "scancel: error: Kill job error on job id 55494712: Access/permission denied",
    ]
    assert read_cancel(Answer(("scancel",), 2, "", "")) == "scancel exited with 2"


def test_scancel_of_a_job_that_is_no_more_is_no_failure() -> None:
    words = "scancel: error: Kill job error on job id 7: Job/step already completing or completed"

    assert read_cancel(Answer(("scancel",), 1, "", words)) == ""


@pytest.mark.parametrize(
    ("nodes", "names"),
    [
        ("node1", ["node1"]),
        ("node[1-3,7],gpu01", ["node1", "node2", "node3", "node7", "gpu01"]),
        ("gpu[08-10]", ["gpu08", "gpu09", "gpu10"]),
        ("r[1-2]n[01-02]", ["r1n01", "r1n02", "r2n01", "r2n02"]),
        ("n[1-2].site.org", ["n1.site.org", "n2.site.org"]),
        ("None assigned", []),
        ("", []),
    ],
)
def test_a_node_list_is_written_out(nodes: str, names: list[str]) -> None:
    assert expand_nodes(nodes) == names


@pytest.mark.parametrize("nodes", ["node[1-", "node[1--3]", "node[,]", "a b"])
def test_a_broken_node_list_is_refused(nodes: str) -> None:
    with pytest.raises(UnreadableOutput):
        expand_nodes(nodes)


def test_states_are_slurm_words_and_jobs_only_go_forward() -> None:
    assert all(re.fullmatch("[A-Z_]+", word) for word in STATES)
    assert set(STATES.values()) == {"PENDING", "RUNNING", *ENDED}
    assert is_forward("PENDING", "RUNNING")
    assert not is_forward("RUNNING", "RUNNING")
    assert not is_forward("RUNNING", "PENDING")
    assert not any(is_forward(end, new) for end in ENDED for new in STATES.values())
