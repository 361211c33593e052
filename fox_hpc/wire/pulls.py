"""Pulls: the blobs that one end is fetching from one peer, and which chunks to ask for next. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from ..errors import BlobError
from .opened_blob import OpenedBlob

#: So many chunks are asked for before the first of them has come: what is on its way at most.
WINDOW = 16
#: A blob whose chunks do not open is asked for again so often.
TRIES = 3


class PeerGone(BlobError):
    """Whoever held the bytes has gone for good, or its site has begun another attempt."""


@dataclass(eq=False)
class Pull:
    """One blob on its way.

    Args:
        failed: called with the reason when it will not come.
        wanted: chunks that were not asked for yet, the next one last.
        keep: the holder is to keep it although it may be whole here.
        goals: sets of chunks that have not come, and what is called when all of a set have.
    """

    blob: OpenedBlob
    failed: Callable[[BlobError], None]
    wanted: list[int] = field(default_factory=list)
    goals: list[tuple[set[int], Callable[[], None]]] = field(default_factory=list)
    keep: bool = False
    broken: int = 0

    def reached(self, number: int) -> list[Callable[[], None]]:
        """A chunk is there: give what is to be called for it."""
        for missing, _ in self.goals:
            missing.discard(number)
        ready = [done for missing, done in self.goals if not missing]
        self.goals = [goal for goal in self.goals if goal[0]]
        return ready


class Pulls:
    """What is fetched from one peer, over one connection after another.

    Chunks that were asked for and had not come when a connection broke are asked for again on the next.
    Blobs that are fetched at the same time take turns.
    """

    def __init__(self) -> None:
        self._open: dict[bytes, Pull] = {}
        self._asked: set[tuple[bytes, int]] = set()

    def __repr__(self) -> str:
        return f"<Pulls {len(self._open)} blobs · {len(self._asked)} chunks asked for>"

    @property
    def busy(self) -> bool:
        """True while somebody waits for chunks."""
        return any(pull.goals for pull in self._open.values())

    @property
    def waiting(self) -> bool:
        """True while chunks were asked for that have not come."""
        return bool(self._asked)

    def add(self, blob: OpenedBlob, failed: Callable[[BlobError], None], *, keep: bool = False) -> bool:
        """Take a blob up; False if it is being fetched already, which goes on as it is."""
        if blob.id in self._open:
            return False
        self._open[blob.id] = Pull(blob, failed, keep=keep)
        return True

    def need(self, id: bytes, numbers: Sequence[int], done: Callable[[], None]) -> None:
        """Fetch some chunks of a blob that was added, in this order, and say when all are there."""
        pull = self._open.get(id)
        if pull is None:
            return
        missing = [number for number in numbers if not pull.blob.has(number)]
        if not missing:
            done()
            return
        pull.goals.append((set(missing), done))
        on_way = {number for blob, number in self._asked if blob == id} | set(pull.wanted)
        pull.wanted[:0] = [number for number in reversed(missing) if number not in on_way]

    def drop(self, id: bytes) -> None:
        """Nobody needs a blob any more; chunks that still come are thrown away."""
        if self._open.pop(id, None) is not None:
            self._asked = {asked for asked in self._asked if asked[0] != id}

    def begin_again(self) -> None:
        """The connection is a new one: what was asked for on the old one will not come."""
        self._asked.clear()
        for pull in self._open.values():
            left = {number: None for missing, _ in pull.goals for number in sorted(missing)}
            pull.wanted = [*left][::-1]

    def next_wanted(self) -> Iterator[tuple[bytes, int]]:
        """Give the chunks to ask for now, and count them as asked for."""
        while len(self._asked) < WINDOW:
            id = next((id for id, pull in self._open.items() if pull.wanted), None)
            if id is None:
                return
            # To the end of the row: the others have their turn.
            pull = self._open[id] = self._open.pop(id)
            asked = id, pull.wanted.pop()
            self._asked.add(asked)
            yield asked

    def place(self, id: bytes, number: int) -> memoryview | None:
        """Give the memory for a chunk that comes, None if nobody asked for it."""
        if (id, number) not in self._asked:
            return None
        try:
            return self._open[id].blob.place(number)
        except BlobError as error:
            self.fail(id, error)
            return None

    def arrived(self, id: bytes, number: int, tag: bytes) -> bool:
        """A chunk was written to its place: open it; True if the blob is whole now.

        Raises:
            BlobError: it does not open; the connection cannot be trusted any more.
        """
        if (id, number) not in self._asked:
            return False
        self._asked.discard((id, number))
        pull = self._open[id]
        try:
            pull.blob.open(number, tag)
        except BlobError as error:
            pull.broken += 1
            if pull.broken >= TRIES:
                self.fail(id, error)
            raise
        for done in pull.reached(number):
            done()
        return pull.blob.complete and not pull.keep

    def fail(self, id: bytes, error: BlobError) -> None:
        """A blob cannot be had."""
        pull = self._open.get(id)
        if pull is not None:
            self.drop(id)
            pull.failed(error)

    def fail_all(self, error: BlobError) -> None:
        """Nothing can be had from this peer."""
        for id in list(self._open):
            self.fail(id, error)
