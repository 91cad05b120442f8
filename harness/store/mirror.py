"""Results in a bucket, or anywhere that fsspec reaches: runs as immutable objects, and a folder here that mirrors them.

::

    <url>/runs/month=2026-11/class=2bcc905dfd9b/<run id>.<16 hex digits of its SHA-256>.parquet
    <url>/runs/month=2026-11/class=2bcc905dfd9b/compact-<...>.<16 hex digits>.parquet   many (`compaction_bucket`)
    <url>/examples/<key>.parquet

A run is written whole under a name of its own, so that any number of writers need no lock. Readers list, fetch what
they do not have, and keep it only if it is what its name says. All verbs read the mirror, a results folder as any
other; a sweep measures into it, and publishes its run when it is finished.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import paths
from harness.errors import StoreError
from harness.store import files, places, samples, stored_files
from harness.store.examples import FOLDER as EXAMPLES
from harness.store.stored_files import COMPACT, Replaced

RUNS = "runs"
ORIGIN, SEEN = ".origin", ".seen"
"""What a mirror is of, and the runs that were seen there: one that is gone there has to go here, too."""

_NAME = re.compile(r"runs/(?:[a-z]+=[\w.-]+/)*(?P<run>[\w.-]+)\.(?P<sha>[0-9a-f]{16})\.parquet")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mirror:
    """A results folder here, and the URL that it mirrors."""

    url: str
    folder: Path

    @classmethod
    def of(cls, url: str) -> Mirror:
        """The mirror of a URL, in the user's cache; made where it is missing.

        Raises:
            UsageError: there is no such kind of URL, or what it needs is not installed.
            StoreError: the cache cannot be written.
        """
        places.at(url)
        folder = paths.cache_root().absolute() / "mirrors" / hashlib.sha256(url.rstrip("/").encode()).hexdigest()[:16]
        with files.guarded("write into", folder):
            (folder / "samples").mkdir(parents=True, exist_ok=True)
            (folder / ORIGIN).write_text(f"{url}\n", encoding="utf-8")
        return cls(url=url, folder=folder)

    @classmethod
    def at(cls, results: Path) -> Mirror | None:
        """The mirror that a results folder is; None where it is an ordinary one."""
        with contextlib.suppress(OSError):
            return cls(url=(results / ORIGIN).read_text(encoding="utf-8").strip(), folder=results)
        return None

    def refresh(self, say: Callable[[str], None]) -> None:
        """Fetch what is new there, publish what is here alone, and remove what is gone there.

        Args:
            say: hears of objects that are not what their name says; they are left out.

        Raises:
            StoreError: the place cannot be read.
        """
        there = self.objects()
        with self.lock():
            seen = self._seen()
            here = {path.stem: path for path in (self.folder / "samples").glob("*.parquet")}
            whole = True
            gone = stored_files.replaced(here.values())
            # Files of many runs first: what they replace need not be fetched.
            for run in sorted(there.keys() - here.keys(), key=lambda run: (not run.startswith(COMPACT), run)):
                if not self._replaced(run, there[run], gone):
                    whole = self._fetch(run, there[run], say) and whole
                    if run.startswith(COMPACT):
                        gone |= stored_files.replaced_by(self.folder / "samples" / f"{run}.parquet")
            for run in sorted(here.keys() - there.keys()):
                if run not in seen and not stored_files.is_replaced(here[run], gone):
                    self._publish(here[run])
                elif whole and not self._still_there(here[run]):
                    here[run].unlink(missing_ok=True)  # what is there in its place has been fetched
            self._note(seen | there.keys() | here.keys())

    def objects(self) -> dict[str, str]:
        """The objects of runs that are listed there: the run, or `compact-...` -> its name below the URL.

        Raises:
            StoreError: the place cannot be read.
        """
        return {found["run"]: name for name, _ in places.at(self.url).names(RUNS) if (found := _NAME.fullmatch(name))}

    def note(self, run: str) -> None:
        """Remember that a run was seen there; under the mirror's lock."""
        self._note(self._seen() | {run})

    def lock(self) -> files.Lock:
        """The lock under which the mirror is changed."""
        return files.Lock.wait(self.folder / ".mirror.lock")

    def publish(self, run: Path) -> str:
        """Write a finished run there, and the results per example that it names; its URL.

        Raises:
            StoreError: it cannot be written; it stays here, and the next verb with this URL tries again.
        """
        with self.lock():
            name = self._publish(run)
            self._note(self._seen() | {run.stem})
        return f"{self.url.rstrip('/')}/{name}"

    @staticmethod
    def _replaced(run: str, name: str, gone: Replaced) -> bool:
        found = _NAME.fullmatch(name)
        return found is not None and gone.get(f"{run}.parquet", (0, ""))[1].startswith(found["sha"])

    def _still_there(self, run: Path) -> bool:
        """Whether an object that no listing names is there all the same: a listing may lag behind, and it is asked for.

        What cannot be read here cannot be looked for; it was fetched once, and is again if it is still there.
        """
        try:
            rows = samples.read(run, samples=False)
        except StoreError:
            return False
        return places.at(self.url).exists(_object_name(run, run.read_bytes(), rows))

    def _publish(self, run: Path) -> str:
        data, place = run.read_bytes(), places.at(self.url)
        rows = samples.read(run, samples=False)
        for key in sorted({str(row["evaluation"]) for row in rows if row.get("evaluation")}):
            path = self.folder / EXAMPLES / f"{key}.parquet"
            if path.is_file() and not place.exists(f"{EXAMPLES}/{key}.parquet"):
                place.write(f"{EXAMPLES}/{key}.parquet", io.BytesIO(path.read_bytes()))
        name = _object_name(run, data, rows)
        place.write(name, io.BytesIO(data))
        return name

    def _fetch(self, run: str, name: str, say: Callable[[str], None]) -> bool:
        """Fetch an object; whether it was there, and what its name says."""
        place = places.at(self.url)
        try:
            data = place.read(name)
        except FileNotFoundError:  # a listing may lag behind
            return False
        found = _NAME.fullmatch(name)
        if found is None or hashlib.sha256(data).hexdigest()[:16] != found["sha"]:
            say(f"{self.url.rstrip('/')}/{name} is not what its name says, and is left out: it was not written whole")
            return False
        files.write(self.folder / "samples" / f"{run}.parquet", data)
        try:
            keys = {
                str(row["evaluation"])
                for row in samples.read(self.folder / "samples" / f"{run}.parquet", samples=False)
                if row.get("evaluation")
            }
        except StoreError as error:  # of a newer harness: whoever reads it says so
            say(str(error))
            return True
        for key in sorted(keys):
            path = self.folder / EXAMPLES / f"{key}.parquet"
            if not path.is_file():
                with contextlib.suppress(FileNotFoundError):
                    files.write(path, place.read(f"{EXAMPLES}/{key}.parquet"))
        return True

    def _seen(self) -> set[str]:
        with contextlib.suppress(OSError):
            return set((self.folder / SEEN).read_text(encoding="utf-8").split())
        return set()

    def _note(self, runs: set[str]) -> None:
        files.write(self.folder / SEEN, "".join(f"{run}\n" for run in sorted(runs)).encode())


def _object_name(run: Path, data: bytes, rows: Sequence[Mapping[str, Any]]) -> str:
    """What the object of a run is called below the URL."""
    classes = sorted({str(row["fingerprint"]) for row in rows})
    month = f"{run.stem[:4]}-{run.stem[4:6]}"
    host_class = classes[0] if len(classes) == 1 else "several"
    sha = hashlib.sha256(data).hexdigest()[:16]
    return f"{RUNS}/month={month}/class={host_class}/{run.stem}.{sha}.parquet"
