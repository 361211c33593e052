"""DiLoCo's outer step, against numpy, and at the optimum."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from quadratics import SITES, Site, optimum, reference, run, start

from fox_hpc.algos import DiLoCo


def test_each_round_is_as_numpy_has_it(tmp_path: Path) -> None:
    site, m = Site(steps=4), np.zeros(1)

    def outer(w: Any, answers: Any) -> Any:
        nonlocal m
        delta = np.mean(answers, axis=0) - w
        m = 0.6 * m + delta
        return w + 0.5 * (delta + 0.6 * m)

    found = run(DiLoCo(start(), 5, lr=0.5, beta=0.6), site, tmp_path)
    assert np.allclose(found["w"], reference(5, outer, site), atol=1e-12)


def test_one_inner_step_leads_to_the_optimum_of_equal_sites(tmp_path: Path) -> None:
    found = run(DiLoCo(start(), 60, beta=0.5), Site(lr=0.8), tmp_path)

    assert np.allclose(found["w"], optimum((1.0,) * len(SITES)), atol=1e-7)
