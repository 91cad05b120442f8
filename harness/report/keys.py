"""What a page is made from, as a digest: whoever has the same one need not be made again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.records import case_id
from harness.report import render
from harness.report.data import Data
from harness.report.histories import ChartedSeries
from harness.report.palette import SeriesStyle
from harness.report.parts import script_json

if TYPE_CHECKING:
    import pandas as pd

    from harness.stats.scan import Scan


class Keys:
    """Digests over stored rows: which file holds them and what that file's size and time are, never their content."""

    def __init__(self, data: Data, shared: Mapping[str, Any], look: Mapping[str, SeriesStyle]) -> None:
        """With everything that all pages depend on: the code that makes them, what they share, and all marks."""
        self.data = data
        self._look = look  # a new name may move the marks of others
        self.base = script_json([render.version(), shared, data.commit_url]).encode()
        # What is drawn of a series does not say what was left out.
        self._of_series = script_json([render.version(), data.commit_url])
        self.files = {name: _state(Path(name)) for name in data.rows["filename"].cat.categories}
        self.runs = [script_json(of_run).encode() for of_run in _revisions(data)]
        self._of_points: dict[bytes, bytes] = {}

    def rows(self, *frames: pd.DataFrame, extra: Sequence[str] = ()) -> str:
        """Of some of `Data.rows`."""
        digest = hashlib.sha256(self.base)
        for frame in frames:
            for case, filename in zip(frame["case"], frame["filename"], strict=True):
                digest.update(f"{case}\0{self.files[filename]}\n".encode())
            for run in sorted({*frame["run"]}):
                digest.update(self.runs[self.data.number(run)])
            digest.update(b"\1")
        digest.update("\0".join(extra).encode())
        return digest.hexdigest()

    def marks(self, variants: Iterable[str]) -> str:
        """Of how some variants look."""
        return "\n".join(f"{name} {self._look[name]}" for name in variants)

    def series(self, group: Sequence[ChartedSeries], scans: Mapping[tuple[str, str], Scan]) -> str:
        """Of the series of one case, host, runtime and weights."""
        case = group[0].case
        mark = self._look.get(case_id.parts(case).variant or case)
        about = (self.data.host(group[0].fingerprint), case in self.data.cases, mark)
        digest = hashlib.sha256(f"{self._of_series}\0{about}".encode())
        for one in group:
            digest.update(f"{one.metric}\0{one.unit}\0{one.confidence}\0{scans[one.id, one.metric]!r}\n".encode())
            for part in (one.at, one.numbers, one.low, one.high):
                digest.update(b"" if part is None else part.tobytes())
            if one.at is not None:
                digest.update(self._points(one.at.tobytes(), one.at.tolist()))
        return digest.hexdigest()

    def _points(self, at: bytes, numbers: Sequence[int]) -> bytes:
        """Of what is said of the runs of a series' points: the same for all series that were measured together."""
        if at not in self._of_points:
            self._of_points[at] = hashlib.sha256(b"\0".join([self.runs[number] for number in numbers])).digest()
        return self._of_points[at]


def _state(path: Path) -> str:
    try:
        stat = path.stat()
    except OSError:
        return f"{path} is gone"
    return f"{path}\0{stat.st_size}\0{stat.st_mtime_ns}"


def _revisions(data: Data) -> list[tuple[Any, ...]]:
    """What pages say of each run, oldest first, and of each commit of asv's files."""
    return [
        *(
            (run.id, run.label, run.runtime, data.subjects.get(run.commit or "", ""), *run.hosts)
            for run in reversed(data.runs)
        ),
        *((one.hash, one.time, data.subjects.get(one.hash, "")) for one in data.asv.commits),
    ]
