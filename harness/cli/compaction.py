"""`harness results compact`: small files merged."""

from __future__ import annotations

from pathlib import Path

from harness import units
from harness.cli import ending, options
from harness.errors import UsageError

MOST_GRACE_S = 365 * 86_400.0


def compact(results: Path, *, grace: str, dry_run: bool, format_: str) -> None:
    """Merge the runs of a month and a class of hosts into one file each, and say what was done.

    Raises:
    <<<<<<< HEAD
        UsageError: the grace period is not a duration, or there is no such folder.
    =======
        UsageError: the grace period is not a time, or there is no such folder.
    >>>>>>> main
        StoreError: the folder or the bucket cannot be written.
    """
    from harness.store import compaction_bucket, compaction_folder
    from harness.store.mirror import Mirror

    seconds = units.parse_duration(grace)
    if not 0 <= seconds <= MOST_GRACE_S:
        raise UsageError(f"--grace {options.shown(grace)}: a time from 0 to 365d, such as 1h")
    mirror = Mirror.at(results)
    if mirror is not None:
        done = compaction_bucket.compact(mirror, grace_s=seconds, dry_run=dry_run, say=ending.say)
    else:
        if not results.is_dir():
            raise UsageError(f"{results}: there is no such folder")
        done = compaction_folder.compact(results, grace_s=seconds, dry_run=dry_run, say=ending.say)
    if format_ != options.TABLE:
        from harness.cli.formats import emit_facts

        emit_facts(
            format_,
            {
                "files_before": done.before,
                "files_after": done.after,
                "merged": {name: len(names) for name, names in done.merged},
                "removed": len(done.removed),
                "kept": len(done.kept),
            },
        )
        return
    count = sum(len(names) for _, names in done.merged)
    if done.merged:
        verb = "would be merged" if dry_run else "merged"
        ending.out(
            f"{units.count(count, 'file')} {verb} into {len(done.merged)}: readers take "
            f"{units.count(done.after, 'file')} in place of {done.before}"
        )
    else:
        ending.out(f"nothing to merge: {units.count(done.before, 'file')} of finished runs")
    if done.removed:
        ending.out(f"{units.count(len(done.removed), 'file')} removed that had been replaced")
    if done.kept:
        ending.out(
            f"{units.count(len(done.kept), 'replaced file')} kept, which no reader takes any more: "
            f"`harness results compact` after {options.shown(grace)} removes what is left"
        )
