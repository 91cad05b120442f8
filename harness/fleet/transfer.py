"""Entries of the cache on their way between hosts: packed as they lie, checked on arrival, found by their digest."""

from __future__ import annotations

import io
import shutil
import tarfile
import tempfile
from pathlib import Path, PurePosixPath
from typing import IO, Any

from harness import sealed
from harness.build import manifest
from harness.build.cache import Cache
from harness.build.manifest import META
from harness.errors import StoreError, UsageError
from harness.fleet.model import Entry

MOST_BYTES = 4 * 10**9
"""What is sent through the fleet itself; larger entries need a depot that all hosts reach."""

IN_MEMORY = 64 * 2**20
"""What a packed entry may take of the memory before it goes to a file."""


def has(cache: Cache, entry: Entry) -> bool:
    """Whether an entry is there and whole."""
    return cache.meta(*entry) is not None


def pack(cache: Cache, entry: Entry, into: IO[bytes]) -> None:
    """Write an entry as a tar archive, uncompressed, since weights do not get smaller.

    Raises:
        StoreError: the cache does not have it.
    """
    if not has(cache, entry):
        raise StoreError(f"{'/'.join(entry)} is not in the cache {cache.root} any more: run the command again.")
    folder = cache.place(*entry)
    with tarfile.open(fileobj=into, mode="w|") as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.add(path, path.relative_to(folder).as_posix(), recursive=False)


def unpack(cache: Cache, entry: Entry, source: IO[bytes]) -> None:
    """Put an entry into the cache that `pack` wrote, if it is whole and the one that was asked for.

    Raises:
        StoreError: it is damaged, or another one; or the cache cannot be written.
    """
    kind, digest = entry
    with cache.workdir() as folder:
        inside = folder / "entry"
        try:
            with cache.writing(), tarfile.open(fileobj=source, mode="r|") as archive:
                inside.mkdir()
                for member in archive:
                    _write(inside, member, archive)
        except (tarfile.TarError, EOFError, ValueError) as error:
            raise StoreError(f"{kind}/{digest} arrived damaged: {error}. It is asked for again.") from error
        content = _checked(inside, f"{kind}/{digest}")
        cache.admit(kind, digest, inside, content)


def _write(folder: Path, member: tarfile.TarInfo, archive: tarfile.TarFile) -> None:
    """Write one file of an archive; tarfile's own filters are not in every Python 3.11.

    Raises:
        ValueError: it is not a plain file, or would lie elsewhere.
    """
    name = PurePosixPath(member.name)
    place = folder.joinpath(*name.parts)
    content = archive.extractfile(member) if member.isreg() else None
    if content is None or name.is_absolute() or ".." in name.parts or place.exists():
        raise ValueError(f"{member.name!r} is not a file of an entry, or comes twice")
    place.parent.mkdir(parents=True, exist_ok=True)
    with place.open("xb") as target:
        shutil.copyfileobj(content, target)


def _checked(folder: Path, name: str) -> dict[str, Any]:
    """What is known of an entry that arrived, without its manifest.

    Raises:
        StoreError: a file is missing or differs, or the checksum is that of another entry.
    """
    found = sealed.opened(folder / META, name)
    if found.content is None or not manifest.holds(folder, found.content.get("files"), deep=True):
        raise StoreError(f"{name} arrived damaged: {found.damage or 'a file is not what its checksum says'}.")
    known = {record["name"] for record in found.content["files"]} | {META}
    if stray := {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} - known:
        raise StoreError(f"{name} arrived with a file that is not its own: {min(stray)}.")
    return {key: value for key, value in found.content.items() if key not in ("files", "created")}


def packed(cache: Cache, entry: Entry) -> bytes:
    """An entry as it travels through the fleet itself.

    Raises:
        UsageError: it is too large for that.
        StoreError: the cache does not have it.
    """
    size = sum(path.stat().st_size for path in cache.place(*entry).rglob("*") if path.is_file())
    if size > MOST_BYTES:
        raise UsageError(
            f"{'/'.join(entry)} has {size} bytes, too many to go through the scheduler: name a place that all hosts "
            f"reach, such as --cache s3://bucket/cache"
        )
    with io.BytesIO() as stream:
        pack(cache, entry, stream)
        return stream.getvalue()


class Depot:
    """Packed entries below a URL of fsspec, each one object that is written whole and never changed."""

    def __init__(self, url: str) -> None:
        """Nothing is asked yet.

        Raises:
            UsageError: fsspec or what it needs for this kind of URL is not installed, or there is no such kind.
        """
        from harness.store import places

        self.url = url
        self._place = places.at(url)

    def put(self, cache: Cache, entry: Entry) -> bool:
        """Keep an entry where it is not there yet; whether it was written.

        Raises:
            StoreError: it cannot be written.
        """
        if self._place.exists(self._name(entry)):
            return False
        with tempfile.SpooledTemporaryFile(IN_MEMORY) as stream:
            pack(cache, entry, stream)
            stream.seek(0)
            self._place.write(self._name(entry), stream)
        return True

    def fetch(self, cache: Cache, entry: Entry) -> bool:
        """Bring an entry into the cache; whether it is there.

        Raises:
            StoreError: it is damaged, or the place cannot be read.
        """
        with tempfile.SpooledTemporaryFile(IN_MEMORY) as stream:
            try:
                with self._place.reading(self._name(entry)) as source:
                    shutil.copyfileobj(source, stream)
            except FileNotFoundError:
                return False
            stream.seek(0)
            unpack(cache, entry, stream)
        return True

    def _name(self, entry: Entry) -> str:
        return f"{entry[0]}/{entry[1]}.tar"
