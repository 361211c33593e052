"""Resource requirement strings: `select[…] rusage[mem=4GB] span[ptile=2]`. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from fox_hpc.fake.request import Refused

BAD = "Bad resource requirement syntax. Job not submitted."
SECTIONS = ("select", "order", "rusage", "span", "same", "cu", "affinity", "filter")
_NAMES = """
 r15s r1m r15m ut pg io ls it tmp swp mem status ncpus ndisks maxmem maxswp maxtmp cpuf type model hname
 server cpu nprocs ncores nthreads ngpus ngpus_physical defined any local hosts gpu slots maxslots
"""
KNOWN = frozenset(_NAMES.split())
UNITS = {"K": 1 / 1024, "M": 1.0, "G": 1024.0, "T": 1024.0 * 1024}


@dataclass(frozen=True)
class Requirement:
    """What the strings ask for that this cluster heeds."""

    ptile: int = 0
    one_host: bool = False
    mem_mb: int = 0


def requirement(texts: Iterable[str], features: Iterable[str] = ()) -> Requirement:
    """What all -R together ask for; raises Refused as bsub does (texts recorded from OpenLava)."""
    ptile, one_host, mem = 0, False, 0
    for text in texts:
        for name, body in _sections(text):
            if name == "select":
                _check_select(body, {*KNOWN, *features})
            elif name == "rusage":
                mem = max(mem, _memory(body))
            elif name == "span":
                ptile, one_host = _span(body)
    return Requirement(ptile, one_host, mem)


def _sections(text: str) -> Iterable[tuple[str, str]]:
    position, found = 0, set()
    pattern = re.compile(r"\s*(\w+)\[([^\[\]]*)\]")
    if "[" not in text:
        yield "select", text
        return
    while text[position:].strip():
        match = pattern.match(text, position)
        if match is None or match[1] not in SECTIONS or match[1] in found:
            raise Refused(BAD, 255)
        found.add(match[1])
        yield match[1], match[2]
        position = match.end()


def _check_select(body: str, known: set[str]) -> None:
    """Names must be resources; what stands right of a comparison may be anything."""
    if body.count("(") != body.count(")"):
        raise Refused(BAD, 255)
    bare = re.sub(r"(==|!=|<=|>=|=|<|>)\s*\"?[\w.:\-]+\"?", " ", body)
    for word in re.findall(r"[A-Za-z_]\w*", bare):
        if word not in known:
            raise Refused(BAD, 255)


def _memory(body: str) -> int:
    """Megabytes of `mem=4000`, `mem=4GB:duration=60,tmp=100`."""
    mem = 0.0
    for item in re.split(r"[,:]|\|\||&&", body):
        name, equals, value = (part.strip() for part in item.partition("="))
        match = re.fullmatch(r"(\d+(?:\.\d+)?)([KMGT]?)B?", value.upper())
        if not equals or (match is None and name not in ("duration", "decay")):
            raise Refused(BAD, 255)
        if match and name == "mem":
            mem = float(match[1]) * UNITS[match[2] or "M"]
    return int(mem)


def _span(body: str) -> tuple[int, bool]:
    match = re.fullmatch(r"\s*(ptile|hosts|block|stride)\s*=\s*(\d+|!)\s*.*", body)
    if match is None:
        raise Refused(BAD, 255)
    if match[1] == "hosts":
        return 0, match[2] == "1"
    return (int(match[2]) if match[1] == "ptile" and match[2] != "!" else 0), False
