"""Deployment: one run whose sites are other processes: its folder, keys, server cell and relay."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cloudpickle

from ..environment import scrubbed
from ..errors import RecipeError, RunError, SchedulerError, SubmitError, WorkspaceError
from ..recipe import FoxRecipe
from ..record import RunRecord
from ..server.controller import FoxController
from ..server.desk import SiteDesk
from ..site.launcher import make_launcher
from ..site.logs import last_lines
from ..site.relay_record import RelayRecord
from ..spec import RunSpec, save_spec, write_atomically
from ..tracking.receiver import make_receivers
from ..wire.keys import load_keys, load_public, make_keys
from ..wire.zmq_link import ZmqIo
from .base import RecordWriter, Run, make_run_folder

log = logging.getLogger(__name__)

#: Sites that were asked to end may take this long before their jobs are cancelled …
FINISH_S = 60.0
#: … after a failure only this long: whatever they still do is for nobody …
FAILED_FINISH_S = 10.0
#: … and cancelled jobs this long before their record is left to itself.
CANCEL_S = 60.0
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
        self.recipe, self.spec, self._environ, self._fake = recipe, spec, dict(environ), fake
        self.folder = Path(spec.folder)
        self._closing = False
        self._restarts = 0
        self._relay: subprocess.Popen[bytes] | None = None
        _save_client(recipe, self.folder)
        names = tuple(site.name for site in spec.sites)
        make_keys(self.folder / "keys", ["server", "relay", *names])
        self._io = ZmqIo()
        self._desk = SiteDesk(self._io.call_later)
        keys = load_keys(self.folder / "keys", "server")
        relay_key = load_public(self.folder / "keys")["relay"]
        link = self._io.listen(self._desk, keys, {"relay": relay_key}, host="127.0.0.1")
        self.spec = _with_urls(spec, (link.url,))
        save_spec(self.spec)
        self._desk.attach(link)
        for name in names:
            self._desk.expect(name, "relay")
        self.controller = FoxController(
            recipe.server_app,
            self._desk.cell,
            RunRecord(run=spec.run, job_name=spec.job_name, folder=spec.folder, env=env_name),
            sites=names,
            min_clients=spec.min_clients,
            receivers=make_receivers(recipe.tracking_type, self.folder),
            open=self._open,
            close=self._close,
            abort=self._desk.cell.abort,
            on_change=RecordWriter(lambda: self.controller.snapshot()),
        )
        self._desk.board = self.controller
        self._desk.on_refused = self._refused

    def start(self) -> Run:
        """Start the run."""
        self.controller.start()
        return Run(self.controller)

    # On the algorithm's thread.

    def _open(self) -> None:
        if self._fake is not None:
            self._fake.up()
            self._environ = {**self._environ, **self._fake.env}
        context = self.controller.context()
        serve = threading.Thread(
            target=self._desk.serve,
            args=(lambda call: self.recipe.server_app.invoke(call, context),),
            name="fox-server-calls",
            daemon=True,
        )
        serve.start()
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

    def _close(self) -> None:
        try:
            if self._relay is not None:
                self._end_sites()
        finally:
            if self._fake is not None:
                self._fake.down()
            self._desk.cell.stop()
            self._io.close()

    def _end_sites(self) -> None:
        if not self.controller.failed:
            hurry = self.controller.aborted
            finish_s = FINISH_S if self.controller.succeeded else FAILED_FINISH_S
            self._desk.finish(cancel=hurry)
            if not self._desk.wait_ended(CANCEL_S if hurry else finish_s) and not hurry:
                self.controller.notice(f"sites had not ended after {finish_s:g} s: their jobs are cancelled")
                self._desk.finish(cancel=True)
                self._desk.wait_ended(CANCEL_S)
        self._closing = True
        relay = self._relay
        assert relay is not None
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
    recipe: FoxRecipe, count: int, *, run: str, folder: str, scheduler: str, poll_s: float
) -> RunSpec:
    """Describe a run for the processes that make it up."""
    return RunSpec(
        run=run,
        job_name=recipe.job_name,
        folder=folder,
        sites=recipe.site_specs(count),
        min_clients=recipe.min_clients,
        client_class=recipe.client_class,
        training_module=recipe.training_module,
        code_path=recipe.code_path,
        python=sys.executable,
        scheduler=scheduler,
        server_urls=(),
        poll_s=poll_s,
    )


def new_folder(recipe: FoxRecipe, workspace: Any) -> tuple[str, str]:
    """Make the run's folder, which nobody else may enter."""
    run, folder = make_run_folder(recipe.job_name, workspace)
    try:
        folder.chmod(0o700)
    except OSError as error:
        raise WorkspaceError(f"{folder} cannot be closed to others: {error.strerror}") from error
    return run, str(folder)


def _with_urls(spec: RunSpec, urls: tuple[str, ...]) -> RunSpec:
    fields = {name: getattr(spec, name) for name in spec.__struct_fields__}
    return RunSpec(**{**fields, "server_urls": urls})


def _save_client(recipe: FoxRecipe, folder: Path) -> None:
    obj = recipe.client_app.obj
    try:
        data = cloudpickle.dumps(obj)
    except Exception as error:
        raise RecipeError(
            f"client {recipe.client_app.name} cannot be written down for its sites ({type(error).__name__}: "
            f"{error}): keep open files, locks and the like out of it until @fox.init"
        ) from error
    write_atomically(folder / "client.pkl", data)
