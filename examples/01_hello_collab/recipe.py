"""Federated averaging with two modules and no class: `fox-hpc submit recipe.py --env sim`."""

import hello_client
import hello_server

from fox_hpc import FoxRecipe

recipe = FoxRecipe(job_name="hello", min_clients=2, server=hello_server, client=hello_client)
