"""What it costs a scheduler to be asked about many jobs."""

from __future__ import annotations

import pytest
from recordings import Programs

from fox_hpc.hpc.executor import CHUNK, make_executor

JOBS = 10_000
# Small programs that answer for each id that they are asked for: it runs on one node.
SQUEUE = """\
while [ "$1" != -j ]; do shift; done
IFS=,
for id in $2; do echo "$id|RUNNING|node1|None"; done"""
QSTAT = """\
while [ "$1" != json ]; do shift; done
shift
printf '{"Jobs":{'
comma=
for id; do printf '%s"%s":{"job_state":"R","exec_host":"node1/0"}' "$comma" "$id"; comma=,; done
echo '}}'"""
BJOBS = """\
while [ "$1" != -o ]; do shift; done
shift 2
for id; do echo "$id^0^RUN^-^node1^-^-"; done"""
PROGRAMS = {"slurm": ("squeue", SQUEUE, ""), "pbs": ("qstat", QSTAT, ".pbs01"), "lsf": ("bjobs", BJOBS, "")}


@pytest.mark.parametrize("dialect", PROGRAMS)
def test_ten_thousand_jobs_are_asked_for_with_one_command_for_each_chunk(programs: Programs, dialect: str):
    name, body, server = PROGRAMS[dialect]
    programs.put(name, body)
    options = {"torque": False} if dialect == "pbs" else {}
    ids = [f"{number}{server}" for number in range(1, JOBS + 1)]

    found = make_executor(dialect, programs.environ, **options).poll(ids)

    assert {job.state for job in found.values()} == {"RUNNING"}
    assert list(found) == ids
    assert len(programs.calls(name)) == JOBS // CHUNK
    # No other program was there to be asked: the accounting is, for jobs that have gone.
    assert [path.name for path in programs.folder.glob("*.calls")] == [f"{name}.calls"]
