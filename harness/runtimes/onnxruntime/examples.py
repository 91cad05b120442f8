"""The values of one session of the worker: examples from files and messages in, outputs into files.

Stands alone, as the worker does, which has loaded what this needs before.
"""

from __future__ import annotations

import base64
import os
from math import gcd
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from harness import ort_values
    from harness.runtimes import protocol
else:
    import ort_values
    import protocol


class Examples:
    """The examples of one input of the session, as an entry of `feeds` describes them.

    Attributes:
        rows: axis 0 of the file is the batch axis itself.
    """

    def __init__(self, feeds: dict[str, Any], spec: Any) -> None:
        if spec.name not in feeds:
            raise protocol.Refused(
                "input", f"no feed for input {spec.name!r}; feeds: {', '.join(sorted(feeds)) or 'none'}"
            )
        entry = feeds[spec.name]
        self.spec, self.type, self.rows = spec, entry.get("type", ""), "concatenated" in entry
        self.files = entry.get("files") or ()
        if "stacked" in entry or self.rows:
            self.held: Any = np.load(entry.get("stacked") or entry["concatenated"], mmap_mode="r")
        elif "data" in entry:
            self.held = [decoded(one) for one in entry["data"]]
        else:
            self.held = ()
        if not len(self.held) and not self.files:
            raise protocol.Refused("input", f"the feed of input {spec.name!r} holds no example")

    def count(self) -> int:
        """How many examples are stored."""
        return len(self.files) or len(self.held)

    def whole(self, place: int) -> Any:
        """One example with all its axes; round and round where fewer are stored."""
        if self.type == ort_values.NESTED:
            with np.load(self.files[place % len(self.files)]) as held:
                return ort_values.unpack(held)
        if self.files:
            return np.load(self.files[place % len(self.files)], mmap_mode="r")
        return self.held[place % len(self.held)]

    def batch(self, places: Any, axis: Any) -> Any:
        """The examples at `places`, one behind another along `axis`, in memory of their own and the model's type.

        Without an axis it is the first of them.
        """
        if self.rows and self.spec.shape:
            chosen = self.held[np.asarray(places) % len(self.held)]  # a copy
        elif self.rows:
            chosen = self.held[:1].reshape(())
        elif axis is None or len(places) == 1:
            chosen = self.whole(places[0])
        else:
            try:
                chosen = np.concatenate([self.whole(place) for place in places], axis)
            except ValueError as error:
                why = f"the examples of input {self.spec.name!r} do not fit behind one another: {error}"
                raise protocol.Refused("batch", why) from error
        # In memory of its own: pages of a file must not be read while a run is timed.
        if isinstance(chosen, np.memmap):
            chosen = np.array(chosen)
        return ort_values.fitting(chosen, self.spec.type, self.type, self.spec.name)


class OutputFiles:
    """The files of one output: one for all examples while their shapes agree, else one each."""

    def __init__(self, request: dict[str, Any], index: int, spec: Any) -> None:
        self.folder, self.total, self.index, self.spec = request["folder"], request["examples"], index, spec
        self.stacked: Any = None
        self.files: list[str] = []

    def put(self, place: int, array: Any) -> None:
        """Write the next example; they come in order."""
        if not ort_values.is_tensor(self.spec.type):
            self.files.append(f"{self.index}-{place}.npz")
            np.savez(os.path.join(self.folder, self.files[-1]), **ort_values.pack(array))
            return
        if place == 0:
            shape = (self.total, *array.shape)
            self.stacked = np.lib.format.open_memmap(self.path(), "w+", dtype=array.dtype, shape=shape)
        if self.stacked is not None and (self.stacked.shape[1:], self.stacked.dtype) != (array.shape, array.dtype):
            for earlier in range(place):
                self.save(earlier, self.stacked[earlier])
            self.stacked = None
            os.unlink(self.path())
        if self.stacked is not None:
            self.stacked[place] = array
        else:
            self.save(place, array)

    def save(self, place: int, array: Any) -> None:
        """One example in a file of its own."""
        self.files.append(f"{self.index}-{place}.npy")
        np.save(os.path.join(self.folder, self.files[-1]), array)

    def path(self) -> str:
        """The file for all examples."""
        return os.path.join(self.folder, f"{self.index}.npy")

    def entry(self) -> dict[str, Any]:
        """What the reply says of it."""
        if self.stacked is not None:
            self.stacked.flush()
        place: dict[str, Any] = {"files": self.files} if self.stacked is None else {"stacked": f"{self.index}.npy"}
        kind = ort_values.type_of(self.spec.type)
        return {"name": self.spec.name, **place, **({"type": kind} if kind else {})}


def places(number: int, batch: int, stored: int) -> list[int]:
    """The examples of one batch; as many batches as there are examples differ from one another."""
    different = stored // gcd(stored, batch)  # so many begin at an example of their own, one behind the other
    first = number * batch + number // different
    return [place % stored for place in range(first, first + batch)]


def decoded(item: dict[str, Any]) -> Any:
    """An array that came in the message."""
    flat = np.frombuffer(base64.b64decode(item["base64"]), dtype=np.dtype(item["dtype"]))
    return flat.reshape(item["shape"])
