"""Placing and planning are pure: nodes and jobs in, decisions out."""

from __future__ import annotations

from typing import Any

import pytest

from fox_hpc.fake import jobs as states
from fox_hpc.fake.fit import fit, free_nodes
from fox_hpc.fake.hostlist import compress, expand, ranges, repeats
from fox_hpc.fake.jobs import QUEUES, Config, Job, Node, Want
from fox_hpc.fake.request import Refused
from fox_hpc.fake.schedule import Cluster, Plan, plan
from fox_hpc.fake.slurm.options import SBATCH, directives, parse
from fox_hpc.fake.slurm.patterns import expand_pattern
from fox_hpc.fake.slurm.times import long_length, parse_length, parse_moment, short_length

NODES = [Node(f"node{i}", cpus=4, gpus=2, mem_mb=8000) for i in range(1, 5)]


def _placed(**want: Any) -> str | None:
    shares = fit(Want(**want), free_nodes(NODES), Config())
    return None if shares is None else " ".join(f"{s.node}:{s.tasks}x{s.cpus}g{len(s.gpus)}" for s in shares)


@pytest.mark.parametrize(
    ("want", "placed"),
    [
        ({}, "node1:1x1g0"),
        ({"nodes": 2, "ntasks_per_node": 2}, "node1:2x2g0 node2:2x2g0"),
        ({"ntasks": 6}, "node1:3x3g0 node2:3x3g0"),
        ({"nodes": 2, "ntasks": 3, "cpus_per_task": 2}, "node1:2x4g0 node2:1x2g0"),
        ({"nodes": 1, "exclusive": True}, "node1:1x4g0"),
        ({"gpus": 3}, "node1:1x1g2 node2:1x1g2"),
        ({"ntasks": 2, "gpus_per_task": 1}, "node1:2x2g2"),
        ({"nodes": 2, "require": ("node4",)}, "node1:1x1g0 node4:1x1g0"),
        ({"nodes": 1, "exclude": ("node1", "node2")}, "node3:1x1g0"),
        ({"mem_mb": 9000}, None),
        ({"nodes": 5}, None),
        ({"nodes": 1, "ntasks": 5}, None),
    ],
)
def test_a_request_gets_the_first_nodes_that_hold_it(want: dict[str, Any], placed: str | None) -> None:
    assert _placed(**want) == placed


def _job(number: int, queue: str = "batch", limit_s: float = 600, **want: Any) -> Job:
    return Job(number, "j", "u", 1, "g", 1, queue, Want(**want), "/", limit_s=limit_s, priority=1000 - number)


def _plan(*jobs: Job, now: float = 100.0) -> Plan:
    cluster = Cluster(
        Config(), {n.name: n for n in NODES}, {q.name: q for q in QUEUES}, {j.id: j for j in jobs}
    )
    return plan(cluster, now)


def _running(job: Job, started: float = 0.0) -> Job:
    job.state, job.started = states.RUNNING, started
    job.shares = fit(job.want, free_nodes(NODES), Config()) or []
    return job


def test_jobs_start_in_order_of_tier_and_priority() -> None:
    low, first, second = _job(1, "low"), _job(2), _job(3)

    assert [job.id for job, _ in _plan(low, second, first).starts] == [2, 3, 1]


def test_a_blocked_job_keeps_nodes_and_a_short_one_slips_by() -> None:
    runs = _running(_job(1, nodes=3, exclusive=True))
    blocked, short, long = _job(2, nodes=4, exclusive=True), _job(3, limit_s=400), _job(4, limit_s=900)
    result = _plan(runs, blocked, short, long)

    assert [job.id for job, _ in result.starts] == [3]
    assert (blocked.reason, blocked.planned_start) == ("Resources", 600.0)
    assert long.reason == "Priority"


def test_a_low_job_is_told_to_go_for_a_higher_one() -> None:
    low = _running(_job(1, "low", nodes=4, exclusive=True))

    assert _plan(low, _job(2, nodes=1)).evict == [low]


def test_a_job_of_a_closed_partition_waits() -> None:
    job = _job(1, "closed")

    assert _plan(job).starts == []
    assert job.reason == "PartitionDown"


@pytest.mark.parametrize(
    ("names", "short"),
    [
        (["node1", "node2", "node3"], "node[1-3]"),
        (["node1", "node3", "x"], "node[1,3],x"),
        (["n01", "n02", "n10"], "n[01-02],n10"),
        (["a"], "a"),
        ([], ""),
    ],
)
def test_node_lists_go_there_and_back(names: list[str], short: str) -> None:
    assert compress(names) == short
    assert sorted(expand(short)) == sorted(names)


def test_a_node_list_with_open_brackets_is_an_error() -> None:
    with pytest.raises(ValueError, match="brackets"):
        expand("node[1-3")


def test_numbers_are_shown_as_ranges_and_repeats() -> None:
    assert (ranges([0, 1, 2, 5]), repeats([2, 2, 1])) == ("0-2,5", "2(x2),1")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30", 1800), ("1:30", 90), ("1:00:00", 3600), ("2-12", 216000), ("1-00:00:01", 86401), ("abc", None)],
)
def test_lengths_of_time_are_read_as_slurm_reads_them(text: str, seconds: float | None) -> None:
    assert parse_length(text) == seconds


def test_lengths_are_written_in_two_ways() -> None:
    assert (short_length(90061), short_length(4), long_length(600)) == ("1-01:01:01", "0:04", "00:10:00")


def test_moments_are_read_as_slurm_reads_them() -> None:
    assert [parse_moment(text, 10) for text in ("now", "now+1hour", "now+30", "whenever")] == [
        10,
        3610,
        40,
        None,
    ]


def test_options_are_read_as_getopt_reads_them() -> None:
    found, rest = parse(SBATCH, ["-N2", "--part=x", "-J", "a b", "--exclusive", "--wait", "job.sh", "-N3"])

    assert found == {"nodes": "2", "partition": "x", "job-name": "a b", "exclusive": "", "wait": ""}
    assert rest == ["job.sh", "-N3"]


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--nosuch"], "unrecognized option '--nosuch'"),
        (["-N"], "option requires an argument -- 'N'"),
        (["--nodes"], "option '--nodes' requires an argument"),
        (["--hold=1"], "option '--hold' doesn't allow an argument"),
        (["-Y"], "invalid option -- 'Y'"),
    ],
)
def test_wrong_options_are_named(argv: list[str], words: str) -> None:
    with pytest.raises(Refused) as error:
        parse(SBATCH, argv)

    assert error.value.words == f'sbatch: {words}\nTry "sbatch --help" for more information'
    assert error.value.code == 255


def test_directives_end_at_the_first_command() -> None:
    script = "#!/bin/sh\n#SBATCH -N 2 --comment='a # b' # why\n\n# more\n#SBATCH -J x\ntrue\n#SBATCH -N 3\n"

    assert directives(script) == ["-N", "2", "--comment=a # b", "-J", "x"]


def test_patterns_pad_and_keep_what_they_do_not_know() -> None:
    assert expand_pattern("%x-%3t-%%-%z", {"x": "job", "t": "7"}) == "job-007-%-%z"
