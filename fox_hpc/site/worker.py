"""FoxWorker: one rank of a site. Rank 0 talks to the relay; user code runs on the main thread.

Started on every rank as `python -m fox_hpc.site.worker [MODULE]`. FOX_CLIENT_CLASS decides the mode:
"FoxClientAPI" runs the module top to bottom as a script, anything else serves `@fox.collab` functions.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cloudpickle

from ..api import context as api_context
from ..api.app import ClientApp
from ..api.backend import Backend
from ..api.client_api import FoxClientAPI
from ..api.context import Context
from ..call import Call, Fault, Reply
from ..environment import RankEnv, WorkerEnv, process_environ
from ..errors import FoxError
from ..metric import Point
from ..spec import load_spec
from ..tracking.writer import flush_all
from ..wire import codec
from ..wire.cell import Incoming, read_call, write_call
from ..wire.keys import load_keys
from ..wire.zmq_link import ZmqIo
from .exit_codes import EXIT_NO_START, EXIT_RANKS
from .ranks import FINAL, INIT, OnlyRankZero, RankFollower, RankLead
from .script import run_script
from .together import Together
from .uplink import Uplink, pack_points, wait_until

SCRIPT_CLASS = "FoxClientAPI"


class FoxWorker:
    """One rank of a site; `run` serves it and returns the process's exit code."""

    def __init__(self, worker: WorkerEnv, ranks: RankEnv, module: str | None) -> None:
        self.worker, self.ranks, self.module = worker, ranks, module
        self.spec = load_spec(worker.run_dir)
        sys.path[:0] = [path for path in self.spec.code_path if path not in sys.path]
        self.folder = Path(worker.run_dir) / "sites" / worker.site_name / f"attempt-{worker.attempt}"
        with (Path(worker.run_dir) / "client.pkl").open("rb") as file:
            self.app = ClientApp(cloudpickle.load(file)).make_client_app()
        self.io = ZmqIo()
        self.up: Uplink | None = None
        self.lead: RankLead | None = None
        self.follower: RankFollower | None = None

    def __repr__(self) -> str:
        return f"<FoxWorker {self.worker.site_name} rank {self.ranks.rank} of {self.ranks.world_size}>"

    def run(self) -> int:
        """Serve the site until the run is over."""
        try:
            self._connect()
            if self.worker.client_class == SCRIPT_CLASS and self.module is not None:
                return self._run_script()
            return self._follow(self.follower) if self.follower else self._lead(self._uplink())
        finally:
            self.io.close()

    def _connect(self) -> None:
        site, rank, world = self.worker.site_name, self.ranks.rank, self.ranks.world_size
        keys = load_keys(Path(self.worker.keys_dir), site)
        if rank == 0:
            self.up = Uplink(self.io, self.worker, keys, self.spec.lease_s)
            if world > 1:
                self.lead = RankLead(
                    self.io,
                    keys,
                    site,
                    world,
                    self.folder,
                    on_log=lambda frames: self._uplink().track_frames(codec.decode(frames)),
                    on_failed=self._give_up,
                )
                self.lead.gather()
        else:
            self.follower = RankFollower(
                self.io, keys, site, rank, world, self.folder, on_orphaned=self._orphaned
            )
        api_context.set_default(self._context())

    def _context(self) -> Context:
        api = self.app.obj if isinstance(self.app.obj, FoxClientAPI) else None
        share = self.lead or self.follower
        if api is not None and share is not None:
            api.share_with(share)
        backend: Backend = self.up.cell if self.up is not None else OnlyRankZero()
        return Context(
            site_name=self.worker.site_name,
            sites=tuple(site.name for site in self.spec.sites),
            backend=backend,
            min_clients=self.spec.min_clients,
            workspace=self.folder,
            track=self._track,
            client_api=api,
        )

    def _track(self, points: Sequence[Point]) -> None:
        if self.up is not None:
            self.up.track(points)
        elif self.follower is not None:
            self.follower.log(pack_points(points))

    # Collab mode, rank 0.

    def _lead(self, up: Uplink) -> int:
        started = self._everywhere(Call(INIT), write_call(Call(INIT)), None)
        up.ready(self.ranks.world_size)
        while (incoming := up.cell.take()) is not None:
            # A site that could not begin answers every call with why.
            up.cell.reply(incoming, started if started.fault else self._answer(incoming))
            flush_all()
        ended = self._everywhere(Call(FINAL), write_call(Call(FINAL)), None)
        flush_all()
        self._part(up)
        if ended.fault is not None:
            say(f"@fox.final failed: {ended.fault.traceback or ended.fault.message}")
        return 0 if ended.fault is None else 1

    def _answer(self, incoming: Incoming) -> Reply:
        if self.lead is None or incoming.call.ranks == "zero":
            return self._here(incoming.call, incoming)
        # The frames go to the other ranks as they are, while this rank's code may change its arrays.
        own = read_call([bytearray(frame) for frame in incoming.frames])
        return self._everywhere(own, incoming.frames, incoming)

    def _everywhere(self, call: Call, payload: list[Any], incoming: Incoming | None) -> Reply:
        if self.lead is None:
            return self._here(call, incoming)
        together = Together(self.lead.enter(call, payload), self.io.call_later, self._give_up)
        reply, agree = together.finish(self._here(call, incoming))
        if not agree and reply.fault is not None:
            self._end_job(reply.fault)
        return reply

    def _here(self, call: Call, incoming: Incoming | None) -> Reply:
        context = self._context_of(incoming)
        try:
            if call.func == INIT:
                self.app.run_init(context)
            elif call.func == FINAL:
                self.app.run_final(context)
            else:
                return Reply(self.app.invoke(call, context))
        except Exception as error:
            return Reply(fault=self._fault(error))
        return Reply()

    def _context_of(self, incoming: Incoming | None) -> Context:
        context = api_context.current()
        if incoming is None:
            return context
        over: Callable[[], bool] = self.up.over.is_set if self.up is not None else bool
        cancelled = incoming.cancelled.is_set
        return replace(context, is_aborted=lambda: cancelled() or over())

    def _fault(self, error: BaseException) -> Fault:
        return Fault.from_exception(error, rank=self.ranks.rank, host=socket.gethostname())

    # Collab mode, the other ranks.

    def _follow(self, follower: RankFollower) -> int:
        cell, fault = follower.cell, None
        while (incoming := cell.take()) is not None:
            fault = self._here(incoming.call, incoming).fault
            cell.reply(incoming, Reply(fault=fault))
            flush_all()
            if incoming.call.func == FINAL:
                break
        follower.leave()
        wait_until(lambda: not cell.kept, 5.0)
        return 0 if fault is None else 1

    def _orphaned(self) -> None:
        say(f"rank 0 of {self.worker.site_name} is gone: rank {self.ranks.rank} ends too")
        os._exit(EXIT_RANKS)

    # When ranks fall out of step; not on the main thread, which may be inside a collective.

    def _give_up(self, fault: Fault) -> None:
        threading.Thread(target=self._end_job, args=(fault,), name="fox-end", daemon=True).start()

    def _end_job(self, fault: Fault) -> None:
        """Answer what is open with the fault and end this process, and so the job."""
        up = self._uplink()
        # A rank may fail before the first call has come: then that call is answered with it.
        up.ready(self.ranks.world_size)
        wait_until(lambda: bool(up.cell.running()), 5.0)
        say(f"rank {fault.rank} on {fault.host} failed, this job ends:\n{fault.traceback or fault.message}")
        for incoming in up.cell.running():
            up.cell.reply(incoming, Reply(fault=fault))
        up.flush()
        os._exit(EXIT_RANKS)

    # Client API mode.

    def _run_script(self) -> int:
        api = self.app.obj
        if not isinstance(api, FoxClientAPI) or self.module is None:
            raise FoxError(f"{self.worker.client_class} is not a FoxClientAPI: there is no script to run")
        if self.up is not None:
            threading.Thread(
                target=self._serve_script, args=(self.up, api), name="fox-calls", daemon=True
            ).start()
            self.up.ready(self.ranks.world_size)
        error = run_script(self.module, api, alone=True)
        flush_all()
        if error is not None:
            self._script_failed(self._fault(error))
            return 1
        if self.up is not None:
            # A script that ends early leaves the site to answer calls with that.
            self.up.over.wait()
            self._part(self.up)
        elif self.follower is not None:
            self.follower.leave()
        return 0

    def _serve_script(self, up: Uplink, api: FoxClientAPI) -> None:
        while (incoming := up.cell.take()) is not None:
            # stop() must get through while execute() waits for the script.
            threading.Thread(
                target=self._serve_one, args=(up, incoming), name="fox-call", daemon=True
            ).start()
        api.stop()

    def _serve_one(self, up: Uplink, incoming: Incoming) -> None:
        up.cell.reply(incoming, self._here(incoming.call, incoming))

    def _script_failed(self, fault: Fault) -> None:
        if self.follower is not None:
            self.follower.failed(fault)
            return
        up = self._uplink()
        wait_until(lambda: not up.cell.running(), 2.0)
        up.flush()

    def _part(self, up: Uplink) -> None:
        up.flush()
        if self.lead is not None:
            self.lead.part()

    def _uplink(self) -> Uplink:
        assert self.up is not None, "only rank 0 has a link to the relay"
        return self.up


def say(text: str) -> None:
    """Tell something to whoever reads the job's stderr."""
    print(f"fox-hpc: {text}", file=sys.stderr, flush=True)  # noqa: T201


def main() -> None:
    """Be one rank of a site."""
    module = sys.argv[1] if len(sys.argv) > 1 else None
    try:
        environ = process_environ()
        worker = FoxWorker(WorkerEnv.read(environ), RankEnv.read(environ), module)
    except Exception as error:
        if isinstance(error, FoxError):
            say(str(error))
        else:
            traceback.print_exc()
            say(
                "the worker could not start: is the client's module, and what it imports, there on this node?"
            )
        sys.exit(EXIT_NO_START)
    try:
        code = worker.run()
    except FoxError as error:
        say(str(error))
        code = EXIT_NO_START
    sys.exit(code)


if __name__ == "__main__":
    main()
