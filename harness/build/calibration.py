"""The calibration examples, as onnxruntime's calibrators ask for them."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from harness import values
from harness.data import base as data
from harness.data import past

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    import numpy as np

    from harness.records import ModelSpec


class CalibrationReader:
    """The calibration examples for onnxruntime's calibrators, in .npy files on disk and read back one at a time.

    Only the inputs that are `wanted` are fed: a session refuses what its graph does not have. None of them is an
    evaluation example.

    Attributes:
        notes: what was left out.
    """

    def __init__(
        self,
        model: ModelSpec,
        samples: int | None,
        folder: Path,
        wanted: Collection[str] | None = None,
        source: Path | None = None,
    ) -> None:
        """Write the examples into `folder`; `source` is the file that computes what a decoder keeps of tokens."""
        request = data.DataRequest.of(model)
        asked = min(samples or request.counts["calibration"], request.counts["calibration"])
        most = max(1, asked // request.rows)
        self._folder = folder
        self.notes: list[str] = []
        writer = values.ValueWriter(folder, most, structured=True)
        self._count, session = 0, _Computed(source)
        for example in itertools.islice(data.apart(request, self.notes), most):
            self._count += 1
            feed = example.feed if source is None else past.feed(example, model.inputs, session.run)
            writer.add({spec.name: feed[spec.name] for spec in model.inputs if wanted is None or spec.name in wanted})
        self._held = {entry.name: values.Stored(folder, entry, self._count) for entry in writer.close(fewer=True)}
        self._next, self._stop = 0, self._count

    def __len__(self) -> int:
        """How many examples there are."""
        return self._count

    def set_range(self, start_index: int, end_index: int) -> None:
        """Read only these examples next."""
        self._next, self._stop = start_index, end_index

    def get_next(self) -> dict[str, np.ndarray[Any, Any]] | None:
        """The next example as a whole feed, or None at the end of the range."""
        import numpy as np

        if self._next >= self._stop:
            return None
        self._next += 1
        return {name: np.array(held[self._next - 1]) for name, held in self._held.items()}

    def remove(self) -> None:
        """Delete the files."""
        import shutil

        self._held = {}
        shutil.rmtree(self._folder, ignore_errors=True)


class _Computed:
    """A session of a file, made when it is first asked."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._session: Any = None

    def run(self, feed: Mapping[str, Any]) -> dict[str, Any]:
        """The outputs by name."""
        import onnxruntime

        if self._session is None:
            self._session = onnxruntime.InferenceSession(self._path, providers=["CPUExecutionProvider"])
        names = [one.name for one in self._session.get_outputs()]
        return dict(zip(names, self._session.run(names, dict(feed)), strict=True))
