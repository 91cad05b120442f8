"""Value files: where the examples of inputs and outputs are, as JSON that a worker understands. Standard library only.

One entry stands for one input or output. Files are relative to a folder until `at` makes them absolute.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.records.asked import Json

NESTED = "nested"
"""The type of an entry whose examples are sequences, maps or optionals: an .npz file each, as `ort_values` packs it."""

PLACES = ("stacked", "files", "concatenated", "data")


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueEntry:
    """The values of one input, output or label, one per example: in exactly one of the places. Nothing is pickled.

    Attributes:
        stacked: a .npy file whose axis 0 counts examples; the rest is an example's whole shape.
        files: a .npy file per example, where shapes or types differ.
        concatenated: a .npy file in which example i is file[i:i+1], as earlier versions wrote: axis 0 is the batch
            axis.
        data: an array per example in the message itself, as `in_message` makes it.
        type: the element type where NumPy has none, such as `bfloat16`, kept as unsigned integers of the same bits; or
            `NESTED`.
    """

    name: str
    stacked: str = ""
    files: tuple[str, ...] = ()
    concatenated: str = ""
    data: tuple[Mapping[str, Json], ...] = ()
    type: str = ""

    def __post_init__(self) -> None:
        """Refuse what nobody could read.

        Raises:
            ValueError: if there are no examples, or in two places.
        """
        places = [place for place in PLACES if getattr(self, place)]
        if len(places) != 1:
            raise ValueError(f"value {self.name!r}: expected one of {', '.join(PLACES)}, found {places or 'none'}")

    def at(self, folder: Path) -> ValueEntry:
        """The same with absolute paths."""
        return ValueEntry(
            name=self.name,
            stacked=str(folder.absolute() / self.stacked) if self.stacked else "",
            files=tuple(str(folder.absolute() / file) for file in self.files),
            concatenated=str(folder.absolute() / self.concatenated) if self.concatenated else "",
            data=self.data,
            type=self.type,
        )

    def to_json(self) -> dict[str, Json]:
        """Without what is not there."""
        found = {
            "name": self.name,
            "stacked": self.stacked,
            "files": list(self.files),
            "concatenated": self.concatenated,
            "data": [dict(one) for one in self.data],
            "type": self.type,
        }
        return {key: value for key, value in found.items() if value or key == "name"}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> ValueEntry:
        """The inverse of `to_json`; keys that are not known are ignored.

        Raises:
            ValueError: if it is not an entry.
        """
        try:
            return cls(
                name=str(content["name"]),
                stacked=str(content.get("stacked") or ""),
                files=tuple(map(str, content.get("files") or ())),
                concatenated=str(content.get("concatenated") or ""),
                data=tuple(dict(one) for one in content.get("data") or ()),
                type=str(content.get("type") or ""),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not a value entry: {content!r:.80}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueSet:
    """The examples of all inputs, or of all outputs, in their order; files are relative to one folder."""

    entries: tuple[ValueEntry, ...] = ()

    def __iter__(self) -> Iterator[ValueEntry]:
        return iter(self.entries)

    @classmethod
    def of_rows(cls, names: Sequence[str], folder: str = "") -> ValueSet:
        """Files `<index>.npy` with the batch axis first, as references and workers of protocol 1 keep them."""
        prefix = f"{folder}/" if folder else ""
        return cls(entries=tuple(ValueEntry(name=n, concatenated=f"{prefix}{i}.npy") for i, n in enumerate(names)))

    @classmethod
    def from_json(cls, content: Sequence[Mapping[str, Any]]) -> ValueSet:
        """The inverse of `to_json`.

        Raises:
            ValueError: if an entry is none.
        """
        return cls(entries=tuple(map(ValueEntry.from_json, content)))

    def to_json(self) -> list[dict[str, Json]]:
        """Every entry in order."""
        return [entry.to_json() for entry in self.entries]

    def at(self, folder: Path) -> dict[str, ValueEntry]:
        """Name -> entry, with absolute paths."""
        return {entry.name: entry.at(folder) for entry in self.entries}

    def to_request(self, folder: Path) -> dict[str, dict[str, Json]]:
        """The `feeds` of the worker protocol."""
        return {name: entry.to_json() for name, entry in self.at(folder).items()}


def in_message(array: Any) -> dict[str, Json]:
    """A NumPy array of numbers or unicode text as an item of `data`.

    Raises:
        ValueError: if it holds Python objects.
    """
    if array.dtype.hasobject:
        raise ValueError("an array of Python objects cannot be sent; give text as NumPy's unicode")
    return {
        "dtype": array.dtype.str,
        "shape": list(array.shape),
        "base64": base64.b64encode(array.tobytes()).decode("ascii"),
    }
