"""The cache of artifacts, references, resolved weights and evaluations. Standard library only.

::

    artifacts/<digest>/model.onnx [model.onnx.data] meta.json
    references/<digest>/feeds/*.npy outputs/*.npy [labels/*.npy] meta.json
    sources/<key>.json
    evaluations/<key>.json
    trained/<digest>.safetensors                          weights that were trained here, see `harness.trained`
    runtimes/ environments/ worktrees/ sides/ code/<key>/... meta.json    what gates make, see `harness.gate`

Everything is written to a temporary sibling and renamed, so that any number of processes can share the folder
and none ever sees half an entry. Every JSON file carries a checksum (`harness.sealed`) and meta.json those of the files
beside it. An entry that lacks a file, or that is not what its checksums say, counts as absent, and is named in
`Cache.damaged`; whoever needs it builds it again. The modification time of an entry's JSON is when it was last used.
"""

from __future__ import annotations

import contextlib
import errno
import re
import secrets
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import scratch, sealed, trained
from harness.build import manifest
from harness.build.manifest import META
from harness.errors import StoreError
from harness.paths import cache_root

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from harness.records import Json

GATES = ("runtimes", "environments", "worktrees", "sides", "code")
"""Kinds that gates keep here (`harness.runtimes`, `harness.gate`); `harness.build.inventory` lists and prunes them."""

KINDS = ("artifacts", "references", "sources", "evaluations", trained.FOLDER, *GATES)
FOLDERS = ("artifacts", "references", *GATES)
"""Kinds whose entries are folders; the entries of the others are single JSON files, but for trained weights."""

MODEL = "model.onnx"
TEMPORARY = ".tmp-"

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,199}")


FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
"""What a disk says that takes no more."""

CLOSED = (errno.EACCES, errno.EPERM, errno.EIO, errno.ENOTDIR)
"""What a folder says that cannot be written."""


def default_root() -> Path:
    """`$HARNESS_CACHE`, or the folder that this operating system keeps a user's caches in."""
    return cache_root()


class Cache:
    """The cache below one folder, which is made when something is first written.

    Attributes:
        environments: the root whose environments of frameworks serve here: its own, but where a gate keeps apart what
            one side alone has built.
        damaged: entries that were asked for and are not what their checksums say, such as `evaluations/0b5c`, and why;
            they are made again by whoever needs them.
    """

    def __init__(self, root: Path, environments: Path | None = None) -> None:
        self.root = root.absolute()
        self.environments = (environments or root).absolute()
        self.damaged: dict[str, str] = {}

    def artifact_path(self, digest: str) -> Path:
        """Where the .onnx file of an artifact lies; its external data, if any, lies beside it."""
        return self.place("artifacts", digest) / MODEL

    def reference_dir(self, digest: str) -> Path:
        """The folder of a reference: `feeds/`, `outputs/` and `labels/`; its record names the files."""
        return self.place("references", digest)

    def meta(self, kind: str, digest: str, *, deep: bool = False) -> dict[str, Any] | None:
        """What is known of an artifact or a reference, or None when it is absent or damaged.

        A file whose size and modification time are as recorded is taken to be whole; any other is hashed, and with
        `deep` every file is. A hit marks the entry as used.
        """
        folder = self.place(kind, digest)
        content = self._opened(kind, digest)
        if content is None:
            return None
        if not manifest.holds(folder, content.get("files"), deep=deep):
            self.damaged[f"{kind}/{digest}"] = "has lost a file, or one is not what it was"
            return None
        sealed.mark_used(folder / META)
        return content

    def admit(self, kind: str, digest: str, folder: Path, meta: Mapping[str, Json]) -> None:
        """Move a finished temporary folder into place under `digest`.

        Another process may have been quicker: its entry stays when it is whole, and is replaced when not.

        Raises:
            StoreError: the cache cannot be written.
        """
        with self.writing():
            content = {**meta, "created": time.time(), "files": manifest.of(folder)}
            (folder / META).write_bytes(sealed.seal(f"{kind}/{digest}", content))
            place = self.place(kind, digest)
            place.parent.mkdir(parents=True, exist_ok=True)
            for _ in range(5):
                try:
                    folder.rename(place)
                except OSError as error:
                    if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                        raise
                else:
                    return
                if self.meta(kind, digest, deep=True) is not None:
                    shutil.rmtree(folder, ignore_errors=True)
                    return
                self.discard(place)
            raise OSError(errno.EBUSY, "other processes keep replacing this entry", str(place))

    def amend(self, kind: str, digest: str, changes: Mapping[str, Json]) -> None:
        """Change keys of an entry's meta.json; of two processes at once the last one wins.

        Raises:
            StoreError: the cache cannot be written.
        """
        content = self._opened(kind, digest)
        if content is not None:
            self._write(kind, digest, {**content, **changes})

    @contextlib.contextmanager
    def workdir(self) -> Iterator[Path]:
        """A temporary folder on the cache's own file system, gone afterwards unless it was admitted.

        Raises:
            StoreError: the cache cannot be written.
        """
        folder = self.root / _temporary()
        with self.writing():
            folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def sweep_up(self, pid: int) -> None:
        """Remove what a process that has ended left unfinished."""
        for folder in self.root.glob(f"{TEMPORARY}{pid}-*"):
            shutil.rmtree(folder, ignore_errors=True)

    def tidy(self) -> tuple[Path, ...]:
        """Remove what killed processes of this system left unfinished, and say what."""
        places = [self.root, *(self.root / kind for kind in KINDS)]
        return tuple(path for place in places for path in scratch.sweep_up(place, TEMPORARY))

    def evaluation(self, key: str) -> dict[str, Any] | None:
        """What an evaluation gave, or None when it is absent or damaged."""
        return self._json("evaluations", key)

    def put_evaluation(self, key: str, content: Mapping[str, Json]) -> None:
        """Keep an evaluation.

        Raises:
            StoreError: the cache cannot be written.
        """
        self._write("evaluations", key, content)

    def resolution(self, key: str) -> dict[str, Any] | None:
        """What a request for weights resolved to, or None when it is absent or damaged."""
        return self._json("sources", key)

    def put_resolution(self, key: str, content: Mapping[str, Json]) -> None:
        """Keep what a request for weights resolved to.

        Raises:
            StoreError: the cache cannot be written.
        """
        self._write("sources", key, content)

    def place(self, kind: str, digest: str) -> Path:
        """Where an entry lies: its folder, or its file.

        Raises:
            StoreError: the digest could lead out of the cache.
        """
        if not NAME.fullmatch(digest):
            raise StoreError(f"{digest!r} is not a key of the cache: letters, digits, `_`, `.` and `-` only.")
        if kind == trained.FOLDER:
            return trained.place(self.root, digest)
        return self.root / kind / (digest if kind in FOLDERS else f"{digest}.json")

    def text(self, kind: str, digest: str) -> Path:
        """The JSON file of an entry.

        Raises:
            StoreError: the digest could lead out of the cache.
        """
        place = self.place(kind, digest)
        return place / META if kind in FOLDERS else place

    def remade(self) -> tuple[str, ...]:
        """A sentence for each of `damaged`, which is emptied."""
        said = tuple(f"made again: {name} of the cache {why}" for name, why in self.damaged.items())
        self.damaged.clear()
        return said

    def _json(self, kind: str, key: str) -> dict[str, Any] | None:
        content = self._opened(kind, key)
        if content is not None:
            sealed.mark_used(self.text(kind, key))
        return content

    def _opened(self, kind: str, digest: str) -> dict[str, Any] | None:
        name = f"{kind}/{digest}"
        found = sealed.opened(self.text(kind, digest), name)
        if found.damage:
            self.damaged[name] = found.damage
        return found.content

    def _write(self, kind: str, key: str, content: Mapping[str, Json]) -> None:
        path = self.text(kind, key)
        with self.writing():
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_name(_temporary())
            try:
                temporary.write_bytes(sealed.seal(f"{kind}/{key}", content))
                if path.is_dir():  # no file of ours can take its place
                    self.discard(path)
                temporary.replace(path)
            finally:
                temporary.unlink(missing_ok=True)

    def discard(self, place: Path) -> None:
        """Take an entry away in one move, so that nobody sees it half removed."""
        aside = self.root / _temporary()
        with contextlib.suppress(FileNotFoundError):  # somebody else took it away first
            place.rename(aside)
            if aside.is_dir() and not aside.is_symlink():
                shutil.rmtree(aside, ignore_errors=True)
            else:
                aside.unlink(missing_ok=True)

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Turn the operating system's refusal to write into an error that says what to do.

        Raises:
            StoreError: the folder is read-only, full, or no folder at all.
        """
        try:
            yield
        except OSError as error:
            raise refusal(self.root, error) from error


def _temporary() -> str:
    """A name that nobody else has, and that says whose it is."""
    return f"{TEMPORARY}{scratch.owner()}-{secrets.token_hex(6)}"


def refuses(root: Path, error: OSError) -> bool:
    """Whether the cache below `root` is what cannot be written, and not a file of somebody else's."""
    named = isinstance(error.filename, str | Path)
    inside = named and Path(error.filename).absolute().is_relative_to(root)
    return (error.errno in FULL and (inside or not named)) or (error.errno in CLOSED and inside)


def refusal(root: Path, error: OSError) -> StoreError:
    """The error for a cache that cannot be written, with the way out."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    way = "free some space with `harness cache --prune`, or choose" if full else "make it writable, or choose"
    return StoreError(
        f"The cache {root} cannot be written: {error.strerror or error}. To go on, {way} another folder with "
        f"--cache DIR or HARNESS_CACHE."
    )
