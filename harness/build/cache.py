"""The cache of artifacts, references, resolved weights and evaluations. Standard library only.

::

    artifacts/<digest>/model.onnx [model.onnx.data] meta.json
    references/<digest>/feeds/<i>.npy outputs/<i>.npy [labels.npy] meta.json
    sources/<key>.json
    evaluations/<key>.json
    runtimes/ environments/ worktrees/ sides/ code/<key>/... meta.json    what gates make, see `harness.gate`

Everything is written to a temporary sibling and renamed, so that any number of processes can share the folder
and none ever sees half an entry. An entry that lacks a file, or whose files are not what its meta.json says,
counts as absent; whoever needs it builds it again. The modification time of an entry's JSON is when it was last used.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import secrets
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from harness.records import Json

GATES = ("runtimes", "environments", "worktrees", "sides", "code")
"""Kinds that gates keep here; they are made by `harness.runtimes` and `harness.gate`, and listed and pruned by this."""

KINDS = ("artifacts", "references", "sources", "evaluations", *GATES)
FOLDERS = ("artifacts", "references", *GATES)
"""Kinds whose entries are folders; the entries of the others are single JSON files."""

MODEL = "model.onnx"
META = "meta.json"
TEMPORARY = ".tmp-"
STALE_S = 24 * 3600
"""A temporary folder this old belongs to no build that still runs."""

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,199}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One thing in the cache.

    Attributes:
        kind: one of `KINDS`.
        made_by: what it is, for people: a model and its steps, or a model and its weights.
        created, last_used: seconds since the epoch.
    """

    kind: str
    digest: str
    bytes: int
    made_by: str
    created: float
    last_used: float


def default_root() -> Path:
    """`$HARNESS_CACHE`, or the folder that this operating system keeps a user's caches in."""
    if given := os.environ.get("HARNESS_CACHE"):
        return Path(given)
    import platformdirs

    return Path(platformdirs.user_cache_dir("onnx-harness", appauthor=False))


class Cache:
    """The cache below one folder, which is made when something is first written."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()

    def artifact_path(self, digest: str) -> Path:
        """Where the .onnx file of an artifact lies; its external data, if any, lies beside it."""
        return self._place("artifacts", digest) / MODEL

    def reference_dir(self, digest: str) -> Path:
        """The folder of a reference: `feeds/<i>.npy`, `outputs/<i>.npy` and, where labelled, `labels.npy`."""
        return self._place("references", digest)

    def meta(self, kind: str, digest: str, *, deep: bool = False) -> dict[str, Any] | None:
        """What is known of an artifact or a reference, or None when it is absent or damaged.

        A file whose size and modification time are as recorded is taken to be whole; any other is hashed, and with
        `deep` every file is. A hit marks the entry as used.
        """
        folder = self._place(kind, digest)
        content = _read(folder / META)
        if content is None or not _whole(folder, content.get("files"), deep=deep):
            return None
        _touch(folder / META)
        return content

    def admit(self, kind: str, digest: str, folder: Path, meta: Mapping[str, Json]) -> None:
        """Move a finished temporary folder into place under `digest`.

        Another process may have been quicker: its entry stays when it is whole, and is replaced when not.

        Raises:
            StoreError: the cache cannot be written.
        """
        with self._writing():
            content = {**meta, "created": time.time(), "files": [_record(folder, path) for path in _files(folder)]}
            (folder / META).write_text(json.dumps(content, indent=1), encoding="utf-8")
            place = self._place(kind, digest)
            place.parent.mkdir(parents=True, exist_ok=True)
            for _ in range(5):
                try:
                    folder.rename(place)
                except OSError as error:
                    if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                        raise
                else:
                    return
                if self.meta(kind, digest, deep=True) is not None:
                    shutil.rmtree(folder, ignore_errors=True)
                    return
                self._discard(place)
            raise OSError(errno.EBUSY, "other processes keep replacing this entry", str(place))

    def amend(self, kind: str, digest: str, changes: Mapping[str, Json]) -> None:
        """Change keys of an entry's meta.json; of two processes at once the last one wins.

        Raises:
            StoreError: the cache cannot be written.
        """
        path = self._place(kind, digest) / META
        content = _read(path)
        if content is not None:
            self._write(path, {**content, **changes})

    @contextlib.contextmanager
    def workdir(self) -> Iterator[Path]:
        """A temporary folder on the cache's own file system, gone afterwards unless it was admitted.

        Raises:
            StoreError: the cache cannot be written.
        """
        folder = self.root / f"{TEMPORARY}{os.getpid()}-{secrets.token_hex(6)}"
        with self._writing():
            folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def sweep_up(self, pid: int) -> None:
        """Remove what a process that is no more left unfinished."""
        for folder in self.root.glob(f"{TEMPORARY}{pid}-*"):
            shutil.rmtree(folder, ignore_errors=True)

    def evaluation(self, key: str) -> dict[str, Any] | None:
        """What an evaluation gave, or None when it is absent or damaged."""
        return self._json("evaluations", key)

    def put_evaluation(self, key: str, content: Mapping[str, Json]) -> None:
        """Keep an evaluation.

        Raises:
            StoreError: the cache cannot be written.
        """
        self._write(self._place("evaluations", key), content)

    def resolution(self, key: str) -> dict[str, Any] | None:
        """What a request for weights resolved to, or None when it is absent or damaged."""
        return self._json("sources", key)

    def put_resolution(self, key: str, content: Mapping[str, Json]) -> None:
        """Keep what a request for weights resolved to.

        Raises:
            StoreError: the cache cannot be written.
        """
        self._write(self._place("sources", key), content)

    def entries(self) -> tuple[Entry, ...]:
        """Everything in the cache, damaged entries included, by kind and then the oldest use first."""
        found = [entry for kind in KINDS for path in self._paths(kind) if (entry := _entry(kind, path)) is not None]
        return tuple(sorted(found, key=lambda entry: (KINDS.index(entry.kind), entry.last_used, entry.digest)))

    def prune(
        self, *, older_than_s: float | None = None, kind: str | None = None, everything: bool = False
    ) -> tuple[Entry, ...]:
        """Remove entries and say which: of one `kind`, unused for `older_than_s`, or both; or everything.

        Temporary folders that no running build can own are removed on the way.

        Raises:
            StoreError: `kind` is none of `KINDS`, or an entry cannot be removed.
        """
        if kind is not None and kind not in KINDS:
            raise StoreError(f"The cache has no kind `{kind}`. Valid: {', '.join(KINDS)}.")
        now = time.time()
        chosen = [
            entry
            for entry in self.entries()
            if (everything or kind is not None or older_than_s is not None)
            and (kind is None or entry.kind == kind)
            and (older_than_s is None or now - entry.last_used >= older_than_s)
        ]
        with self._writing():
            for entry in chosen:
                self._discard(self._place(entry.kind, entry.digest))
            for folder in self.root.glob(f"{TEMPORARY}*"):
                if now - folder.stat().st_mtime > STALE_S:
                    shutil.rmtree(folder, ignore_errors=True)
        return tuple(chosen)

    def _place(self, kind: str, digest: str) -> Path:
        if not NAME.fullmatch(digest):
            raise StoreError(f"{digest!r} is no key of the cache: letters, digits, `_`, `.` and `-` only.")
        return self.root / kind / (digest if kind in FOLDERS else f"{digest}.json")

    def _paths(self, kind: str) -> list[Path]:
        folder = self.root / kind
        return [path for path in folder.iterdir() if not path.name.startswith(".")] if folder.is_dir() else []

    def _json(self, kind: str, key: str) -> dict[str, Any] | None:
        path = self._place(kind, key)
        content = _read(path)
        if content is not None:
            _touch(path)
        return content

    def _write(self, path: Path, content: Mapping[str, Json]) -> None:
        with self._writing():
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_name(f"{TEMPORARY}{os.getpid()}-{secrets.token_hex(6)}")
            try:
                temporary.write_text(json.dumps(content, indent=1), encoding="utf-8")
                temporary.replace(path)
            finally:
                temporary.unlink(missing_ok=True)

    def _discard(self, place: Path) -> None:
        """Take an entry away in one move, so that nobody sees it half removed."""
        aside = self.root / f"{TEMPORARY}{os.getpid()}-{secrets.token_hex(6)}"
        with contextlib.suppress(FileNotFoundError):  # somebody else took it away first
            place.rename(aside)
            if aside.is_dir():
                shutil.rmtree(aside, ignore_errors=True)
            else:
                aside.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Turn the operating system's refusal to write into an error that says what to do.

        Raises:
            StoreError: the folder is read-only, full, or no folder at all.
        """
        try:
            yield
        except OSError as error:
            raise refusal(self.root, error) from error


def refusal(root: Path, error: OSError) -> StoreError:
    """The error for a cache that cannot be written, with the way out."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    way = "free some space with `harness cache --prune`, or choose" if full else "make it writable, or choose"
    return StoreError(
        f"The cache {root} cannot be written: {error.strerror or error}. To go on, {way} another folder with "
        f"--cache DIR or HARNESS_CACHE."
    )


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name != META)


def _record(folder: Path, path: Path) -> dict[str, Json]:
    status = path.stat()
    return {
        "name": path.relative_to(folder).as_posix(),
        "bytes": status.st_size,
        "mtime_ns": status.st_mtime_ns,
        "sha256": _sha256(path),
    }


def _whole(folder: Path, records: Any, *, deep: bool) -> bool:
    """Whether every recorded file is there and is what it was."""
    if not isinstance(records, list):
        return False
    try:
        for record in records:
            path = folder / record["name"]
            status = path.stat()
            if status.st_size != record["bytes"]:
                return False
            if (deep or status.st_mtime_ns != record["mtime_ns"]) and _sha256(path) != record["sha256"]:
                return False
    except (OSError, KeyError, TypeError):
        return False
    return True


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def _touch(path: Path) -> None:
    """Note the use of an entry; a cache that may only be read cannot, and serves all the same."""
    with contextlib.suppress(OSError):
        os.utime(path)


def _entry(kind: str, path: Path) -> Entry | None:
    """What the listing says of one entry; None when another process has just removed it."""
    meta = path / META if kind in FOLDERS else path
    content = _read(meta)
    try:
        # A link costs nothing: an environment's interpreter is one.
        found = path.rglob("*") if path.is_dir() else [path]
        files = [one for one in found if one.is_file() and not one.is_symlink()]
        used = (meta if meta.exists() else path).stat().st_mtime
        size = sum(one.stat().st_size for one in files)
    except OSError:
        return None
    known = content or {}
    created = known.get("created", used)
    return Entry(
        kind=kind,
        digest=path.name if kind in FOLDERS else path.stem,
        bytes=size,
        made_by=str(known.get("made_by", "damaged" if content is None else "")),
        created=float(created) if isinstance(created, int | float) else used,
        last_used=used,
    )
