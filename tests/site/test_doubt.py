"""When a submission of which nobody knows is given up."""

from __future__ import annotations

from fox_hpc.site.doubt import SETTLE_S, Doubt


def test_a_queue_without_the_job_is_believed_only_after_a_while():
    doubt = Doubt("run-site-1-1", "Socket timed out", since=100.0)

    assert not doubt.settled(100.0 + SETTLE_S - 1, poll_s=30.0)
    assert doubt.settled(100.0 + SETTLE_S, poll_s=30.0)


def test_it_is_looked_for_more_and_more_rarely():
    doubt = Doubt("run-site-1-1", "", since=0.0)

    assert [doubt.next_look(0.0, poll_s=30.0) for _ in range(8)] == [
        0.5,
        1.0,
        2.0,
        4.0,
        8.0,
        16.0,
        30.0,
        30.0,
    ]


def test_a_queue_that_is_looked_at_often_is_also_asked_often_for_it():
    doubt = Doubt("run-site-1-1", "", since=0.0)

    assert [doubt.next_look(0.0, poll_s=1.0) for _ in range(3)] == [0.5, 1.0, 1.0]


def test_what_is_not_known_is_told_with_the_jobs_name_and_the_last_looks_words():
    doubt = Doubt("run-site-1-1", "Socket timed out", since=100.0)

    assert doubt.reason("squeue exited with 1: slurmctld is away") == (
        "whether job run-site-1-1 was taken is not known (Socket timed out): "
        "looked for by name, squeue exited with 1: slurmctld is away"
    )
    assert doubt.reason("").endswith("looked for by name, it is not in the queue")
