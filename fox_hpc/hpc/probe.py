"""Under which addresses may a compute node reach this host?

Nobody on this host can know; so all that may be right are given, and the worker tries them at once.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable, Mapping, Sequence

import psutil

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def candidate_hosts(hint: str | None = None) -> list[str]:
    """List names and addresses of this host, those that most likely work first, loopback last.

    Args:
        hint: an address that somebody chose, which then goes first.
    """
    names = {name: _resolve(name) for name in dict.fromkeys((socket.getfqdn(), socket.gethostname()))}
    return rank_hosts(hint, names, _interface_addresses())


def rank_hosts(
    hint: str | None, names: Mapping[str, Sequence[str]], interface_addresses: Iterable[str]
) -> list[str]:
    """Order candidates: the hint, names of this host, its IPv4, its IPv6 addresses, loopback.

    A name counts only if it leads to an address that others can use: Debian's /etc/hosts, for one,
    gives the host's own name 127.0.1.1. Link-local addresses need a zone that differs from host to host.

    Args:
        names: each name of this host, with the addresses to which it resolves here.
        interface_addresses: the addresses of the interfaces that are up.
    """
    usable = [
        address
        for address in _parsed(interface_addresses)
        if not (address.is_loopback or address.is_link_local or address.is_unspecified)
    ]
    # Sorting is stable: within a family the order of the interfaces stays.
    usable.sort(key=lambda address: address.version)
    reachable = [name for name, found in names.items() if any(not a.is_loopback for a in _parsed(found))]
    ordered = [*([hint] if hint else []), *reachable, *map(str, usable), "127.0.0.1"]
    return list(dict.fromkeys(ordered))


def _parsed(addresses: Iterable[str]) -> list[Address]:
    return [ipaddress.ip_address(address.partition("%")[0]) for address in addresses]


def _resolve(name: str) -> list[str]:
    try:
        return [str(entry[4][0]) for entry in socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)]
    except OSError:
        return []


def _interface_addresses() -> list[str]:
    up = {name for name, stats in psutil.net_if_stats().items() if stats.isup}
    families = (socket.AF_INET, socket.AF_INET6)
    return [
        entry.address
        for name, entries in psutil.net_if_addrs().items()
        if name in up
        for entry in entries
        if entry.family in families
    ]
