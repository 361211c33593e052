"""Which batch of a site is the next one."""

from __future__ import annotations

import pytest

from fox_hpc.errors import WireError
from fox_hpc.server.lanes import Lanes


def test_only_the_next_number_counts():
    lanes = Lanes()

    assert [lanes.is_next("site-1", 1, id) for id in ("0", "1", "2")] == [False, True, False]
    lanes.took("site-1")
    assert [lanes.is_next("site-1", 1, id) for id in ("1", "2")] == [False, True]
    assert lanes.last("site-1") == "1@0"


def test_sites_and_attempts_count_for_themselves():
    lanes = Lanes()
    for site in ("site-1", "site-2"):
        assert lanes.is_next(site, 1, "1")
        lanes.took(site)

    assert lanes.is_next("site-1", 2, "1")
    assert lanes.is_next("site-2", 1, "2")


def test_a_process_that_takes_anothers_place_counts_anew_and_the_old_one_comes_too_late():
    lanes = Lanes()
    assert lanes.is_next("site-1", 1, "1@500")
    lanes.took("site-1")

    assert lanes.is_next("site-1", 1, "1@700")
    lanes.took("site-1")
    assert not lanes.is_next("site-1", 1, "2@500")
    assert lanes.last("site-1") == "1@700"


@pytest.mark.parametrize("id", ["", "-1", "one", "1@x"])
def test_what_is_no_number_is_refused(id: str):
    with pytest.raises(WireError, match="not a batch's number"):
        Lanes().is_next("site-1", 1, id)
