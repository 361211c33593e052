"""ExecEnv and Run: where a recipe runs, and what its caller holds meanwhile."""

from __future__ import annotations

import logging
import os
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import CallError, RecipeError, WorkspaceError
from ..recipe import FoxRecipe
from ..record import RUN_ENDED, RunRecord, save_record
from ..server.controller import FoxController

log = logging.getLogger(__name__)

#: Where run folders are made when nobody says otherwise, below the current directory.
DEFAULT_WORKSPACE = "fox_runs"
#: A record that changes all the time is written this often; its end is written at once.
_WRITE_EVERY_S = 0.2


class Run:
    """One federated execution under way; a handle that may be used from any thread.

    Ctrl-C while it waits cancels the run.
    """

    def __init__(self, controller: FoxController) -> None:
        self._controller = controller
        record = controller.snapshot()
        self.run_id = record.run
        self.workspace = Path(record.folder)

    @property
    def status(self) -> str:
        """STARTING, RUNNING, DONE, FAILED or CANCELLED."""
        return self._controller.snapshot().state

    @property
    def failures(self) -> dict[str, CallError]:
        """Sites that failed in a group call, each with its last error."""
        return dict(self._controller.failures)

    def record(self) -> RunRecord:
        """Give a copy of all that is known of the run."""
        return self._controller.snapshot()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the run has ended; tell whether it has."""
        try:
            return self._controller.wait(timeout)
        except KeyboardInterrupt:
            self.cancel()
            raise

    def result(self, timeout: float | None = None) -> Any:
        """Wait for the end and return what the algorithm returned.

        Raises:
            RunCancelled: the run was cancelled.
            TimeoutError: it has not ended after `timeout` seconds; it goes on.
            Exception: the algorithm's own.
        """
        if not self.wait(timeout):
            raise TimeoutError(f"run {self.run_id} has not ended after {timeout:g} s")
        return self._controller.result()

    def cancel(self) -> None:
        """End the run: open calls fail, sites are stopped; returns before all of that is done."""
        self._controller.cancel()

    def scalars(self) -> list[tuple[str, str, int | None, float]]:
        """Give the tracked values as (site, tag, step, value)."""
        return self._controller.tracking.history.rows()

    def __repr__(self) -> str:
        return f"<Run {self.run_id} {self.status}>"


class ExecEnv(ABC):
    """Where recipes run.

    `deploy` promises that a wrong recipe or an unusable folder raises there and then, and that every
    other failure is the run's. An environment may run several recipes, also at the same time.

    Args:
        num_clients: how many sites there are; the recipe's `min_clients` by default.
        workspace: the folder that run folders are made in, `fox_runs` by default.

    Raises:
        RecipeError: `num_clients` is not a positive number.
    """

    def __init__(
        self, num_clients: int | None = None, workspace: str | os.PathLike[str] | None = None
    ) -> None:
        if num_clients is not None and (isinstance(num_clients, bool) or num_clients < 1):
            raise RecipeError(f"num_clients={num_clients!r}: a whole number from 1 on is right")
        self.num_clients, self.workspace = num_clients, workspace
        self._runs: list[Run] = []

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.num_clients or 'min_clients'} sites>"

    @abstractmethod
    def deploy(self, recipe: FoxRecipe) -> Run:
        """Start a recipe and return its run at once.

        Raises:
            RecipeError: the recipe does not fit this environment.
            WorkspaceError: the run folder cannot be made.
            MissingExtra: an optional package is needed.
        """

    def stop(self) -> None:
        """Cancel the runs of this environment and wait until they have ended."""
        for run in self._runs:
            run.cancel()
        for run in self._runs:
            run.wait()

    def _started(self, run: Run) -> Run:
        self._runs = [one for one in self._runs if not one.wait(0)]
        self._runs.append(run)
        return run


def make_run_folder(job_name: str, workspace: str | os.PathLike[str] | None = None) -> tuple[str, Path]:
    """Make a new run's id and its folder.

    Args:
        workspace: the folder to make it in, `fox_runs` of the current directory by default.

    Raises:
        WorkspaceError: it cannot be made.
    """
    parent = Path(DEFAULT_WORKSPACE if workspace is None else workspace).resolve()
    while True:
        run = f"{job_name}-{time.strftime('%Y%m%d-%H%M%S')}-{os.urandom(2).hex()}"
        try:
            (parent / run).mkdir(parents=True)
        except FileExistsError as error:
            if not parent.is_dir():
                raise WorkspaceError(f"{parent} is not a folder: runs cannot be kept in it") from error
        except OSError as error:
            raise WorkspaceError(f"the run folder {parent / run} cannot be made: {error.strerror}") from error
        else:
            return run, parent / run


class RecordWriter:
    """Keeps `status.json` up to date without slowing the run: changes in quick succession are one write.

    Args:
        snapshot: gives a copy of the record; called on the writer's own thread.
    """

    def __init__(self, snapshot: Callable[[], RunRecord]) -> None:
        self._snapshot = snapshot
        self._changed, self._ended = threading.Event(), threading.Event()
        self._writing = threading.Lock()
        self._thread = threading.Thread(target=self._work, name="fox-record", daemon=True)

    def __call__(self, record: RunRecord) -> None:
        """Note a change; a record that ends the run is on disk when this returns."""
        if self._thread.ident is None:
            self._thread.start()
        if record.state in RUN_ENDED:
            with self._writing:
                self._ended.set()
                self._write(record)
        self._changed.set()

    def _work(self) -> None:
        while self._changed.wait() and not self._ended.is_set():
            self._changed.clear()
            # Copied before the lock is taken: the copy needs the run's own lock, which a caller of ours
            # may hold while it waits for this one.
            record = self._snapshot()
            with self._writing:
                if not self._ended.is_set():
                    self._write(record)
            self._ended.wait(_WRITE_EVERY_S)

    def _write(self, record: RunRecord) -> None:
        try:
            save_record(record)
        except OSError as error:
            log.warning("the record of run %s cannot be written: %s", record.run, error)
