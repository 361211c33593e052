"""A worker in a process of its own, to be killed: `python worker_process.py URL SITE KEYS_DIR ATTEMPT`.

It gives each array back turned round, until its stdin ends; says `ready`, and the name of each call begun.
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path

from chain import LINK, SHORT

from fox_hpc.call import Reply
from fox_hpc.environment import WorkerEnv
from fox_hpc.site.uplink import Uplink
from fox_hpc.wire.cell import relay_cell
from fox_hpc.wire.keys import load_keys
from fox_hpc.wire.zmq_link import ZmqIo


def main() -> None:
    url, site, keys_dir, attempt = sys.argv[1:]
    io = ZmqIo(**LINK)
    env = WorkerEnv((url,), relay_cell(site), site, "Site", "", keys_dir, int(attempt))
    up = Uplink(io, env, load_keys(Path(keys_dir), site), 600.0, times=SHORT)
    threading.Thread(target=lambda: (sys.stdin.read(), up.cell.stop()), daemon=True).start()
    up.ready(1)
    print("ready", flush=True)
    while (incoming := up.cell.take()) is not None:
        name, array = incoming.call.args
        print(name, flush=True)
        up.cell.reply(incoming, Reply(array[::-1].copy()))
    up.flush()
    io.close()


if __name__ == "__main__":
    main()
