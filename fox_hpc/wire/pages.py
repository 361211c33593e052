"""Memory for blobs: fresh from the system, or used again while it is warm.

The first touch of a page costs more than the bytes that come to lie there. What a model of one round lay in
fits that of the next, so a region whose last view is gone is kept for a while. One that a blob has filled is
known by what it holds: should the same be sent again, it is here, unless somebody has written there.
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any

from ..errors import BlobError
from .seals import Seal

#: Gives memory of a size; raises BlobError if there is not as much.
Memory = Callable[[int], memoryview]

#: A region that nobody has viewed for so long goes back; before, if the system is short of memory.
IDLE_S = 60.0
#: One of which it is known what it holds. A model may be sent again once the slowest site has evaluated it;
#: what the system needs it takes all the same.
KNOWN_S = 600.0
#: Regions are multiples of this, so that a header which is longer by a few bytes fits where the last one lay.
GRAIN_BYTES = 2**16
HUGE_BYTES = 2**21
#: What is smaller is soon made.
LEAST_BYTES = 2**20
#: None once the interpreter ends: it takes names away, and lets views go after that.
_RUNS = True


class Region:
    """Anonymous memory, in huge pages where there are any; who views it keeps it.

    Raises:
        BlobError: there is not as much.
    """

    def __init__(self, size: int) -> None:
        self.size = room(size)
        try:
            self._pages = mmap.mmap(-1, self.size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        except OSError as error:
            raise BlobError(f"no memory for the {size} bytes of a message: {error.strerror}") from error
        #: When it was viewed last.
        self.idle_since = 0.0
        #: What it was filled with; its last viewers may have changed that.
        self.seal: Seal | None = None
        #: Some of its pages were given back: it is not warm any more.
        self.spoilt = False
        self._gone: weakref.ref[Any] | None = None
        # A class of its own may be referred to weakly, and an object of it has attributes.
        self._kind: Any = type("Pages", (ctypes.c_char * self.size,), {})
        self._advise("MADV_HUGEPAGE", HUGE_BYTES)

    def view(self, size: int, gone: Callable[[Region], None] | None = None) -> memoryview:
        """Give its first bytes; `gone` is called when the last view of them is gone, on any thread."""
        pages = self._kind.from_buffer(self._pages)
        pages.region = self
        if gone is not None:

            def ended(_: Any) -> None:
                # Else this region would hold itself.
                self._gone = None
                gone(self)

            self._gone = weakref.ref(pages, ended)
        return memoryview(pages).cast("B")[:size]

    def lend(self) -> None:
        """Nobody views it: the system may have its pages if it is short of any, and not at once."""
        self._advise("MADV_FREE")

    def give_back(self, start: int, size: int) -> None:
        """Give the pages of some bytes back at once; they read as zeros from then on."""
        self.spoilt = True
        self._pages.madvise(mmap.MADV_DONTNEED, start, size // mmap.PAGESIZE * mmap.PAGESIZE)

    def _advise(self, name: str, least: int = 0) -> None:
        if self.size >= least and hasattr(mmap, name):
            # A system without this advice does without it.
            with contextlib.suppress(OSError):
                self._pages.madvise(getattr(mmap, name))


def fresh(size: int) -> memoryview:
    """Give fresh memory, which goes back to the system with its last view.

    Raises:
        BlobError: there is not as much.
    """
    return Region(size).view(size) if size else memoryview(bytearray())


def region_of(place: memoryview) -> Region | None:
    """Give the region that memory is a view of."""
    return getattr(place.obj, "region", None)


class WarmMemory:
    """Regions that are used again; from any thread.

    It never makes a process hold more than it would at its peak without it: what does not fit is given back
    before as much is taken anew. So what is used and what is kept are together no more than was used at once.

    Args:
        call_later: runs an action after some seconds.
    """

    def __init__(self, call_later: Callable[[float, Callable[[], None]], Any]) -> None:
        self._call_later = call_later
        # The only thing that is touched when a view goes, which may be within anything, this class too.
        self._returned: deque[Region] = deque()
        self._lock = threading.Lock()
        #: What is kept, by its size.
        self._idle: dict[int, list[Region]] = {}
        #: The same of which it is known what it holds, by the key of that, the oldest first.
        self._known: dict[int, dict[bytes, Region]] = {}
        self._watched = self._closed = False

    def __repr__(self) -> str:
        return f"<WarmMemory {self.idle_bytes} bytes idle>"

    @property
    def idle_bytes(self) -> int:
        """What is kept and not in use."""
        with self._lock:
            self._take_in()
            kept = [*self._idle.items(), *self._known.items()]
            return sum(size * len(regions) for size, regions in kept)

    def __call__(self, size: int) -> memoryview:
        """Give memory with any bytes in it; see Memory."""
        if size < LEAST_BYTES:
            return fresh(size)
        with self._lock:
            self._take_in()
            region = self._fitting(size)
        if region is None:
            region = Region(size)
        region.seal = None
        return region.view(size, self._gone)

    def take(self, size: int, key: bytes) -> memoryview | None:
        """Give memory that was filled with what has that key, None if there is none; see seals.Kept."""
        with self._lock:
            self._take_in()
            region = self._known.get(room(size), {}).pop(key, None)
        return region.view(size, self._gone) if region is not None else None

    def close(self) -> None:
        """Keep nothing from now on."""
        with self._lock:
            self._closed = True
            self._take_in()
            self._idle.clear()
            self._known.clear()

    def _fitting(self, size: int) -> Region | None:
        """Give a region of that size, a known one last; if there is none, give as much back."""
        exact = room(size)
        if self._idle.get(exact):
            return self._idle[exact].pop()
        if self._known.get(exact):
            return _pop_first(self._known[exact])
        while size > 0 and self._idle:
            one, regions = next(iter(self._idle.items()))
            if regions:
                regions.pop()
                size -= one
            else:
                del self._idle[one]
        while size > 0 and self._known:
            one, known = next(iter(self._known.items()))
            if known:
                _pop_first(known)
                size -= one
            else:
                del self._known[one]
        return None

    def _take_in(self) -> None:
        while self._returned:
            region = self._returned.popleft()
            if self._closed:
                continue
            if region.seal is None:
                self._idle.setdefault(region.size, []).append(region)
                continue
            known = self._known.setdefault(region.size, {})
            twin = known.pop(region.seal.key, None)
            known[region.seal.key] = region
            if twin is not None:
                self._idle.setdefault(region.size, []).append(twin)

    def _gone(self, region: Region) -> None:
        if _RUNS and not (self._closed or region.spoilt):
            region.lend()
            region.idle_since = time.monotonic()
            self._returned.append(region)
            self._watch()

    def _watch(self) -> None:
        if not self._watched:
            self._watched = True
            self._call_later(IDLE_S, self._look)

    def _look(self) -> None:
        """Give back what nobody has needed for long."""
        self._watched = False
        late = time.monotonic() - IDLE_S
        too_late = time.monotonic() - KNOWN_S
        with self._lock:
            self._take_in()
            idle = {
                size: [region for region in regions if region.idle_since > late]
                for size, regions in self._idle.items()
            }
            known = {
                size: {key: region for key, region in regions.items() if region.idle_since > too_late}
                for size, regions in self._known.items()
            }
            self._idle = {size: regions for size, regions in idle.items() if regions}
            self._known = {size: regions for size, regions in known.items() if regions}
            kept = bool(self._idle or self._known)
        if kept:
            self._watch()


def room(size: int) -> int:
    """Give how much a region has for so many bytes."""
    return -(-size // GRAIN_BYTES) * GRAIN_BYTES


def _pop_first(known: dict[bytes, Region]) -> Region:
    return known.pop(next(iter(known)))
