"""CollabRecipe: Collab's arguments and setters on a FoxRecipe."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ...api.terms import Terms
from ...envs.base import ExecEnv, Run
from ...errors import RecipeError
from ...props import checked_props
from ...recipe import FoxRecipe

log = logging.getLogger(__name__)

#: Arguments that size FLARE's own thread pools and its hand-shake; there is nothing here to be sized.
_FLARES = {
    "sync_task_timeout",
    *(
        f"max_{kind}call_threads_for_{where}"
        for kind in ("", "inbound_", "outbound_")
        for where in ("server", "client")
    ),
}


class CollabRun:
    """A run, with the names of FLARE's `Run` beside ours."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def get_job_id(self) -> str:
        """Give the run's id."""
        return self._run.run_id

    def get_status(self) -> str:
        """Give STARTING, RUNNING, DONE, FAILED or CANCELLED."""
        return self._run.status

    def get_result(self, timeout: float = 0.0, clean_up: bool = False) -> str:
        """Wait for the end and give the run's folder; what the main function returned is `result()`.

        Raises:
            RecipeError: it was asked to remove the folder that it is to give.
            TimeoutError: the run has not ended after `timeout` seconds; 0 waits for ever.
            Exception: the algorithm's own.
        """
        if clean_up:
            raise RecipeError("get_result(clean_up=True): run folders are kept here; clean_up=False is right")
        self._run.result(timeout or None)
        return str(self._run.workspace)

    def abort(self) -> None:
        """Cancel the run."""
        self._run.cancel()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(f"CollabRun has no attribute {name!r}")
        return getattr(self._run, name)

    def __repr__(self) -> str:
        return repr(self._run)


class CollabRecipe(FoxRecipe):
    """A recipe in Collab's words; whatever a FoxRecipe takes, it takes as well.

    Args:
        server: an object or module with one `@collab.main`; the caller's module by default.
        client: an object or module with `@collab.publish` functions; the caller's module by default.
        server_objects, client_objects: further objects, by the name that `target=` calls them by.

    Raises:
        RecipeError: an argument is unknown or wrong.
    """

    def __init__(
        self,
        job_name: str,
        server: object = None,
        client: object = None,
        server_objects: Mapping[str, object] | None = None,
        client_objects: Mapping[str, object] | None = None,
        *,
        min_clients: int = 1,
        **ours: Any,
    ) -> None:
        here = sys.modules.get(sys._getframe(1).f_globals["__name__"])
        for name in sorted(_FLARES & set(ours)):
            log.warning("CollabRecipe(%s=%r): not needed here, and left out", name, ours.pop(name))
        objects: dict[str, Any] = {"server_objects": server_objects, "client_objects": client_objects}
        super().__init__(
            job_name,
            min_clients,
            here if server is None else server,
            here if client is None else client,
            **{name: each for name, each in objects.items() if each},
            **ours,
        )
        self.server_props = dict(self.props)

    def set_client_prop(self, name: str, value: Any) -> None:
        """Set what `collab.get_app_prop(name)` gives at every site."""
        self.props = checked_props("props", {**self.props, name: value})

    def set_server_prop(self, name: str, value: Any) -> None:
        """Set what `collab.get_app_prop(name)` gives on the server."""
        self.server_props = checked_props("server_props", {**self.server_props, name: value})

    def set_per_site_config(self, config: Mapping[str, Mapping[str, Any]]) -> None:
        """Set what `collab.get_app_prop(name)` gives at single sites: `{"site-1": {name: value}}`.

        Raises:
            RecipeError: it is no mapping of mappings, or holds what is no prop.
        """
        merged = dict(self.sites)
        for site, props in config.items():
            merged[site] = {**merged.get(site, {}), "props": props}
        self.sites = self._checked_sites(merged)

    def server_terms(self) -> Terms:
        """Give what this recipe lays down for the server, whose props are its own in Collab."""
        return replace(super().server_terms(), props=self.server_props)

    def described(self) -> dict[str, Any]:
        """Give the arguments as plain values, and the server's own props."""
        return {**super().described(), "server_props": self.server_props}

    def execute(self, env: ExecEnv) -> CollabRun:  # type: ignore[override]
        """Start the recipe in an environment and return its run at once."""
        return CollabRun(super().execute(env))

    run = execute
