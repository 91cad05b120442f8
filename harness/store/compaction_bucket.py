"""`harness.store.compaction` on a place of fsspec: the mirror's files are merged here, and written there as an object.

Nothing is renamed or locked there: two who compact at once write two merged objects, whose rows count once, and the
next compaction makes one of them. An object is removed only if the merged one was read back, and only if it is,
by its digest, what was merged.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path

from harness.errors import StoreError
from harness.store import admission, compaction, database, files, places, stored_files
from harness.store.compaction import MergeGroup, Say
from harness.store.compaction_folder import GRACE_S, Compacted
from harness.store.mirror import RUNS, Mirror


def compact(mirror: Mirror, *, grace_s: float = GRACE_S, dry_run: bool = False, say: Say = lambda _: None) -> Compacted:
    """As `harness.store.compaction_folder.compact`, for what a mirror is of; the mirror was refreshed.

    Raises:
        StoreError: the place cannot be read or written.
    """
    done = Compacted()
    with mirror.lock():
        there = mirror.objects()
        listed = [mirror.folder / "samples" / f"{run}.parquet" for run in there]
        here = sorted(path for path in listed if path.exists())
        gone = stored_files.replaced(here)
        taken = [path for path in here if not stored_files.is_replaced(path, gone)]
        done.before = len(taken)
        problems: list[StoreError] = []
        with database.connected() as connection:
            good = admission.admitted(connection, taken, problems)
        for problem in problems:
            say(f"left as it is: {problem}")
        for group in compaction.planned(compaction.sources(good, say)):
            name = group.name(datetime.now(UTC))
            if not dry_run:
                there[name] = _write(mirror, group, name)
            done.merged.append((f"{name}.parquet", tuple(one.path.name for one in group.sources)))
        if not dry_run:
            _remove(mirror, there, grace_s, say, done)
    return done


def _write(mirror: Mirror, group: MergeGroup, name: str) -> str:
    """Write a merged object, read it back, and keep it in the mirror; its name there."""
    place = places.at(mirror.url)
    made = mirror.folder / "compacting" / f"{name}.parquet"
    with files.replacing(made) as file:
        compaction.write(group, file)
    try:
        compaction.verify(group, made)
        sha = compaction.digest(made)
        there = f"{RUNS}/month={group.month}/class={group.host_class}/{name}.{sha[:16]}.parquet"
        with made.open("rb") as file:
            place.write(there, file)
        if not _is(mirror, there, sha):
            raise StoreError(f"{mirror.url}/{there} is not what was written: nothing was removed.")
        mirror.note(name)
        made.replace(mirror.folder / "samples" / f"{name}.parquet")
    finally:
        made.unlink(missing_ok=True)
    return there


def _is(mirror: Mirror, name: str, sha: str) -> bool:
    """Whether an object is there, whole."""
    try:
        return hashlib.sha256(places.at(mirror.url).read(name)).hexdigest().startswith(sha)
    except FileNotFoundError:
        return False


def _remove(mirror: Mirror, there: dict[str, str], grace_s: float, say: Say, done: Compacted) -> None:
    now = datetime.now(UTC)
    for run, name in sorted(there.items()):
        if not run.startswith(stored_files.COMPACT) or run not in there:
            continue
        merged = mirror.folder / "samples" / f"{run}.parquet"
        gone = stored_files.replaced_by(merged)
        replaced = {Path(one).stem: sha for one, (_, sha) in gone.items()}
        left = [one for one in replaced if one in there and replaced[one].startswith(_sha(there[one]))]
        made = compaction.made_at(merged)
        if not left:
            continue
        if made is None or (now - made).total_seconds() < grace_s:
            done.kept += [f"{one}.parquet" for one in left]
        elif not _is(mirror, name, _sha(name)) or not compaction.whole(merged):
            say(f"{mirror.url}/{name} is damaged: what it replaces stays")
            done.kept += [f"{one}.parquet" for one in left]
        else:
            for one in sorted(left, key=lambda one: one.startswith(stored_files.COMPACT)):
                places.at(mirror.url).remove(there.pop(one))
                (mirror.folder / "samples" / f"{one}.parquet").unlink(missing_ok=True)
                done.removed.append(f"{one}.parquet")


def _sha(name: str) -> str:
    """The digest in an object's name."""
    return name.removesuffix(".parquet").rpartition(".")[2]
