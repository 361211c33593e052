"""A rank in Client API mode: the user's script on the main thread, the server's calls on others."""

from __future__ import annotations

import threading
from typing import Any

from ..api.client_api import FoxClientAPI
from ..call import Fault
from ..errors import FoxError
from ..tracking.writer import flush_all
from ..wire.cell import Incoming
from .rank import LAST_WORDS_S, Rank
from .script import run_script
from .uplink import Uplink, wait_until


def run_scripted(rank: Rank, module: str) -> int:
    """Run the script to its end and return the process's exit code."""
    api = rank.app.obj
    if not isinstance(api, FoxClientAPI):
        raise FoxError(f"{rank.worker.client_class} is not a FoxClientAPI: there is no script to run")
    if rank.up is not None:
        serve = threading.Thread(target=_serve, args=(rank, rank.up, api), name="fox-calls", daemon=True)
        serve.start()
        rank.up.ready(rank.ranks.world_size)
    error = run_script(module, api, alone=True)
    flush_all()
    if error is not None:
        _failed(rank, rank.fault_of(error))
        return 1
    if rank.up is not None:
        # A script that ends early leaves the site to answer calls with that.
        while not rank.up.over.wait(rank.patience.wait_s()) and not rank.patience.over:
            pass
        rank.part(rank.up)
    elif rank.follower is not None:
        rank.follower.leave()
    return 0


def _serve(rank: Rank, up: Uplink, api: FoxClientAPI[Any]) -> None:
    threads: list[threading.Thread] = []
    while (incoming := rank.next_call(up)) is not None:
        # stop() must get through while execute() waits for the script.
        thread = threading.Thread(target=_serve_one, args=(rank, incoming), name="fox-call", daemon=True)
        thread.start()
        threads = [*(one for one in threads if one.is_alive()), thread]
    if not up.over.is_set():
        # This job's time is up, and the script may still answer the call that it has.
        for thread in threads:
            thread.join()
    api.stop()


def _serve_one(rank: Rank, incoming: Incoming) -> None:
    reply = rank.guarded(incoming, rank.run_here)
    if reply.fault is not None:
        rank.leave_if_one_is_lost()
    rank.reply(incoming, reply)


def _failed(rank: Rank, fault: Fault) -> None:
    if rank.follower is not None:
        rank.follower.failed(fault)
        return
    up = rank.uplink()
    wait_until(lambda: not up.cell.running(), 2.0)
    up.flush()
    up.tracking.close(LAST_WORDS_S)
