"""Workers of protocol 1, served for what they can: requests and replies of protocol 2, translated.

Such a worker opens flat requests, reads feeds from files whose axis 0 is the batch axis, writes outputs in the same
way, and sums its profile by operator. What it has no words for is refused with the reason.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.errors import WorkerRefusal
from harness.records.values import ValueEntry, ValueSet


class Adapter:
    """Translates for one worker; keeps the files that it had to write until `close`.

    Attributes:
        specs: [name, type, shape] of the outputs, as the last `open` said.
    """

    def __init__(self) -> None:
        self.specs: Sequence[Sequence[Any]] = ()
        self._rows = True
        self._axes: Mapping[str, int] = {}
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def request(self, command: str, asked: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments of a command, as protocol 1 has them.

        Raises:
            WorkerRefusal: if protocol 1 cannot say it.
        """
        if command == "open":
            self._axes = asked.get("batch_axes") or {}
            options = asked.get("options") or {}
            return {
                "model": asked["artifact"]["path"],
                "provider": options["provider"],
                "provider_options": options.get("provider_options") or {},
                "intra_threads": asked["threads"]["intra"],
                "inter_threads": asked["threads"]["inter"],
                "optimization": options["optimization"],
                "config": options.get("config") or {},
                "dims": options.get("dims") or {},
                "batch": asked["batch"],
                "feeds": self.feeds(asked["feeds"]),
                "profile": bool(asked.get("profile")),
            }
        if command == "outputs":
            feeds = self.feeds(asked["feeds"])
            return {**asked, "feeds": feeds, "batch": asked.get("batch", 1) if self._rows else 1}
        return dict(asked)

    def reply(self, command: str, reply: Mapping[str, Any], asked: Mapping[str, Any]) -> dict[str, Any]:
        """What protocol 2 would have answered."""
        if command == "open":
            self.specs = reply.get("outputs") or ()
            granted = {"providers": reply.get("providers") or [], "placement": reply.get("placement") or {}}
            return {
                "ok": True,
                "session_ns": reply.get("session_ns"),
                "inputs": reply.get("inputs") or [],
                "outputs": self.specs,
                "runtime": granted,
            }
        if command == "outputs":
            found = ValueSet.of_rows([str(spec[0]) for spec in self.specs])
            if not self._rows:
                found = self.whole(found, Path(asked["folder"]))
            return {"ok": True, "outputs": found.to_json()}
        if command == "profile":
            return {"ok": True, "nodes": [["", *row] for row in reply.get("kernels") or []]}
        return dict(reply)

    def feeds(self, entries: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
        """Input -> file with the batch axis first.

        Raises:
            WorkerRefusal: if examples cannot be laid out like that.
        """
        found = {name: ValueEntry.from_json({"name": name, **entry}) for name, entry in entries.items()}
        self._rows = all(entry.concatenated for entry in found.values())
        return {name: self.rows(entry) for name, entry in found.items()}

    def rows(self, entry: ValueEntry) -> str:
        """The file of an input with the batch axis first; written where it is not that already."""
        if entry.concatenated:
            return entry.concatenated
        why = ""
        if not entry.stacked:
            why = "it reads one file per input"
        elif entry.type:
            why = f"it has no {entry.type}"
        elif self._axes.get(entry.name) != 0:
            why = "it takes axis 0 of every input for the batch axis"
        if why:
            raise WorkerRefusal("input", f"input {entry.name!r} cannot be fed to a worker of protocol 1: {why}")
        import numpy as np

        stacked = np.load(entry.stacked, mmap_mode="r")
        self._folder = self._folder or tempfile.TemporaryDirectory(prefix="harness-protocol1-")
        path = Path(self._folder.name) / f"{len(list(Path(self._folder.name).iterdir()))}.npy"
        np.save(path, stacked.reshape((-1, *stacked.shape[2:])))
        return str(path)

    def whole(self, found: ValueSet, folder: Path) -> ValueSet:
        """The outputs with all axes: the batch axis of size 1 is put back, but not to outputs that have none."""
        import numpy as np

        entries = []
        for entry, (_, _, shape) in zip(found.entries, self.specs, strict=True):
            path = folder / entry.concatenated
            array = np.load(path)
            if array.ndim <= max(len(shape), 1):
                np.save(path, array[:, None])
            entries.append(ValueEntry(name=entry.name, stacked=entry.concatenated))
        return ValueSet(entries=tuple(entries))

    def close(self) -> None:
        """Remove what was written; safe to call again."""
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None
