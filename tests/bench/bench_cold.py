"""A user's script in a cold process: two simulated sites, one call; prints the ms until the answer."""

import tempfile
import time

from fox_hpc import FoxRecipe, SimEnv, fox


class Server:
    @fox.algo
    def run(self) -> float:
        fox.clients.echo(1)
        return time.perf_counter()


class Site:
    @fox.collab
    def echo(self, value: int) -> int:
        return value


with tempfile.TemporaryDirectory(prefix="fox-bench-") as folder:
    recipe = FoxRecipe("bench", 2, Server(), Site())
    begun = time.perf_counter()
    print((recipe.execute(SimEnv(2, folder)).result() - begun) * 1e3)
