"""Service: the server's side of one run whose sites are other processes: its link, desk and controller."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from ..api.context import SERVER
from ..api.nested import serving
from ..call import Call
from ..recipe import FoxRecipe
from ..record import RunRecord
from ..server.controller import FoxController
from ..server.desk import SiteDesk
from ..server.passing import Answer
from ..server.waits import Watched
from ..tracking.receiver import make_receivers
from ..wire.answers import Incoming
from ..wire.blob_folder import blob_folder
from ..wire.data_port import DataPort
from ..wire.handshake import Welcome, package_version
from ..wire.keys import Keys
from ..wire.parcels import Parcels
from ..wire.zmq_link import ZmqIo
from .base import RecordWriter, Run

#: Sites that were asked to end may take this long before their jobs are cancelled …
FINISH_S = 60.0
#: … after a failure only this long: whatever they still do is for nobody …
FAILED_FINISH_S = 10.0
#: … and cancelled jobs this long before their record is left to itself.
CANCEL_S = 60.0


@dataclass(frozen=True)
class Listening:
    """Where a server listens, with which pair, and to whom: owner → public key; see RunSpec.blob_location."""

    keys: Keys
    allowed: Mapping[str, str]
    host: str = "127.0.0.1"
    port: int = 0
    blob_location: str = ""

    @property
    def data_port(self) -> int:
        """Where data connections come in: the next port, so that a firewall can be told of both."""
        return self.port and self.port + 1


class Service:
    """One run, from its server's side.

    Args:
        record: the run's record, new.
        relays: the relay's cell of each site, in the order of the sites.
        start_sites: called first on the algorithm's thread.
        end_sites: called last on it, whatever happened; then everything is closed.
    """

    def __init__(
        self,
        recipe: FoxRecipe,
        record: RunRecord,
        relays: Mapping[str, str],
        min_clients: int,
        listening: Listening,
        *,
        start_sites: Callable[[], None],
        end_sites: Callable[[], None],
    ) -> None:
        self.recipe = recipe
        self._start_sites, self._end_sites = start_sites, end_sites
        sites = tuple(relays)
        self.io = ZmqIo()
        names = recipe.job_name, recipe.client_class
        try:
            self._listen(listening, Welcome(package_version(), record.run, *names, sites, min_clients))
        except BaseException:
            self.io.close()
            raise
        for site, relay in relays.items():
            self.desk.expect(site, relay)
        self.controller = FoxController(
            recipe.server_app,
            self.desk.cell,
            record,
            sites=sites,
            min_clients=min_clients,
            receivers=make_receivers(recipe.tracking_type, Path(record.folder)),
            terms=recipe.server_terms(),
            open=self._open,
            close=self._close,
            abort=self.desk.cell.abort,
            on_change=RecordWriter(lambda: self.controller.snapshot()),
        )
        self.desk.board = self.controller

    def _listen(self, at: Listening, welcome: Welcome) -> None:
        self._blobs = blob_folder(at.blob_location)
        parcels = Parcels(self.io, folder=self._blobs)
        door = DataPort(self.io, parcels.greeted, host=at.host, ports=(at.data_port,))
        self.io.links += [parcels, door]
        welcome = msgspec.structs.replace(welcome, data_port=door.port)
        self.desk = SiteDesk(
            self.io.call_later, welcome, self.io.refusals, parcels, at.keys, self.io.wait_for
        )
        self.link = self.io.listen(self.desk, at.keys, at.allowed, host=at.host, port=at.port)
        self.desk.attach(self.link)

    def start(self) -> Run:
        """Start the run."""
        self.controller.start()
        return Run(self.controller)

    # On the algorithm's thread.

    def _open(self) -> None:
        serve = threading.Thread(
            target=self.desk.serve,
            args=(self._answerer(),),
            name="fox-server-calls",
            daemon=True,
        )
        serve.start()
        self._start_sites()

    def _answerer(self) -> Answer:
        """Give what runs a server's function that a site calls, beside the algorithm."""
        context, app = self.controller.context(), self.recipe.server_app
        context = replace(context, backend=Watched(context.backend, self.desk.waits, SERVER))

        def answer(call: Call, incoming: Incoming) -> Any:
            return app.answer(call, serving(context, lambda: incoming.cancelled, incoming.on_cancel))

        return answer

    def _close(self) -> None:
        try:
            self._end_sites()
        finally:
            self.desk.cell.stop()
            self.io.close()
            if self._blobs is not None:
                self._blobs.clear()

    def finish_sites(self, *, met_only: bool = False) -> None:
        """Ask the sites to end, wait until they have, and cancel the jobs of those that do not.

        Args:
            met_only: sites whose relay never joined are not waited for.
        """
        hurry = self.controller.aborted
        finish_s = FINISH_S if self.controller.succeeded else FAILED_FINISH_S
        self.desk.finish(cancel=hurry)
        if not self.desk.wait_ended(CANCEL_S if hurry else finish_s, met_only=met_only) and not hurry:
            self.controller.notice(f"sites had not ended after {finish_s:g} s: their jobs are cancelled")
            self.desk.finish(cancel=True)
            self.desk.wait_ended(CANCEL_S, met_only=met_only)
