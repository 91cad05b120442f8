"""`harness.store.compaction` on a results folder: merged files in folders of a month and a class of hosts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from harness.errors import StoreError
from harness.store import admission, compaction, database, files, stored_files
from harness.store.compaction import MergeGroup, Say
from harness.store.stored_files import Replaced

GRACE_S = 3600.0
"""For how long replaced files stay: as long as whoever listed the folder before may read."""


@dataclass(slots=True, kw_only=True)
class Compacted:
    """What a compaction did.

    Attributes:
        before: files of finished runs that readers took before.
        merged: files that it wrote, each with the names of what it replaces.
        removed: files that were replaced, and are gone now.
        kept: replaced files that are still there.
    """

    before: int = 0
    merged: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)

    @property
    def after(self) -> int:
        """Files of finished runs that readers take now."""
        return self.before - sum(len(names) - 1 for _, names in self.merged)


def compact(results: Path, *, grace_s: float = GRACE_S, dry_run: bool = False, say: Say = lambda _: None) -> Compacted:
    """Merge the small files of a results folder, and remove those that were replaced longer ago than the grace period.

    Args:
        results: the results folder.
        grace_s: seconds; 0 removes what is replaced at once.
        dry_run: whether only to say what would be merged.
        say: hears of files that stay as they are, and why.

    Raises:
        StoreError: the folder cannot be written, or another compaction is going on.
    """
    done = Compacted()
    if not (results / "samples").is_dir():
        return done
    if dry_run:
        for group in _groups(results, say, done):
            done.merged.append((_path(results, group).name, tuple(one.path.name for one in group.sources)))
        return done
    lock = files.Lock.attempt(results / "samples" / ".compact.lock")
    if lock is None:
        raise StoreError(f"Another compaction of {results} is going on: wait until it ends.")
    with lock:
        for left in (results / "samples").glob(f"month=*/class=*/.{stored_files.COMPACT}*.tmp"):
            left.unlink(missing_ok=True)  # whoever was writing it was killed
        for group in _groups(results, say, done):
            path = _path(results, group)
            _write(group, path)
            done.merged.append((path.name, tuple(one.path.name for one in group.sources)))
        _remove(results, grace_s, say, done)
    return done


def _groups(results: Path, say: Say, done: Compacted) -> Sequence[MergeGroup]:
    finished = stored_files.finished_files(results)
    gone = stored_files.replaced(finished)
    taken = [path for path in finished if not stored_files.is_replaced(path, gone)]
    done.before = len(taken)
    # Beside its parts a run's file is what says that it is finished: without it they would be measured to an end again.
    settled = [path for path in taken if not path.with_suffix(".parts").exists()]
    problems: list[StoreError] = []
    with database.connected() as connection:
        good = admission.admitted(connection, settled, problems)
    for problem in problems:
        say(f"left as it is: {problem}")
    return compaction.planned(compaction.sources(good, say))


def _path(results: Path, group: MergeGroup) -> Path:
    folder = results / "samples" / f"month={group.month}" / f"class={group.host_class}"
    return folder / f"{group.name(datetime.now(UTC))}.parquet"


def _write(group: MergeGroup, path: Path) -> None:
    with files.guarded("write", path):
        path.parent.mkdir(parents=True, exist_ok=True)
        for folder in (path.parent.parent, path.parent.parent.parent):
            files.sync_folder(folder)
    with files.replacing(path) as file:
        compaction.write(group, file)
    try:
        compaction.verify(group, path)
    except BaseException:
        path.unlink(missing_ok=True)  # what it was made of is all there
        raise


def _remove(results: Path, grace_s: float, say: Say, done: Compacted) -> None:
    """Remove what merged files replace, of those that are old enough and can be read to their last row."""
    now = datetime.now(UTC)
    finished = stored_files.finished_files(results)
    by_name: dict[str, list[Path]] = {}
    for path in finished:
        by_name.setdefault(path.name, []).append(path)
    for merged in finished:
        if not merged.name.startswith(stored_files.COMPACT) or not merged.exists():
            continue
        gone = stored_files.replaced_by(merged)
        there = [path for name in gone for path in by_name.get(name, ()) if path.exists() and path != merged]
        if not there:
            continue
        made = compaction.made_at(merged)
        if made is None or (now - made).total_seconds() < grace_s:
            done.kept += [path.name for path in there]
        elif not compaction.whole(merged):
            say(f"{merged} is damaged: what it replaces stays; move it away, and they are read again")
            done.kept += [path.name for path in there]
        else:
            # Merged files last: until they go, they say of the others that nobody has to read them.
            for path in sorted(there, key=lambda path: path.name.startswith(stored_files.COMPACT)):
                _remove_one(path, gone, say, done)


def _remove_one(path: Path, gone: Replaced, say: Say, done: Compacted) -> None:
    if path.with_suffix(".parts").exists():
        done.kept.append(path.name)
    elif compaction.digest(path) == gone[path.name][1]:
        with files.guarded("remove", path):
            path.unlink(missing_ok=True)
        done.removed.append(path.name)
    else:
        say(f"{path} stays: it is not what was merged")
        done.kept.append(path.name)
