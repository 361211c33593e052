"""How an error is told: the user's own traceback if there is one, one sentence, and an exit code."""

from __future__ import annotations

import re
import sysconfig
import traceback
from collections.abc import Iterator
from pathlib import Path

import click

from ..errors import (
    FoxError,
    GroupError,
    MissingExtra,
    NotAllowed,
    RecipeError,
    RemoteError,
    RunCancelled,
    SchedulerError,
    SiteLost,
    WorkspaceError,
)

_CODES: tuple[tuple[type[FoxError], int], ...] = (
    (RecipeError, 2),
    (SchedulerError, 3),
    (WorkspaceError, 4),
    (NotAllowed, 4),
    (MissingExtra, 5),
    (RunCancelled, 130),
)

_PACKAGE = f"{Path(__file__).resolve().parent.parent}/"
_LIBRARIES = tuple(f"{sysconfig.get_path(name)}/" for name in ("stdlib", "purelib", "platlib"))
_REMOTE_FRAME = re.compile(r'^  File "[^"\n]*/fox_hpc/[^"\n]*", line \d+.*\n(?:    .*\n)*', re.MULTILINE)


def exit_code(error: BaseException) -> int:
    """Give the exit code that an error ends the command with."""
    if isinstance(error, GroupError) and _never_submitted(error):
        return 3
    return next((code for kind, code in _CODES if isinstance(error, kind)), 1)


def _never_submitted(error: GroupError) -> bool:
    """Tell whether no site has a job: then the scheduler is the cause, not the algorithm."""
    return bool(error.failures) and all(
        isinstance(failure, SiteLost) and not failure.job_id for failure in error.failures.values()
    )


def say_line(sentence: str) -> None:
    """Write one line to stderr, under our name."""
    click.echo(f"fox-hpc: {sentence}", err=True)


def say(error: BaseException) -> None:
    """Tell an error on stderr, the user's traceback first."""
    click.echo("".join(_tracebacks(error)), err=True, nl=False)
    if isinstance(error, FoxError):
        say_line(str(error))
    else:
        say_line(f"the algorithm raised {type(error).__name__}" + (f": {error}" if str(error) else ""))


def _tracebacks(error: BaseException) -> Iterator[str]:
    if isinstance(error, RemoteError):
        yield _remote_traceback(error)
    elif isinstance(error, GroupError):
        # The sites run the same code: the first traceback stands for those that are like it.
        remote = [failure for failure in error.failures.values() if isinstance(failure, RemoteError)]
        first = {(failure.type_name, failure.message): failure for failure in reversed(remote)}
        for failure in reversed(first.values()):
            yield _remote_traceback(failure)
    elif not isinstance(error, FoxError):
        yield user_traceback(error)
    elif error.__cause__ is not None and not isinstance(error.__cause__, FoxError):
        yield user_traceback(error.__cause__)


def _remote_traceback(error: RemoteError) -> str:
    """Give a site's traceback without our frames, or whole if all are ours: then we have to be mended."""
    text = _REMOTE_FRAME.sub("", error.traceback)
    return text if '  File "' in text else error.traceback


def user_traceback(error: BaseException) -> str:
    """Format a traceback without our frames; "" if no frame of it is the user's."""
    if isinstance(error, SyntaxError):
        return "".join(traceback.format_exception_only(error))
    told = traceback.TracebackException.from_exception(error)
    part: traceback.TracebackException | None = told
    while part is not None:
        part.stack = traceback.StackSummary.from_list(_user_part(part.stack))
        part = part.__cause__ or (None if part.__suppress_context__ else part.__context__)
    return "".join(told.format()) if told.stack else ""


def _user_part(frames: traceback.StackSummary) -> list[traceback.FrameSummary]:
    """Give the frames from the first one of the user's code on, without ours."""
    others = [
        frame
        for frame in frames
        if not frame.filename.startswith(_PACKAGE) and not frame.filename.startswith("<frozen")
    ]
    start = next(
        (place for place, frame in enumerate(others) if not frame.filename.startswith(_LIBRARIES)),
        len(others),
    )
    return others[start:]
