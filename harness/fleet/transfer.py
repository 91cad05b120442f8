"""Entries of the cache on their way between hosts: packed as they lie, checked on arrival, found by their digest.

Artifacts and references are folders with a manifest; weights that were trained are one file with its checksum inside.
"""

from __future__ import annotations

import contextlib
import io
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any

from harness import sealed, trained
from harness.build import manifest
from harness.build.cache import Cache
from harness.build.manifest import META
from harness.errors import StoreError, UsageError
from harness.fleet.model import Entry

MOST_BYTES = 4 * 10**9
"""What is sent through the fleet itself; larger entries need a depot that all hosts reach."""

IN_MEMORY = 64 * 2**20
"""What a packed entry may take of the memory before it goes to a file."""


class DamagedEntry(StoreError):
    """What arrived is not the entry that was asked for, or half of it."""


class UnreachableDepot(StoreError):
    """A depot does not answer, though it was waited for, or refuses."""


def has(cache: Cache, entry: Entry) -> bool:
    """Whether an entry is there and whole."""
    if entry[0] == trained.FOLDER:
        return not trained.described(_kept(cache, entry), deep=False).damage
    return cache.meta(*entry) is not None


def _kept(cache: Cache, entry: Entry) -> Path:
    """Where an entry lies; weights that were trained lie where frameworks look, whichever side of a gate asks."""
    return Cache(cache.environments).place(*entry) if entry[0] == trained.FOLDER else cache.place(*entry)


def _files(cache: Cache, entry: Entry) -> tuple[Path, list[Path]]:
    """The files of an entry, and the folder that their names are below."""
    place = _kept(cache, entry)
    if entry[0] == trained.FOLDER:
        return place.parent, [place]
    return place, [path for path in sorted(place.rglob("*")) if path.is_file()]


def pack(cache: Cache, entry: Entry, into: IO[bytes]) -> None:
    """Write an entry as a tar archive, uncompressed, since weights do not get smaller.

    Raises:
        StoreError: the cache does not have it.
    """
    if not has(cache, entry):
        raise StoreError(f"{'/'.join(entry)} is not in the cache {cache.root} any more: run the command again.")
    folder, files = _files(cache, entry)
    with tarfile.open(fileobj=into, mode="w|") as archive:
        for path in files:
            archive.add(path, path.relative_to(folder).as_posix(), recursive=False)


def unpack(cache: Cache, entry: Entry, source: IO[bytes]) -> None:
    """Put an entry into the cache that `pack` wrote, if it is whole and the one that was asked for.

    Raises:
        DamagedEntry: it is damaged, or another one.
        StoreError: the cache cannot be written.
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
            raise DamagedEntry(f"{kind}/{digest} arrived damaged: {error}. It is asked for again.") from error
        if kind == trained.FOLDER:
            _admit_trained(cache, entry, inside)
        else:
            cache.admit(kind, digest, inside, _checked(inside, f"{kind}/{digest}"))


def _admit_trained(cache: Cache, entry: Entry, folder: Path) -> None:
    """Move weights that arrived to where they lie.

    Raises:
        DamagedEntry: they are not what their checksum says.
        StoreError: the cache cannot be written.
    """
    place = _kept(cache, entry)
    arrived = [path for path in folder.rglob("*") if path.is_file()]
    damage = trained.described(folder / place.name, deep=True).damage
    if damage or len(arrived) != 1:
        raise DamagedEntry(f"{'/'.join(entry)} arrived damaged: {damage or 'it is not one file'}.")
    with cache.writing():
        place.parent.mkdir(parents=True, exist_ok=True)
        arrived[0].replace(place)


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
        DamagedEntry: a file is missing or differs, or the checksum is that of another entry.
    """
    found = sealed.opened(folder / META, name)
    if found.content is None or not manifest.holds(folder, found.content.get("files"), deep=True):
        raise DamagedEntry(f"{name} arrived damaged: {found.damage or 'a file is not what its checksum says'}.")
    known = {record["name"] for record in found.content["files"]} | {META}
    if stray := {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} - known:
        raise DamagedEntry(f"{name} arrived with a file that is not its own: {min(stray)}.")
    return {key: value for key, value in found.content.items() if key not in ("files", "created")}


def packed(cache: Cache, entry: Entry) -> bytes:
    """An entry as it travels through the fleet itself.

    Raises:
        UsageError: it is too large for that.
        StoreError: the cache does not have it.
    """
    size = sum(path.stat().st_size for path in _files(cache, entry)[1])
    if size > MOST_BYTES:
        raise UsageError(
            f"{'/'.join(entry)} has {size} bytes, too many to go through the scheduler: name a place that all hosts "
            f"reach, such as --cache s3://bucket/cache"
        )
    with io.BytesIO() as stream:
        pack(cache, entry, stream)
        return stream.getvalue()


@contextlib.contextmanager
def _answering() -> Iterator[None]:
    """Tell a place that gives nothing from one that has nothing.

    Raises:
        UnreachableDepot: it was waited for, refuses, or went away while it was read.
    """
    try:
        yield
    except FileNotFoundError:
        raise
    except (StoreError, OSError) as error:
        raise UnreachableDepot(str(error)) from error


class Depot:
    """Packed entries below a URL of fsspec, each one object that is written whole and never changed.

    Attributes:
        damaged: objects that were fetched and are not what they should be, such as half of one, and why.
    """

    def __init__(self, url: str) -> None:
        """Nothing is asked yet.

        Raises:
            UsageError: fsspec or what it needs for this kind of URL is not installed, or there is no such kind.
        """
        from harness.store import places

        self.url = url
        self.damaged: dict[Entry, str] = {}
        self._place = places.at(url)

    def put(self, cache: Cache, entry: Entry, *, again: bool = False) -> bool:
        """Keep an entry where it is not there yet, or where what is there is damaged; whether it was written.

        Args:
            cache: that has it.
            entry: to keep.
            again: whether to write it anew, whatever is there.

        Raises:
            StoreError: it cannot be written.
        """
        if not again and entry not in self.damaged and self._place.exists(self._name(entry)):
            return False
        with tempfile.SpooledTemporaryFile(IN_MEMORY) as stream:
            pack(cache, entry, stream)
            stream.seek(0)
            self._place.write(self._name(entry), stream)
        self.damaged.pop(entry, None)
        return True

    def fetch(self, cache: Cache, entry: Entry) -> bool:
        """Bring an entry into the cache; whether it is there now. What arrives damaged counts as absent.

        Raises:
            UnreachableDepot: it does not answer, or refuses.
            StoreError: the cache cannot be written.
        """
        with tempfile.SpooledTemporaryFile(IN_MEMORY) as stream:
            try:
                with _answering(), self._place.reading(self._name(entry)) as source:
                    shutil.copyfileobj(source, stream)
            except FileNotFoundError:
                return False
            stream.seek(0)
            try:
                unpack(cache, entry, stream)
            except DamagedEntry as error:
                self.damaged[entry] = str(error)
                return False
        return True

    def text(self, name: str) -> bytes | None:
        """A small object beside the entries; None where there is none.

        Raises:
            UnreachableDepot: it does not answer, or refuses.
        """
        try:
            with _answering():
                return self._place.read(name)
        except FileNotFoundError:
            return None

    def put_text(self, name: str, data: bytes) -> None:
        """Write such an object.

        Raises:
            StoreError: it cannot be written.
        """
        self._place.write(name, io.BytesIO(data))

    def _name(self, entry: Entry) -> str:
        return f"{entry[0]}/{entry[1]}.tar"
