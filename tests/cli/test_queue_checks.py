"""What `doctor` makes of the answers of PBS, Torque and LSF: no host, no job."""

from __future__ import annotations

import pytest

from fox_hpc.cli import queue_checks
from fox_hpc.cli.checks import Check, Partition
from fox_hpc.cli.recommend import site_toml
from fox_hpc.hpc.dialect import Answer
from fox_hpc.hpc.profile import read_profile

PATHS = dict.fromkeys(queue_checks.PBS_NEEDED, "/opt/bin/any")
PBS_QUEUES = """Queue: workq
    queue_type = Execution
    total_jobs = 0
    state_count = Transit:0 Queued:0 Held:0 Waiting:0 Running:0 Exiting:0 Begun
\t:0
    resources_max.walltime = 24:00:00
    enabled = True
    started = True

Queue: old
    queue_type = Execution
    enabled = True
    started = False

"""
PBS_NODES = """cn01
     Mom = cn01
     state = free
     resources_available.mem = 16777216kb
     resources_available.ncpus = 32
     resources_available.ngpus = 4

cn02
     Mom = cn02
     state = down,offline
     resources_available.ncpus = 32

"""
BHOSTS = """HOST_NAME          STATUS          JL/U    MAX  NJOBS    RUN  SSUSP  USUSP    RSV
node1              ok                 -     16      0      0      0      0      0
node2              unavail            -     16      0      0      0      0      0
node3              closed_Full        -     16     16     16      0      0      0
"""
BQUEUES = """QUEUE_NAME      PRIO STATUS          MAX JL/U JL/P JL/H NJOBS  PEND   RUN  SUSP
normal           30  Open:Active       -    -    -    -    16     0    16     0
night            20  Open:Inact        -    -    -    -     0     0     0     0
"""


def said(text: str, code: int = 0) -> Answer:
    return Answer(("any",), code, text, "")


def pbs_queues(nodes: str = PBS_NODES) -> list[Partition]:
    return queue_checks.read_pbs_queues(said(PBS_QUEUES), said(nodes))


@pytest.mark.parametrize(
    ("version", "level", "words"),
    [
        ("pbs_version = 23.06.06\n", "ok", "PBS, pbs_version = 23.06.06: qsub"),
        ("Version: 6.1.3\nCommit: 5b2a\n", "ok", "Torque, Version: 6.1.3: qsub"),
        ("SGE 8.1.9\n", "fail", "neither OpenPBS's nor Torque's"),
    ],
)
def test_the_kind_of_pbs_is_told_by_its_version(version: str, level: str, words: str) -> None:
    check = queue_checks.check_pbs(PATHS, said(version))

    assert check.level == level
    assert words in check.found


def test_missing_commands_of_pbs_and_lsf_are_named() -> None:
    pbs = queue_checks.check_pbs({"qsub": "/bin/qsub", "qstat": None}, said("", 127))
    lsf = queue_checks.check_lsf({"bsub": None, "bjobs": None}, said("", 127))

    assert (pbs.level, pbs.found) == ("fail", "qstat not on PATH")
    assert (lsf.level, lsf.found) == ("fail", "bsub, bjobs not on PATH")


def test_queues_of_pbs_are_read_with_the_clusters_nodes() -> None:
    workq, old = pbs_queues()

    assert str(workq) == "workq: 2 nodes (1 out of use) of 32 CPUs, 16384 MB, gpu:4, limit 24:00:00"
    assert (old.up, old.limit) == (False, "infinite")


def test_torques_nodes_are_counted_by_their_own_words() -> None:
    nodes = "n1\n     state = job-exclusive\n     np = 8\n\nn2\n     state = free\n     np = 8\n"
    workq, _ = pbs_queues(nodes)

    assert (workq.nodes, workq.broken, workq.cpus) == (2, 0, "8")


def test_queues_of_lsf_are_read_with_the_clusters_hosts() -> None:
    normal, night = queue_checks.read_lsf_queues(said(BQUEUES), said(BHOSTS))

    assert str(normal) == "normal: 3 nodes (1 out of use) of 16 CPUs, limit infinite"
    assert not night.up


def test_the_default_queue_is_the_one_that_the_scheduler_names() -> None:
    default = queue_checks.read_pbs_default(said("Server: pbs01\n    default_queue = workq\n"))
    queues = queue_checks.with_default(pbs_queues(), default)

    assert [queue.name for queue in queues if queue.default] == ["workq"]
    assert queue_checks.read_lsf_default(said("Default Queues:  normal short\n")) == "normal"
    assert queue_checks.check_queues(queues, None, 1, said(PBS_QUEUES)).level == "ok"


@pytest.mark.parametrize(
    ("wanted", "nodes", "level", "words"),
    [
        (None, 1, "ok", "the default one of workq, 1 nodes in use"),
        (None, 2, "warn", "waits until there are more: --nodes 1"),
        ("workq", 1, "ok", "workq: 2 nodes"),
        ("workq", 2, "warn", "waits until some are back"),
        ("workq", 3, "fail", "no job of 3 nodes can run there"),
        ("old", 1, "fail", "jobs in old pend"),
        ("gold", 1, "fail", "there is no 'gold'"),
    ],
)
def test_a_queue_is_judged_for_the_job(wanted: str | None, nodes: int, level: str, words: str) -> None:
    check = queue_checks.check_queues(pbs_queues(), wanted, nodes, said(PBS_QUEUES))

    assert (check.level, check.name) == (level, "queues")
    assert words in f"{check.found} {check.advice}"


def test_nodes_that_nobody_tells_of_are_no_failure() -> None:
    check = queue_checks.check_queues(pbs_queues(""), "workq", 2, said(PBS_QUEUES))

    assert (check.level, check.found) == ("warn", "workq")


def test_a_server_that_is_away_fails_with_its_words() -> None:
    away = Answer(("qstat",), 255, "", "Connection refused\n")
    check = queue_checks.check_queues([], None, 1, away)

    assert check.level == "fail"
    assert "Connection refused" in check.found


def test_what_is_written_for_pbs_and_lsf_is_read_again() -> None:
    for scheduler in ("pbs", "lsf", "fake-pbs"):
        tables = {"job": {"scheduler": scheduler, "partition": "workq"}, "relay": {"poll_s": 30.0}}
        text = site_toml(tables, [Check("ok", "commands", "all")], None)

        assert read_profile(text).job == tables["job"]
        assert "--reservation" not in text
