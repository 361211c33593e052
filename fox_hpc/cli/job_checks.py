"""What the nodes of `doctor`'s job found, judged. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from ..site.probe_job import Report
from ..site.probe_meeting import FILES
from .checks import Check
from .probing import Probed

#: A file of another host that takes longer to be seen slows the end of jobs and the start of ranks.
SLOW_TO_SEE_S = 5.0
#: Clocks that differ by more make logs, and the deadlines of ranks, hard to trust.
SKEWED_S = 1.0


def check_job(probed: Probed, nodes: int) -> Check:
    """Judge whether a job of ours runs at all."""
    if probed.refused:
        return Check(
            "fail", "job", probed.refused, "see the scheduler's words; --partition and --account help"
        )
    if probed.gave_up:
        advice = "give it longer with --timeout, or take a partition that starts jobs sooner"
        return Check("fail", "job", f"job {probed.job_id} was cancelled: {probed.gave_up}", advice)
    info = probed.info
    state = info.state if info else "unknown"
    waited = f"after {probed.waited_s:.0f} s in the queue" if probed.waited_s is not None else "never"
    found = f"job {probed.job_id} on {info.nodes if info else '?'}, started {waited}, {state}"
    if state != "DONE":
        said = probed.stderr_tail.strip().splitlines()
        advice = f"its stderr ends: {said[-1]}" if said else "it wrote nothing to stderr"
        return Check("fail", "job", found, f"{advice} (same python and fox_hpc on all nodes?)")
    missing = sorted(set(range(nodes)) - {report.node for report in probed.reports})
    if missing:
        left = ", ".join(map(str, missing))
        advice = "is the workspace on a disk that all nodes see? name one with --workspace"
        return Check("fail", "job", f"{found}; no report of node {left} is seen here", advice)
    return Check("ok", "job", found)


def check_reports(
    reports: Sequence[Report], login_python: str, login_fox: str, torch: bool
) -> Iterator[Check]:
    """Judge what the nodes found; gives nothing for what was not tried."""
    if not reports:
        return
    yield _python(reports, login_python, login_fox)
    yield _way_back(reports)
    reached = [report for report in reports if not report.unreached]
    if reached:
        yield _visibility(reached)
        yield _clocks(reached)
    if len(reports) > 1:
        yield _meeting(reports)
        if not any(report.unmet for report in reports):
            yield _exclusive(reports)
            yield _rename(reports)
            if torch:
                yield _torch(reports)


def _python(reports: Sequence[Report], python: str, fox: str) -> Check:
    other = [f"{each.host} has fox-hpc {each.fox_hpc or '?'}" for each in reports if each.fox_hpc != fox]
    if other:
        return Check(
            "fail", "python", f"{fox or '?'} here, but {', '.join(other)}", "install the same on all nodes"
        )
    minor = python.rpartition(".")[0]
    other = [f"{each.host} has {each.python}" for each in reports if each.python.rpartition(".")[0] != minor]
    if other:
        advice = "the client object is pickled here: take the same minor version on all nodes"
        return Check("fail", "python", f"{python} here, but {', '.join(other)}", advice)
    return Check("ok", "python", f"{python} and fox-hpc {fox} on {_hosts(reports)}")


def _way_back(reports: Sequence[Report]) -> Check:
    lost = [report for report in reports if report.unreached]
    if lost:
        why = f"{lost[0].host}: {lost[0].unreached}"
        advice = "ask for TCP from compute to login nodes, or run the relay inside a job (see the site kit)"
        return Check("fail", "way back", why, advice)
    answers = [f"{each.host} by {each.url} in {1000 * (each.reached_s or 0):.0f} ms" for each in reports]
    return Check("ok", "way back", ", ".join(answers))


def _visibility(reports: Sequence[Report]) -> Check:
    delays = [delay for each in reports for delay in (each.login_saw_s, each.saw_login_s)]
    if any(delay is None for delay in delays):
        advice = "the run folder must be on a disk that all nodes see: another --workspace"
        return Check("fail", "shared folder", "a file of another host was not seen within 30 s", advice)
    slowest = max(delay for delay in delays if delay is not None)
    found = f"files of another host are seen within {slowest:.2f} s"
    if slowest > SLOW_TO_SEE_S:
        advice = "starts and ends are noticed that much later: a disk with less caching is better"
        return Check("warn", "shared folder", found, advice)
    return Check("ok", "shared folder", found)


def _clocks(reports: Sequence[Report]) -> Check:
    skews = [(abs(each.skew_s or 0.0), each) for each in reports if each.skew_s is not None]
    if not skews:
        return Check("warn", "clock", "not compared", "see the way back")
    skew, worst = max(skews, key=lambda pair: pair[0])
    unsure = (worst.rtt_s or 0.0) / 2
    found = f"{worst.host} differs by {skew:.3f} s at most from this host"
    if skew - unsure > SKEWED_S:
        return Check("warn", "clock", found, "times in logs do not fit together: is chrony or ntpd running?")
    return Check("ok", "clock", found)


def _meeting(reports: Sequence[Report]) -> Check:
    apart = [report for report in reports if report.unmet]
    if apart:
        advice = "ask for TCP between compute nodes, on ports that the kernel picks"
        return Check("fail", "rendezvous", f"{apart[0].host}: {apart[0].unmet}", advice)
    slowest = max(report.round_s or 0.0 for report in reports)
    return Check("ok", "rendezvous", f"{len(reports)} nodes over TCP, {1000 * slowest:.1f} ms a round")


def _exclusive(reports: Sequence[Report]) -> Check:
    owners = Counter(number for report in reports for number in report.won)
    wrong = [number for number in range(FILES) if owners[number] != 1]
    if wrong:
        found = f"{len(wrong)} of {FILES} files were created by more than one node, or by none"
        return Check(
            "fail", "exclusive", found, "O_EXCL does not hold on this disk: take another --workspace"
        )
    return Check("ok", "exclusive", f"each of {FILES} files was created by one node")


def _rename(reports: Sequence[Report]) -> Check:
    reads, torn, missing = (
        sum(getattr(each, name) for each in reports) for name in ("reads", "torn", "missing")
    )
    broken = [report for report in reports if report.broken]
    found = f"{torn} of {reads} reads found a mix, {missing} no file"
    advice = "a rename is not atomic on this disk: take another --workspace"
    if broken:
        return Check("fail", "rename", f"{broken[0].host}: {broken[0].broken}", advice)
    return Check("fail", "rename", found, advice) if torn or missing else Check("ok", "rename", found)


def _torch(reports: Sequence[Report]) -> Check:
    wrong = [report for report in reports if report.torch_error]
    if wrong:
        advice = "set GLOO_SOCKET_IFNAME in a prologue if the nodes have several networks"
        return Check("fail", "torch", f"{wrong[0].host}: {wrong[0].torch_error}", advice)
    slowest = max(report.torch_s or 0.0 for report in reports)
    return Check("ok", "torch", f"{reports[0].torch} summed over {len(reports)} nodes in {slowest:.2f} s")


def _hosts(reports: Sequence[Report]) -> str:
    return ", ".join(report.host for report in reports)
