"""What lies in the cache, for people: how big it is, what made it, when it was last used; and its pruning."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from harness import sealed, trained
from harness.build import manifest
from harness.build.cache import FOLDERS, KINDS, TEMPORARY, Cache
from harness.build.manifest import META
from harness.errors import StoreError

STALE_S = 24 * 3600
"""A temporary folder this old belongs to no build that still runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One thing in the cache.

    Attributes:
        kind: one of `KINDS`.
        made_by: what it is, for people: a model and its steps, or a model and its weights.
        created, last_used: seconds since the epoch.
        damage: why it will not be used but made again, in words that go behind its name; else empty.
    """

    kind: str
    digest: str
    bytes: int
    made_by: str
    created: float
    last_used: float
    damage: str = ""


def entries(cache: Cache, *, deep: bool = False) -> tuple[Entry, ...]:
    """Everything in a cache, damaged entries included, by kind and then the oldest use first.

    Args:
        cache: what to list.
        deep: hash every file that has a checksum, which reads gigabytes; else only what describes an entry.
    """
    found = [
        entry for kind in KINDS for path in _paths(cache, kind) if (entry := _entry(kind, path, deep=deep)) is not None
    ]
    return tuple(sorted(found, key=lambda entry: (KINDS.index(entry.kind), entry.last_used, entry.digest)))


def prune(
    cache: Cache, *, older_than_s: float | None = None, kind: str | None = None, everything: bool = False
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
        for entry in entries(cache)
        if (everything or kind is not None or older_than_s is not None)
        and (kind is None or entry.kind == kind)
        and (older_than_s is None or now - entry.last_used >= older_than_s)
    ]
    with cache.writing():
        for entry in chosen:
            cache.discard(cache.place(entry.kind, entry.digest))
        for folder in cache.root.glob(f"{TEMPORARY}*"):
            if now - folder.stat().st_mtime > STALE_S:
                shutil.rmtree(folder, ignore_errors=True)
    return tuple(chosen)


def _paths(cache: Cache, kind: str) -> list[Path]:
    folder = cache.root / kind
    return [path for path in folder.iterdir() if not path.name.startswith(".")] if folder.is_dir() else []


def _entry(kind: str, path: Path, *, deep: bool = False) -> Entry | None:
    """What the listing says of one entry; None when another process has just removed it."""
    if kind == trained.FOLDER:
        return _trained(path, deep=deep)
    meta = path / META if kind in FOLDERS else path
    name = path.name if kind in FOLDERS else path.stem
    found = sealed.opened(meta, f"{kind}/{name}")
    content = found.content
    try:
        # A link costs nothing: an environment's interpreter is one.
        below = path.rglob("*") if path.is_dir() else [path]
        files = [one for one in below if one.is_file() and not one.is_symlink()]
        used = (meta if meta.exists() else path).stat().st_mtime
        size = sum(one.stat().st_size for one in files)
    except OSError:
        return None
    known = content or {}
    damage = found.damage or ("" if content is not None else "has no meta.json")
    if not damage and kind in FOLDERS and "files" in known and not manifest.holds(path, known["files"], deep=deep):
        damage = "has lost a file, or one is not what it was"
    created = known.get("created", used)
    return Entry(
        kind=kind,
        digest=name,
        bytes=size,
        made_by=str(known.get("made_by", "")),
        damage=damage,
        created=float(created) if isinstance(created, int | float) else used,
        last_used=used,
    )


def _trained(path: Path, *, deep: bool) -> Entry | None:
    """The same of a file of trained weights."""
    found = trained.described(path, deep=deep)
    try:
        status = path.stat()
    except OSError:
        return None
    return Entry(
        kind=trained.FOLDER,
        digest=path.stem,
        bytes=status.st_size,
        made_by=found.made_by or "weights that were trained here",
        damage=found.damage,
        created=status.st_mtime if found.created is None else found.created,
        last_used=status.st_mtime,
    )
