"""Every error that fox-hpc raises, in one tree.

FoxError
├── RecipeError (ValueError)     a recipe, an argument or a config key is wrong
├── WorkspaceError               the run folder cannot be made, read or trusted
├── MissingExtra (ImportError)   an optional package is needed; names the extra
├── RunError                     the run ended without a result
│   └── RunCancelled             … because somebody asked for that
├── CallError                    one call to one site failed
│   ├── RemoteError              the called function raised
│   ├── CallTimeout              the site ran, but did not answer in time
│   ├── CallCancelled            the caller gave up
│   ├── SiteLost                 the site's job ended, with what is known of its end
│   ├── WaitCycle                the answer could never come: places would wait for each other
│   ├── CallRefused              a filter of the target, or of the caller, refused a value
│   ├── StreamBroken             a stream that is an argument cannot be read any further
│   └── NoSuchFunction           the site has no `@fox.collab` function of that name
├── GroupError                   fewer sites answered than were needed
├── WireError
│   ├── CodecError               a value cannot be encoded or a frame cannot be decoded
│   ├── LinkClosed               the other end is gone
│   ├── NotAllowed               this key may not say that
│   ├── BlobError                the bytes of a call or an answer cannot be had
│   └── VersionMismatch          the two ends speak different versions
└── SchedulerError               a scheduler's command failed
    ├── SubmitError              … while submitting
    └── UnreadableOutput         … with an answer that we cannot read
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence


class FoxError(Exception):
    """Base of every error that fox-hpc raises on purpose."""


class RecipeError(FoxError, ValueError):
    """A recipe, one of its arguments, or a config key is wrong; the message says what would be right."""


class WorkspaceError(FoxError):
    """The run folder cannot be made, read, written or trusted."""


class MissingExtra(FoxError, ImportError):
    """An optional package is needed and not installed."""

    def __init__(self, package: str, extra: str, why: str) -> None:
        self.package, self.extra = package, extra
        super().__init__(f"{why} needs {package}: pip install 'fox-hpc[{extra}]'")


class RunError(FoxError):
    """The run ended without a result."""


class RunCancelled(RunError):
    """The run was cancelled before it had a result."""


class CallError(FoxError):
    """One call to one site failed."""

    def __init__(self, message: str, *, site: str = "", func: str = "", call_id: str = "") -> None:
        self.site, self.func, self.call_id = site, func, call_id
        super().__init__(message)


class RemoteError(CallError):
    """The called function raised at the site.

    `traceback` is the remote traceback as text; `rank` and `host` say which process raised.
    """

    def __init__(
        self,
        type_name: str,
        message: str,
        *,
        traceback: str = "",
        rank: int = 0,
        host: str = "",
        site: str = "",
        func: str = "",
        call_id: str = "",
    ) -> None:
        self.type_name, self.message = type_name, message
        self.traceback, self.rank, self.host = traceback, rank, host
        where = f"{site} rank {rank}" + (f" on {host}" if host else "")
        super().__init__(
            f"{func}() at {where} raised {type_name}: {message}", site=site, func=func, call_id=call_id
        )


class CallTimeout(CallError):
    """The site was running, but did not answer within `timeout_s` seconds."""

    def __init__(self, timeout_s: float, *, site: str = "", func: str = "", call_id: str = "") -> None:
        self.timeout_s = timeout_s
        super().__init__(
            f"{func}() at {site} did not answer within {timeout_s:g} s", site=site, func=func, call_id=call_id
        )


class CallCancelled(CallError):
    """The call was cancelled by its caller or by the end of the run."""


class SiteLost(CallError):
    """The site's job ended while a call was open, or before one could be made.

    Args:
        job_id: the scheduler's id, "" if the job was never submitted.
        state: the last known state (PENDING RUNNING DONE FAILED TIMEOUT PREEMPTED CANCELLED LOST).
        exit_code: the job's exit code, None if nobody knows it.
        reason: the scheduler's or the relay's word for why.
        stderr_tail: the last lines that the job wrote to stderr.
    """

    def __init__(
        self,
        *,
        job_id: str = "",
        state: str = "LOST",
        exit_code: int | None = None,
        reason: str = "",
        stderr_tail: str = "",
        site: str = "",
        func: str = "",
        call_id: str = "",
    ) -> None:
        self.job_id, self.state, self.exit_code = job_id, state, exit_code
        self.reason, self.stderr_tail = reason, stderr_tail
        job = f"job {job_id}" if job_id else "no job"
        code = "" if exit_code is None else f", exit code {exit_code}"
        why = f": {reason}" if reason else ""
        tail = f"\n--- last lines of its stderr ---\n{stderr_tail}" if stderr_tail else ""
        super().__init__(
            f"{site} is lost ({job}, {state}{code}){why}{tail}", site=site, func=func, call_id=call_id
        )


class StreamBroken(CallError):
    """A stream that is an argument cannot be read any further: its call is over, or it cannot begin anew."""


class NoSuchFunction(CallError):
    """The target has no `@fox.collab` function of that name; `known` lists those it has."""

    def __init__(
        self, known: Sequence[str] = (), *, site: str = "", func: str = "", call_id: str = ""
    ) -> None:
        self.known = tuple(known)
        has = ", ".join(self.known) or "none"
        super().__init__(
            f"{site} has no @fox.collab function {func!r} (it has: {has})",
            site=site,
            func=func,
            call_id=call_id,
        )


class WaitCycle(CallError):
    """The call was not made, for it would never be answered.

    `cycle` names the places, each of which would wait for the next and the last for the first.
    """

    def __init__(
        self, cycle: Sequence[str] = (), *, site: str = "", func: str = "", call_id: str = ""
    ) -> None:
        self.cycle = tuple(cycle)
        first = self.cycle[0] if self.cycle else site
        waits = "".join(f", which waits for {name}" for name in (*self.cycle[2:], first))
        chain = f"{first} waits for itself"
        if len(self.cycle) > 1:
            chain = f"{first} waits for {self.cycle[1]}{waits}"
        super().__init__(
            f"{func}() at {site} was not called, it would never answer: {chain}. "
            "expect_result=False calls without waiting",
            site=site,
            func=func,
            call_id=call_id,
        )


class CallRefused(CallError):
    """A filter raised: the value that it was given went no further.

    `filter_name` is the filter, `where` its place, `reason` the name and the text of what it raised.
    """

    #: Set where the call was to be run, so that its caller gets this very error.
    served = False

    def __init__(
        self,
        filter_name: str,
        reason: str,
        *,
        where: str = "",
        site: str = "",
        func: str = "",
        call_id: str = "",
    ) -> None:
        self.filter_name, self.reason, self.where = filter_name, reason, where
        super().__init__(
            f"{func}() at {site} was refused by the filter {filter_name} of {where or site}: {reason}",
            site=site,
            func=func,
            call_id=call_id,
        )


class GroupError(FoxError):
    """Fewer sites answered than were needed; `failures` holds each site's CallError."""

    def __init__(self, func: str, failures: Mapping[str, CallError], *, answered: int, needed: int) -> None:
        self.func, self.failures = func, dict(failures)
        self.answered, self.needed = answered, needed
        causes = "".join(f"\n  {site}: {error}" for site, error in self.failures.items())
        total = answered + len(self.failures)
        super().__init__(f"{func}(): {answered} of {total} sites answered, {needed} needed{causes}")


class WireError(FoxError):
    """Something went wrong between two processes."""


class CodecError(WireError):
    """A value cannot be encoded, or a frame cannot be decoded; `path` says where (`$.kwargs.model.opt`)."""

    def __init__(self, path: str, problem: str) -> None:
        self.path, self.problem = path, problem
        super().__init__(f"{path}: {problem}")


class LinkClosed(WireError):
    """The other end of the link is gone, or this end was closed."""


class NotAllowed(WireError):
    """This key, or this cell, may not do that."""


class BlobError(WireError):
    """The bytes of a call or an answer cannot be had: changed on their way, gone, or out of reach."""


class AnswerRenewed(WireError):
    """An answer that was being read comes from a new attempt of its site now: read it from the beginning."""


class VersionMismatch(WireError):
    """The two ends speak different versions of the wire format."""


class SchedulerError(FoxError):
    """A scheduler's command failed; `command` is the argv, `output` what it printed."""

    def __init__(
        self, problem: str, *, command: Sequence[str] = (), exit_code: int | None = None, output: str = ""
    ) -> None:
        self.command, self.exit_code, self.output = tuple(command), exit_code, output
        super().__init__(problem)


class SubmitError(SchedulerError):
    """The scheduler did not take the job; `transient` says whether trying again may help."""

    def __init__(
        self,
        problem: str,
        *,
        command: Sequence[str] = (),
        exit_code: int | None = None,
        output: str = "",
        transient: bool = False,
    ) -> None:
        self.transient = transient
        super().__init__(problem, command=command, exit_code=exit_code, output=output)


class UnreadableOutput(SchedulerError):
    """A scheduler's command answered with text that we cannot read."""
