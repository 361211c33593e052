"""The peers' work in Flower, by its message API and its simulation; run by a python that has it.

`python bench_flower.py OUT ROUNDS MIB REPEATS` writes to OUT what it took, in seconds.
"""

import json
import os
import sys
import time
from pathlib import Path

os.environ["FLWR_TELEMETRY_ENABLED"] = "0"
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

import numpy as np
from flwr.app import Array, ArrayRecord, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import ServerApp
from flwr.simulation import run_simulation


def measure(sites, array, repeats):
    """Run one simulation, and give the seconds of each round but the first."""
    server, client, took = ServerApp(), ClientApp(), []

    @client.train()
    def train(message, context):
        return Message(content=message.content, reply_to=message)

    @server.main()
    def main(grid, context):
        while len(list(grid.get_node_ids())) < sites:
            time.sleep(0.1)
        for _ in range(repeats + 1):
            begun = time.perf_counter()
            content = RecordDict({"model": ArrayRecord({"w": Array(array)})})
            messages = [
                Message(content=content, message_type="train", dst_node_id=node)
                for node in grid.get_node_ids()
            ]
            answers = [answer.content["model"]["w"].numpy() for answer in grid.send_and_receive(messages)]
            took.append(time.perf_counter() - begun)
            if len(answers) != sites:
                raise RuntimeError(f"{len(answers)} answers came")

    resources = {"client_resources": {"num_cpus": 1}, "init_args": {"num_cpus": max(2, sites)}}
    run_simulation(server, client, num_supernodes=sites, backend_config=resources)
    return took[1:]


if __name__ == "__main__":
    target, rounds, size, times = sys.argv[1], *map(int, sys.argv[2:])
    found = {
        "rounds": measure(8, np.ones(256, np.float32), rounds),
        "model": measure(2, np.ones(size * 2**18, np.float32), times),
    }
    Path(target).write_text(json.dumps(found))
