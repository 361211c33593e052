from __future__ import annotations

import ipaddress

from fox_hpc.hpc.probe import candidate_hosts, rank_hosts


def test_names_come_first_then_ipv4_then_ipv6_then_loopback() -> None:
    names = {"login.site.org": ["10.0.0.1"], "login": ["10.0.0.1"]}
    interfaces = ["127.0.0.1", "fd00::2", "10.0.0.1", "::1", "192.168.4.1"]

    assert rank_hosts(None, names, interfaces) == [
        "login.site.org",
        "login",
        "10.0.0.1",
        "192.168.4.1",
        "fd00::2",
        "127.0.0.1",
    ]


def test_a_name_that_leads_to_loopback_only_is_left_out() -> None:
    names = {"login": ["127.0.1.1"], "nowhere": [], "mixed": ["::1", "10.0.0.1"]}

    assert rank_hosts(None, names, []) == ["mixed", "127.0.0.1"]


def test_link_local_and_unspecified_addresses_are_left_out() -> None:
    interfaces = ["fe80::1%eth0", "169.254.0.7", "0.0.0.0", "10.0.0.1"]

    assert rank_hosts(None, {}, interfaces) == ["10.0.0.1", "127.0.0.1"]


def test_a_hint_goes_first_and_nothing_is_said_twice() -> None:
    assert rank_hosts("10.0.0.1", {}, ["10.0.0.9", "10.0.0.1"]) == ["10.0.0.1", "10.0.0.9", "127.0.0.1"]


def test_this_host_has_candidates() -> None:
    hosts = candidate_hosts("chosen.site.org")

    assert hosts[0] == "chosen.site.org"
    assert hosts[-1] == "127.0.0.1"
    assert len(hosts) == len(set(hosts))
    assert all(ipaddress.ip_address(host) for host in hosts if host[0].isdigit())
