"""Arrays by name and example, on disk: the feeds, outputs and labels that a build leaves for whoever needs them later.

A folder holds .npy files; `records.ValueEntry` says which of them belong to one input, output or label. Whole arrays of
one example are written and read, so that a large set never stands in memory. Sequences, maps and optionals have an
.npz file per example (`ort_values.pack`). Nothing is ever pickled.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from harness.records import NESTED, ValueEntry

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]


def read(folder: Path, entry: ValueEntry, index: int) -> Any:
    """The whole value of one example.

    Args:
        folder: what the entry's paths start from.
        entry: of the input, output or label.
        index: of the example.

    Raises:
        OSError: a file is missing.
        ValueError: a file is not an array, or holds pickled objects.
        IndexError: there are fewer examples.
    """
    return Stored(folder, entry, index + 1)[index]


def below(folder: str, entries: Iterable[ValueEntry]) -> tuple[ValueEntry, ...]:
    """Entries of a subfolder, as its parent sees them."""
    return tuple(
        replace(
            one,
            stacked=one.stacked and f"{folder}/{one.stacked}",
            concatenated=one.concatenated and f"{folder}/{one.concatenated}",
            files=tuple(f"{folder}/{file}" for file in one.files),
        )
        for one in entries
    )


class Stored(Sequence["Array"]):
    """One entry's arrays, example by example, each read when it is asked for.

    Args:
        folder: what the entry's paths start from.
        entry: of the input, output or label.
        examples: how many there are.
    """

    def __init__(self, folder: Path, entry: ValueEntry, examples: int) -> None:
        self._folder, self._entry, self._examples = folder, entry, examples
        self._map: Any = None

    def __len__(self) -> int:
        return self._examples

    @overload
    def __getitem__(self, index: int) -> Array: ...
    @overload
    def __getitem__(self, index: slice) -> list[Array]: ...
    def __getitem__(self, index: int | slice) -> Array | list[Array]:
        """The array of one example (or the structure that it is), or those of several."""
        import numpy as np

        if isinstance(index, slice):
            return [self[one] for one in range(*index.indices(self._examples))]
        place = index + self._examples if index < 0 else index
        if not 0 <= place < self._examples:
            raise IndexError(f"example {index} of {self._examples}")
        if self._entry.type == NESTED:
            from harness import ort_values

            with np.load(self._folder / self._entry.files[place], allow_pickle=False) as held:
                return ort_values.unpack(held)  # type: ignore[no-any-return]  # a structure, which `flat` makes an array
        return typed(self._raw(place), self._entry.type)

    def _raw(self, place: int) -> Array:
        import numpy as np

        if self._entry.files:
            return np.load(self._folder / self._entry.files[place], allow_pickle=False)  # type: ignore[no-any-return]  # .npy holds one array
        if self._map is None:
            self._map = np.load(
                self._folder / (self._entry.stacked or self._entry.concatenated), mmap_mode="r", allow_pickle=False
            )
        if place >= len(self._map):
            raise IndexError(f"example {place} of {len(self._map)} that are stored")
        found = self._map[place] if self._entry.stacked else self._map[place : place + 1]
        return np.asarray(found, dtype=self._map.dtype)  # a scalar alone would lose its byte order


class Flat(Sequence["Array"]):
    """Structures example by example, each as one array (`flat`)."""

    def __init__(self, held: Stored) -> None:
        self._held = held

    def __len__(self) -> int:
        return len(self._held)

    @overload
    def __getitem__(self, index: int) -> Array: ...
    @overload
    def __getitem__(self, index: slice) -> list[Array]: ...
    def __getitem__(self, index: int | slice) -> Array | list[Array]:
        """The array of one example, or those of several."""
        return [flat(one) for one in self._held[index]] if isinstance(index, slice) else flat(self._held[index])


def arrays(folder: Path, entry: ValueEntry, examples: int) -> Sequence[Array]:
    """One entry's values as arrays, whatever they are; the arguments are those of `Stored`."""
    held = Stored(folder, entry, examples)
    return Flat(held) if entry.type == NESTED else held


class ValueWriter:
    """Writes arrays example by example: one file per name where all shapes and types are equal, else one per example.

    Args:
        folder: where the files go; it is created.
        examples: how many there are going to be.
        structured: take lists, mappings and None for what onnxruntime calls sequences, maps and optionals.
    """

    def __init__(self, folder: Path, examples: int, *, structured: bool = False) -> None:
        folder.mkdir(parents=True)
        self._folder, self._examples, self._structured = folder, examples, structured
        self._columns: dict[str, _Column] = {}

    def add(self, values: Mapping[str, Any]) -> None:
        """Write the next example: name -> whole array; the names are the same for every example.

        Raises:
            ValueError: another set of names, or a value that is not an array of numbers, booleans or text.
            OSError: the folder cannot be written.
        """
        if not self._columns:
            self._columns = {
                name: _Column(self._folder, place, name, self._examples, structured=self._structured)
                for place, name in enumerate(values)
            }
        if set(values) != set(self._columns):
            raise ValueError(f"an example has {', '.join(values)}, those before {', '.join(self._columns)}")
        for name, column in self._columns.items():
            column.add(values[name])

    def close(self, *, fewer: bool = False) -> tuple[ValueEntry, ...]:
        """Finish the files and say where everything lies, in the order of the first example's names.

        Args:
            fewer: whether there may be fewer examples than were announced.

        Raises:
            ValueError: there are fewer.
        """
        return tuple(column.close(fewer=fewer) for column in self._columns.values())


class _Column:
    """The values of one name."""

    def __init__(self, folder: Path, place: int, name: str, examples: int, *, structured: bool) -> None:
        self._folder, self._place, self._name, self._examples = folder, place, name, examples
        self._structured = structured
        self._map: Any = None
        self._files: list[str] = []
        self._type: str | None = None
        self._count = 0

    def add(self, value: Any) -> None:
        import numpy as np

        nested = self._structured and (value is None or isinstance(value, dict | list | tuple))
        array, kind = (np.empty(0), NESTED) if nested else plain(value, self._name)
        if self._type not in (None, kind):
            raise ValueError(f"`{self._name}` holds {kind or array.dtype.name} and {self._type or 'another type'}")
        self._type = kind
        if nested:
            from harness import ort_values

            name = f"{self._place}-{self._count}.npz"
            np.savez(self._folder / name, **ort_values.pack(value))
            self._files.append(name)
            self._count += 1
            return
        if not self._count:
            self._map = np.lib.format.open_memmap(
                self._stacked, mode="w+", dtype=array.dtype, shape=(self._examples, *array.shape)
            )
        if self._map is not None and (array.shape, array.dtype) == (self._map.shape[1:], self._map.dtype):
            self._map[self._count] = array
        else:
            self._apart()
            self._save(self._count, array)
        self._count += 1

    def _apart(self) -> None:
        """From here on every example has a file of its own, those before as well."""
        if self._map is None:
            return
        import numpy as np

        for row in range(self._count):
            self._save(row, np.asarray(self._map[row], dtype=self._map.dtype))
        self._map = None  # unmapped, so that every system lets it be deleted
        self._stacked.unlink()

    @property
    def _stacked(self) -> Path:
        return self._folder / f"{self._place}.npy"

    def _save(self, row: int, array: Array) -> None:
        import numpy as np

        name = f"{self._place}-{row}.npy"
        np.save(self._folder / name, array, allow_pickle=False)
        self._files.append(name)

    def close(self, *, fewer: bool) -> ValueEntry:
        if self._count != self._examples and not fewer:
            raise ValueError(f"`{self._name}` has {self._count} examples of {self._examples}")
        kind = self._type or ""
        if self._map is None:
            return ValueEntry(name=self._name, files=tuple(self._files), type=kind)
        self._map.flush()
        self._map = None
        return ValueEntry(name=self._name, stacked=self._stacked.name, type=kind)


def plain(value: Any, name: str) -> tuple[Array, str]:
    """A value as .npy holds it, and ONNX's name of its type where NumPy has none.

    Raises:
        ValueError: it is not an array of numbers, booleans or text.
    """
    import numpy as np

    array = np.asarray(value)
    if array.dtype.kind == "O" and all(isinstance(one, str) for one in array.flat):
        array = array.astype(np.str_)
    if is_extended(array.dtype):
        return array.view(f"uint{8 * array.dtype.itemsize}"), array.dtype.name  # one of ml_dtypes' types
    if array.dtype.kind in "OVMm":
        raise ValueError(f"`{name}` is not an array of numbers, booleans or text but {type(value).__name__}")
    return array, ""


def typed(array: Array, kind: str) -> Array:
    """The inverse of `plain`."""
    if not kind:
        return array
    import ml_dtypes

    return array.view(getattr(ml_dtypes, kind))


def is_extended(dtype: np.dtype[Any]) -> bool:
    """Whether a type is one of ml_dtypes', which NumPy's files cannot hold."""
    void = dtype.kind == "V" and dtype.names is None and dtype.name != f"void{8 * dtype.itemsize}"
    return void or dtype.name.startswith("float8_")


def flat(value: Any) -> Array:
    """A structure as one array; an array stays as it is.

    A sequence is stacked (or its parts put behind one another where their shapes differ), a map is its values in the
    order of its keys, an optional that is empty is nothing.
    """
    import numpy as np

    if value is None:
        return np.zeros(0)
    if isinstance(value, dict):
        return flat([value[key] for key in sorted(value)])
    if isinstance(value, list | tuple):
        parts = [flat(one) for one in value]
        if len({(one.shape, one.dtype.kind) for one in parts}) <= 1:
            return np.stack(parts) if parts else np.zeros(0)
        return np.concatenate([one.reshape(-1) for one in parts])
    return np.asarray(value)
