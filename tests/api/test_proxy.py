"""Proxies: parts of the list of sites, and options."""

from __future__ import annotations

from typing import Any

import pytest

from fox_hpc import Proxy, ProxyList, RecipeError, fox
from fox_hpc.api.context import Context


def test_part_by_number_or_name_is_a_proxy(context: Context) -> None:
    assert [repr(fox.clients[key]) for key in (0, -1, "site-2")] == [
        "<Proxy site-1>",
        "<Proxy site-3>",
        "<Proxy site-2>",
    ]


def test_part_by_slice_or_list_is_a_list(context: Context) -> None:
    assert fox.clients[1:].site_names == ("site-2", "site-3")
    assert fox.clients[["site-3", "site-1"]].site_names == ("site-3", "site-1")


def test_list_has_a_length_and_iterates(context: Context) -> None:
    assert len(fox.clients) == 3
    assert [site.site_name for site in fox.clients] == ["site-1", "site-2", "site-3"]


def test_unknown_site_is_refused_with_those_there_are(context: Context) -> None:
    with pytest.raises(RecipeError, match="no site 'site-9'; the sites are site-1, site-2, site-3"):
        fox.clients["site-9"]


def test_unknown_option_is_refused_with_the_right_ones(context: Context) -> None:
    with pytest.raises(RecipeError, match=r"unknown call option 'time_out'; the options are .*timeout"):
        fox.clients(time_out=3)


@pytest.mark.parametrize("wrong", [{"timeout": 0}, {"parallel": -1}, {"min_success": -1}, {"ranks": "one"}])
def test_wrong_option_is_refused(context: Context, wrong: dict[str, Any]) -> None:
    with pytest.raises(RecipeError, match="is right"):
        fox.clients(**wrong)


def test_options_make_a_new_list(context: Context, backend: Any) -> None:
    fox.clients(timeout=5)
    fox.clients(expect_result=False).train()

    assert backend.calls[0].timeout is None


def test_empty_list_cannot_be_called(context: Context) -> None:
    with pytest.raises(RecipeError, match="the list of sites is empty"):
        fox.clients[:0].train()


def test_special_names_make_no_calls(context: Context, backend: Any) -> None:
    assert not hasattr(fox.clients, "__deepcopy__")
    assert not hasattr(Proxy(backend, "site-1"), "_private")
    assert not hasattr(ProxyList([]), "__array__")
    assert backend.calls == []
