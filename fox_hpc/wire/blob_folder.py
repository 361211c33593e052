"""BlobFolder: blobs in a folder that both ends see, instead of on a data connection.

A file is a blob's chunks in order, each with its tag behind it, sealed as on the wire: whoever reads the
folder has no key. It is whole from the moment at which it has its name.
"""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

from ..errors import BlobError, WorkspaceError
from .blob import TAG_BYTES, Plan
from .opened_blob import OpenedBlob
from .sealed_blob import SealedBlob

#: A file that another node has made may take so long to be seen: NFS keeps what a folder held for up to 60 s.
SEEN_S = 90.0
LOOK_S = 0.05


class BlobFolder:
    """One run's folder; any number of cells may share it. For use from any thread.

    Raises:
        WorkspaceError: the folder cannot be made.
    """

    def __init__(self, path: Path, *, seen_s: float = SEEN_S) -> None:
        self.path, self._seen_s = path, seen_s
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.chmod(0o700)
        except OSError as error:
            raise WorkspaceError(f"blob_location {path} cannot be made: {error.strerror}") from error

    def __repr__(self) -> str:
        return f"<BlobFolder {self.path}>"

    def write(self, blob: SealedBlob) -> None:
        """Put a sealed blob there.

        Raises:
            BlobError: it cannot be written.
        """
        path = self._file(blob.id)
        part = path.with_suffix(".part")
        try:
            with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                for number in range(len(blob.plan.chunks)):
                    for piece in blob.chunk(number):
                        file.write(piece)
            part.replace(path)
        except OSError as error:
            part.unlink(missing_ok=True)
            raise BlobError(f"a blob cannot be written to {self.path}: {error.strerror}") from error

    def read(self, blob: OpenedBlob) -> None:
        """Read what is missing of a blob, and open it where it stays; waits until its file is seen.

        Raises:
            BlobError: it is not there, or not what was sealed.
        """
        deadline = time.monotonic() + self._seen_s
        while True:
            try:
                with self._file(blob.id).open("rb", buffering=0) as file:
                    for number, chunk in enumerate(blob.plan.chunks):
                        if blob.has(number):
                            file.seek(chunk.size + TAG_BYTES, os.SEEK_CUR)
                            continue
                        tag = bytearray(TAG_BYTES)
                        if not (
                            _fill(file.fileno(), blob.place(number)) and _fill(file.fileno(), memoryview(tag))
                        ):
                            raise BlobError(f"the file of {blob!r} in {self.path} is cut short")
                        blob.open(number, bytes(tag))
                return
            except FileNotFoundError:
                if time.monotonic() > deadline:
                    raise BlobError(f"{self.path} holds no file of {blob!r}: do both ends see it?") from None
                # Asking for the names makes NFS look anew.
                list(self.path.iterdir())
                time.sleep(LOOK_S)
            except OSError as error:
                raise BlobError(f"{self.path} cannot be read: {error.strerror}") from error

    def chunk(self, id: bytes, plan: Plan, number: int) -> tuple[memoryview, bytes]:
        """Give one chunk and its tag, for a receiver that does not see the folder.

        Raises:
            BlobError: it cannot be read.
        """
        size = plan.chunks[number].size + TAG_BYTES
        start = sum(chunk.size + TAG_BYTES for chunk in plan.chunks[:number])
        try:
            with self._file(id).open("rb", buffering=0) as file:
                data = os.pread(file.fileno(), size, start)
        except OSError as error:
            raise BlobError(f"a blob cannot be read from {self.path}: {error.strerror}") from error
        return memoryview(data)[:-TAG_BYTES], data[-TAG_BYTES:]

    def remove(self, id: bytes) -> None:
        """Nobody needs a blob any more."""
        self._file(id).unlink(missing_ok=True)

    def clear(self) -> None:
        """Remove the folder with what processes that were killed have left in it."""
        shutil.rmtree(self.path, ignore_errors=True)

    def _file(self, id: bytes) -> Path:
        # By the id alone: nothing that a peer says can name another file.
        return self.path / f"{id.hex()}.blob"


def blob_folder(path: str) -> BlobFolder | None:
    """Make the folder of that path, None if there is none; raises WorkspaceError if it cannot be made."""
    return BlobFolder(Path(path)) if path else None


def _fill(file: int, place: memoryview) -> bool:
    while place:
        count = os.readv(file, [place])
        if not count:
            return False
        place = place[count:]
    return True
