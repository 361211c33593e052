"""Deployment: one run whose sites are jobs of this user: its folder, its keys, its server and its relay."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cloudpickle
import msgspec

from ..environment import scrubbed
from ..errors import RecipeError, RunError, SchedulerError, SubmitError, WorkspaceError
from ..recipe import FoxRecipe
from ..record import RunRecord
from ..site.launcher import make_launcher
from ..site.logs import last_lines
from ..site.relay_record import RelayRecord
from ..spec import RunSpec, save_spec, write_atomically
from ..wire.keys import load_keys, load_public, make_keys
from .base import Run, make_run_folder
from .service import CANCEL_S, Listening, Service

log = logging.getLogger(__name__)

#: A relay that is killed is started again this often in one run.
RELAY_RESTARTS = 5


class Deployment:
    """One run in an environment of processes.

    Args:
        environ: what the relay and the jobs are started with.
        fake: a fake cluster that lives as long as the run; has `up()` and `down()`, and `env`.
    """

    def __init__(
        self,
        recipe: FoxRecipe,
        spec: RunSpec,
        *,
        env_name: str,
        environ: Mapping[str, str],
        fake: Any = None,
    ) -> None:
        self._environ, self._fake = dict(environ), fake
        self.folder = Path(spec.folder)
        self._closing = False
        self._restarts = 0
        self._relay: subprocess.Popen[bytes] | None = None
        save_client(recipe, self.folder)
        keys_dir = self.folder / "keys"
        make_keys(keys_dir, ["server", "relay"])
        self._service = Service(
            recipe,
            RunRecord(run=spec.run, job_name=spec.job_name, folder=spec.folder, env=env_name),
            dict.fromkeys(spec.names, "relay"),
            spec.min_clients,
            Listening(
                load_keys(keys_dir, "server"),
                {"relay": load_public(keys_dir)["relay"]},
                blob_location=spec.blob_location,
            ),
            start_sites=self._start_sites,
            end_sites=self._end_sites,
        )
        self.spec = msgspec.structs.replace(spec, server_urls=(self._service.link.url,))
        save_spec(self.spec)
        self.controller, self._desk = self._service.controller, self._service.desk
        self._desk.on_refused = self._refused

    def start(self) -> Run:
        """Start the run."""
        return self._service.start()

    # On the algorithm's thread.

    def _start_sites(self) -> None:
        if self._fake is not None:
            self._fake.up()
            self._environ = {**self._environ, **self._fake.env}
        self._start_relay()

    def _start_relay(self) -> None:
        with (self.folder / "relay.log").open("ab") as file:
            # The relay cancels its jobs and ends when the other end of its stdin is gone: with us.
            self._relay = subprocess.Popen(
                [sys.executable, "-m", "fox_hpc.site.relay", str(self.folder)],
                stdin=subprocess.PIPE,
                stdout=file,
                stderr=file,
                env=scrubbed(self._environ),
                start_new_session=True,
            )
        threading.Thread(target=self._watch_relay, args=(self._relay,), name="fox-relay", daemon=True).start()

    def _watch_relay(self, relay: subprocess.Popen[bytes]) -> None:
        code = relay.wait()
        if self._closing:
            return
        self._restarts += 1
        if code < 0 and self._restarts <= RELAY_RESTARTS:
            # Killed, not broken: the next one takes up its jobs and its calls from its record.
            self.controller.notice(f"the relay was killed by signal {-code}; another one takes over")
            self._start_relay()
            return
        why = last_lines(self.folder / "relay.log")
        self.controller.fail(RunError(f"the relay ended with exit code {code}:\n{why}"))

    def _refused(self, site: str, words: str) -> None:
        refused = self._desk.refused
        if len(refused) == len(self.spec.sites):
            self.controller.fail(SubmitError(next(iter(refused.values()))))

    def _end_sites(self) -> None:
        try:
            if self._relay is not None:
                self._end_relay(self._relay)
        finally:
            if self._fake is not None:
                self._fake.down()

    def _end_relay(self, relay: subprocess.Popen[bytes]) -> None:
        if not self.controller.failed:
            self._service.finish_sites()
        self._closing = True
        assert relay.stdin is not None
        relay.stdin.close()
        try:
            relay.wait(CANCEL_S)
        except subprocess.TimeoutExpired:
            relay.kill()
            relay.wait()
        self._cancel_left_over()

    def _cancel_left_over(self) -> None:
        """Cancel what a relay that died has left behind, from its record."""
        record = RelayRecord(self.folder)
        left, names = record.open_jobs(), record.open_names()
        if left or names:
            launcher = make_launcher(self.spec, scrubbed(self._environ))
            try:
                found = [job for name in names for job in launcher.find(name)]
                launcher.cancel([*left, *found])
            except SchedulerError as error:
                self.controller.notice(f"jobs {', '.join([*left, *names])} may still be there: {error}")


def make_spec(
    recipe: FoxRecipe,
    count: int,
    *,
    run: str,
    folder: str,
    scheduler: str,
    poll_s: float,
    names: Sequence[str] = (),
) -> RunSpec:
    """Describe a run for the processes that make it up.

    Args:
        names: what the sites are called, if not site-1, site-2, …
    """
    return RunSpec(
        run=run,
        job_name=recipe.job_name,
        folder=folder,
        sites=recipe.site_specs(count, names),
        min_clients=recipe.min_clients,
        client_class=recipe.client_class,
        training_module=recipe.training_module,
        code_path=recipe.code_path,
        python=sys.executable,
        scheduler=scheduler,
        server_urls=(),
        poll_s=poll_s,
        client_objects=tuple(recipe.client_app.objects),
        server_objects=tuple(recipe.server_app.objects),
    )


def new_folder(recipe: FoxRecipe, workspace: Any) -> tuple[str, str]:
    """Make the run's folder, which nobody else may enter."""
    run, folder = make_run_folder(recipe.job_name, workspace)
    close_folder(folder)
    return run, str(folder)


def close_folder(folder: Path) -> None:
    """Let nobody else enter a run's folder; raises WorkspaceError."""
    try:
        folder.chmod(0o700)
    except OSError as error:
        raise WorkspaceError(f"{folder} cannot be closed to others: {error.strerror}") from error


def save_client(recipe: FoxRecipe, folder: Path) -> None:
    """Write the client object down for the site's own workers; it never leaves this disk.

    Raises:
        RecipeError: it cannot be written down.
    """
    try:
        data = cloudpickle.dumps(recipe.client_app)
    except Exception as error:
        raise RecipeError(
            f"client {recipe.client_app.name} cannot be written down for its sites ({type(error).__name__}: "
            f"{error}): keep open files, locks and the like out of it until @fox.init"
        ) from error
    write_atomically(folder / "client.pkl", data)
