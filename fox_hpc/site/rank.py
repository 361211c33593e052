"""Rank: what one process of a site has, whichever way user code runs in it."""

from __future__ import annotations

import queue
import socket
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cloudpickle

from ..api import context as api_context
from ..api.app import ClientApp, filter_answer, filter_call
from ..api.backend import Backend
from ..api.client_api import FoxClientAPI
from ..api.context import Context
from ..api.nested import serving
from ..api.terms import Terms
from ..call import Call, Fault, Reply
from ..environment import RankEnv, WorkerEnv, process_environ
from ..errors import NoSuchFunction
from ..metric import read_batch
from ..spec import load_spec
from ..tracking.metrics_relay import MetricsRelay
from ..tracking.writer import flush_all
from ..wire.blob_folder import blob_folder
from ..wire.cell import Incoming
from ..wire.codec_classes import register_payload
from ..wire.keys import load_keys
from ..wire.zmq_link import ZmqIo
from .calling import Calling
from .exit_codes import EXIT_RANKS
from .follower import RankFollower
from .lifeline import end_now, hold
from .only_rank_zero import OnlyRankZero
from .owner import held_back, load_filters
from .patience import Patience
from .ranks import FINAL, INIT, LEAVE, RankLead
from .standstill import Watch
from .uplink import Uplink, wait_until

#: How long a job that ends after a failure waits for what it has logged to arrive.
LAST_WORDS_S = 1.0


class Rank:
    """One rank of a site: its app, its links, and what happens when ranks fall out of step."""

    def __init__(self, worker: WorkerEnv, ranks: RankEnv, module: str | None) -> None:
        self.worker, self.ranks, self.module = worker, ranks, module
        self.spec = load_spec(worker.run_dir)
        # The owner's filters first: nothing of the recipe can stand in the place of their modules.
        self._owners = load_filters(self.spec.owner)
        sys.path[:0] = [path for path in self.spec.code_path if path not in sys.path]
        self.folder = Path(worker.run_dir) / "sites" / worker.site_name / f"attempt-{worker.attempt}"
        with (Path(worker.run_dir) / "client.pkl").open("rb") as file:
            self.app: ClientApp = cloudpickle.load(file).make_client_app()
        self.app.streams.attempt = worker.attempt
        self._filters = self.app.filters.within(self._owners)
        if isinstance(self.app.obj, FoxClientAPI):
            register_payload(self.app.obj.payload)
        self.patience = Patience(self.folder, worker.soft_deadline)
        self.io = ZmqIo()
        self.up: Uplink | None = None
        self.lead: RankLead | None = None
        self.follower: RankFollower | None = None
        self.metrics: MetricsRelay | None = None
        hold(
            process_environ(), ranks.rank, lambda: self._leave("what started the ranks of this node is gone")
        )

    def __repr__(self) -> str:
        which = f"{self.worker.site_name} rank {self.ranks.rank} of {self.ranks.world_size}"
        return f"<{type(self).__name__} {which}>"

    def connect(self) -> None:
        """Find the relay, or rank 0, and let user code know where it runs."""
        site, rank, world = self.worker.site_name, self.ranks.rank, self.ranks.world_size
        keys = load_keys(Path(self.worker.keys_dir), site)
        if rank == 0:
            folder = blob_folder(self.spec.blob_location)
            self.up = Uplink(
                self.io, self.worker, keys, self.spec.lease_s, folder=folder, sites=self.spec.names
            )
            if world > 1:
                self.metrics = MetricsRelay(self.up.tracking)
                self.lead = RankLead(
                    self.io,
                    keys,
                    site,
                    world,
                    self.folder,
                    on_log=self._relay_metrics,
                    on_failed=self.give_up,
                    on_lost=self._leave,
                )
                self.lead.gather()
        else:
            self.follower = RankFollower(
                self.io,
                keys,
                site,
                rank,
                world,
                self.folder,
                on_orphaned=self._orphaned,
            )
        if self.lead is not None:
            Watch(socket.gethostname(), self.io.call_later, partial(self.lead.hangs, 0))
        elif self.follower is not None:
            Watch(socket.gethostname(), self.io.call_later, self.follower.hangs)
        self.context = self._make_context()
        api_context.set_default(self.context)

    def _make_context(self) -> Context:
        api = self.app.obj if isinstance(self.app.obj, FoxClientAPI) else None
        share = self.lead or self.follower
        if api is not None and share is not None and api.training_func is None:
            api.share_with(share)
        here = self.up or self.follower
        assert here is not None, "connect() has made one of them"
        backend: Backend = Calling(self.up.cell) if self.up is not None else OnlyRankZero()
        spec = self.spec
        return Context(
            site_name=self.worker.site_name,
            sites=self.spec.names,
            backend=backend,
            min_clients=self.spec.min_clients,
            workspace=self.folder,
            time_left=self.patience.left,
            track=here.tracking.write,
            client_api=api,
            terms=Terms(
                spec.client_objects,
                spec.server_objects,
                {**spec.site(self.worker.site_name).props, **spec.owner.props},
                self._filters,
            ),
            facts=self._facts(),
        )

    def _facts(self) -> dict[str, Any]:
        return {
            "run": self.spec.run,
            "attempt": self.worker.attempt,
            "job_id": self.worker.job_id,
            "host": socket.gethostname(),
            "local_rank": self.ranks.local_rank,
        }

    def _relay_metrics(self, rank: str, seq: int, frames: list[Any]) -> None:
        assert self.metrics is not None, "only rank 0 of several has one"
        self.metrics.take(rank, seq, read_batch(frames))

    def next_call(self, up: Uplink) -> Incoming | None:
        """Wait for the next call; None when the run is over, or this job's time."""
        while (wait_s := self.patience.wait_s()) > 0:
            try:
                return up.cell.take(wait_s, self.io.wait_for)
            except queue.Empty:
                continue
        return None

    def guarded(self, incoming: Incoming, run: Callable[[Call, Incoming], Reply]) -> Reply:
        """Run a call that came from afar, and filter what it brings and what leaves; on rank 0."""
        try:
            if incoming.call.func.startswith("@"):
                raise NoSuchFunction(sorted(self.app.collab), func=incoming.call.func)
            return self._filtered(incoming, run) if self._filters else run(incoming.call, incoming)
        except Exception as error:
            return Reply(fault=self.fault_of(error))

    def _filtered(self, incoming: Incoming, run: Callable[[Call, Incoming], Reply]) -> Reply:
        context = self._context_of(incoming)
        call = filter_call(incoming.call, context)
        reply = run(call, incoming)
        return reply if reply.fault is not None else Reply(filter_answer(call, reply.value, context))

    def reply(self, incoming: Incoming, reply: Reply) -> None:
        """Answer a call that came from afar; of an error only what the site's owner lets out."""
        told = held_back(reply, self.spec.owner.errors)
        if reply.fault is not None and told is not reply:
            say(f"{incoming.call.func}() failed:\n{reply.fault.traceback or reply.fault.message}")
        self.uplink().cell.reply(incoming, told)

    def run_here(self, call: Call, incoming: Incoming | None) -> Reply:
        """Run a call on this rank; what it raises becomes a fault."""
        context = self._context_of(incoming)
        try:
            if call.func == INIT:
                self.app.run_init(context)
            elif call.func == FINAL:
                self.app.run_final(context)
            elif call.func == LEAVE:
                return Reply()
            else:
                return Reply(self.app.invoke(call, context))
        except Exception as error:
            return Reply(fault=self.fault_of(error))
        return Reply()

    def _context_of(self, incoming: Incoming | None) -> Context:
        if incoming is None:
            return self.context
        over: Callable[[], bool] = self.up.over.is_set if self.up is not None else bool
        id = incoming.id
        given_up = self.follower.given_up if self.follower is not None else frozenset[str]()
        return serving(
            self.context,
            lambda: incoming.cancelled or over() or id in given_up,
            incoming.on_cancel,
            incoming.call.caller,
        )

    def fault_of(self, error: BaseException) -> Fault:
        """Describe what user code raised on this rank."""
        return Fault.from_exception(error, rank=self.ranks.rank, host=socket.gethostname())

    def _orphaned(self) -> None:
        self._leave(f"rank 0 of {self.worker.site_name} is gone")

    def _leave(self, why: str) -> None:
        say(f"{why}: rank {self.ranks.rank} ends too")
        end_now(EXIT_RANKS)

    # When ranks fall out of step; not on the main thread, which may be inside a collective.

    def give_up(self, fault: Fault) -> None:
        """End the job, from any thread."""
        threading.Thread(target=self.end_job, args=(fault,), name="fox-end", daemon=True).start()

    def end_job(self, fault: Fault) -> None:
        """Answer what is open with the fault and end this process, and so the job."""
        up = self.uplink()
        # A rank may fail before the first call has come: then that call is answered with it.
        up.ready(self.ranks.world_size)
        wait_until(lambda: bool(up.cell.running()), 5.0)
        say(f"rank {fault.rank} on {fault.host} failed, this job ends:\n{fault.traceback or fault.message}")
        self.leave_if_one_is_lost()
        for incoming in up.cell.running():
            self.reply(incoming, Reply(fault=fault))
        up.flush()
        # What was logged before the failure often tells why; but the job must end soon.
        flush_all()
        up.tracking.close(LAST_WORDS_S)
        end_now(EXIT_RANKS)

    def leave_if_one_is_lost(self) -> None:
        """End this process without an answer if another rank is gone: how the job ends says why."""
        if self.lead is not None and (words := self.lead.lost_one()):
            self._leave(words)

    def part(self, up: Uplink) -> None:
        """Leave, once the other ranks are done, and every answer and all that was logged has arrived."""
        up.flush()
        if self.lead is not None:
            self.lead.part()
        up.tracking.close()

    def uplink(self) -> Uplink:
        """Give the link upwards, which only rank 0 has."""
        assert self.up is not None, "only rank 0 has a link to the relay"
        return self.up


def say(text: str) -> None:
    """Tell something to whoever reads the job's stderr."""
    print(f"fox-hpc: {text}", file=sys.stderr, flush=True)  # noqa: T201
