"""Calls and answers too big for a message, over real links, a relay's pump and the server's data port."""

from __future__ import annotations

import gc
import os
import threading
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from chain import Chain, Site
from tcp_proxy import Harm
from waiting import wait_for

from fox_hpc.call import Call
from fox_hpc.errors import CallCancelled, CallTimeout, NotAllowed, RemoteError
from fox_hpc.wire.blob import BIG_BYTES, CHUNK_BYTES
from fox_hpc.wire.cell import Incoming, worker_cell
from fox_hpc.wire.pulls import TRIES
from fox_hpc.wire.session import offer_session

BIG = 3 * CHUNK_BYTES // 8 + 1


def back(site: Site, incoming: Incoming) -> Any:
    """Give what came."""
    return list(incoming.call.args)


class Gate:
    """An answer that waits until it may go on."""

    def __init__(self, value: Any = None) -> None:
        self.reached, self.may, self.value = threading.Event(), threading.Event(), value

    def __call__(self, site: Site, incoming: Incoming) -> Any:
        self.reached.set()
        assert self.may.wait(20.0)
        return self.value if self.value is not None else list(incoming.call.args)


def test_arrays_arrive_bit_for_bit(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    numbers = np.random.default_rng(1)
    sent = {
        "big": numbers.normal(size=(3, BIG)),
        "zero-d": np.array(7.5),
        "empty": np.zeros((0, 5), np.float32),
        "odd": numbers.integers(0, 255, 3_000_001).astype(np.uint8),
        "half": torch.randn(700_000).to(torch.bfloat16),
        "aligned": numbers.normal(size=BIG).astype(np.complex128),
        "bytes": os.urandom(BIG_BYTES + 5),
    }
    many = [numbers.integers(0, 99, size % 40) for size in range(3000)]
    with Chain(tmp_path, back) as chain:
        answers = [future.result(20) for future in chain.call("f", sent, many)]

    for got, got_many in answers:
        assert torch.equal(got["half"], sent["half"])
        assert got["bytes"] == sent["bytes"]
        for name in ("big", "zero-d", "empty", "odd", "aligned"):
            assert got[name].dtype == sent[name].dtype
            assert got[name].shape == sent[name].shape
            assert got[name].tobytes() == sent[name].tobytes()
            assert got[name].flags.writeable
        assert all(np.array_equal(*pair) for pair in zip(got_many, many, strict=True))


def test_many_small_arrays_together_are_big(tmp_path: Path) -> None:
    many = [np.full(100, number) for number in range(3000)]
    with Chain(tmp_path, back, sites=1) as chain:
        [(got,)] = [future.result(20) for future in chain.call("f", many)]
        assert chain.proxies["relay data"].count == 1

    assert all(np.array_equal(*pair) for pair in zip(got, many, strict=True))


def test_small_call_does_not_overtake_a_big_one(tmp_path: Path) -> None:
    order: list[str] = []

    def note(site: Site, incoming: Incoming) -> None:
        order.append(incoming.call.args[0])

    with Chain(tmp_path, note, sites=1, harms={"relay data": [Harm("slow", "down", 0, 0.5)]}) as chain:
        names = ["big", "small", "bigger", "tiny"]
        sizes = (BIG, 1, 2 * BIG, 0)
        futures = [chain.call("f", name, np.zeros(size))[0] for name, size in zip(names, sizes, strict=True)]
        for future in futures:
            future.result(20)

    assert order == names


def test_broadcast_is_sealed_once_and_its_ciphertext_freed_when_all_have_it(tmp_path: Path) -> None:
    gate = Gate(value=0)
    with Chain(tmp_path, gate, sites=3) as chain:
        futures = chain.call("f", np.zeros(BIG))
        (held,) = [parcel.blob for parcel in chain.parcels._held.values()]
        assert held is not None
        wait_for(lambda: held._sealed is None)
        assert len(chain.parcels._held) == 1
        gate.may.set()

        assert [future.result(10) for future in futures] == [0, 0, 0]
        assert chain.parcels._held == {}
        assert "closed" in repr(held)


def test_nothing_of_a_settled_call_is_kept_at_either_end(tmp_path: Path) -> None:
    kept: list[weakref.ref[Any]] = []

    def answer(site: Site, incoming: Incoming) -> Any:
        kept.append(weakref.ref(incoming.call.args[0]))
        value = np.ones(BIG)
        kept.append(weakref.ref(value))
        return value

    with Chain(tmp_path, answer) as chain:
        array = np.zeros(BIG)
        kept.append(weakref.ref(array))
        futures = chain.call("f", array)
        values = [future.result(10) for future in futures]
        kept += [weakref.ref(value) for value in values]
        del array, futures, values

        def left() -> int:
            gc.collect()
            return sum(one() is not None for one in kept)

        wait_for(lambda: not left())
        cells = [chain.cell, *(site.up.cell for site in chain.sites.values())]
        wait_for(lambda: not any(cell.kept or cell.running() for cell in cells))


def test_memory_of_many_calls_does_not_add_up(tmp_path: Path) -> None:
    with Chain(tmp_path, back, sites=1) as chain:
        chain.call("f", np.zeros(BIG))[0].result(10)
        before = psutil.Process().memory_info().rss
        for _ in range(20):
            chain.call("f", np.ones(BIG))[0].result(10)
        wait_for(lambda: chain.sites["site-1"].up.cell.kept == 0)

        assert psutil.Process().memory_info().rss - before < 8 * 8 * BIG


def test_bytes_that_are_harmed_again_and_again_fail_the_call_by_name(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    harms = [Harm("corrupt", "down", 1000 + number * 2 * CHUNK_BYTES) for number in range(40)]
    with Chain(tmp_path, back, sites=1, harms={"relay data": harms}) as chain:
        [future] = chain.call("f", np.zeros(40 * CHUNK_BYTES // 8))
        with pytest.raises(RemoteError, match="was changed on its way") as caught:
            future.result(15)
        assert caught.value.type_name == "BlobError"
        # The site serves on.
        assert chain.call("f", 5)[0].result(10) == [5]
    # A further one was made for what might come next.
    assert caplog.text.count("a data connection is ended") == TRIES


def test_arguments_that_changed_while_a_new_attempt_needs_them_fail_the_call(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    gate = Gate(value=0)
    with Chain(tmp_path, gate, sites=1) as chain:
        array = np.zeros(BIG)
        [future] = chain.call("f", array)
        assert gate.reached.wait(10.0)
        array[-1] = 1
        chain.attempts["site-1"] = 2
        old = chain.sites["site-1"]
        chain.begin_site("site-1")
        with pytest.raises(RemoteError, match="does not hold these bytes any more"):
            future.result(10)
        gate.may.set()
        old.close()

    assert "the arguments of an open call were changed" in caplog.text


def test_new_attempt_gets_the_arguments_again(tmp_path: Path) -> None:
    gate = Gate()
    with Chain(tmp_path, gate, sites=1) as chain:
        array = np.arange(BIG)
        [future] = chain.call("f", array)
        assert gate.reached.wait(10.0)
        chain.attempts["site-1"] = 2
        old = chain.sites["site-1"]
        chain.begin_site("site-1")
        gate.may.set()
        assert np.array_equal(future.result(10)[0], array)
        old.close()


def test_attempt_that_died_while_its_call_was_on_the_way_does_not_hold_up_the_next(tmp_path: Path) -> None:
    served: list[int] = []

    def serve(call: Call) -> int:
        served.append(len(call.args[0]))
        return 1

    # Whatever connection is made, no chunk comes over it: the call is on its way until its attempt dies.
    harms = [Harm("stall", "up", 200 * number) for number in range(1, 100)]
    with Chain(tmp_path, back, sites=1, serve=serve, harms={"server data": harms}) as chain:
        wait_for(lambda: chain.cell.is_open("site-1"))
        chain.sites["site-1"].up.cell.start(Call("f", (np.zeros(BIG),)), ["server"])
        wait_for(lambda: chain.cell.running())
        chain.next_attempt("site-1")
        second = chain.sites["site-1"].up.cell.start(Call("f", (np.zeros(3),)), ["server"])[0].future

        assert second.result(10) == 1
        assert served == [3]


def test_cancelling_while_the_arguments_are_on_their_way_frees_them(tmp_path: Path) -> None:
    ran: list[Any] = []
    harms = [Harm("slow", "down", 0, 5.0)]
    with Chain(tmp_path, lambda site, incoming: ran.append(1), sites=1, harms={"relay data": harms}) as chain:
        cell = chain.sites["site-1"].up.cell
        pending = chain.cell.start(Call("f", (np.zeros(8 * BIG),)), ["site-1"])
        wait_for(lambda: cell.running())
        chain.cell.cancel(pending)

        assert isinstance(pending[0].future.exception(1.0), CallCancelled)
        assert chain.parcels._held == {}
        wait_for(lambda: not cell.running() and not cell.kept)
        assert ran == []


def test_timeout_while_the_answer_is_on_its_way_frees_it(tmp_path: Path) -> None:
    harms = [Harm("slow", "up", 0, 5.0)]

    def answer(site: Site, incoming: Incoming) -> Any:
        return np.zeros(8 * BIG)

    with Chain(tmp_path, answer, sites=1, harms={"relay data": harms}) as chain:
        cell = chain.sites["site-1"].up.cell
        [future] = chain.call("f", timeout=0.5)
        wait_for(lambda: cell.kept)

        assert isinstance(future.exception(5.0), CallTimeout)
        wait_for(lambda: not cell.kept)
        assert not cell.keeps_big


def test_worker_that_leaves_waits_until_its_big_answer_is_there(tmp_path: Path) -> None:
    value = np.arange(2 * BIG)
    harms = [Harm("outage", "up", 2_000_000, 0.4)]
    with Chain(tmp_path, lambda site, incoming: value, sites=1, harms={"relay data": harms}) as chain:
        site = chain.sites["site-1"]
        [future] = chain.call("f")
        wait_for(lambda: site.up.cell.kept)
        site.up.flush(0.1)

        assert np.array_equal(future.result(0.5), value)


def test_cell_that_a_blob_is_not_for_gets_nothing_of_it(tmp_path: Path) -> None:
    gate = Gate(value=0)
    with Chain(tmp_path, gate) as chain:
        futures = chain.call("f", np.zeros(BIG), sites=["site-1"])
        assert gate.reached.wait(10.0)
        (id,) = chain.parcels._held
        with pytest.raises(Exception, match="no blob"):
            chain.parcels.chunk_for(worker_cell("site-2"), id, 0)
        gate.may.set()
        futures[0].result(10)
        with pytest.raises(Exception, match="no blob"):
            chain.parcels.chunk_for(worker_cell("site-1"), id, 0)


def test_answer_over_the_limit_is_refused_before_memory_is_taken(tmp_path: Path) -> None:
    with Chain(tmp_path, lambda site, incoming: np.zeros(BIG), sites=1, most_bytes=BIG_BYTES * 2) as chain:
        with pytest.raises(RemoteError, match=f"{BIG_BYTES * 2} bytes that are taken"):
            chain.call("f")[0].result(10)
        assert chain.proxies["relay data"].count <= 1
        wait_for(lambda: not chain.sites["site-1"].up.cell.kept)


def test_cell_cannot_offer_the_session_of_another(tmp_path: Path) -> None:
    with Chain(tmp_path, back) as chain:
        chain.call("f", np.zeros(BIG))[0].result(10)
        taken = chain.parcels._peers[worker_cell("site-1")].session
        with pytest.raises(NotAllowed, match="session of another"):
            chain.parcels.meet(worker_cell("site-2"), taken)
        fresh, _ = offer_session(chain.server_keys.public)
        assert fresh.id != taken.id


def test_relay_that_is_restarted_while_bytes_are_on_their_way_loses_none(tmp_path: Path) -> None:
    array = np.arange(6 * BIG)
    with Chain(tmp_path, back, harms={"relay data": [Harm("slow", "down", 4_000_000, 0.5)]}) as chain:
        futures = chain.call("f", array)
        wait_for(lambda: chain.proxies["relay data"]._passed["down"] > 4_000_000)
        chain.restart_relay()

        assert all(np.array_equal(future.result(15)[0], array) for future in futures)


@pytest.mark.skipif(not os.environ.get("FOX_TEST_BIG"), reason="takes 14 GiB; FOX_TEST_BIG=1 runs it")
def test_one_array_beyond_4_gib_arrives(tmp_path: Path) -> None:
    array = np.zeros(2**32 + 4096, np.uint8)
    array[:: 2**20] = np.arange(array[:: 2**20].size) % 251
    with Chain(tmp_path, lambda site, incoming: int(incoming.call.args[0][:: 2**20].sum()), sites=1) as chain:
        assert chain.call("f", array)[0].result(100) == int(array[:: 2**20].sum())
