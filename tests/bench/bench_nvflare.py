"""The peers' work in NVFlare 2.9, by its collab API; run by a python that has it.

`python bench_nvflare.py sim|deployed OUT ROUNDS MIB REPEATS` writes to OUT what it took, in seconds: in its
simulator, or in its PocEnv, which provisions a server and clients and starts them as processes of this
machine. NVFlare loads it again in its own processes: what they need to know stands in the environment.
"""

import json
import os
import sys
import time
from pathlib import Path

import numpy as np
from nvflare.collab import CollabRecipe, collab
from nvflare.recipe import PocEnv, SimEnv

WORK = "FOX_BENCH_WORK"
JOB_S = 600.0


class Server:
    @collab.main
    def run(self):
        work = json.loads(os.environ[WORK])
        value = bytes(1024)
        if work["kind"] == "model":
            value = np.random.default_rng(1).standard_normal(work["mib"] * 2**18, dtype=np.float32)
        took = []
        for _ in range(work["repeats"] + 1):
            begun = time.perf_counter()
            answers = list(collab.clients(timeout=300.0).echo(value))
            took.append(time.perf_counter() - begun)
            if len(answers) != work["sites"]:
                raise RuntimeError(f"{len(answers)} answers came")
        Path(work["out"]).write_text(json.dumps(took[1:]))


class Client:
    @collab.publish
    def echo(self, value):
        return value


def measure(mode, folder, **work):
    """Run one job, and give the seconds of each round but the first."""
    out = Path(folder) / f"{work['kind']}.json"
    os.environ[WORK] = json.dumps({**work, "out": str(out)})
    os.environ["NVFLARE_POC_WORKSPACE"] = f"{folder}/poc"
    recipe = CollabRecipe(f"bench-{work['kind']}", Server(), Client(), min_clients=work["sites"])
    if mode == "sim":
        recipe.execute(SimEnv(num_clients=work["sites"], workspace_root=f"{folder}/{work['kind']}"))
    else:
        recipe.execute(PocEnv(num_clients=work["sites"])).get_result(timeout=JOB_S)
    return json.loads(out.read_text())


if __name__ == "__main__":
    mode, target, rounds, size, times = *sys.argv[1:3], *map(int, sys.argv[3:])
    place = str(Path(target).parent)
    found = {
        "rounds": measure(mode, place, kind="rounds", sites=8, mib=0, repeats=rounds),
        "model": measure(mode, place, kind="model", sites=2, mib=size, repeats=times),
    }
    Path(target).write_text(json.dumps(found))
