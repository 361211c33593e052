"""A folder of blobs: read as they were sealed, or not at all."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from fox_hpc.errors import BlobError
from fox_hpc.wire.blob_folder import BlobFolder
from fox_hpc.wire.opened_blob import OpenedBlob
from fox_hpc.wire.sealed_blob import SealedBlob

FRAMES = [b"head", os.urandom(5_000_001), os.urandom(700), b""]


@pytest.fixture
def folder(tmp_path: Path) -> BlobFolder:
    """A folder whose files are seen at once."""
    return BlobFolder(tmp_path / "blobs", seen_s=0)


@pytest.fixture
def sealed() -> SealedBlob:
    """A blob of several chunks."""
    blob = SealedBlob(FRAMES)
    blob.seal()
    return blob


def opened(blob: SealedBlob) -> OpenedBlob:
    return OpenedBlob(blob.id, blob.key, blob.plan.sizes)


def the_file(folder: BlobFolder) -> Path:
    [path] = folder.path.iterdir()
    return path


def test_what_was_written_is_read(folder: BlobFolder, sealed: SealedBlob) -> None:
    folder.write(sealed)
    back = opened(sealed)
    folder.read(back)

    assert [bytes(frame) for frame in back.frames()] == FRAMES
    assert the_file(folder).stat().st_mode & 0o777 == 0o600
    assert b"head" not in the_file(folder).read_bytes()


def test_what_is_there_already_is_not_read(folder: BlobFolder, sealed: SealedBlob) -> None:
    folder.write(sealed)
    back = opened(sealed)
    chunk, tag = sealed.chunk(2)
    back.place(2)[:] = chunk
    back.open(2, tag)
    data = bytearray(the_file(folder).read_bytes())
    data[-500_000] ^= 1
    the_file(folder).write_bytes(data)
    with pytest.raises(BlobError, match="chunk 3"):
        folder.read(back)
    data[-500_000] ^= 1
    at = sum(chunk.size + 16 for chunk in sealed.plan.chunks[:2])
    data[at + 5] ^= 1
    the_file(folder).write_bytes(data)
    folder.read(back)

    assert [bytes(frame) for frame in back.frames()] == FRAMES


def test_one_chunk_is_given_as_it_was_sealed(folder: BlobFolder, sealed: SealedBlob) -> None:
    folder.write(sealed)
    for number in range(len(sealed.plan.chunks)):
        assert folder.chunk(sealed.id, sealed.plan, number) == sealed.chunk(number)


def test_a_changed_file_is_not_read(folder: BlobFolder, sealed: SealedBlob) -> None:
    folder.write(sealed)
    data = bytearray(the_file(folder).read_bytes())
    data[3_000_000] ^= 1
    the_file(folder).write_bytes(data)

    with pytest.raises(BlobError, match="was changed on its way"):
        folder.read(opened(sealed))


def test_a_file_that_is_cut_short_is_not_read(folder: BlobFolder, sealed: SealedBlob) -> None:
    folder.write(sealed)
    os.truncate(the_file(folder), 100)

    with pytest.raises(BlobError, match="is cut short"):
        folder.read(opened(sealed))


def test_a_file_that_comes_late_is_waited_for(tmp_path: Path, sealed: SealedBlob) -> None:
    there, back = BlobFolder(tmp_path), opened(sealed)
    reader = threading.Thread(target=there.read, args=(back,))
    reader.start()
    there.write(sealed)
    reader.join(30)

    assert back.complete


def test_a_file_that_does_not_come_is_said(folder: BlobFolder, sealed: SealedBlob) -> None:
    with pytest.raises(BlobError, match="do both ends see it"):
        folder.read(opened(sealed))
    with pytest.raises(BlobError, match="No such file"):
        folder.chunk(sealed.id, sealed.plan, 0)


def test_what_was_removed_is_gone(folder: BlobFolder, sealed: SealedBlob) -> None:
    folder.write(sealed)
    folder.remove(sealed.id)
    folder.remove(sealed.id)

    assert list(folder.path.iterdir()) == []
