from __future__ import annotations

import socket

import pytest

from fox_hpc.site.driver import _address, _is_here


def test_the_ranks_meet_under_a_name_that_leads_to_this_node():
    assert _address("localhost") == "localhost"


@pytest.mark.parametrize("name", ["no-such-node.invalid", "192.0.2.1"])
def test_a_name_that_leads_nowhere_or_elsewhere_is_not_used(name: str):
    assert not _is_here(name)
    assert socket.inet_aton(_address(name))
