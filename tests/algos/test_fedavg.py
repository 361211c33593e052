"""FedAvg against numpy, and on a problem whose optimum is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from quadratics import Site, average, optimum, reference, run, start

from fox_hpc import FLModel
from fox_hpc.algos import FedAvg


def test_each_round_takes_the_mean_by_numbers_of_samples(tmp_path: Path) -> None:
    site = Site(steps=3)
    found = run(FedAvg(start(), 4), site, tmp_path)

    assert np.allclose(found["w"], reference(4, lambda w, answers: average(answers), site), atol=1e-12)


def test_one_step_a_round_leads_to_the_optimum_of_all_data(tmp_path: Path) -> None:
    found = run(FedAvg(FLModel(params=start()), 40), Site(lr=1.2), tmp_path)

    assert np.allclose(found.params["w"], optimum(), atol=1e-8)
