"""SimEnv: the whole federation as threads of this process; for trying things out, and for tests."""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from ..api.app import ClientApp
from ..api.backend import Backend
from ..api.client_api import FoxClientAPI
from ..api.context import SERVER, Context, use
from ..api.terms import Terms
from ..hpc.resources import HpcConfig
from ..recipe import FoxRecipe
from ..record import RunRecord
from ..server.controller import FoxController
from ..server.waits import Waits, Watched
from ..site.script import run_script
from ..tracking.inprocess_writer import InProcessWriter
from ..tracking.receiver import make_receivers
from ..tracking.writer import flush_all
from .base import ExecEnv, RecordWriter, Run, make_run_folder
from .sim_backend import SimBackend

log = logging.getLogger(__name__)

__all__ = ["FoxSimulator", "SimBackend", "SimEnv"]


class SimEnv(ExecEnv):
    """Runs each site as one rank on a thread of this process; values and errors are those of real sites."""

    def deploy(self, recipe: FoxRecipe) -> Run:
        """Start the recipe on threads of this process."""
        specs = recipe.site_specs(self.num_clients or recipe.min_clients)
        sites = tuple(spec.name for spec in specs)
        apps = [recipe.client_app.make_client_app() for _ in sites]
        run_id, folder = make_run_folder(recipe.job_name, self.workspace)
        backend, waits = SimBackend(), Waits()
        controller = FoxController(
            recipe.server_app,
            backend,
            RunRecord(run=run_id, job_name=recipe.job_name, folder=str(folder), env="sim"),
            sites=sites,
            min_clients=recipe.min_clients,
            receivers=make_receivers(recipe.tracking_type, folder),
            terms=recipe.server_terms(),
            open=lambda: _open(backend, controller),
            close=lambda: _close(backend, controller),
            abort=backend.abort,
            on_change=RecordWriter(lambda: controller.snapshot()),
        )
        for spec, app in zip(specs, apps, strict=True):
            terms = replace(recipe.server_terms(), props=spec.props, filters=app.filters)
            context = _context(controller, spec.name, Watched(backend, waits, spec.name), backend, terms)
            _add_site(backend, app, context, recipe.training_module)
        server = controller.context()
        backend.add(recipe.server_app, replace(server, backend=Watched(server.backend, waits, SERVER)))
        if recipe.run_cmd is not None or recipe.hpc_config != HpcConfig():
            controller.notice(
                "SimEnv runs each site as one rank in this process; run_cmd and hpc_config are not used"
            )
        controller.start()
        return self._started(Run(controller))


class FoxSimulator:
    """Runs a server's algorithm against simulated sites, without a recipe.

    Args:
        server: an instance or a module with one `@fox.algo` function.
        client: an instance or a module with `@fox.collab` functions.
    """

    def __init__(
        self,
        server: object,
        client: object,
        num_clients: int = 2,
        workspace: str | os.PathLike[str] | None = None,
    ) -> None:
        self._recipe = FoxRecipe("simulation", num_clients, server, client)
        self._env = SimEnv(num_clients, workspace)

    def run(self) -> Any:
        """Run the algorithm to its end and return what it returns, or raise what it raises."""
        return self._recipe.execute(self._env).result()


def _open(backend: SimBackend, controller: FoxController) -> None:
    backend.open()
    for site in controller.sites:
        controller.change_site(site, state="RUNNING", ready=True)


def _close(backend: SimBackend, controller: FoxController) -> None:
    backend.close()
    flush_all()
    for site in controller.sites:
        controller.change_site(site, state="CANCELLED" if controller.aborted else "DONE", ready=False)


def _context(
    controller: FoxController, site: str, calls: Backend, backend: SimBackend, terms: Terms
) -> Context:
    server = controller.context()
    return Context(
        site_name=site,
        sites=server.sites,
        backend=calls,
        min_clients=server.min_clients,
        workspace=_site_folder(server.workspace, site),
        is_aborted=backend.aborted.is_set,
        track=InProcessWriter(site, controller.track).write,
        terms=terms,
        facts={"run": server.workspace.name, "host": socket.gethostname()},
    )


def _add_site(backend: SimBackend, app: ClientApp, context: Context, module: str | None) -> None:
    begin: Callable[[], None] = partial(app.run_init, context)
    end: Callable[[], None] = partial(app.run_final, context)
    if isinstance(app.obj, FoxClientAPI):
        context.client_api = app.obj
        if module is not None:
            script = _Script(app.obj, module, context)
            begin, end = _both(begin, script.start), _both(script.finish, end)
    backend.add(app, context, begin=begin, end=end, at_once=module is not None)


def _site_folder(run: Path, site: str) -> Path:
    folder = run / "sites" / site
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _both(first: Callable[[], None], second: Callable[[], None]) -> Callable[[], None]:
    def run() -> None:
        first()
        second()

    return run


class _Script:
    """A site's training script, top to bottom, on a thread of its own."""

    def __init__(self, api: FoxClientAPI[Any], module: str, context: Context) -> None:
        self._api, self._module, self._context = api, module, context
        name = f"fox-script-{context.site_name}"
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def finish(self) -> None:
        self._api.stop()
        self._thread.join()

    def _run(self) -> None:
        with use(self._context):
            error = run_script(self._module, self._api, alone=False)
        if error is not None:
            log.error("the script of %s ended with %r", self._context.site_name, error, exc_info=error)
