"""Cyclic weight transfer: the same as training at one place on one site's data after the other's."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from quadratics import SITES, SIZE, Site, descend, run, start, target

from fox_hpc.algos import Cyclic


@pytest.mark.parametrize("order", ["fixed", "shuffled"])
def test_model_goes_from_site_to_site(order: str, tmp_path: Path) -> None:
    found = run(Cyclic(start(), 3, order=order, seed=5), Site(steps=2), tmp_path)
    w, shuffled = np.zeros(SIZE), random.Random(5)
    for _ in range(3):
        sites = list(SITES)
        if order == "shuffled":
            shuffled.shuffle(sites)
        for site in sites:
            w = descend(site, w, 0.1, 2)

    assert np.allclose(found["w"], w, atol=1e-12)


def test_sites_that_agree_lead_to_their_optimum(tmp_path: Path) -> None:
    found = run(Cyclic(start(), 20), Site(lr=0.8, steps=2, same=True), tmp_path)

    assert np.allclose(found["w"], target(SITES[0]), atol=1e-8)
