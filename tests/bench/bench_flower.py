"""The peers' work in Flower, by its message API; run by a python that has it.

`python bench_flower.py sim|deployed OUT ROUNDS MIB REPEATS` writes to OUT what it took, in seconds: in its
simulation on Ray, or in a deployment, which bench_flower_deployed.py starts. That loads this file again, as
an app, in processes of Flower's own: what they need to know stands in the environment.
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

WORK = "FOX_BENCH_WORK"
server = ServerApp()
client = ClientApp()


@client.train()
def train(message, context):
    return Message(content=message.content, reply_to=message)


@server.main()
def main(grid, context):
    work = json.loads(os.environ[WORK])
    while len(list(grid.get_node_ids())) < work["sites"]:
        time.sleep(0.1)
    array = np.random.default_rng(1).standard_normal(work["numbers"], dtype=np.float32)
    took = [one_round(grid, array, work["sites"]) for _ in range(work["repeats"] + 1)]
    Path(work["out"]).write_text(json.dumps(took[1:]))


def one_round(grid, array, sites):
    # One number in each MiB: Flower does not send chunks that were sent before, and a round changes all.
    array[:: 2**18] += 1
    begun = time.perf_counter()
    content = RecordDict({"model": ArrayRecord({"w": Array(array)})})
    nodes = grid.get_node_ids()
    messages = [Message(content=content, message_type="train", dst_node_id=node) for node in nodes]
    answers = [answer.content["model"]["w"].numpy() for answer in grid.send_and_receive(messages)]
    took = time.perf_counter() - begun
    if len(answers) != sites:
        raise RuntimeError(f"{len(answers)} answers came")
    return took


def simulate(sites):
    """Run the app in Flower's simulation."""
    from flwr.simulation import run_simulation

    resources = {"client_resources": {"num_cpus": 1}, "init_args": {"num_cpus": max(2, sites)}}
    run_simulation(server, client, num_supernodes=sites, backend_config=resources)


def measure(run, out, **work):
    """Run the app once, and give the seconds of each round but the first."""
    os.environ[WORK] = json.dumps({**work, "out": str(out)})
    run(work["sites"])
    return json.loads(out.read_text())


if __name__ == "__main__":
    mode, target, rounds, size, times = *sys.argv[1:3], *map(int, sys.argv[3:])
    from bench_flower_deployed import deploy

    run, place = {"sim": simulate, "deployed": deploy}[mode], Path(target).parent
    found = {
        "rounds": measure(run, place / "rounds.json", sites=8, numbers=256, repeats=rounds),
        "model": measure(run, place / "model.json", sites=2, numbers=size * 2**18, repeats=times),
    }
    Path(target).write_text(json.dumps(found))
