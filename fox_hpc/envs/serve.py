"""ServeEnv: the server alone, which sites of other institutions join from their own login nodes."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ..errors import FoxError, RecipeError
from ..recipe import FoxRecipe
from ..record import RunRecord
from ..wire.handshake import Join
from ..wire.key_folder import SERVER, AllowList, load_allowed
from ..wire.keys import load_keys
from ..wire.names import relay_cell
from .base import ExecEnv, Run
from .deployment import new_folder
from .service import Listening, Service

log = logging.getLogger(__name__)

#: Between two looks whether the allow-list has changed.
LOOK_S = 1.0

_BIND = re.compile(r"tcp://(?:\[(?P<v6>[^\]]+)\]|(?P<host>[^\[\]:]+)):(?P<port>\d{1,5}|\*)")


class ServeEnv(ExecEnv):
    """Runs a recipe's algorithm here, and waits for its sites to join.

    Args:
        bind: where to listen, `tcp://*:8555` or `tcp://[::]:8555`; port 0 takes a free one.
        keys: a folder that `fox-hpc keys server` has made.
        sites: how many sites of the allow-list take part, those that were listed first, or which; all of
            them by default.
        workspace: the folder that run folders are made in, `fox_runs` by default.

    Raises:
        RecipeError: `bind` is no address.
    """

    def __init__(
        self,
        bind: str,
        keys: str | os.PathLike[str],
        sites: int | Sequence[str] | None = None,
        workspace: str | os.PathLike[str] | None = None,
    ) -> None:
        super().__init__(sites if isinstance(sites, int) else None, workspace)
        self.host, self.port = read_bind(bind)
        self.keys, self.sites = Path(keys), sites
        #: What the newest run listens with, for who wants to tell of it.
        self.service: Service | None = None

    def deploy(self, recipe: FoxRecipe) -> Run:
        """Listen, and run the recipe's algorithm.

        Raises:
            RecipeError: a site is not on the allow-list, or there are fewer than `min_clients`.
            NotAllowed, WorkspaceError: the keys cannot be used.
            WireError: nothing can listen there.
        """
        pair, listed, allowed = load_keys(self.keys, SERVER), AllowList(self.keys), load_allowed(self.keys)
        names = self._names(allowed)
        recipe.site_specs(len(names), names)
        run, folder = new_folder(recipe, self.workspace)
        service = Service(
            recipe,
            RunRecord(run=run, job_name=recipe.job_name, folder=folder, env="serve"),
            {name: relay_cell(name) for name in names},
            recipe.min_clients,
            Listening(pair, allowed, self.host, self.port),
            start_sites=lambda: None,
            end_sites=lambda: _end(service),
        )
        service.desk.on_joined = _tell(service)
        _watch(service, listed, names)
        self.service = service
        return self._started(service.start())

    def _names(self, allowed: Mapping[str, str]) -> tuple[str, ...]:
        sites, listed = self.sites, ", ".join(allowed) or "no site"
        if sites is None:
            return tuple(allowed)
        if isinstance(sites, int):
            if sites > len(allowed):
                raise RecipeError(f"{sites} sites are wanted, but the allow-list has {listed}")
            return tuple(allowed)[:sites]
        for name in sites:
            if name not in allowed:
                raise RecipeError(f"{name} is not on the allow-list, which has {listed}")
        return tuple(dict.fromkeys(sites))


def read_bind(url: str) -> tuple[str, int]:
    """Read an address to listen at; raises RecipeError."""
    match = _BIND.fullmatch(url)
    port = int(match["port"].replace("*", "0")) if match else 0
    # Data connections take the port after it.
    if match is None or port > 65534:
        raise RecipeError(f"{url!r} is nothing to listen at: 'tcp://*:8555' or 'tcp://[::]:8555' is right")
    return match["v6"] or match["host"], port


def _tell(service: Service) -> Callable[[str, Join], None]:
    def joined(peer: str, join: Join) -> None:
        log.info("%s has joined, with fox-hpc %s", ", ".join(join.sites), join.package)
        if join.package != service.desk.welcome.package:
            here = service.desk.welcome.package
            service.controller.notice(
                f"{', '.join(join.sites)} runs fox-hpc {join.package}, this server {here}"
            )

    return joined


def _watch(service: Service, listed: AllowList, names: Sequence[str]) -> None:
    """Follow the allow-list while the run goes on: who is taken off it is parted from."""
    before = set(names)

    def look() -> None:
        try:
            allowed = listed.news()
        except FoxError as error:
            log.error("the allow-list stays as it was: %s", error)
            allowed = None
        if allowed is not None:
            log.info("the allow-list has changed: %s may join", ", ".join(allowed) or "nobody")
            service.link.allow(allowed)
            for name in before - allowed.keys():
                service.desk.expel(name, "its key was revoked")
            before.clear()
            before.update(name for name in names if name in allowed)
        service.io.call_later(LOOK_S, look)

    service.io.call_later(LOOK_S, look)


def _end(service: Service) -> None:
    if not service.controller.failed:
        service.finish_sites(met_only=True)
    service.desk.part()
