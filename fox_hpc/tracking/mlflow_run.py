"""ActiveRun: what `mlflow.start_run()` gives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self


@dataclass(frozen=True)
class RunInfo:
    """What `active_run().info` tells; `run_id` is the site's name, for the server gives the real one."""

    run_id: str
    run_name: str
    status: str = "RUNNING"


class ActiveRun:
    """The site's run; as a context manager it ends when the block does, FAILED if that raised.

    Args:
        end: ends the run with a status.
    """

    def __init__(self, end: Callable[[str], None], info: RunInfo) -> None:
        self._end, self.info = end, info

    def __repr__(self) -> str:
        return f"<ActiveRun {self.info.run_name}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end("FINISHED" if error is None else "FAILED")
