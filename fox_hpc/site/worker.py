"""FoxWorker: one rank of a site. Rank 0 talks to the relay; user code runs on the main thread.

Started on every rank as `python -m fox_hpc.site.worker [MODULE]`. FOX_CLIENT_CLASS decides the mode:
"FoxClientAPI" runs the module top to bottom as a script, anything else serves `@fox.collab` functions.
"""

from __future__ import annotations

import faulthandler
import gc
import sys
import traceback
from typing import Any

from ..call import Call, Reply
from ..environment import RankEnv, WorkerEnv, process_environ, set_unset
from ..errors import FoxError, RecipeError
from ..streamed import takes_stream
from ..tracking.writer import flush_all
from ..wire.cell import Incoming, read_call, write_call
from .exit_codes import EXIT_NO_START
from .follower import RankFollower
from .lifeline import bye
from .rank import Rank, say
from .ranks import FINAL, INIT, LEAVE
from .scripted import run_scripted
from .together import Together
from .uplink import Uplink, wait_until

SCRIPT_CLASS = "FoxClientAPI"

_ONE_READER = (
    "a generator was given to a function that all ranks of the site enter, but a stream has one reader: "
    'ranks="zero" is right, or a list, or one call for each chunk'
)


class FoxWorker(Rank):
    """One rank of a site; `run` serves it and returns the process's exit code."""

    def run(self) -> int:
        """Serve the site until the run is over."""
        try:
            self.connect()
            if self.worker.client_class == SCRIPT_CLASS and self.module is not None:
                return run_scripted(self, self.module)
            return self._follow(self.follower) if self.follower else self._lead(self.uplink())
        finally:
            self.io.close()

    # Collab mode, rank 0.

    def _lead(self, up: Uplink) -> int:
        started = self._everywhere(Call(INIT), write_call(Call(INIT)), None)
        up.ready(self.ranks.world_size)
        while (incoming := self.next_call(up)) is not None:
            # A site that could not begin answers every call with why.
            self.reply(incoming, started if started.fault else self.guarded(incoming, self._run))
            flush_all()
        # A job whose time is up leaves the run to the next attempt: then this is not the end.
        last = Call(FINAL if up.over.is_set() else LEAVE)
        ended = self._everywhere(last, write_call(last), None)
        flush_all()
        self.part(up)
        if ended.fault is not None:
            say(f"@fox.final failed: {ended.fault.traceback or ended.fault.message}")
        return 0 if ended.fault is None else 1

    def _run(self, call: Call, incoming: Incoming) -> Reply:
        if self.lead is None:
            return self.run_here(call, incoming)
        if call.ranks == "zero":
            self.lead.standstill.begin([0])
            return self.run_here(call, incoming)
        if takes_stream(call):
            return Reply(fault=self.fault_of(RecipeError(_ONE_READER)))
        # The frames go to the other ranks as they are, while this rank's code may change its arrays.
        frames = incoming.frames if call is incoming.call else write_call(call)
        own = read_call([bytearray(frame) for frame in frames])
        return self._everywhere(own, frames, incoming)

    def _everywhere(self, call: Call, payload: list[Any], incoming: Incoming | None) -> Reply:
        if self.lead is None:
            return self.run_here(call, incoming)
        lead, pending = self.lead, self.lead.enter(call, payload)
        if incoming is not None:
            incoming.on_cancel(lambda: lead.tell_given_up(pending))
        together = Together(pending, self.io.call_later, self.give_up, self.io.wait_for)
        own = self.run_here(call, incoming)
        lead.came_out(0)
        reply, agree = together.finish(own)
        if not agree and reply.fault is not None:
            self.end_job(reply.fault)
        return reply

    # Collab mode, the other ranks.

    def _follow(self, follower: RankFollower) -> int:
        cell, fault = follower.cell, None
        while (incoming := cell.take(None, self.io.wait_for)) is not None:
            fault = self.run_here(incoming.call, incoming).fault
            cell.reply(incoming, Reply(fault=fault))
            flush_all()
            if incoming.call.func in (FINAL, LEAVE):
                break
        follower.leave()
        wait_until(lambda: not cell.kept, 5.0)
        return 0 if fault is None else 1


def main() -> None:
    """Be one rank of a site."""
    module = sys.argv[1] if len(sys.argv) > 1 else None
    # A crash below Python tells where Python was.
    faulthandler.enable()
    try:
        environ = process_environ()
        ranks = RankEnv.read(environ)
        # So that torch's own `env://` works under any MPI, too.
        set_unset(ranks.exports())
        worker = FoxWorker(WorkerEnv.read(environ), ranks, module)
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
    bye()
    sys.exit(code)


if __name__ == "__main__":
    # What was loaded stays to the end: looking for garbage in it, most of all then, takes longer than a call.
    gc.freeze()
    main()
