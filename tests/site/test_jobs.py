from __future__ import annotations

import pytest

from fox_hpc.hpc.dialect import JobInfo
from fox_hpc.site.exit_codes import EXIT_NO_START
from fox_hpc.site.jobs import CONFIRM_S, CONFIRM_TERM_S, SiteJob, was_taken_away, what_follows

POLL_S = 30.0


def submitted() -> SiteJob:
    job = SiteJob("site-1")
    job.submitted("7", now=0.0)
    return job


def test_states_only_move_forward():
    job = submitted()
    job.observe(JobInfo("7", "RUNNING", nodes="node1"), 1.0, POLL_S)
    job.ready = True
    job.observe(JobInfo("7", "PENDING"), 2.0, POLL_S)

    assert job.state == "RUNNING"
    assert job.nodes == "node1"


def test_a_job_that_waits_again_after_its_worker_went_was_put_back_by_the_scheduler():
    job = submitted()
    job.observe(JobInfo("7", "RUNNING", nodes="node1"), 1.0, POLL_S)
    job.driver_ended, job.driver_code = 1.5, 143

    assert job.observe(JobInfo("7", "PENDING", reason="BeginTime"), 2.0, POLL_S)
    assert (job.state, job.requeues, job.driver_ended) == ("PENDING", 1, None)


def test_a_worker_that_serves_counts_more_than_what_an_earlier_start_has_left():
    """The job was put back and began again between two looks: nothing but its worker shows that it lives."""
    job = submitted()
    job.observe(JobInfo("7", "RUNNING", nodes="node1"), 1.0, POLL_S)
    job.driver_ended, job.driver_code, job.lost_touch = 1.5, 143, 1.4
    job.lives()
    job.observe(JobInfo("7", "RUNNING", nodes="node1"), 100.0, POLL_S)

    assert (job.state, job.suspect) == ("RUNNING", False)


@pytest.mark.parametrize(
    ("state", "driver_code", "again"),
    [
        ("PREEMPTED", 143, True),
        ("TIMEOUT", 143, True),
        ("LOST", None, True),
        ("DONE", 0, True),  # its time was up before the run was over
        ("FAILED", 1, False),
        ("CANCELLED", 143, False),
        ("TIMEOUT", EXIT_NO_START, False),
    ],
)
def test_what_was_taken_away_is_tried_again(state, driver_code, again):
    job = submitted()
    job.state, job.driver_code = state, driver_code

    assert was_taken_away(job) is again


def test_the_next_attempt_follows_after_a_pause_that_is_told():
    assert what_follows(submitted(), fruitless=1, max_attempts=3, poll_s=POLL_S) == (
        5.0,
        "attempt 2 follows in 5 s",
    )


def test_a_budget_that_is_spent_is_told_with_the_key_that_allows_more():
    assert what_follows(submitted(), fruitless=3, max_attempts=3, poll_s=POLL_S) == (
        None,
        "3 of 3 attempts ended without an answered call: a larger max_attempts in hpc_config allows more",
    )


def test_a_job_that_somebody_cancelled_is_not_tried_again():
    job = submitted()
    job.state, job.cancel_asked = "TIMEOUT", True

    assert not was_taken_away(job)


def test_a_job_whose_lease_ran_out_is_lost_and_tried_again():
    job = submitted()
    job.lease_over = job.cancel_asked = True
    job.observe(JobInfo("7", "CANCELLED"), 6.0, POLL_S)

    assert job.state == "LOST"
    assert was_taken_away(job)


def test_no_answer_is_no_information():
    job = submitted()
    job.observe(JobInfo("7", "RUNNING"), 1.0, POLL_S)

    assert not job.observe(None, 2.0, POLL_S)
    assert job.state == "RUNNING"
    assert job.answered == 1.0


def test_looks_are_quick_at_first_and_then_steady():
    job, waits, now = submitted(), [], 0.5
    for _ in range(8):
        job.observe(JobInfo("7", "PENDING"), now, POLL_S)
        waits.append(job.next_look - now)
        now = job.next_look

    assert waits == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]


def test_a_sign_of_the_end_makes_the_looks_quick_again():
    job = submitted()
    job.looks = 99
    job.observe(JobInfo("7", "RUNNING"), 100.0, POLL_S)
    job.lost_touch = 101.0
    job.suspected(101.0)

    assert job.next_look == 101.0
    job.observe(JobInfo("7", "RUNNING"), 101.0, POLL_S)
    assert job.next_look == 102.0


def test_the_scheduler_decides_how_the_job_ended():
    job = submitted()
    job.driver_ended, job.driver_code = 5.0, 143
    job.observe(JobInfo("7", "TIMEOUT", reason="TimeLimit"), 6.0, POLL_S)

    assert (job.state, job.reason, job.exit_code) == ("TIMEOUT", "TimeLimit", 143)


def test_a_scheduler_that_says_running_for_too_long_is_overruled_by_the_driver():
    job = submitted()
    job.driver_ended, job.driver_code = 5.0, 1
    job.observe(JobInfo("7", "RUNNING"), 6.0, POLL_S)
    assert not job.ended
    job.observe(JobInfo("7", "RUNNING"), 5.1 + CONFIRM_S, POLL_S)

    assert (job.state, job.exit_code) == ("FAILED", 1)


def test_a_job_that_the_scheduler_forgot_ended_as_its_driver_said():
    job = submitted()
    job.driver_ended, job.driver_code = 5.0, 0
    job.observe(JobInfo("7", "LOST", raw="gone"), 6.0, POLL_S)

    assert (job.state, job.exit_code) == ("DONE", 0)


@pytest.mark.parametrize("answer", [JobInfo("7", "LOST", raw="gone"), None])
def test_a_job_that_was_ended_from_outside_and_forgotten_is_lost_and_tried_again(answer):
    job = submitted()
    job.driver_ended, job.driver_code, job.driver_told = 5.0, 143, True
    job.observe(answer, 6.0 + CONFIRM_TERM_S, POLL_S)

    assert (job.state, job.exit_code) == ("LOST", 143)
    assert job.reason == "ended from outside, the scheduler does not say why"
    assert was_taken_away(job)


def test_a_job_that_we_ended_and_its_scheduler_forgot_is_cancelled_whatever_its_driver_heard():
    job = submitted()
    job.driver_ended, job.driver_code, job.driver_told, job.cancel_asked = 5.0, 143, True, True
    job.observe(JobInfo("7", "LOST", raw="gone"), 6.0, POLL_S)

    assert job.state == "CANCELLED"


def test_a_job_that_vanished_without_a_word_is_lost():
    job = submitted()
    job.observe(JobInfo("7", "LOST", raw="gone"), 6.0, POLL_S)

    assert job.state == "LOST"


def test_a_cancelled_job_without_a_scheduler_record_is_cancelled():
    job = submitted()
    job.cancel_asked = True
    job.observe(JobInfo("7", "LOST", raw="gone"), 6.0, POLL_S)

    assert job.state == "CANCELLED"


def test_the_reason_of_a_job_that_waits_is_shown_as_it_changes():
    job = submitted()
    job.observe(JobInfo("7", "PENDING", reason="Priority"), 1.0, POLL_S)

    assert job.observe(JobInfo("7", "PENDING", reason="JobHeldUser"), 2.0, POLL_S)
    assert (job.state, job.reason) == ("PENDING", "JobHeldUser")


def test_a_driver_that_ended_well_is_believed_sooner_than_one_that_failed():
    well, badly = submitted(), submitted()
    well.driver_ended, well.driver_code = 1.0, 0
    badly.driver_ended, badly.driver_code = 1.0, 1
    for job in (well, badly):
        job.observe(None, 4.0, POLL_S)

    assert (well.state, badly.state) == ("DONE", "PENDING")
