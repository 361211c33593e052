"""What a site has had and let go of is not sent again; what has changed is, and all get the right values.

Over real links, a relay's pump and data connections; `asked` counts the chunks that were sent.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chain import Chain, Site
from tcp_proxy import Harm
from waiting import wait_for

from fox_hpc.errors import CallCancelled
from fox_hpc.wire.blob import CHUNK_BYTES
from fox_hpc.wire.cell import Incoming
from fox_hpc.wire.pages import WarmMemory
from fox_hpc.wire.parcels import Parcels

CHUNKS = 5
#: The chunk with the small frames, which is another one in each call.
HEAD = 1


def model() -> np.ndarray[Any, Any]:
    return np.random.default_rng(3).integers(0, 250, CHUNKS * CHUNK_BYTES, np.uint8)


class Sites:
    """What sites do with the arrays that they get: tell their sums, and what else the test says."""

    def __init__(self) -> None:
        self.then: Callable[[Any], Any] = lambda array: None

    def __call__(self, site: Site, incoming: Incoming) -> Any:
        said = [(int(array.sum(dtype=np.int64)), array[-3:].tolist()) for array in incoming.call.args]
        for array in incoming.call.args:
            self.then(array)
        return said


def right(*arrays: Any) -> list[Any]:
    return [(int(array.sum(dtype=np.int64)), array[-3:].tolist()) for array in arrays]


@pytest.fixture
def sites() -> Sites:
    return Sites()


@pytest.fixture
def chain(tmp_path: Path, sites: Sites) -> Iterator[Chain]:
    with Chain(tmp_path, sites) as made:
        yield made


def let_go(chain: Chain, *names: str) -> None:
    """Wait until the sites have let go of the arrays that came to them."""

    memories = [chain.sites[name].up._parcels._memory for name in names or chain.sites]
    wait_for(lambda: all(knows_some(memory) for memory in memories))


def knows_some(memory: WarmMemory) -> bool:
    """Tell whether there is memory in it of which it is known what it holds."""
    gc.collect()
    return memory.idle_bytes > 0 and any(memory._known.values())


def asked(chain: Chain, func: str, *arrays: Any, sites: tuple[str, ...] = ("site-1",)) -> int:
    """Call sites, see that they get the right values, and give how many chunks were sent for that."""
    before = chain.parcels.asked
    for future in chain.call(func, *arrays, sites=sites):
        assert future.result(20) == right(*arrays)
    return chain.parcels.asked - before


def test_model_that_is_evaluated_and_then_trained_is_sent_once(chain: Chain) -> None:
    array = model()

    assert asked(chain, "evaluate", array) == HEAD + CHUNKS
    let_go(chain, "site-1")
    assert asked(chain, "train", array.copy()) == HEAD
    let_go(chain, "site-1")
    assert asked(chain, "evaluate", array) == HEAD


def test_part_that_has_not_changed_is_not_sent(chain: Chain) -> None:
    frozen, trained = model(), model()[: 2 * CHUNK_BYTES + 3]
    asked(chain, "f", frozen, trained)
    let_go(chain, "site-1")

    assert asked(chain, "f", frozen, trained[::-1].copy()) == HEAD + 3


@pytest.mark.parametrize("place", [0, CHUNK_BYTES + 1000, CHUNKS * CHUNK_BYTES - 1000])
def test_one_number_that_has_changed_is_not_missed(chain: Chain, place: int) -> None:
    array = model()
    asked(chain, "f", array)
    let_go(chain, "site-1")
    array[place] += 1

    assert asked(chain, "f", array) == HEAD + CHUNKS


def test_chunk_in_which_a_site_has_written_is_sent_again(chain: Chain, sites: Sites) -> None:
    array, sites.then = model(), lambda got: got.__setitem__(2 * CHUNK_BYTES + 7, 255)
    asked(chain, "f", array)
    let_go(chain, "site-1")

    assert asked(chain, "f", array) == HEAD + 1


def test_array_that_a_site_has_trained_where_it_lay_is_sent_again(chain: Chain, sites: Sites) -> None:
    array, sites.then = model(), lambda got: np.add(got, 1, out=got)
    asked(chain, "f", array)
    let_go(chain, "site-1")

    assert asked(chain, "f", array) == HEAD + CHUNKS


def test_site_that_uses_its_array_still_gets_another_one(chain: Chain, sites: Sites) -> None:
    array, kept = model(), list[Any]()
    sites.then = kept.append
    asked(chain, "f", array)

    assert asked(chain, "f", array) == HEAD + CHUNKS
    kept[0][:] = 0
    assert np.array_equal(kept[1], array)


def test_next_attempt_of_a_site_gets_everything(chain: Chain) -> None:
    array = model()
    asked(chain, "f", array)
    let_go(chain, "site-1")
    chain.next_attempt("site-1")

    assert asked(chain, "f", array) == HEAD + CHUNKS


def test_broadcast_goes_to_the_site_that_has_not_had_it(chain: Chain) -> None:
    array = model()
    asked(chain, "f", array)
    let_go(chain, "site-1")

    assert asked(chain, "g", array, sites=("site-1", "site-2")) == HEAD + HEAD + CHUNKS
    let_go(chain)
    assert asked(chain, "h", array, sites=("site-1", "site-2")) == 2 * HEAD


def test_answer_that_is_the_same_again_is_not_sent_again(tmp_path: Path) -> None:
    array = model()
    with Chain(tmp_path, lambda site, incoming: array, sites=1) as chain:
        assert chain.call("f")[0].result(20)[-1] == array[-1]
        parcels = chain.sites["site-1"].up._parcels
        before = parcels.asked
        wait_for(lambda: knows_some(chain.parcels._memory))
        again = chain.call("f")[0].result(20)

    assert np.array_equal(again, array)
    assert parcels.asked - before == HEAD


def test_two_calls_at_once_with_the_same_each_get_it(chain: Chain) -> None:
    array = model()
    asked(chain, "f", array)
    let_go(chain, "site-1")
    futures = [chain.call(func, array, sites=["site-1"])[0] for func in ("f", "g", "h")]

    assert [future.result(20) for future in futures] == [right(array)] * 3


def test_call_that_was_cancelled_half_way_leaves_the_next_one_all_that_it_needs(
    tmp_path: Path, sites: Sites
) -> None:
    array, harms = model(), [Harm("slow", "down", 3 * CHUNK_BYTES, 0.7)]
    with Chain(tmp_path, sites, sites=1, harms={"relay data": harms}) as chain:
        pending = chain.call("f", array)
        wait_for(lambda: chain.proxies["relay data"]._passed["down"] > 3 * CHUNK_BYTES)
        chain.cell.abort()
        assert isinstance(pending[0].exception(5.0), CallCancelled)

        assert asked(chain, "f", array) >= HEAD + CHUNKS
        let_go(chain)
        assert asked(chain, "f", array) == HEAD


def test_connection_that_breaks_meanwhile_harms_nothing(chain: Chain) -> None:
    array = model()
    asked(chain, "f", array)
    let_go(chain, "site-1")
    for place in ("relay data", "server data"):
        chain.proxies[place].cut()  # type: ignore[index]

    assert asked(chain, "f", array) <= 2 * HEAD


class Held:
    """Lets an end that looks for bytes wait until it may go on."""

    def __init__(self, parcels: Parcels) -> None:
        self.looked, self.may = threading.Event(), threading.Event()
        self._look = parcels._look
        parcels._look = self  # type: ignore[assignment]

    def __call__(self, *words: Any) -> None:
        self.looked.set()
        assert self.may.wait(10.0)
        self._look(*words)


def test_site_that_is_parted_while_it_looks_hears_that_the_holder_is_gone(chain: Chain) -> None:
    parcels, array = chain.sites["site-1"].up._parcels, model()
    asked(chain, "f", array)
    let_go(chain, "site-1")
    held = Held(parcels)
    [future] = chain.call("f", array, sites=["site-1"])
    assert held.looked.wait(10.0)
    chain.sites["site-1"].io.call_soon(lambda: parcels.part("server"))
    held.may.set()

    assert "is gone" in str(future.exception(10.0))


def test_answer_that_nobody_waits_for_any_more_is_not_fetched_once_it_was_looked_for(tmp_path: Path) -> None:
    array = model()
    with Chain(tmp_path, lambda site, incoming: array, sites=1) as chain:
        assert chain.call("f")[0].result(20)[-1] == array[-1]
        wait_for(lambda: knows_some(chain.parcels._memory))
        before = chain.sites["site-1"].up._parcels.asked
        held = Held(chain.parcels)
        [future] = chain.call("f")
        assert held.looked.wait(10.0)
        chain.cell.abort()
        assert isinstance(future.exception(5.0), CallCancelled)
        held.may.set()
        # What was looked in is back: else all of `g` would be fetched, and rightly.
        wait_for(lambda: knows_some(chain.parcels._memory))
        assert chain.call("g")[0].result(20)[-1] == array[-1]

        assert chain.sites["site-1"].up._parcels.asked - before <= HEAD + CHUNKS
        assert not chain.parcels._looking
