"""The backend of the simulation keeps the promises of every backend."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from fox_hpc.api.app import App
from fox_hpc.api.context import Context
from fox_hpc.envs.sim_backend import SimBackend
from fox_hpc.testing.backend import SITES, check_backend


def test_sim_backend_keeps_every_promise(tmp_path: Path) -> None:
    @contextmanager
    def serve(make: Callable[[], App]) -> Iterator[SimBackend]:
        backend = SimBackend()
        for site in SITES:
            backend.add(make(), Context(site, SITES, backend, min_clients=2, workspace=tmp_path))
        backend.open()
        yield backend
        backend.close()

    check_backend(serve)


def test_repr_tells_what_is_open() -> None:
    assert repr(SimBackend()) == "<SimBackend 0 places · 0 open calls>"
